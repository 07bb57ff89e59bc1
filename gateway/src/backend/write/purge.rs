//! Removes the rows of expired keys, little by little.

use std::time::{Duration, Instant};

use super::super::BackendError;
use super::super::connection::Statement;
use super::super::fault::Failure;
use super::super::kept::Table;
use super::super::pool::{Lease, Pool};
use crate::catalog::Scalar;

/// Rows looked at, and removed, at once: a power of two, so that the text is one.
const ROW_COUNT: usize = 256;
/// Most of these in one round: what one round may cost, however many rows have expired.
const BATCH_COUNT_MAX: u32 = 64;
/// How long one statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

const EXPIRED: &str = "SELECT request_hash, expires_at FROM gateway_request \
    WHERE expires_at < ? AND (expires_at > ? OR (expires_at = ? AND request_hash > ?)) \
    ORDER BY expires_at, request_hash LIMIT 256";
const COLUMNS: [&str; 2] = ["request_hash", "expires_at"];

/// Whether a key is still needed by somebody, whatever its row says.
pub type Keep<'k> = &'k (dyn Fn(&[u8; 16]) -> bool + Sync);

/// Removes rows that have expired, up to a bound; the next call goes on.
///
/// - `now_ms`: what is older has expired, in Unix milliseconds.
/// - `keep`: holds rows back, however old.
///
/// Returns how many rows were removed.
///
/// # Errors
///
/// [`BackendError`]; what was removed before stays so.
pub async fn purge(pool: &Pool, now_ms: i64, keep: Keep<'_>) -> Result<u64, BackendError> {
    let mut removed = 0;
    // Behind the last row that was looked at: rows that are kept are passed over, not met again.
    let mut last = (i64::MIN, vec![0; 16]);
    for _ in 0..BATCH_COUNT_MAX {
        let deadline = Instant::now() + STATEMENT_TIMEOUT;
        // Given back after each batch: requests come first.
        let mut lease = pool.acquire(deadline).await?;
        let batch = batch(&mut lease, now_ms, &mut last, keep);
        let done = tokio::time::timeout_at(deadline.into(), batch).await;
        let done = done.map_err(|_late| BackendError::TimedOut)?;
        let (seen, count) = done.map_err(|failure| match failure {
            Failure::Refused(error) | Failure::Unread(error) => error,
            Failure::Lost(source) => pool.unreachable(Some(source)),
        })?;
        removed += count;
        if seen < ROW_COUNT {
            break;
        }
    }
    Ok(removed)
}

/// One batch: how many rows were seen, and how many of them removed.
async fn batch(
    lease: &mut Lease,
    now_ms: i64,
    last: &mut (i64, Vec<u8>),
    keep: Keep<'_>,
) -> Result<(usize, u64), Failure> {
    let (expires_at, request) = &*last;
    let binds = vec![
        Scalar::Int(now_ms),
        Scalar::Int(*expires_at),
        Scalar::Int(*expires_at),
        Scalar::Bytes(request.clone().into()),
    ];
    let mut table = Table::new(&COLUMNS);
    lease.fetch(&Statement { sql: EXPIRED.into(), binds }, &mut table).await?;
    let rows = table.finish();
    let seen = rows.len();
    let mut expired = Vec::with_capacity(seen);
    for row in rows {
        let [Scalar::Bytes(request), Scalar::Int(expires_at)] = &*row else { continue };
        *last = (*expires_at, request.to_vec());
        let is_kept = <[u8; 16]>::try_from(&**request).is_ok_and(|request| keep(&request));
        if !is_kept {
            expired.push(Scalar::Bytes(request.to_vec().into()));
        }
    }
    let Some(first) = expired.first().cloned() else { return Ok((seen, 0)) };
    // Padded, so that the text is one; and asked again whether they have expired: a key may have been written
    // anew since it was looked at.
    expired.resize(ROW_COUNT, first);
    let mut sql = String::with_capacity(96 + 2 * ROW_COUNT);
    sql.push_str("DELETE FROM gateway_request WHERE request_hash IN (?");
    sql.push_str(&",?".repeat(ROW_COUNT - 1));
    sql.push_str(") AND expires_at < ?");
    expired.push(Scalar::Int(now_ms));
    let count = lease.execute(&Statement { sql: sql.into(), binds: expired }).await?;
    Ok((seen, count))
}
