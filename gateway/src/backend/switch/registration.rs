//! A running gateway says what it has seen: its row of `gateway_switch_instance`, in both databases.

use super::error::SwitchError;
use super::instance::InstanceState;
use super::side::Side;
use super::state::{now_ms, text};
use crate::catalog::Scalar;

const UPDATE: &str = "UPDATE gateway_switch_instance SET seen_at = ?, epoch = ?, flip_id = ?, state = ?, \
    fault = ?, pause_ms = ? WHERE group_name = ? AND instance = ?";
const INSERT: &str = "INSERT INTO gateway_switch_instance \
    (seen_at, epoch, flip_id, state, fault, pause_ms, group_name, instance) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const REMOVE: &str = "DELETE FROM gateway_switch_instance WHERE group_name = ? AND instance = ?";
/// Of gateways that ended without a word.
const FORGET: &str = "DELETE FROM gateway_switch_instance WHERE group_name = ? AND seen_at < ?";
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
    let fault: Option<String> = said.fault.as_ref().map(|fault| fault.chars().take(1000).collect());
    let binds = vec![
        Scalar::Int(now_ms()),
        Scalar::Int(said.epoch),
        Scalar::Int(said.flip_id),
        text(said.state.name()),
        fault.map_or(Scalar::Null, |fault| text(&fault)),
        Scalar::Int(said.pause_ms),
        text(group),
        text(instance),
    ];
    if side.execute(UPDATE, binds.clone()).await? > 0 {
        return Ok(());
    }
    side.execute(FORGET, vec![text(group), Scalar::Int(now_ms() - FORGOTTEN_MS)]).await?;
    side.execute(INSERT, binds).await.map(drop)
}

/// Removes it: nobody is to wait for a gateway that ends.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn leave(side: &mut Side, group: &str, instance: &str) -> Result<(), SwitchError> {
    side.execute(REMOVE, vec![text(group), text(instance)]).await.map(drop)
}
