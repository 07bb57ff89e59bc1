//! What a comparison found.

use super::canonical::differing;
use super::pair::Pair;
use super::rows::{Cell, Row};
use crate::catalog::Scalar;

/// Rows listed of each kind; all are counted.
const LISTED_MAX: usize = 1000;

/// What became of one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableReport {
    /// The table.
    pub table: Box<str>,
    /// Rows of the owner that were compared.
    pub row_count: u64,
    /// Chunks of either side that were looked at.
    pub chunk_count: u64,
    /// Those of them whose checksums differed.
    pub differing_chunk_count: u64,
    /// Rows that the mirror lacks.
    pub missing_count: u64,
    /// Rows that the owner does not have.
    pub extra_count: u64,
    /// Rows that are others.
    pub different_count: u64,
    /// Rows that differ and are on their way to the mirror: no divergence.
    pub pending_count: u64,
    /// Rows whose repair was begun: made alike, or put into the outbox.
    pub repaired_count: u64,
    /// Rows that the mirror refused when they were to be made alike.
    pub refused_count: u64,
    /// Keys of the first missing ones, as JSON.
    pub missing: Vec<Box<str>>,
    /// Keys of the first extra ones, as JSON.
    pub extra: Vec<Box<str>>,
    /// The first different ones.
    pub different: Vec<DifferentRow>,
    /// The first of them.
    pub refused: Vec<RefusedRow>,
    /// What the schemas do not have in common, although their rows may be alike.
    pub remarks: Vec<Box<str>>,
}

/// A row that the mirror does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its key, as JSON.
    pub key: Box<str>,
    /// Whether a unique key is taken by another row there: one that may be on its way, too.
    pub is_duplicate: bool,
    /// Why, in the database's words.
    pub fault: Box<str>,
}

/// A row that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferentRow {
    /// Its key, as JSON.
    pub key: Box<str>,
    /// The columns that differ.
    pub columns: Vec<ColumnDifference>,
}

/// A value that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDifference {
    /// The column.
    pub column: Box<str>,
    /// What stands on the owner and on the mirror; `None` where values are not to be shown.
    pub values: Option<[Box<str>; 2]>,
}

impl TableReport {
    /// Rows that are not the same on both sides.
    pub const fn divergence_count(&self) -> u64 {
        self.missing_count + self.extra_count + self.different_count
    }

    /// Takes rows in that were refused when they were to be made alike.
    pub(super) fn add_refused(&mut self, rows: Vec<RefusedRow>) {
        self.refused_count += rows.len() as u64;
        let room = LISTED_MAX.saturating_sub(self.refused.len());
        self.refused.extend(rows.into_iter().take(room));
    }

    /// Takes a divergence in.
    pub(super) fn add(&mut self, pair: &Pair, key: &str, sides: Sides<'_>, with_values: bool) {
        let keep = |list: &mut Vec<Box<str>>| {
            if list.len() < LISTED_MAX {
                list.push(key.into());
            }
        };
        match sides {
            (Some(_), None) => {
                self.missing_count += 1;
                keep(&mut self.missing);
            }
            (None, Some(_)) => {
                self.extra_count += 1;
                keep(&mut self.extra);
            }
            (Some(one), Some(other)) => {
                self.different_count += 1;
                if self.different.len() < LISTED_MAX {
                    let places = differing(pair, one, other).into_iter();
                    let columns = places.filter_map(|place| {
                        let column = pair.columns.get(place)?.name.clone();
                        let shown = || Some([shown(one.get(place)?), shown(other.get(place)?)]);
                        let values = if with_values { shown() } else { None };
                        Some(ColumnDifference { column, values })
                    });
                    let columns = columns.collect();
                    self.different.push(DifferentRow { key: key.into(), columns });
                }
            }
            (None, None) => {}
        }
    }
}

/// A row of the owner and the mirror's of the same key.
pub(super) type Sides<'r> = (Option<&'r Row>, Option<&'r Row>);

fn shown(cell: &Cell) -> Box<str> {
    match cell {
        Err(fault) => format!("({fault})").into(),
        Ok(Scalar::Null) => "NULL".into(),
        Ok(Scalar::Str(text) | Scalar::Json(text)) => {
            serde_json::Value::from(&**text).to_string().into()
        }
        Ok(value) => {
            let mut text = String::new();
            value.tag_text(&mut text);
            text.into()
        }
    }
}
