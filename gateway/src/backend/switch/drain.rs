//! Waiting for the outbox to be emptied: by oneself, where nobody else copies.

use std::time::Duration;

use super::copy::{Batch, Copier};
use super::error::SwitchError;
use super::lease::Takeover;
use super::outbox::{self, Depth};
use super::side::Side;
use super::state::Group;

/// Between two looks at what somebody else copies.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// How far a backfill or a copy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The table whose keys are being put into the outbox; empty: all of them are.
    pub table: Box<str>,
    /// Rows that were put into the outbox by this command.
    pub touched: u64,
    /// Rows that were copied by this command; 0 where another copier does it.
    pub copied: u64,
    /// Rows that the mirror did not take from this command.
    pub refused: u64,
    /// Rows that wait, at most.
    pub waiting: u64,
    /// Who copies, if it is somebody else.
    pub copier: Option<Box<str>>,
}

/// Has the outbox emptied: by itself where nobody else does.
pub(super) struct Drain<'c> {
    group: Group<'c>,
    name: &'c str,
    copier: Option<Copier>,
    /// How far it is.
    pub progress: Progress,
}

impl<'c> Drain<'c> {
    /// Begins.
    pub(super) fn new(group: Group<'c>, name: &'c str) -> Self {
        Self { group, name, copier: None, progress: Progress::default() }
    }

    /// Copies, or waits while somebody else does, until that holds of the outbox.
    ///
    /// # Errors
    ///
    /// [`SwitchError`].
    pub(super) async fn until(
        &mut self,
        owner: &mut Side,
        holds: impl Fn(&Depth) -> bool,
        told: &mut (dyn FnMut(&Progress) + Send),
    ) -> Result<(), SwitchError> {
        loop {
            let depth = outbox::depth(owner).await?;
            self.progress.waiting = depth.count_max;
            if holds(&depth) {
                return Ok(());
            }
            told(&self.progress);
            match self.copier().await? {
                Some(copier) => {
                    let Batch { copied, refused, .. } = copier.batch().await?;
                    self.progress.copied += copied;
                    self.progress.refused += refused;
                }
                None => tokio::time::sleep(LOOK_PAUSE).await,
            }
        }
    }

    /// The copier; `None`: somebody else copies.
    async fn copier(&mut self) -> Result<Option<&mut Copier>, SwitchError> {
        if self.copier.is_none() {
            match Copier::open(self.group, self.name, Takeover::WhenSilent).await {
                Ok(copier) => {
                    self.progress.copier = None;
                    self.copier = Some(copier);
                }
                Err(SwitchError::Held { copier, .. }) => self.progress.copier = Some(copier),
                Err(error) => return Err(error),
            }
        }
        Ok(self.copier.as_mut())
    }

    /// Gives the lease back, if there is one.
    pub(super) async fn end(self) -> Progress {
        if let Some(copier) = self.copier {
            copier.close().await;
        }
        self.progress
    }
}
