//! The table `gateway_outbox`: which rows are to be copied.

use super::error::SwitchError;
use super::side::{Side, limit};
use super::state::{now, text};
use crate::catalog::{Scalar, parse_timestamp};
use crate::config::Dialect;

/// Rows of one statement: few texts, however many rows.
const ROW_COUNT: usize = 100;

/// Numbers up to which the distance between the first row and the last one is good enough for their count.
const SPAN_MAX: u64 = 256;
/// Rows that are counted at most.
const COUNTED_MAX: usize = 10_000;

const KIND_ROW: i64 = 0;
/// An event (`@emit`): copied nowhere, see `events`.
pub(in crate::backend) const KIND_EVENT: i64 = 1;

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number.
    pub id: i64,
    /// The table, in small letters.
    pub table: Box<str>,
    /// The key, as a JSON array of texts.
    pub key: Box<str>,
    /// How often the mirror has not taken the row.
    pub attempt: i64,
}

/// Reads the next ones. Within a transaction of the caller's.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn next(owner: &mut Side, count: usize) -> Result<Vec<Entry>, SwitchError> {
    let sql = format!(
        "SELECT id, table_name, row_key, attempt FROM gateway_outbox WHERE kind = {KIND_ROW} AND batch = 0 \
         ORDER BY id{}",
        limit(owner.dialect(), count)
    );
    let rows = owner.texts(&sql, Vec::new()).await?;
    let entry = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter();
        Some(Entry {
            id: texts.next()??.parse().ok()?,
            table: texts.next()??.into(),
            key: texts.next()??.into(),
            attempt: texts.next()??.parse().ok()?,
        })
    };
    Ok(rows.into_iter().filter_map(entry).collect())
}

/// Puts rows in. Within a transaction of the caller's.
///
/// - `keys`: as JSON arrays of texts, each with how often it was tried.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn put(
    owner: &mut Side,
    table: &str,
    keys: &[(Box<str>, i64)],
) -> Result<(), SwitchError> {
    for these in keys.chunks(ROW_COUNT) {
        let mut sql = String::from(
            "INSERT INTO gateway_outbox (kind, table_name, row_key, attempt, created_at) VALUES (?,?,?,?,?)",
        );
        let mut binds = Vec::with_capacity(these.len() * 5);
        for (key, attempt) in these {
            binds.extend([
                Scalar::Int(KIND_ROW),
                text(table),
                text(key),
                Scalar::Int(*attempt),
                now(),
            ]);
        }
        if owner.dialect() == Dialect::Oracle {
            let outcomes = owner.execute_rows(sql, binds, these.len()).await?;
            outcomes.into_iter().collect::<Result<Vec<u64>, _>>()?;
        } else {
            sql.push_str(&",(?,?,?,?,?)".repeat(these.len() - 1));
            owner.execute(sql, binds).await?;
        }
    }
    Ok(())
}

/// Takes rows out, by their numbers: those that were not committed when the others were read stay.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn take_out(
    owner: &mut Side,
    table: &str,
    ids: &[i64],
) -> Result<(), SwitchError> {
    for these in ids.chunks(ROW_COUNT) {
        let marks = format!("?{}", ",?".repeat(ROW_COUNT - 1));
        let sql = format!("DELETE FROM {table} WHERE id IN ({marks})");
        let padding = these.iter().rev().take(1).cycle();
        let binds =
            these.iter().chain(padding).take(ROW_COUNT).map(|id| Scalar::Int(*id)).collect();
        owner.execute(sql, binds).await?;
    }
    Ok(())
}

/// Which of those keys of a table are on their way.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn waiting(owner: &mut Side, table: &str) -> Result<Vec<Box<str>>, SwitchError> {
    let sql = "SELECT DISTINCT row_key FROM gateway_outbox WHERE table_name = ? AND kind = ? AND batch = 0";
    let rows = owner.texts(sql, vec![text(table), Scalar::Int(KIND_ROW)]).await?;
    Ok(rows.into_iter().filter_map(|row| Some(row.into_iter().next()??.into())).collect())
}

