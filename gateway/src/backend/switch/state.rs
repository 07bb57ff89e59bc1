//! Where a group stands: the tables `gateway_switch` and `gateway_switch_table`.

use std::time::SystemTime;

use super::super::connection::TextRow;
use super::error::SwitchError;
use super::side::Side;
use crate::catalog::Scalar;
use crate::config::{ConnectionConfig, Dialect};

/// A game's tables, and the two databases that hold them.
#[derive(Clone, Copy, Debug)]
pub struct Group<'c> {
    /// The game.
    pub id: &'c str,
    /// The database that owns it.
    pub owner: &'c ConnectionConfig,
    /// The one that is made like it.
    pub mirror: &'c ConnectionConfig,
}

impl Group<'_> {
    /// The same with both databases in the other's place.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { id: self.id, owner: self.mirror, mirror: self.owner }
    }
}

/// How far the mirror is; from `Readying` on, how far the flip to it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    Single,
    /// It is being set up: what changes may not be written down yet.
    Preparing,
    /// What changes is copied; what did not change since is not. In a mirror's own row: that it is one.
    Mirror,
    /// What did not change is being copied, too.
    Backfill,
    /// Everything was copied, and what changes is.
    Mirrored,
    /// It is being given up.
    Retiring,
    /// Every gateway is asked to look at this row closely.
    Readying,
    /// Every gateway lets no call begin and waits for those under way: the pause.
    Blocking,
    /// This database is closed for good, and what waits in its outbox is copied.
    Draining,
    /// Everything was copied: the other database may be opened.
    Flipped,
}

impl Phase {
    const ALL: [Self; 10] = [
        Self::Single,
        Self::Preparing,
        Self::Mirror,
        Self::Backfill,
        Self::Mirrored,
        Self::Retiring,
        Self::Readying,
        Self::Blocking,
        Self::Draining,
        Self::Flipped,
    ];

    /// Its word in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Preparing => "preparing",
            Self::Mirror => "mirror",
            Self::Backfill => "backfill",
            Self::Mirrored => "mirrored",
            Self::Retiring => "retiring",
            Self::Readying => "readying",
            Self::Blocking => "blocking",
            Self::Draining => "draining",
            Self::Flipped => "flipped",
        }
    }

    /// Whether a flip is on its way.
    pub const fn is_flip(self) -> bool {
        matches!(self, Self::Readying | Self::Blocking | Self::Draining | Self::Flipped)
    }
}

/// A row of `gateway_switch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Raised when the owner changes.
    pub epoch: i64,
    /// The connection that owns the group.
    pub owner: Box<str>,
    /// The connection that is made like it.
    pub mirror: Option<Box<str>>,
    /// How far that is.
    pub phase: Phase,
    /// When it changed last, RFC 3339.
    pub changed_at: Box<str>,
    /// By whom.
    pub changed_by: Box<str>,
    /// Attempts to flip so far: that of the one under way.
    pub flip_id: i64,
    /// How long the pause of that attempt may be, in milliseconds.
    pub pause_max_ms: i64,
    /// When its present phase began, in Unix milliseconds.
    pub flip_at_ms: i64,
    /// Shadow reads, of a million.
    pub sample_ppm: i64,
}

impl State {
    /// Whether what changes on one database, whose row this is, is copied to the other.
    pub(super) fn copies(&self, owner: &str, mirror: &str) -> bool {
        let is =
            |one: &str, other: &str| *self.owner == *one && self.mirror.as_deref() == Some(other);
        match self.phase {
            Phase::Mirror
            | Phase::Backfill
            | Phase::Mirrored
            | Phase::Readying
            | Phase::Blocking => is(owner, mirror),
            // The owner of before is closed; what it has is still on its way.
            Phase::Draining => is(mirror, owner),
            Phase::Single | Phase::Preparing | Phase::Retiring | Phase::Flipped => false,
        }
    }
}

const COLUMNS: &str = "epoch, owner, mirror, phase, changed_at, changed_by, flip_id, pause_max_ms, \
    flip_at_ms, sample_ppm";
const FORGET: &str = "DELETE FROM gateway_switch WHERE group_name = ?";
const WRITE: &str = "UPDATE gateway_switch SET epoch = ?, owner = ?, mirror = ?, phase = ?, changed_at = ?, \
    changed_by = ? WHERE group_name = ?";
