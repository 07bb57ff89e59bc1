//! Where a group stands: the tables `gateway_switch` and `gateway_switch_table`.

use std::time::SystemTime;

use super::super::connection::TextRow;
use super::error::SwitchError;
use super::side::Side;
use crate::catalog::Scalar;
use crate::config::ConnectionConfig;

/// A game's tables, and the two databases that hold them.
#[derive(Clone, Copy, Debug)]
pub struct Group<'c> {
    /// The game.
    pub id: &'c str,
    /// The database that the game runs on.
    pub owner: &'c ConnectionConfig,
    /// The one that is made like it.
    pub mirror: &'c ConnectionConfig,
}

/// How far the mirror is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    Single,
    /// It is being set up: what changes may not be written down yet.
    Preparing,
    /// What changes is copied; what did not change since is not.
    Mirror,
    /// What did not change is being copied, too.
    Backfill,
    /// Everything was copied, and what changes is.
    Mirrored,
    /// It is being given up.
    Retiring,
}

impl Phase {
    const ALL: [Self; 6] = [
        Self::Single,
        Self::Preparing,
        Self::Mirror,
        Self::Backfill,
        Self::Mirrored,
        Self::Retiring,
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
        }
    }

    /// Whether changes are written down and copied.
    pub(super) const fn copies(self) -> bool {
        matches!(self, Self::Mirror | Self::Backfill | Self::Mirrored)
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
}

const READ: &str = "SELECT epoch, owner, mirror, phase, changed_at, changed_by FROM gateway_switch \
    WHERE group_name = ?";
const FORGET: &str = "DELETE FROM gateway_switch WHERE group_name = ?";
const WRITE: &str = "INSERT INTO gateway_switch \
    (group_name, epoch, owner, mirror, phase, changed_at, changed_by) VALUES (?, ?, ?, ?, ?, ?, ?)";
const READ_TABLES: &str = "SELECT table_name, last_key, touched, is_done FROM gateway_switch_table \
    WHERE group_name = ? ORDER BY table_name";

/// Reads a group's state; `None`: nothing was ever said of it.
///
/// # Errors
///
/// [`SwitchError`]; that the table is not there says to run `gateway migrate`.
pub(super) async fn read(side: &mut Side, group: &str) -> Result<Option<State>, SwitchError> {
    let rows = match side.texts(READ, vec![text(group)]).await {
        Err(SwitchError::Statement { connection, .. }) => {
            return Err(SwitchError::refused(format!(
                "`{connection}` does not have the gateway's tables: run `gateway migrate` first"
            )));
        }
        read => read?,
    };
    rows.into_iter().next().map(|row| state(row).ok_or_else(strange)).transpose()
}

/// Writes a group's state, within the caller's transaction.
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
    forget(side, group.id).await?;
    let mirror = match phase {
        Phase::Single => Scalar::Null,
        _ => text(&group.mirror.name),
    };
    let owner = text(&group.owner.name);
    let name = text(phase.name());
    let who: String = by.chars().take(200).collect();
    let binds = vec![text(group.id), Scalar::Int(epoch), owner, mirror, name, now(), text(&who)];
    side.execute(WRITE, binds).await.map(drop)
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
    fits(group, &state)?;
    if !state.phase.copies() {
        let (id, name, mirror) = (group.id, state.phase.name(), &group.mirror.name);
        let again = if state.phase == Phase::Retiring {
            format!("retire {mirror} --yes")
        } else {
            format!("mirror {mirror}")
        };
        let told =
            format!("the mirror is `{name}`: repeat `gateway switch {id} {again}` to its end");
        return Err(SwitchError::refused(told));
    }
    Ok(state)
}

/// Whether the durable state is what the configuration says.
///
/// # Errors
///
/// [`SwitchError::Refused`]: the state is the truth.
pub(super) fn fits(group: Group<'_>, state: &State) -> Result<(), SwitchError> {
    if state.owner != group.owner.name {
        return Err(SwitchError::refused(format!(
            "the database says that `{}` owns {}, and the configuration that `{}` does: set \
             `games.{}.database` to what the database says",
            state.owner, group.id, group.owner.name, group.id
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
    Some(State { epoch, owner, mirror, phase, changed_at, changed_by })
}

fn table(row: TextRow) -> Option<GroupTable> {
    let mut texts = row.into_iter();
    let name = texts.next()??.into();
    let last_key = texts.next()?.map(Into::into);
    let touched = texts.next()??.parse().ok()?;
    let is_done = texts.next()?? != "0";
    Some(GroupTable { name, last_key, touched, is_done })
}
