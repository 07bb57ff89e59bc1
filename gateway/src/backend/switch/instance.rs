//! The running gateways of a game, as they register themselves in `gateway_switch_instance`.

use super::super::BackendError;
use super::error::SwitchError;
use super::side::Side;
use super::state::{now_ms, text};
use crate::observe::chain;

/// How long a gateway that is not heard of counts as running, in milliseconds.
pub(super) const ALIVE_MS: i64 = 10_000;

/// The end of what a gateway says whose configuration has no mirror of the game.
pub(super) const NOT_CONFIGURED: &str = "is not in its configuration";

const READ: &str = "SELECT instance, seen_at, epoch, flip_id, state, fault, pause_ms, \
    dead_letters FROM gateway_switch_instance WHERE group_name = ? ORDER BY instance";

/// What a gateway says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// Calls go to the owner.
    Open,
    /// The same, and it looks at the flip closely.
    Ready,
    /// No call is under way, and none begins.
    Blocked,
    /// It cannot go along to the other database.
    Unfit,
}

impl InstanceState {
    const ALL: [Self; 4] = [Self::Open, Self::Ready, Self::Blocked, Self::Unfit];

    /// Its word in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ready => "ready",
            Self::Blocked => "blocked",
            Self::Unfit => "unfit",
        }
    }
}

/// A gateway of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: Box<str>,
    /// When it was heard of, in Unix milliseconds.
    pub seen_at: i64,
    /// The owner's epoch that it knows.
    pub epoch: i64,
    /// The attempt to flip that its state belongs to.
    pub flip_id: i64,
    /// What it says of itself.
    pub state: InstanceState,
    /// Why it is unfit.
    pub fault: Option<Box<str>>,
    /// How long its last pause was, in milliseconds.
    pub pause_ms: i64,
    /// Dead letters of the game in its journal; `None`: its version does not count them.
    pub dead_letters: Option<i64>,
}

impl Instance {
    /// Whether it runs, as far as is known.
    pub fn is_alive(&self) -> bool {
        now_ms().saturating_sub(self.seen_at) < ALIVE_MS
    }

    /// For how long it has not been heard of, in milliseconds.
    pub(super) fn silent_ms(&self) -> i64 {
        now_ms().saturating_sub(self.seen_at).max(0)
    }

    /// Whether its configuration has no mirror of the game.
    pub(super) fn lacks_mirror(&self) -> bool {
        self.fault.as_deref().is_some_and(|fault| fault.ends_with(NOT_CONFIGURED))
    }

    /// Whether it has come so far in an attempt.
    pub(super) fn has_reached(&self, flip_id: i64, state: InstanceState) -> bool {
        let is_further = state == InstanceState::Ready && self.state == InstanceState::Blocked;
        self.flip_id == flip_id && (self.state == state || is_further)
    }
}

/// Reads the gateways of a group that run, from either side: they register on both.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn read_alive(side: &mut Side, group: &str) -> Result<Vec<Instance>, SwitchError> {
    let all = read_all(side, group).await?;
    Ok(all.into_iter().filter(Instance::is_alive).collect())
}

/// The same, and those that have gone, as they were when they were last heard of.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn read_all(side: &mut Side, group: &str) -> Result<Vec<Instance>, SwitchError> {
    let rows = match side.texts(READ, vec![text(group)]).await {
        Err(error @ SwitchError::Statement { source: BackendError::Query { .. }, .. }) => {
            let (name, told) = (side.name(), chain(&error));
            return Err(SwitchError::refused(format!(
                "`{name}` does not tell of the gateways as this version registers them: run `gateway migrate` ({told})"
            )));
        }
        read => read?,
    };
    let instance = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter();
        let name = texts.next()??.into();
        let mut number = || texts.next()??.parse().ok();
        let (seen_at, epoch, flip_id) = (number()?, number()?, number()?);
        let word = texts.next()??;
        let state = InstanceState::ALL.into_iter().find(|state| state.name() == word)?;
        let fault = texts.next()?.map(Into::into);
        let pause_ms = texts.next()??.parse().ok()?;
        let dead_letters = texts.next()?.map(|count| count.parse()).transpose().ok()?;
        Some(Instance { name, seen_at, epoch, flip_id, state, fault, pause_ms, dead_letters })
    };
    let all = rows.into_iter().map(|row| {
        let strange = "gateway_switch_instance holds what this version does not know";
        instance(row).ok_or_else(|| SwitchError::refused(strange))
    });
    all.collect()
}
