//! The states of queued writes in Redis: a key a request, gone by itself when nobody forgets it.

use std::time::Duration;

use super::L2;
use crate::cache::{QueuedState, l1};

impl L2 {
    /// Sets and deletes, in one round trip.
    pub(in crate::cache) async fn tell_queued(
        &self,
        states: &[([u8; 16], Option<QueuedState>)],
        life: Duration,
    ) {
        let Some(mut connection) = self.connection() else { return };
        let mut pipeline = redis::Pipeline::with_capacity(states.len());
        for (request, state) in states {
            let name = self.names.queued(request);
            match state {
                Some(state) => {
                    let life_ms = l1::millis(life).max(1);
                    pipeline.cmd("SET").arg(name).arg(state.encode()).arg("PX").arg(life_ms);
                }
                None => {
                    pipeline.cmd("DEL").arg(name);
                }
            }
            pipeline.ignore();
        }
        let told = pipeline.exec_async(&mut connection).await;
        self.settle(told);
    }

    pub(in crate::cache) async fn queued(&self, request: &[u8; 16]) -> Option<QueuedState> {
        let mut connection = self.connection()?;
        let mut get = redis::cmd("GET");
        get.arg(self.names.queued(request));
        let found = get.query_async::<Option<String>>(&mut connection).await;
        QueuedState::decode(&self.settle(found)??)
    }
}
