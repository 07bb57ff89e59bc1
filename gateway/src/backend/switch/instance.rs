//! The running gateways of a game, as they register themselves in `gateway_switch_instance`.

use super::super::BackendError;
use super::error::SwitchError;
use super::side::Side;
use super::state::{now_ms, text};
use crate::catalog::Scalar;
use crate::config::Dialect;
use crate::observe::chain;

/// How long a gateway that is not heard of counts as running, in milliseconds.
pub(super) const ALIVE_MS: i64 = 10_000;

/// The end of what a gateway says whose configuration has no mirror of the game.
pub(super) const NOT_CONFIGURED: &str = "is not in its configuration";

/// What a gateway says that ends: nobody waits for it, whatever its clock was.
pub(super) const ENDED: &str = "it has ended";

/// Behind what tells for how long a gateway was not heard of.
const READ: &str = "instance, epoch, flip_id, state, fault, pause_ms, dead_letters \
    FROM gateway_switch_instance WHERE group_name = ? ORDER BY instance";

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
    /// For how long it has not been heard of, in milliseconds; below 0, where its clock was ahead.
    pub(super) silent_ms: i64,
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
        self.silent_ms < ALIVE_MS && !self.has_ended()
    }

    /// Whether it said at its end that it does.
    fn has_ended(&self) -> bool {
        self.state == InstanceState::Unfit && self.fault.as_deref() == Some(ENDED)
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

/// The clock that signs of life are told and read by, in Unix milliseconds, as a part of a statement, and what it binds: MySQL's
/// own, which is one for all gateways; of the others the process'.
pub(super) fn clock(dialect: Dialect) -> (&'static str, Vec<Scalar<'static>>) {
    match dialect {
        // The session's zone is UTC: no hour comes twice.
        Dialect::Mysql => ("CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)", Vec::new()),
        Dialect::Sqlite | Dialect::Oracle => ("?", vec![Scalar::Int(now_ms())]),
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
    let (clock, mut binds) = clock(side.dialect());
    binds.push(text(group));
    let sql = format!("SELECT {clock} - seen_at, {READ}");
    let rows = match side.texts(&sql, binds).await {
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
        let silent_ms = texts.next()??.parse().ok()?;
        let name = texts.next()??.into();
        let mut number = || texts.next()??.parse().ok();
        let (epoch, flip_id) = (number()?, number()?);
        let word = texts.next()??;
        let state = InstanceState::ALL.into_iter().find(|state| state.name() == word)?;
        let fault = texts.next()?.map(Into::into);
        let pause_ms = texts.next()??.parse().ok()?;
        let dead_letters = texts.next()?.map(|count| count.parse()).transpose().ok()?;
        Some(Instance { name, silent_ms, epoch, flip_id, state, fault, pause_ms, dead_letters })
    };
    let all = rows.into_iter().map(|row| {
        let strange = "gateway_switch_instance holds what this version does not know";
        instance(row).ok_or_else(|| SwitchError::refused(strange))
    });
    all.collect()
}
