//! Tells other instances which records wait and which are dead, behind everything else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::backend::BackendError;
use crate::cache::{Cache, QueuedState};
use crate::journal::{Cause, Record};

/// How long other instances are told of a record that nobody takes back.
const TOLD_LIFE: Duration = Duration::from_hours(72);
/// Words to other instances that may wait to be told.
const TOLD_MAX: usize = 256;

/// Requests by the hash of their key; `None`: nothing is to be known any more.
type Words = Vec<([u8; 16], Option<QueuedState>)>;

/// Where words to other instances go; without Redis there is nobody to tell.
#[derive(Clone, Debug)]
pub(super) struct Teller(Option<mpsc::Sender<Words>>);

impl Teller {
    /// Starts the task that tells. It ends with the last clone.
    pub(super) fn start(cache: Arc<Cache<BackendError>>) -> Self {
        if !cache.has_l2() {
            return Self(None);
        }
        let (sender, mut words) = mpsc::channel::<Words>(TOLD_MAX);
        drop(tokio::spawn(async move {
            while let Some(states) = words.recv().await {
                cache.tell_queued(&states, TOLD_LIFE).await;
            }
        }));
        Self(Some(sender))
    }

    /// Tells nobody: of what comes from a stream all instances know.
    pub(super) const fn silent() -> Self {
        Self(None)
    }

    /// Records that wait from now on.
    pub(super) fn journalled(&self, records: &[Record]) {
        self.tell(records.iter().map(|record| {
            let since_micros = record.payload.now_micros;
            (record.key.request, Some(QueuedState::Journalled { since_micros }))
        }));
    }

    /// Records that are in the database.
    pub(super) fn applied(&self, records: &[&Record]) {
        self.tell(records.iter().map(|record| (record.key.request, None)));
    }

    /// A record that was given up.
    pub(super) fn dead(&self, record: &Record, cause: Cause) {
        let Cause { code, message, since_micros, .. } = cause;
        let dead = QueuedState::Dead { since_micros, code, message };
        self.tell(std::iter::once((record.key.request, Some(dead))));
    }

    fn tell(&self, states: impl Iterator<Item = ([u8; 16], Option<QueuedState>)>) {
        if let Some(sender) = &self.0 {
            // Too much to tell: others will not know, which the documents allow.
            let _told = sender.try_send(states.collect()).is_ok();
        }
    }
}