const ENTER: &str = "INSERT INTO gateway_switch \
    (epoch, owner, mirror, phase, changed_at, changed_by, group_name) VALUES (?, ?, ?, ?, ?, ?, ?)";
const ADVANCE: &str = "UPDATE gateway_switch SET phase = ?, changed_at = ?, changed_by = ? \
    WHERE group_name = ? AND phase = ? AND epoch = ? AND flip_id = ?";
const READ_TABLES: &str = "SELECT table_name, last_key, touched, is_done FROM gateway_switch_table \
    WHERE group_name = ? ORDER BY table_name";

/// Reads a group's state; `None`: nothing was ever said of it.
///
/// # Errors
///
/// [`SwitchError`]; that the table is not there says to run `gateway migrate`.
pub(super) async fn read(side: &mut Side, group: &str) -> Result<Option<State>, SwitchError> {
    read_with(side, group, "").await
}

/// The same, and no flip goes on as long as the caller's transaction lasts.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn read_shared(
    side: &mut Side,
    group: &str,
) -> Result<Option<State>, SwitchError> {
    match side.dialect() {
        Dialect::Mysql => read_with(side, group, " LOCK IN SHARE MODE").await,
        // The transaction is the only one that writes.
        Dialect::Sqlite => read_with(side, group, "").await,
        Dialect::Oracle => {
            side.run_text("LOCK TABLE gateway_switch IN ROW SHARE MODE").await?;
            read_with(side, group, "").await
        }
    }
}

async fn read_with(side: &mut Side, group: &str, lock: &str) -> Result<Option<State>, SwitchError> {
    let sql = format!("SELECT {COLUMNS} FROM gateway_switch WHERE group_name = ?{lock}");
    let rows = match side.texts(&sql, vec![text(group)]).await {
        Err(error @ SwitchError::Statement { .. }) if error.is_locked() => return Err(error),
        Err(SwitchError::Statement { connection, .. }) => {
            return Err(SwitchError::refused(format!(
                "`{connection}` does not have the gateway's tables: run `gateway migrate` first"
            )));
        }
        read => read?,
    };
    rows.into_iter().next().map(|row| state(row).ok_or_else(strange)).transpose()
}

/// Writes a group's state, within the caller's transaction. What is known of flips stays.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn write(
    side: &mut Side,
    group: Group<'_>,
    (epoch, phase): (i64, Phase),
    by: &str,
) -> Result<(), SwitchError> {
    let mirror = match phase {
        Phase::Single => Scalar::Null,
        _ => text(&group.mirror.name),
    };
    let owner = text(&group.owner.name);
    let name = text(phase.name());
    let binds = vec![Scalar::Int(epoch), owner, mirror, name, now(), who(by), text(group.id)];
    if side.execute(WRITE, binds.clone()).await? == 0 {
        side.execute(ENTER, binds).await?;
    }
    Ok(())
}

/// Takes a group from the phase that was seen to another one. Returns whether it still was in that phase.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn advance(
    side: &mut Side,
    group: &str,
    seen: &State,
    phase: Phase,
    by: &str,
) -> Result<bool, SwitchError> {
    let binds = vec![
        text(phase.name()),
        now(),
        who(by),
        text(group),
        text(seen.phase.name()),
        Scalar::Int(seen.epoch),
        Scalar::Int(seen.flip_id),
    ];
    Ok(side.execute(ADVANCE, binds).await? > 0)
}

/// Who changes a state, as long as its column takes.
pub(super) fn who(by: &str) -> Scalar<'static> {
    let who: String = by.chars().take(200).collect();
    text(&who)
}

/// Removes a group's state, within the caller's transaction.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn forget(side: &mut Side, group: &str) -> Result<(), SwitchError> {
    side.execute(FORGET, vec![text(group)]).await.map(drop)
}

/// A table of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTable {
    /// Its name.
    pub name: Box<str>,
    /// Up to which key its rows were put into the outbox.
    pub last_key: Option<Box<str>>,
    /// How many rows that were.
    pub touched: u64,
    /// Whether those are all.
    pub is_done: bool,
}

/// Reads a group's tables.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn read_tables(
    side: &mut Side,
    group: &str,
) -> Result<Vec<GroupTable>, SwitchError> {
    let rows = side.texts(READ_TABLES, vec![text(group)]).await?;
    rows.into_iter().map(|row| table(row).ok_or_else(strange)).collect()
}

