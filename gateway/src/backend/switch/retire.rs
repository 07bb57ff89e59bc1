//! The last step of a switch: the mirror is given up, and with it the way back.

use super::capture::remove;
use super::error::SwitchError;
use super::flip::{OF_AN_OWNER, clear};
use super::instance;
use super::lease::{holder, lock};
use super::side::Side;
use super::state::{self, Group, Phase, State, text};
use crate::config::ConnectionConfig;

/// What `retire` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    /// What was found where it was done before: then nothing was changed.
    pub before: Option<State>,
    /// The gateways that run, and have a mirror of the game in their configuration.
    pub naming: Vec<Box<str>>,
}

/// Gives the mirror up: nothing is written down any more, and what waits is forgotten. A database that was once the
/// owner keeps a row that says who is: a gateway whose configuration still names it alone writes nothing there.
///
/// # Errors
///
/// [`SwitchError`]; a repeat goes on, or changes nothing where it was done.
pub async fn retire(group: Group<'_>, by: &str) -> Result<Retired, SwitchError> {
    let mut owner = Side::open(group.owner).await?;
    let running = instance::read_alive(&mut owner, group.id).await?;
    let naming = running.into_iter().filter(|gateway| !gateway.lacks_mirror());
    let mut retired = Retired { before: None, naming: naming.map(|it| it.name).collect() };
    let state = state::read(&mut owner, group.id).await?;
    let state = state.ok_or_else(|| SwitchError::refused("there is no mirror to give up"))?;
    state::fits(group, &state)?;
    if state.phase == Phase::Single {
        owner.close().await;
        retired.before = Some(state);
        return Ok(retired);
    }
    // Waits for a batch that is under way; the copier hears of it at its next one.
    owner.begin().await?;
    if holder(&mut owner, group.id, "").await?.is_some() {
        lock(&mut owner, group.id).await?;
        let sql = "UPDATE gateway_copier SET token = token + 1, copier = NULL WHERE group_name = ?";
        owner.execute(sql, vec![text(group.id)]).await?;
    }
    if !state::advance(&mut owner, group.id, &state, Phase::Retiring, by).await? {
        owner.rollback().await;
        return Err(SwitchError::refused(
            "somebody else has changed the state meanwhile: look at it",
        ));
    }
    owner.commit().await?;
    remove(&mut owner, &[]).await?;
    clear(&mut owner).await?;
    let mut other = Side::open(group.mirror).await?;
    other.begin().await?;
    if state.epoch > 1 {
        state::write(&mut other, group, (state.epoch, Phase::Single), by).await?;
    } else {
        state::forget(&mut other, group.id).await?;
    }
    forget_tables(&mut other, group.id).await?;
    other.commit().await?;
    // What it may have left of the time when it was the owner.
    remove(&mut other, &[]).await?;
    other.close().await;
    owner.begin().await?;
    forget_tables(&mut owner, group.id).await?;
    state::write(&mut owner, group, (state.epoch, Phase::Single), by).await?;
    owner.commit().await?;
    owner.close().await;
    Ok(retired)
}

/// The state of a group whose mirror was given up, of a database that is named alone; `None`: it was not.
///
/// # Errors
///
/// [`SwitchError`].
pub async fn retired_before(
    id: &str,
    owner: &ConnectionConfig,
) -> Result<Option<State>, SwitchError> {
    let mut side = Side::open(owner).await?;
    let state = state::read(&mut side, id).await?;
    side.close().await;
    Ok(state.filter(|state| state.phase == Phase::Single && state.owner == owner.name))
}

async fn forget_tables(side: &mut Side, group: &str) -> Result<(), SwitchError> {
    for table in OF_AN_OWNER {
        let sql = format!("DELETE FROM {table} WHERE group_name = ?");
        side.execute(sql, vec![text(group)]).await?;
    }
    Ok(())
}