/// A row that the mirror did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its number in the outbox.
    pub id: i64,
    /// The table.
    pub table: Box<str>,
    /// The key, as a JSON array of texts.
    pub key: Box<str>,
    /// Why.
    pub fault: Box<str>,
}

/// Reads the rows that the mirror did not take.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn refused(owner: &mut Side, count: usize) -> Result<Vec<Refused>, SwitchError> {
    let sql = format!(
        "SELECT id, table_name, row_key, fault FROM gateway_outbox_refused ORDER BY id{}",
        limit(owner.dialect(), count)
    );
    let rows = owner.texts(&sql, Vec::new()).await?;
    let refused = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter();
        Some(Refused {
            id: texts.next()??.parse().ok()?,
            table: texts.next()??.into(),
            key: texts.next()??.into(),
            fault: texts.next()??.into(),
        })
    };
    Ok(rows.into_iter().filter_map(refused).collect())
}

/// Writes down that the mirror did not take a row. Within a transaction of the caller's.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn refuse(owner: &mut Side, row: &Refused) -> Result<(), SwitchError> {
    let sql = "INSERT INTO gateway_outbox_refused (id, table_name, row_key, fault, refused_at) \
               VALUES (?, ?, ?, ?, ?)";
    let fault: String = row.fault.chars().take(1000).collect();
    let binds = vec![Scalar::Int(row.id), text(&row.table), text(&row.key), text(&fault), now()];
    owner.execute(sql, binds).await.map(drop)
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Rows at most: the numbers between the first and the last one.
    pub count_max: u64,
    /// The last one's number; 0: none waits.
    pub last: i64,
    /// The first one's number; 0: none waits.
    pub first: i64,
    /// Since when the first one waits, in microseconds since 1970.
    pub since: Option<i64>,
}

/// Asks how much waits: two looks at an index, and a count of at most 10,000 of its entries.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn depth(owner: &mut Side) -> Result<Depth, SwitchError> {
    let sql = format!(
        "SELECT MIN(id), MAX(id) FROM gateway_outbox WHERE kind = {KIND_ROW} AND batch = 0"
    );
    let rows = owner.texts(&sql, Vec::new()).await?;
    let number = |at: usize| rows.first()?.get(at)?.as_ref()?.parse::<i64>().ok();
    let (Some(first), Some(last)) = (number(0), number(1)) else { return Ok(Depth::default()) };
    let sql = "SELECT created_at FROM gateway_outbox WHERE id = ?";
    let rows = owner.texts(sql, vec![Scalar::Int(first)]).await?;
    let since = rows.first().and_then(|row| parse_timestamp(row.first()?.as_ref()?, 6).ok());
    let mut count_max = u64::try_from(last - first + 1).unwrap_or(0);
    // Events have numbers of the same row, and are nobody's to wait for: a longer distance is counted, as far as it is
    // cheap.
    if count_max > SPAN_MAX {
        count_max = counted(owner).await?.unwrap_or(count_max);
    }
    Ok(Depth { count_max, last, first, since })
}

/// How many rows wait; `None`: too many to be counted.
async fn counted(owner: &mut Side) -> Result<Option<u64>, SwitchError> {
    let end = limit(owner.dialect(), COUNTED_MAX);
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT id FROM gateway_outbox WHERE kind = {KIND_ROW} AND batch = 0{end}) waiting"
    );
    let rows = owner.texts(&sql, Vec::new()).await?;
    let count = rows.first().and_then(|row| row.first()?.as_ref()?.parse::<u64>().ok());
    Ok(count.filter(|count| *count < COUNTED_MAX as u64))
}

/// Whether rows wait that the mirror did not take at first.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn has_retries(owner: &mut Side) -> Result<bool, SwitchError> {
    let sql = format!(
        "SELECT id FROM gateway_outbox WHERE kind = {KIND_ROW} AND batch = 0 AND attempt > 0{}",
        limit(owner.dialect(), 1)
    );
    Ok(!owner.texts(&sql, Vec::new()).await?.is_empty())
}
