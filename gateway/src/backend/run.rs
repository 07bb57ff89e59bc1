//! One template, run once: a statement, a connection, an answer within its time.
//!
//! Whatever happens, the answer says what a caller may rely on: a read that failed changed nothing and may be
//! sent again; a write is known to have failed, or its outcome is unknown and says so.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::connection::{Purpose, Statement};
use super::cursor;
use super::encode::{self, Encoded, Rows, Shape};
use super::fault::Failure;
use super::pool::{Lease, Pool};
use super::statement::{self, Supplied};
use super::{BackendError, CursorKey, procedure};
use crate::bind::Bound;
use crate::cache::{Body, Stored};
use crate::catalog::{Kind, Scalar, Template};

/// Bounds and keys that are not the template's own.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// Most bytes of a reply's body; `limits.result_bytes_max`.
    pub result_bytes_max: u32,
    /// What pages' cursors are sealed with.
    pub cursor_key: &'a CursorKey,
}

/// What a template gave.
#[derive(Debug)]
pub struct Outcome {
    /// The reply's body; [`Stored::Absent`] where a `one` or `optional` found no row.
    pub stored: Stored,
    /// Rows read, or for a write rows matched.
    pub row_count: u64,
    /// Database time: from having a connection to having the whole result.
    pub elapsed: Duration,
}

/// Runs a template on a pool.
///
/// - `bound`: the template's slots, as [`crate::bind::bind`] filled them.
/// - `deadline`: the request's own; the database time is bounded by the template or the pool besides.
///
/// Runs on the backend's runtime. A dropped future stops the statement and leaves no connection in the
/// middle of one.
///
/// # Errors
///
/// [`BackendError`]; after [`BackendError::OutcomeUnknown`] the write may have been done, after every other
/// one it was not.
pub async fn run(
    pool: &Pool,
    template: &Template,
    bound: &Bound<'_>,
    supplied: &Supplied<'_>,
    limits: &Limits<'_>,
    deadline: Instant,
) -> Result<Outcome, BackendError> {
    if template.procedure.is_some() {
        return Box::pin(procedure::read(pool, template, (bound, supplied), limits, deadline))
            .await;
    }
    let statement = statement::statement(template, bound, supplied, limits.cursor_key)?;
    let order = statement::keyset(template, bound);
    let mut rows = Rows::new(Shape {
        kind: template.kind,
        columns: &template.columns,
        version_column: template.version_column,
        row_count_max: statement::page_count(template, bound),
        bytes_max: limits.result_bytes_max,
        keyset: order,
    });
    let mut lease = pool.acquire(deadline).await?;
    let started = Instant::now();
    let patience = template.timeout.unwrap_or_else(|| pool.config().query_timeout);
    let limit = deadline.min(started + patience);
    lease.serve(&Purpose::of(template, supplied.trace, limit));
    let is_write = template.kind.is_write();

    let mut asked = ask(lease, &statement, &mut rows, is_write, limit).await;
    if let Err(Failure::Lost(_)) = asked
        && !is_write
        && Instant::now() < limit
    {
        rows.restart();
        lease = pool.acquire(limit).await?;
        lease.serve(&Purpose::of(template, supplied.trace, limit));
        asked = ask(lease, &statement, &mut rows, is_write, limit).await;
    }
    let affected = asked.map_err(|failure| match failure {
        // What was shorter: the request's own time, or the database's.
        Failure::Unread(BackendError::TimedOut) if limit == deadline => BackendError::Deadline,
        Failure::Refused(error) | Failure::Unread(error) => error,
        Failure::Lost(source) if is_write => BackendError::OutcomeUnknown { source: Some(source) },
        Failure::Lost(source) => pool.unreachable(Some(source)),
    })?;
    let elapsed = started.elapsed();
    if is_write {
        let id = template.plan.uses_id().then_some(supplied.id);
        let stored = Stored::Present(body(template, encode::outcome(affected, id), None));
        return Ok(Outcome { stored, row_count: affected, elapsed });
    }
    let mut encoded = rows.finish();
    if let Some(place) = encoded.seek.iter().position(|value| *value == Scalar::Null) {
        // No row comes after NULL: the pages would end here and nobody would know.
        let key = order.get(place).map_or("", |key| &key.sql);
        let fault =
            "is NULL in a row that a page ends with; a keyset needs columns that are not".into();
        return Err(BackendError::Column { column: key.into(), fault });
    }
    if !encoded.seek.is_empty() {
        let asked = cursor::Asked { template, keyset: order, bound };
        let cursor = limits.cursor_key.seal(asked, &encoded.seek);
        encoded.add_next(&cursor);
    }
    Ok(Outcome { row_count: encoded.row_count.into(), stored: stored(template, encoded), elapsed })
}

/// Puts the statement to the database. Returns how many rows a write matched; 0 for a read. When the time is
/// over the connection goes with its statement: dropping a lease in the middle of one stops it.
async fn ask(
    mut lease: Lease,
    statement: &Statement<'_>,
    rows: &mut Rows<'_>,
    is_write: bool,
    limit: Instant,
) -> Result<u64, Failure> {
    let asked = tokio::time::timeout_at(limit.into(), async {
        if is_write {
            lease.execute(statement).await
        } else {
            lease.fetch(statement, rows).await.map(|()| 0)
        }
    });
    asked.await.unwrap_or_else(|_| {
        Err(Failure::Unread(if is_write {
            BackendError::OutcomeUnknown { source: None }
        } else {
            BackendError::TimedOut
        }))
    })
}

/// A result as it is kept, or that there is none.
pub(super) fn stored(template: &Template, encoded: Encoded) -> Stored {
    if encoded.row_count == 0 && matches!(template.kind, Kind::One | Kind::Optional) {
        return Stored::Absent;
    }
    Stored::Present(body(template, encoded.body, encoded.version))
}

fn body(template: &Template, bytes: Vec<u8>, version: Option<Scalar<'static>>) -> Body {
    let etag = etag(template, &bytes, version);
    Body { msgpack: bytes.into(), json: OnceLock::new(), etag }
}

/// The row's version after the template's, or a hash of the body; empty for what is never revalidated.
fn etag(template: &Template, bytes: &[u8], version: Option<Scalar<'static>>) -> Box<str> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    match version {
        Some(Scalar::Int(version)) => format!("{:016x}-{version}", template.version).into(),
        Some(Scalar::Timestamp(micros)) => format!("{:016x}-{micros}", template.version).into(),
        Some(Scalar::Str(text) | Scalar::Decimal(text)) if plain(&text) => {
            format!("{:016x}-{text}", template.version).into()
        }
        _ if template.kind.is_write() => "".into(),
        _ if template.cache.is_none() && template.http_cache.is_none() => "".into(),
        _ => {
            let hash = Sha256::digest(bytes);
            let half = hash.first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half));
            format!("{half:032x}").into()
        }
    }
}
