//! Rows of the owner, as they are now, to the mirror: within a transaction of the mirror's that the caller began.

use std::collections::BTreeMap;

use super::super::BackendError;
use super::divergence::RefusedRow;
use super::error::SwitchError;
use super::key::Key;
use super::pair::{Pair, PairColumn, Role};
use super::rows::{Cell, Columns, KEY_COUNT_MAX, Row, key_of, push_keys, read_keys, text_of};
use super::side::Side;
use crate::catalog::Scalar;
use crate::config::Dialect;

/// Most bytes of values in one `INSERT`: far below every server's `max_allowed_packet`.
const INSERT_BYTES_MAX: usize = 512 << 10;
/// Rows of one `INSERT`: few texts, however many rows.
const ROW_COUNTS: [usize; 4] = [64, 16, 4, 1];
/// Most binds of one `INSERT`: SQLite takes 32,766.
const BIND_COUNT_MAX: usize = 30_000;

/// What became of the rows of some keys.
#[derive(Debug, Default)]
pub(super) struct Transferred {
    /// Rows that stand on the mirror now.
    pub written: u64,
    /// Keys that the owner has no row of: they are gone from the mirror.
    pub removed: u64,
    /// Rows that the mirror does not take: they are gone from it. One with a value of no form stays as it was.
    pub refused: Vec<RefusedRow>,
}

impl Transferred {
    /// Notes a row that the mirror does not take.
    ///
    /// # Errors
    ///
    /// The error, where it is not the row's own.
    fn refuse(&mut self, key: &str, error: SwitchError) -> Result<(), SwitchError> {
        let Some(is_duplicate) = refusal(&error) else { return Err(error) };
        self.refused.push(RefusedRow { key: key.into(), is_duplicate, fault: words(&error) });
        Ok(())
    }
}

/// Makes the rows of those keys on the mirror what they are on the owner. A repeat is harmless.
///
/// # Errors
///
/// [`SwitchError`]; the mirror's transaction has to be rolled back then.
pub(super) async fn transfer(
    owner: &mut Side,
    mirror: &mut Side,
    pair: &Pair,
    keys: &[Key],
) -> Result<Transferred, SwitchError> {
    let mut done = Transferred::default();
    for these in keys.chunks(KEY_COUNT_MAX) {
        let rows = read_keys(owner, (pair, Role::Owner, Columns::All), these).await?;
        let mut gone: BTreeMap<Box<str>, &Key> =
            these.iter().map(|key| (text_of(key), key)).collect();
        let mut deleted: BTreeMap<Box<str>, Key> =
            these.iter().map(|key| (text_of(key), key.clone())).collect();
        let mut fresh = BTreeMap::new();
        for row in rows {
            let key = key_of(owner, pair, &row)?;
            let text = text_of(&key);
            gone.remove(&text);
            match values(pair, row) {
                // A database that compares without case gives the row by another key, too.
                Ok(values) => {
                    deleted.insert(text.clone(), key);
                    fresh.insert(text, values);
                }
                Err(fault) => {
                    deleted.remove(&text);
                    done.refused.push(RefusedRow { key: text, is_duplicate: false, fault });
                }
            }
        }
        done.removed += gone.len() as u64;
        let deleted: Vec<Key> = deleted.into_values().collect();
        for these in deleted.chunks(KEY_COUNT_MAX) {
            let mut sql = format!("DELETE FROM {}", pair.names(Role::Mirror).table);
            let binds = push_keys(&mut sql, pair, Role::Mirror, these);
            mirror.execute(sql, binds).await?;
        }
        let fresh: Vec<Ready> = fresh.into_iter().collect();
        insert(mirror, pair, &fresh, &mut done).await?;
    }
    Ok(done)
}

async fn insert(
    mirror: &mut Side,
    pair: &Pair,
    rows: &[Ready],
    done: &mut Transferred,
) -> Result<(), SwitchError> {
    let mut left = rows;
    while !left.is_empty() {
        let count = row_count(left, pair.columns.len());
        let (these, rest) = left.split_at_checked(count).unwrap_or((left, &[]));
        left = rest;
        if mirror.dialect() == Dialect::Oracle {
            insert_array(mirror, pair, these, done).await?;
            continue;
        }
        match insert_rows(mirror, pair, these).await {
            Ok(()) => done.written += these.len() as u64,
            Err(error) if refusal(&error).is_none() => return Err(error),
            // One of them is at fault; the statement has changed nothing.
            Err(_) => insert_singly(mirror, pair, these, done).await?,
        }
    }
    Ok(())
}

