//! Removes the rows of expired keys, little by little.

use std::time::{Duration, Instant};

use super::super::BackendError;
use super::super::connection::Statement;
use super::super::fault::Failure;
use super::super::kept::Table;
use super::super::pool::{Lease, Pool};
use super::super::switch::Owner;
use super::key::Mark;
use super::transaction::Transaction;
use crate::catalog::{Dialect, Scalar};

/// Rows looked at, and removed, at once: a power of two, so that the text is one.
const ROW_COUNT: usize = 256;
/// Most of these in one round: what one round may cost, however many rows have expired.
const BATCH_COUNT_MAX: u32 = if cfg!(test) { 4 } else { 64 };
/// How long one statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

const EXPIRED: &str = "SELECT request_hash, expires_at, journal, sequence FROM gateway_request \
    WHERE expires_at < ? AND (expires_at > ? OR (expires_at = ? AND request_hash > ?)) \
    ORDER BY expires_at, request_hash ";
/// [`ROW_COUNT`] of them.
const LIMIT: &str = "LIMIT 256";
const ORACLE_LIMIT: &str = "FETCH FIRST 256 ROWS ONLY";
const COLUMNS: [&str; 4] = ["request_hash", "expires_at", "journal", "sequence"];

/// A row that has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Expired {
    /// Which request.
    pub request: [u8; 16],
    /// Since when, in Unix milliseconds.
    pub expires_at: i64,
    /// The record that wrote it, if one did.
    pub mark: Option<Mark>,
}

/// Whether a key is still needed by somebody, although it has expired.
pub(in crate::backend) type Keep<'k> = &'k (dyn Fn(&Expired) -> bool + Sync);

/// The last row that a purge looked at; none at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Place {
    expires_at: i64,
    request: [u8; 16],
}

impl Default for Place {
    fn default() -> Self {
        Self { expires_at: i64::MIN, request: [0; 16] }
    }
}

/// What a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Purged {
    /// Rows that were removed.
    pub count: u64,
    /// Whether every row that had expired was looked at; else its bound was reached.
    pub is_complete: bool,
}

/// Removes rows that have expired, up to a bound; the next call goes on.
///
/// - `holds`: the game, and what the database has to say of its owner; `None`: it is not asked.
/// - `last`: where the call before ended. Rows that are kept are passed over until all were looked at, so that many
///   of them do not hide what comes behind.
/// - `now_ms`: what is older has expired, in Unix milliseconds.
/// - `keep`: holds rows back, however old.
///
/// # Errors
///
/// [`BackendError`]; what was removed before stays so.
pub(in crate::backend) async fn purge(
    pool: &Pool,
    holds: Option<(&str, &Owner)>,
    now_ms: i64,
    last: &mut Place,
    keep: Keep<'_>,
) -> Result<Purged, BackendError> {
    let mut purged = Purged { count: 0, is_complete: false };
    for _ in 0..BATCH_COUNT_MAX {
        let deadline = Instant::now() + STATEMENT_TIMEOUT;
        // Given back after each batch: requests come first.
        let mut lease = pool.acquire(deadline).await?;
        let batch = async {
            let (seen, expired) = batch(&mut lease, now_ms, last, keep).await?;
            Ok((seen, remove(lease, holds, expired).await?))
        };
        let done = tokio::time::timeout_at(deadline.into(), batch).await;
        let done = done.map_err(|_late| BackendError::TimedOut)?;
        let (seen, count) = done.map_err(|failure| match failure {
            Failure::Refused(error) | Failure::Unread(error) => error,
            Failure::Lost(source) => pool.unreachable(Some(source)),
        })?;
        purged.count += count;
        if seen < ROW_COUNT {
            *last = Place::default();
            purged.is_complete = true;
            break;
        }
    }
    Ok(purged)
}

/// One batch: how many rows were seen, and what removes those that are not kept.
async fn batch(
    lease: &mut Lease,
    now_ms: i64,
    last: &mut Place,
    keep: Keep<'_>,
) -> Result<(usize, Option<Statement<'static>>), Failure> {
    let Place { expires_at, request } = *last;
    let binds = vec![
        Scalar::Int(now_ms),
        Scalar::Int(expires_at),
        Scalar::Int(expires_at),
        Scalar::Bytes(request.to_vec().into()),
    ];
    let mut table = Table::new(&COLUMNS);
    let end = if lease.dialect() == Dialect::Oracle { ORACLE_LIMIT } else { LIMIT };
    let sql = format!("{EXPIRED}{end}").into();
    lease.fetch(&Statement { sql, binds }, &mut table).await?;
    let rows = table.finish();
    let seen = rows.len();
    let mut expired = Vec::with_capacity(seen);
    for row in rows {
        let Some(row) = decode(&row) else { continue };
        *last = Place { expires_at: row.expires_at, request: row.request };
        if !keep(&row) {
            expired.push(Scalar::Bytes(row.request.to_vec().into()));
        }
    }
    let Some(first) = expired.first().cloned() else { return Ok((seen, None)) };
    // Padded, so that the text is one; and asked again whether they have expired: a key may have been written
    // anew since it was looked at.
    expired.resize(ROW_COUNT, first);
    let mut sql = String::with_capacity(96 + 2 * ROW_COUNT);
    sql.push_str("DELETE FROM gateway_request WHERE request_hash IN (?");
    sql.push_str(&",?".repeat(ROW_COUNT - 1));
    sql.push_str(") AND expires_at < ?");
    expired.push(Scalar::Int(now_ms));
    Ok((seen, Some(Statement { sql: sql.into(), binds: expired })))
}

/// Removes them, where the database is the one that owns the game.
async fn remove(
    mut lease: Lease,
    holds: Option<(&str, &Owner)>,
    expired: Option<Statement<'static>>,
) -> Result<u64, Failure> {
    let Some(expired) = expired else { return Ok(0) };
    let Some((game, owner)) = holds else { return lease.execute(&expired).await };
    let mut tx = Transaction::new(lease);
    let done = async {
        tx.begin(None).await?;
        tx.hold_owner(game, Some(owner), None).await?;
        let count = tx.execute(&expired).await?;
        tx.commit().await?;
        Ok(count)
    };
    let done = done.await;
    if done.is_err() {
        tx.end().await;
    }
    done
}

fn decode(row: &[Scalar<'_>]) -> Option<Expired> {
    let [Scalar::Bytes(request), Scalar::Int(expires_at), journal, sequence] = row else {
        return None;
    };
    let mark = match (journal, sequence) {
        (Scalar::Int(journal), Scalar::Int(sequence)) => {
            Some(Mark { journal: *journal, sequence: *sequence })
        }
        _ => None,
    };
    Some(Expired { request: (**request).try_into().ok()?, expires_at: *expires_at, mark })
}
