//! Events that were kept long enough are removed, a little at a time.

use std::time::{Duration, Instant};

use super::super::super::BackendError;
use super::super::super::connection::Statement;
use super::super::super::fault::Failure;
use super::super::super::kept::Table;
use super::super::super::pool::{Lease, Pool};
use super::super::outbox::KIND_EVENT;
use super::super::side::limit;
use crate::catalog::Scalar;

/// Events looked at, and removed, at once: a power of two, so that the text is one.
const ROW_COUNT: usize = 256;
/// Most of these in one round.
const BATCH_COUNT_MAX: u32 = if cfg!(test) { 4 } else { 64 };
/// How long one statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Events that are counted at most.
const COUNTED_MAX: usize = 100_000;

const COLUMNS: [&str; 2] = ["id", "emitted_at"];
/// The oldest ones come first in both: of those that somebody has read, and of those that nobody has.
const ORDERS: [&str; 2] = ["batch > 0 ORDER BY batch, id", "batch = 0 ORDER BY id"];

/// What a purge left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::backend) struct Kept {
    /// Events removed.
    pub purged: u64,
    /// Events left, as far as they were counted.
    pub count: u64,
    /// When the oldest one was written, in Unix milliseconds; `None`: there is none.
    pub oldest: Option<i64>,
    /// Whether none is left that was kept long enough.
    pub is_complete: bool,
}

/// Removes events that are older than `until_ms`, up to a bound; the next call goes on.
///
/// # Errors
///
/// [`BackendError`]; what was removed before stays so.
pub(in crate::backend) async fn purge_events(
    pool: &Pool,
    until_ms: i64,
) -> Result<Kept, BackendError> {
    let mut kept = Kept { is_complete: true, ..Kept::default() };
    for order in ORDERS {
        let mut is_done = false;
        for _ in 0..BATCH_COUNT_MAX {
            let (purged, oldest) =
                within(pool, async |lease: &mut Lease| batch(lease, order, until_ms).await).await?;
            kept.purged += purged;
            if purged < ROW_COUNT as u64 {
                let both = [kept.oldest, oldest].into_iter().flatten();
                kept.oldest = both.min();
                is_done = true;
                break;
            }
        }
        kept.is_complete &= is_done;
    }
    kept.count = within(pool, count).await?;
    Ok(kept)
}

/// With a connection that is given back after it: requests come first.
async fn within<T>(
    pool: &Pool,
    work: impl AsyncFnOnce(&mut Lease) -> Result<T, Failure>,
) -> Result<T, BackendError> {
    let deadline = Instant::now() + STATEMENT_TIMEOUT;
    let mut lease = pool.acquire(deadline).await?;
    let done = tokio::time::timeout_at(deadline.into(), work(&mut lease)).await;
    let done = done.map_err(|_late| BackendError::TimedOut)?;
    done.map_err(|failure| match failure {
        Failure::Refused(error) | Failure::Unread(error) => error,
        Failure::Lost(source) => pool.unreachable(Some(source)),
    })
}

/// Looks at the first events: how many of them were removed, and when the first of the others was written.
async fn batch(
    lease: &mut Lease,
    order: &str,
    until_ms: i64,
) -> Result<(u64, Option<i64>), Failure> {
    let sql = format!(
        "SELECT id, emitted_at FROM gateway_outbox WHERE kind = {KIND_EVENT} AND {order}{}",
        limit(lease.dialect(), ROW_COUNT)
    );
    let mut table = Table::new(&COLUMNS);
    lease.fetch(&Statement { sql: sql.into(), binds: Vec::new() }, &mut table).await?;
    let (mut expired, mut oldest) = (Vec::with_capacity(ROW_COUNT), None);
    for row in table.finish() {
        let [id @ Scalar::Int(_), Scalar::Int(emitted_at)] = &row[..] else { continue };
        if *emitted_at < until_ms {
            expired.push(id.clone());
        } else {
            oldest = Some(oldest.map_or(*emitted_at, |oldest: i64| oldest.min(*emitted_at)));
        }
    }
    let count = expired.len();
    let Some(first) = expired.first().cloned() else { return Ok((0, oldest)) };
    // Padded, so that the text is one.
    expired.resize(ROW_COUNT, first);
    let marks = ",?".repeat(ROW_COUNT - 1);
    let sql = format!("DELETE FROM gateway_outbox WHERE id IN (?{marks})");
    lease.execute(&Statement { sql: sql.into(), binds: expired }).await?;
    Ok((count as u64, oldest))
}

async fn count(lease: &mut Lease) -> Result<u64, Failure> {
    let sql = format!(
        "SELECT COUNT(*) AS kept FROM (SELECT id FROM gateway_outbox WHERE kind = {KIND_EVENT}{}) events",
        limit(lease.dialect(), COUNTED_MAX)
    );
    let mut table = Table::new(&["kept"]);
    lease.fetch(&Statement { sql: sql.into(), binds: Vec::new() }, &mut table).await?;
    Ok(match table.finish().first().map(Vec::as_slice) {
        Some([Scalar::Int(count)]) => u64::try_from(*count).unwrap_or(0),
        _ => 0,
    })
}
