//! A running gateway says what it has seen: its row of `gateway_switch_instance`, in both databases.

use super::error::SwitchError;
use super::instance::{ALIVE_MS, ENDED, InstanceState, clock};
use super::side::Side;
use super::state::text;
use crate::catalog::Scalar;

/// Behind the clock's moment, as are those below.
const UPDATE: &str = "epoch = ?, flip_id = ?, state = ?, fault = ?, pause_ms = ?, journal = ?, \
    dead_letters = ? WHERE group_name = ? AND instance = ?";
const INSERT: &str = "INSERT INTO gateway_switch_instance \
    (seen_at, epoch, flip_id, state, fault, pause_ms, journal, dead_letters, group_name, instance)";
const REMOVE: &str = "DELETE FROM gateway_switch_instance WHERE group_name = ? AND instance = ?";
/// What a gateway that ends says last: it is not waited for, and its dead letters are still there.
const LAST_WORD: &str =
    "state = ?, fault = ?, dead_letters = ? WHERE group_name = ? AND instance = ?";
/// Of gateways that ended without a word. Dead letters are held against a flip until somebody says that they are gone.
const FORGET: &str = "COALESCE(dead_letters, 0) = 0 AND group_name = ?";
/// Of a process that had the same journal before: nobody but its successor can tell of it.
const REPLACE: &str =
    "DELETE FROM gateway_switch_instance WHERE group_name = ? AND journal = ? AND instance <> ?";
/// After how long those are forgotten, in milliseconds.
const FORGOTTEN_MS: i64 = 24 * 60 * 60 * 1000;

/// What a gateway says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registration {
    /// The epoch under which it lets calls in; 0: under none.
    pub(super) epoch: i64,
    /// The attempt that its state belongs to.
    pub(super) flip_id: i64,
    /// How far it is.
    pub(super) state: InstanceState,
    /// Why it is unfit.
    pub(super) fault: Option<Box<str>>,
    /// How long its last pause was, in milliseconds.
    pub(super) pause_ms: i64,
    /// Its journal's id; `None`: it has none.
    pub(super) journal: Option<i64>,
    /// Dead letters of the game in there.
    pub(super) dead_letters: i64,
}

/// Writes it.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn register(
    side: &mut Side,
    (group, instance): (&str, &str),
    said: &Registration,
) -> Result<(), SwitchError> {
    let (clock, at) = clock(side.dialect());
    let fault: Option<String> = said.fault.as_ref().map(|fault| fault.chars().take(1000).collect());
    let mut binds = at.clone();
    binds.extend([
        Scalar::Int(said.epoch),
        Scalar::Int(said.flip_id),
        text(said.state.name()),
        fault.map_or(Scalar::Null, |fault| text(&fault)),
        Scalar::Int(said.pause_ms),
        said.journal.map_or(Scalar::Null, Scalar::Int),
        Scalar::Int(said.dead_letters),
        text(group),
        text(instance),
    ]);
    let update = format!("UPDATE gateway_switch_instance SET seen_at = {clock}, {UPDATE}");
    if side.execute(update, binds.clone()).await? > 0 {
        return Ok(());
    }
    let forget = format!(
        "DELETE FROM gateway_switch_instance WHERE seen_at < {clock} - {FORGOTTEN_MS} AND {FORGET}"
    );
    side.execute(forget, at.into_iter().chain([text(group)]).collect()).await?;
    if let Some(journal) = said.journal {
        side.execute(REPLACE, vec![text(group), Scalar::Int(journal), text(instance)]).await?;
    }
    let insert = format!("{INSERT} VALUES ({clock}, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    side.execute(insert, binds).await.map(drop)
}

/// Nobody is to wait for a gateway that ends: removes its row, or leaves its dead letters there as its last word.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn leave(
    side: &mut Side,
    (group, instance): (&str, &str),
    dead_letters: i64,
) -> Result<(), SwitchError> {
    let who = [text(group), text(instance)];
    if dead_letters == 0 {
        return side.execute(REMOVE, who.to_vec()).await.map(drop);
    }
    let (clock, mut binds) = clock(side.dialect());
    binds.extend([text(InstanceState::Unfit.name()), text(ENDED), Scalar::Int(dead_letters)]);
    binds.extend(who);
    // Also as if it had not been heard of for as long as a gateway is waited for: other versions read only that.
    let sql =
        format!("UPDATE gateway_switch_instance SET seen_at = {clock} - {ALIVE_MS}, {LAST_WORD}");
    side.execute(sql, binds).await.map(drop)
}