/// The names of a group's tables: what is mirrored, filled, compared and made an owner's.
pub(super) async fn table_names(
    side: &mut Side,
    group: &str,
) -> Result<Vec<Box<str>>, SwitchError> {
    let tables = read_tables(side, group).await?;
    Ok(tables.into_iter().map(|table| table.name).collect())
}

/// The state of a group whose changes are copied.
///
/// # Errors
///
/// [`SwitchError::Refused`]: there is no mirror, it is another one, or the owner is.
pub(super) async fn copied(side: &mut Side, group: Group<'_>) -> Result<State, SwitchError> {
    let state = read(side, group.id).await?;
    let state = state.filter(|state| state.phase != Phase::Single).ok_or_else(|| {
        let (id, mirror) = (group.id, &group.mirror.name);
        SwitchError::refused(format!(
            "there is no mirror yet: `gateway switch {id} mirror {mirror}`"
        ))
    })?;
    if state.copies(&group.owner.name, &group.mirror.name) {
        return Ok(state);
    }
    fits(group, &state)?;
    let (id, name, mirror) = (group.id, state.phase.name(), &group.mirror.name);
    let again = if state.phase == Phase::Retiring {
        format!("retire {mirror} --yes")
    } else {
        format!("mirror {mirror}")
    };
    let told = format!("the mirror is `{name}`: repeat `gateway switch {id} {again}` to its end");
    Err(SwitchError::refused(told))
}

/// Whether the durable state is that of this owner and this mirror, and no flip is on its way.
///
/// # Errors
///
/// [`SwitchError::Refused`]: the state is the truth.
pub(super) fn fits(group: Group<'_>, state: &State) -> Result<(), SwitchError> {
    if state.phase.is_flip() {
        let (id, phase, by) = (group.id, state.phase.name(), &state.changed_by);
        return Err(SwitchError::refused(format!(
            "a flip is on its way ({phase}, by {by}, since {}): `gateway switch {id} flip` ends one that was \
             left",
            state.changed_at
        )));
    }
    if state.owner != group.owner.name {
        return Err(SwitchError::refused(format!(
            "the database says that `{}` owns {}, and the configuration names `{}` and `{}`: set \
             `games.{}.database` to what the database says",
            state.owner, group.id, group.owner.name, group.mirror.name, group.id
        )));
    }
    match &state.mirror {
        Some(mirror) if *mirror != group.mirror.name => Err(SwitchError::refused(format!(
            "the database says that the mirror of {} is `{mirror}`, and the configuration that it is `{}`",
            group.id, group.mirror.name
        ))),
        _ => Ok(()),
    }
}

/// A text to be bound.
pub(super) fn text(text: &str) -> Scalar<'static> {
    Scalar::Str(text.to_owned().into())
}

/// This moment, to be bound.
pub(super) fn now() -> Scalar<'static> {
    let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    Scalar::Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// This moment in Unix milliseconds.
pub(super) fn now_ms() -> i64 {
    let millis = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

fn strange() -> SwitchError {
    SwitchError::refused("the gateway's tables of the switch hold what this version does not know")
}

fn state(row: TextRow) -> Option<State> {
    let mut texts = row.into_iter();
    let epoch = texts.next()??.parse().ok()?;
    let owner = texts.next()??.into();
    let mirror = texts.next()?.map(Into::into);
    let word = texts.next()??;
    let phase = Phase::ALL.into_iter().find(|phase| phase.name() == word)?;
    let (changed_at, changed_by) = (texts.next()??.into(), texts.next()??.into());
    let mut number = || texts.next()??.parse().ok();
    let (flip_id, pause_max_ms, flip_at_ms) = (number()?, number()?, number()?);
    let sample_ppm = number()?;
    Some(State {
        epoch,
        owner,
        mirror,
        phase,
        changed_at,
        changed_by,
        flip_id,
        pause_max_ms,
        flip_at_ms,
        sample_ppm,
    })
}

fn table(row: TextRow) -> Option<GroupTable> {
    let mut texts = row.into_iter();
    let name = texts.next()??.into();
    let last_key = texts.next()?.map(Into::into);
    let touched = texts.next()??.parse().ok()?;
    let is_done = texts.next()?? != "0";
    Some(GroupTable { name, last_key, touched, is_done })
}