/// Oracle has no list of rows, but an array, which tells what became of each.
async fn insert_array(
    mirror: &mut Side,
    pair: &Pair,
    rows: &[Ready],
    done: &mut Transferred,
) -> Result<(), SwitchError> {
    let binds = rows.iter().flat_map(|(_, values)| values.iter().cloned()).collect();
    let outcomes = mirror.execute_rows(insert_text(pair), binds, rows.len()).await?;
    for ((key, _), outcome) in rows.iter().zip(outcomes) {
        match outcome {
            Ok(_) => done.written += 1,
            Err(error) => done.refuse(key, error)?,
        }
    }
    Ok(())
}

async fn insert_singly(
    mirror: &mut Side,
    pair: &Pair,
    rows: &[Ready],
    done: &mut Transferred,
) -> Result<(), SwitchError> {
    for row in rows {
        match insert_rows(mirror, pair, std::slice::from_ref(row)).await {
            Ok(()) => done.written += 1,
            Err(error) => done.refuse(&row.0, error)?,
        }
    }
    Ok(())
}

/// A row ready to be bound, with its key's text.
type Ready = (Box<str>, Vec<Scalar<'static>>);

async fn insert_rows(mirror: &mut Side, pair: &Pair, rows: &[Ready]) -> Result<(), SwitchError> {
    let mut sql = insert_text(pair);
    sql.push_str(&format!(",{}", marks(pair)).repeat(rows.len().saturating_sub(1)));
    let binds = rows.iter().flat_map(|(_, values)| values.iter().cloned()).collect();
    mirror.execute(sql, binds).await.map(drop)
}

/// The statement that inserts one row.
fn insert_text(pair: &Pair) -> String {
    let names = pair.names(Role::Mirror);
    format!("INSERT INTO {} ({}) VALUES {}", names.table, names.quoted.join(", "), marks(pair))
}

fn marks(pair: &Pair) -> String {
    format!("(?{})", ",?".repeat(pair.columns.len().saturating_sub(1)))
}

/// Rows of the next statement.
fn row_count(rows: &[Ready], column_count: usize) -> usize {
    let fits = |count: &usize| {
        let bytes: usize = rows.iter().take(*count).map(|(_, values)| bytes(values)).sum();
        *count <= rows.len() && count * column_count <= BIND_COUNT_MAX && bytes <= INSERT_BYTES_MAX
    };
    ROW_COUNTS.into_iter().find(fits).unwrap_or(1)
}

fn bytes(values: &[Scalar<'_>]) -> usize {
    let bytes = |value: &Scalar<'_>| match value {
        Scalar::Str(text) | Scalar::Json(text) | Scalar::Decimal(text) => text.len(),
        Scalar::Bytes(bytes) => bytes.len(),
        _ => 8,
    };
    values.iter().map(bytes).sum()
}

fn values(pair: &Pair, row: Row) -> Result<Vec<Scalar<'static>>, Box<str>> {
    let value = |(column, cell): (&PairColumn, Cell)| match cell {
        Ok(Scalar::Null) if column.null_as_empty => Ok(Scalar::Str("".into())),
        Ok(value) => Ok(value),
        Err(fault) => Err(format!("column `{}`: {fault}", column.name).into()),
    };
    pair.columns.iter().zip(row).map(value).collect()
}

/// Whether the mirror refused the row itself, and if so whether for a key that is taken.
fn refusal(error: &SwitchError) -> Option<bool> {
    match error {
        SwitchError::Statement { source: BackendError::Duplicate { .. }, .. } => Some(true),
        SwitchError::Statement { source: BackendError::Query { .. }, .. } => Some(false),
        _ => None,
    }
}

/// The database's words.
fn words(error: &SwitchError) -> Box<str> {
    let mut source: &dyn std::error::Error = error;
    while let Some(next) = source.source() {
        source = next;
    }
    source.to_string().into()
}
