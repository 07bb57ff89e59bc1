//! The table `gateway_request`: which idempotent requests have taken effect, and what they answered.
//!
//! A request's row is written in the transaction of its effect, so that there is never one without the other.
//! A row that has expired is recognised until it is purged.

use std::time::Duration;

use super::super::BackendError;
use super::super::connection::Statement;
use super::super::fault::Failure;
use super::super::fold::{FOLD_COUNT_MAX, lengths};
use super::super::kept::Table;
use super::super::pool::Lease;
use super::transaction::Transaction;
use crate::catalog::{Dialect, Scalar};
use crate::identity::RequestKey;

/// Columns of one row.
const COLUMN_COUNT: usize = 6;
const INSERT: &str = "INSERT INTO gateway_request \
    (request_hash, params_hash, reply, journal, sequence, expires_at) VALUES ";
const SET_REPLY: &str = "UPDATE gateway_request SET reply = ? WHERE request_hash = ?";
const LOOK_UP: &str = "SELECT request_hash, params_hash, reply, journal, sequence FROM gateway_request \
    WHERE request_hash IN (";
const COLUMNS: [&str; 5] = ["request_hash", "params_hash", "reply", "journal", "sequence"];

/// Where a journalled request stands in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Mark {
    /// The journal's id.
    pub journal: i64,
    /// The record's number in it.
    pub sequence: i64,
}

/// A row to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyRow<'a> {
    /// Which request.
    pub key: RequestKey,
    /// What it answers; `None`: not known yet, or that it was journalled.
    pub reply: Option<&'a [u8]>,
    /// Where it came from; `None`: from a caller.
    pub mark: Option<Mark>,
    /// Until when a repeat is recognised, in Unix milliseconds.
    pub expires_at: i64,
}

/// A row that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Which request.
    pub key: RequestKey,
    /// What it answered; `None`: that it was journalled.
    pub reply: Option<Vec<u8>>,
    /// Where it came from.
    pub mark: Option<Mark>,
}

/// When a row written now expires, in Unix milliseconds.
pub(super) fn expires_at(now_micros: i64, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    (now_micros / 1000).saturating_add(ttl)
}

/// Writes rows. Where a statement of several is refused, those before it stand, and of an array of Oracle's those
/// that were not refused: the caller undoes them.
///
/// # Errors
///
/// [`Failure`]; [`BackendError::Duplicate`] when a key's row stands already.
pub(super) async fn insert(
    tx: &mut Transaction,
    dialect: Dialect,
    rows: &[KeyRow<'_>],
) -> Result<(), Failure> {
    if dialect == Dialect::Oracle && rows.len() > 1 {
        for some in rows.chunks(FOLD_COUNT_MAX) {
            let sql = format!("{INSERT}(?,?,?,?,?,?)");
            let binds = some.iter().flat_map(binds).collect();
            let done = tx.execute_array(&Statement { sql: sql.into(), binds }, some.len()).await?;
            let counted: Result<Vec<u64>, BackendError> = done.into_iter().collect();
            counted.map_err(Failure::Refused)?;
        }
        return Ok(());
    }
    for statement in inserts(dialect, rows) {
        tx.execute(&statement).await?;
    }
    Ok(())
}

/// The statements that write rows: few texts, however many rows.
fn inserts<'a>(dialect: Dialect, rows: &'a [KeyRow<'_>]) -> Vec<Statement<'a>> {
    let mut left = rows;
    let one = |length: usize| {
        let (these, rest) = left.split_at_checked(length).unwrap_or((left, &[]));
        left = rest;
        let mut sql = String::with_capacity(INSERT.len() + length * (2 * COLUMN_COUNT + 2));
        sql.push_str(INSERT);
        for index in 0..length {
            sql.push_str(if index > 0 { ",(?,?,?,?,?,?)" } else { "(?,?,?,?,?,?)" });
        }
        Statement { sql: sql.into(), binds: these.iter().flat_map(binds).collect() }
    };
    lengths(rows.len(), COLUMN_COUNT, dialect).into_iter().map(one).collect()
}

fn binds<'a>(row: &'a KeyRow<'_>) -> [Scalar<'a>; COLUMN_COUNT] {
    let number = |value: Option<i64>| value.map_or(Scalar::Null, Scalar::Int);
    [
        Scalar::Bytes(row.key.request[..].into()),
        Scalar::Bytes(row.key.params[..].into()),
        row.reply.map_or(Scalar::Null, |reply| Scalar::Bytes(reply.into())),
        number(row.mark.map(|mark| mark.journal)),
        number(row.mark.map(|mark| mark.sequence)),
        Scalar::Int(row.expires_at),
    ]
}

/// Writes down what a request answers, whose row stands already.
pub(super) async fn set_reply(
    tx: &mut Transaction,
    request: &[u8; 16],
    reply: &[u8],
) -> Result<(), Failure> {
    let binds = vec![Scalar::Bytes(reply.into()), Scalar::Bytes(request[..].into())];
    tx.execute(&Statement { sql: SET_REPLY.into(), binds }).await.map(drop)
}

/// Reads the row of one request, outside of any transaction.
pub(super) async fn find(lease: &mut Lease, request: &[u8; 16]) -> Result<Option<Found>, Failure> {
    let mut table = Table::new(&COLUMNS);
    lease.fetch(&look_up(&[*request], ")"), &mut table).await?;
    Ok(table.finish().into_iter().find_map(found))
}

/// Reads the rows of several requests within a transaction, as they are now: committed since it began, too.
pub(super) async fn find_all(
    tx: &mut Transaction,
    dialect: Dialect,
    requests: &[[u8; 16]],
) -> Result<Vec<Found>, Failure> {
    // A plain read would see them as they were at the transaction's first one.
    let end = if dialect == Dialect::Mysql { ") LOCK IN SHARE MODE" } else { ")" };
    let mut all = Vec::new();
    let mut left = requests;
    for length in lengths(requests.len(), 1, dialect) {
        let (these, rest) = left.split_at_checked(length).unwrap_or((left, &[]));
        left = rest;
        let mut table = Table::new(&COLUMNS);
        tx.fetch(&look_up(these, end), &mut table).await?;
        all.extend(table.finish().into_iter().filter_map(found));
    }
    Ok(all)
}

fn look_up<'a>(requests: &'a [[u8; 16]], end: &str) -> Statement<'a> {
    let mut sql = String::with_capacity(LOOK_UP.len() + requests.len() * 2 + end.len());
    sql.push_str(LOOK_UP);
    for index in 0..requests.len() {
        sql.push_str(if index > 0 { ",?" } else { "?" });
    }
    sql.push_str(end);
    let binds = requests.iter().map(|request| Scalar::Bytes(request[..].into())).collect();
    Statement { sql: sql.into(), binds }
}

fn found(row: Vec<Scalar<'static>>) -> Option<Found> {
    let mut values = row.into_iter();
    let mut hash = || match values.next()? {
        Scalar::Bytes(bytes) => <[u8; 16]>::try_from(&*bytes).ok(),
        _ => None,
    };
    let key = RequestKey { request: hash()?, params: hash()? };
    let reply = match values.next()? {
        Scalar::Bytes(bytes) => Some(bytes.into_owned()),
        _ => None,
    };
    let mark = match (values.next()?, values.next()?) {
        (Scalar::Int(journal), Scalar::Int(sequence)) => Some(Mark { journal, sequence }),
        _ => None,
    };
    Some(Found { key, reply, mark })
}
