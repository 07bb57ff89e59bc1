//! Rows of one side, read into the form that both sides have.

use super::super::BackendError;
use super::super::cell::{self, Cell as Driven};
use super::super::connection::Sink;
use super::super::encode::positions;
use super::error::SwitchError;
use super::key::{Key, cut, key_text, own_text};
use super::pair::{Pair, PairColumn, Role};
use super::side::{Side, limit};
use crate::catalog::{Scalar, Type};

/// Keys of one statement. Few texts, however many keys: the last one is repeated.
const KEY_COUNTS: [usize; 4] = [1, 8, 32, KEY_COUNT_MAX];
/// Most keys of one statement.
pub(super) const KEY_COUNT_MAX: usize = 128;

/// A value, or why it does not have the form.
pub(super) type Cell = Result<Scalar<'static>, Box<str>>;
/// The values of a row.
pub(super) type Row = Vec<Cell>;

/// Which columns are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// All of them.
    All,
    /// Those of the key, in its order.
    Key,
}

impl Columns {
    /// Their places in the pair.
    pub(super) fn places(self, pair: &Pair) -> Vec<usize> {
        match self {
            Self::All => (0..pair.columns.len()).collect(),
            Self::Key => pair.key.clone(),
        }
    }
}

/// A part of a table, by the first column of its key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Range {
    /// From this one on.
    pub from: Option<Scalar<'static>>,
    /// Up to this one.
    pub to: Option<Scalar<'static>>,
}

/// Reads the next rows in the order of the key: that of the side's own collation.
///
/// - `after`: behind that key; `None`: from the range's start.
pub(super) async fn read_after(
    side: &mut Side,
    (pair, role, columns): (&Pair, Role, Columns),
    range: &Range,
    after: Option<&Key>,
    count: usize,
) -> Result<Vec<Row>, SwitchError> {
    let names = pair.key_names(role);
    let marks = pair.key_marks(role);
    let mut sql = select(pair, role, columns);
    let mut binds = Vec::new();
    let mut join = " WHERE ";
    let first = names.first().copied().unwrap_or_default();
    let mark = marks.first().copied().unwrap_or("?");
    for (bound, comparison) in [(&range.from, ">="), (&range.to, "<=")] {
        if let Some(value) = bound {
            sql.extend([join, first, " ", comparison, " ", mark]);
            binds.push(value.clone());
            join = " AND ";
        }
    }
    if let Some(after) = after {
        sql.push_str(join);
        let columns: Vec<(&str, &str)> = names.iter().copied().zip(marks).collect();
        seek(&mut sql, &mut binds, &columns, after);
    }
    sql.push_str(" ORDER BY ");
    sql.push_str(&names.join(", "));
    sql.push_str(&limit(side.dialect(), count));
    fetch(side, (pair, role, columns), sql, binds).await
}

/// Reads the rows of those keys, in no order. A database that compares without case may give rows of other keys.
pub(super) async fn read_keys(
    side: &mut Side,
    (pair, role, columns): (&Pair, Role, Columns),
    keys: &[Key],
) -> Result<Vec<Row>, SwitchError> {
    let mut rows = Vec::with_capacity(keys.len());
    for these in keys.chunks(KEY_COUNT_MAX) {
        let mut sql = select(pair, role, columns);
        let binds = push_keys(&mut sql, pair, role, these);
        rows.extend(fetch(side, (pair, role, columns), sql, binds).await?);
    }
    Ok(rows)
}

/// Appends ` WHERE` and the keys, and returns their binds.
///
/// - `keys`: [`KEY_COUNT_MAX`] at most, and one at least.
pub(super) fn push_keys<'k>(
    sql: &mut String,
    pair: &Pair,
    role: Role,
    keys: &'k [Key],
) -> Vec<Scalar<'k>> {
    let (names, marks) = (pair.key_names(role), pair.key_marks(role));
    let count = KEY_COUNTS.into_iter().find(|count| *count >= keys.len()).unwrap_or(KEY_COUNT_MAX);
    sql.push_str(" WHERE ");
    if let ([name], [mark]) = (&*names, &*marks) {
        sql.extend([name, " IN (", mark, &format!(",{mark}").repeat(count - 1), ")"]);
    } else {
        let columns = names.iter().zip(&marks);
        let one: Vec<String> = columns.map(|(name, mark)| format!("{name} = {mark}")).collect();
        let one = format!("({})", one.join(" AND "));
        sql.push_str(&one);
        sql.push_str(&[" OR ", &one].concat().repeat(count - 1));
    }
    let padding = keys.iter().rev().take(1).cycle();
    keys.iter().chain(padding).take(count).flatten().cloned().collect()
}

