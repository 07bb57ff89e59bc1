//! The requests in flight of an async connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway_protocol::RequestId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::reply::Answer;
use crate::{ClientError, Refused};

/// What is in flight, shared with the reader.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<State>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) waiting: HashMap<RequestId, Waiting>,
    pub(crate) going_away: Option<Box<str>>,
    closed: Option<Box<str>>,
}

/// A request in flight. It stays until its answer comes, also when nobody waits any more, and so long
/// counts as in flight: the gateway still works on it.
#[derive(Debug)]
pub(crate) struct Waiting {
    caller: oneshot::Sender<Result<Answer, Refused>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Waiting {
    /// - `permit`: given back when the answer has come, or the connection is lost.
    pub(crate) const fn new(
        caller: oneshot::Sender<Result<Answer, Refused>>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { caller, _permit: permit }
    }

    /// Tells the answer. Whoever gave up does not hear it.
    pub(crate) fn answer(self, answer: Result<Answer, Refused>) {
        drop(self.caller.send(answer));
    }
}

impl Calls {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(&self, id: RequestId, waiting: Waiting) -> Result<(), ClientError> {
        let mut state = self.state();
        if let Some(reason) = &state.closed {
            return Err(ClientError::Closed { reason: reason.clone() });
        }
        state.waiting.insert(id, waiting);
        Ok(())
    }

    /// Ends the connection for everybody: what is in flight will have no answer.
    pub(crate) fn close(&self, error: &ClientError) {
        let mut state = self.state();
        state.closed.get_or_insert_with(|| error.to_string().into());
        state.waiting.clear();
    }

    pub(crate) fn closed(&self) -> ClientError {
        let reason = self.state().closed.clone().unwrap_or_else(|| "it was dropped".into());
        ClientError::Closed { reason }
    }
}
