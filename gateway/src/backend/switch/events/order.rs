//! Events that are committed are put in order, a batch at a time.

use std::fmt::Write as _;
use std::time::Instant;

use super::super::error::SwitchError;
use super::super::outbox::KIND_EVENT;
use super::super::side::{Side, limit};
use super::super::state::text;
use crate::catalog::Scalar;

/// Most events of one batch.
pub(super) const BATCH_COUNT_MAX: usize = 512;

const RAISE: &str = "UPDATE gateway_event_batch SET batch = batch + 1 WHERE game = ?";
const ENTER: &str = "INSERT INTO gateway_event_batch (game, batch) VALUES (?, ?)";
const READ: &str = "SELECT batch FROM gateway_event_batch WHERE game = ?";
const LIFT: &str = "UPDATE gateway_event_batch SET batch = ? WHERE game = ? AND batch < ?";

/// Puts the next events of a game in order, as far as they are committed. How many those were; `None`: there was none
/// to be seen.
///
/// # Errors
///
/// [`SwitchError`]; nothing was done then.
pub(super) async fn order_next(side: &mut Side, game: &str) -> Result<Option<usize>, SwitchError> {
    // Most of the time there is none, and nobody is to wait for a lock then.
    if waiting(side, game, 1).await?.is_empty() {
        return Ok(None);
    }
    order_locked(side, game).await.map(Some)
}

/// Puts in order what nobody has read so far, while others write: what is left then is little.
///
/// # Errors
///
/// [`SwitchError`].
pub(in super::super) async fn order_backlog(
    side: &mut Side,
    game: &str,
) -> Result<(), SwitchError> {
    while order_next(side, game).await? == Some(BATCH_COUNT_MAX) {}
    Ok(())
}

/// Puts all events of a game in order. For a flip, while nobody writes: afterwards there is none without a place.
///
/// # Errors
///
/// [`SwitchError`]; [`SwitchError::Refused`] when it takes longer than until then.
pub(in super::super) async fn order_all(
    side: &mut Side,
    game: &str,
    until: Instant,
) -> Result<(), SwitchError> {
    // Always under the lock: somebody else's batch that is not committed yet still looks as if it had no place.
    while order_locked(side, game).await? > 0 {
        if Instant::now() > until {
            let told = "not all events were put in order within --pause-max";
            return Err(SwitchError::refused(told));
        }
    }
    Ok(())
}

async fn order_locked(side: &mut Side, game: &str) -> Result<usize, SwitchError> {
    side.begin().await?;
    let done = order_within(side, game).await;
    match done {
        Ok(count) if count > 0 => side.commit().await?,
        Ok(_) | Err(_) => side.rollback().await,
    }
    done
}

async fn order_within(side: &mut Side, game: &str) -> Result<usize, SwitchError> {
    // The lock comes first: what is seen after it has no place that somebody else has just given.
    if side.execute(RAISE, vec![text(game)]).await? == 0 {
        side.execute(ENTER, vec![text(game), Scalar::Int(1)]).await?;
    }
    let batch = last_batch(side, game).await?;
    let ids = waiting(side, game, BATCH_COUNT_MAX).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    // By their own numbers: rows of transactions that are under way are neither met nor waited for.
    let mut sql = String::from("UPDATE gateway_outbox SET batch = ? WHERE id IN (");
    let width =
        if ids.len() > BATCH_COUNT_MAX / 16 { BATCH_COUNT_MAX } else { BATCH_COUNT_MAX / 16 };
    let padding = ids.iter().rev().take(1).cycle();
    let mut binds = vec![Scalar::Int(batch)];
    for (index, id) in ids.iter().chain(padding).take(width).enumerate() {
        // Writing to a string does not fail.
        let _written = write!(sql, "{}?", if index > 0 { "," } else { "" });
        binds.push(Scalar::Int(*id));
    }
    sql.push(')');
    side.execute(sql, binds).await?;
    Ok(ids.len())
}

/// The first events of a game that have no place yet, as far as they are committed.
async fn waiting(side: &mut Side, game: &str, count: usize) -> Result<Vec<i64>, SwitchError> {
    let sql = format!(
        "SELECT id FROM gateway_outbox WHERE kind = {KIND_EVENT} AND batch = 0 AND game = ? ORDER BY id{}",
        limit(side.dialect(), count)
    );
    let rows = side.texts(&sql, vec![text(game)]).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next()??.parse().ok()).collect())
}

/// The last batch of a game; 0: there was none.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn last_batch(side: &mut Side, game: &str) -> Result<i64, SwitchError> {
    let rows = side.texts(READ, vec![text(game)]).await?;
    Ok(rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0))
}

/// Has the batches of the mirror go on behind those of the owner. For a flip, when [`order_all`] is done.
///
/// # Errors
///
/// [`SwitchError`].
pub(in super::super) async fn carry_batches(
    owner: &mut Side,
    mirror: &mut Side,
    game: &str,
) -> Result<(), SwitchError> {
    let batch = last_batch(owner, game).await?;
    if batch == 0 {
        return Ok(());
    }
    let binds = vec![Scalar::Int(batch), text(game), Scalar::Int(batch)];
    let is_lifted = mirror.execute(LIFT, binds).await? > 0;
    if !is_lifted && mirror.texts(READ, vec![text(game)]).await?.is_empty() {
        mirror.execute(ENTER, vec![text(game), Scalar::Int(batch)]).await?;
    }
    Ok(())
}