/// The key of a row with all columns.
///
/// # Errors
///
/// [`SwitchError::Value`]: a value of it does not have its form.
pub(super) fn key_of(side: &Side, pair: &Pair, row: &Row) -> Result<Key, SwitchError> {
    pair.key
        .iter()
        .map(|place| match row.get(*place) {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(fault)) => Err(unread(side, pair, *place, fault)),
            None => Ok(Scalar::Null),
        })
        .collect()
}

/// The key of a row with the key's columns only.
///
/// # Errors
///
/// As [`key_of`].
pub(super) fn bare_key(side: &Side, pair: &Pair, row: Row) -> Result<Key, SwitchError> {
    let places = pair.key.iter().copied();
    places
        .zip(row)
        .map(|(place, cell)| cell.map_err(|fault| unread(side, pair, place, &fault)))
        .collect()
}

fn unread(side: &Side, pair: &Pair, place: usize, fault: &str) -> SwitchError {
    let column = pair.columns.get(place).map_or("", |column| &column.name);
    SwitchError::Value {
        connection: side.name().into(),
        table: pair.name.clone(),
        column: column.into(),
        fault: fault.into(),
    }
}

/// The text of a row's key, by which rows of both sides are found: values, not a collation.
pub(super) fn text_of(key: &Key) -> Box<str> {
    key_text(key).into()
}

fn select(pair: &Pair, role: Role, columns: Columns) -> String {
    let names = pair.names(role);
    let places = columns.places(pair);
    let wanted = places.iter().filter_map(|place| names.quoted.get(*place)).map(|name| &**name);
    format!("SELECT {} FROM {}", wanted.collect::<Vec<_>>().join(", "), names.table)
}

/// `(a > ? OR (a = ? AND b > ?))`: an index is read from there on.
fn seek(sql: &mut String, binds: &mut Vec<Scalar<'static>>, columns: &[(&str, &str)], after: &Key) {
    sql.push('(');
    for (place, (name, mark)) in columns.iter().enumerate() {
        sql.push_str(if place > 0 { " OR (" } else { "(" });
        for ((before, mark), value) in columns.iter().zip(after).take(place) {
            sql.extend([before, " = ", mark, " AND "]);
            binds.push(value.clone());
        }
        sql.extend([name, " > ", mark, ")"]);
        binds.extend(after.get(place).cloned());
    }
    sql.push(')');
}

async fn fetch(
    side: &mut Side,
    (pair, role, columns): (&Pair, Role, Columns),
    sql: String,
    binds: Vec<Scalar<'_>>,
) -> Result<Vec<Row>, SwitchError> {
    let places = columns.places(pair);
    let own = &pair.names(role).columns;
    let wanted = places
        .iter()
        .filter_map(|place| Some((&**own.get(*place)?, pair.columns.get(*place)?)))
        .collect();
    let mut intake = Intake { wanted, rows: Vec::new() };
    side.fetch(sql, binds, &mut intake).await?;
    Ok(intake.rows)
}

/// Rows on their way in.
struct Intake<'c> {
    /// Each column's name on that side, and what it is on both.
    wanted: Vec<(&'c str, &'c PairColumn)>,
    rows: Vec<Row>,
}

impl Sink for Intake<'_> {
    fn positions<'n>(
        &self,
        names: &(impl Iterator<Item = &'n str> + Clone),
    ) -> Result<Vec<usize>, BackendError> {
        positions(self.wanted.iter().map(|(name, _)| *name), names)
    }

    fn row_count_max(&self) -> u32 {
        // As many as the statement says.
        u32::MAX
    }

    fn push<'r>(
        &mut self,
        read: impl Fn(usize) -> Result<Driven<'r>, Box<str>>,
    ) -> Result<(), BackendError> {
        let cell = |(index, (_, column)): (usize, &(&str, &PairColumn))| {
            read(index)
                .and_then(|cell| cell::scalar(&column.ty, cell))
                .map(|value| own(column, value))
        };
        self.rows.push(self.wanted.iter().enumerate().map(cell).collect());
        Ok(())
    }
}

/// A value without what one side cannot hold: blanks that are none of it, digits of a moment.
fn own(column: &PairColumn, value: Scalar<'static>) -> Scalar<'static> {
    match (value, &column.ty) {
        (Scalar::Str(text), Type::Json) => Scalar::Json(text),
        (Scalar::Str(text), _) if column.padded => {
            Scalar::Str(own_text(column, &text).to_owned().into())
        }
        (Scalar::Timestamp(micros), Type::Timestamp { fraction }) => {
            Scalar::Timestamp(cut(micros, *fraction))
        }
        (value, _) => value,
    }
}
