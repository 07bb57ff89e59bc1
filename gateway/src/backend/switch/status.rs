//! Where a group stands, as a command shows it.

use super::capture;
use super::copy::group_pairs;
use super::error::SwitchError;
use super::instance::{self, Instance};
use super::lease::{Holder, holder};
use super::outbox::{self, Depth, Refused};
use super::preflight::{Check, preflight};
use super::side::Side;
use super::state::{self, Group, GroupTable, Phase, State, now_ms, text};

/// Refused rows that a status shows.
const REFUSED_SHOWN_MAX: usize = 1000;

/// Where a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The connection in the owner's place; in the middle of a flip the owner of before.
    pub owner: Box<str>,
    /// The one in the mirror's.
    pub mirror: Box<str>,
    /// What the owner says; `None`: there was never a mirror.
    pub state: Option<State>,
    /// For how long it has been in its phase of a flip, in milliseconds; 0: in none.
    pub phase_ms: i64,
    /// What the mirror says.
    pub mirror_state: Option<State>,
    /// The tables.
    pub tables: Vec<GroupTable>,
    /// How much waits.
    pub depth: Depth,
    /// For how long the first of it does, in milliseconds.
    pub age_ms: i64,
    /// The first rows that the mirror did not take.
    pub refused: Vec<Refused>,
    /// Who copies.
    pub holder: Option<Holder>,
    /// For how long it has not been heard of, in milliseconds.
    pub silent_ms: i64,
    /// Rows copied since the mirror was begun.
    pub copied: u64,
    /// Triggers that are missing; 0 also where the schemas do not go together.
    pub missing_trigger_count: usize,
    /// What has to be right before a flip; empty where there is no mirror.
    pub checks: Vec<Check>,
    /// The gateways that run, as they say themselves.
    pub instances: Vec<Instance>,
}

/// Says where a group stands.
///
/// - `group`: as [`by_rows`](super::by_rows) has it.
///
/// # Errors
///
/// [`SwitchError`].
pub async fn status(group: Group<'_>) -> Result<Status, SwitchError> {
    let mut owner = Side::open(group.owner).await?;
    let mut other = Side::open(group.mirror).await?;
    let state = state::read(&mut owner, group.id).await?;
    let mirror_state = state::read(&mut other, group.id).await?;
    let tables = state::read_tables(&mut owner, group.id).await?;
    let missing_trigger_count = if tables.is_empty() {
        0
    } else {
        match group_pairs(&mut owner, &mut other, group).await {
            Ok(pairs) => capture::missing(&mut owner, &pairs).await?.len(),
            // The check of the schemas says so.
            Err(SwitchError::Refused(_)) => 0,
            Err(error) => return Err(error),
        }
    };
    let depth = outbox::depth(&mut owner).await?;
    let age_ms = depth.since.map_or(0, |since| (now_ms() - since / 1000).max(0));
    let refused = outbox::refused(&mut owner, REFUSED_SHOWN_MAX).await?;
    let holder = holder(&mut owner, group.id, "").await?;
    let silent_ms = holder.as_ref().map_or(0, |holder| (now_ms() - holder.seen_at).max(0));
    let copied = copied(&mut owner, group.id).await?;
    let instances = instance::read_alive(&mut owner, group.id).await?;
    let checks = match &state {
        Some(state) if state.phase != Phase::Single => {
            preflight(&mut owner, &mut other, group, state, &[]).await?
        }
        _ => Vec::new(),
    };
    owner.close().await;
    other.close().await;
    let flip = state.as_ref().filter(|state| state.phase.is_flip());
    let phase_ms = flip.map_or(0, |state| (now_ms() - state.flip_at_ms).max(0));
    Ok(Status {
        owner: group.owner.name.clone(),
        mirror: group.mirror.name.clone(),
        phase_ms,
        state,
        mirror_state,
        tables,
        depth,
        age_ms,
        refused,
        holder,
        silent_ms,
        copied,
        missing_trigger_count,
        checks,
        instances,
    })
}

async fn copied(owner: &mut Side, group: &str) -> Result<u64, SwitchError> {
    let sql = "SELECT copied FROM gateway_copier WHERE group_name = ?";
    let rows = owner.texts(sql, vec![text(group)]).await?;
    Ok(rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0))
}
