//! Many runs of one `INSERT … VALUES (…)` in few statements.
//!
//! Oracle takes one statement with the binds of many runs, and says what each did. The others take one text for
//! all of them: the runs are cut into powers of two, so that a template has few texts, each prepared once a connection. The
//! runs may be rows of one request, or whole requests: whoever calls says where each run's values come from.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use super::connection::Statement;
use super::statement::RunValues;
use crate::bind::holds;
use crate::catalog::{Dialect, Fold, Guard, Piece};

/// Most runs in one statement.
pub(super) const FOLD_COUNT_MAX: usize = 256;

/// Some of the runs, in one statement.
#[derive(Debug)]
pub(super) struct Folded<'a> {
    /// Which of them.
    pub range: Range<usize>,
    /// Does what they would have done.
    pub statement: Statement<'a>,
}

impl Fold {
    /// Whether every row is inserted, or the statement fails: then a success has counted each as one.
    pub(super) fn is_plain(&self) -> bool {
        self.after.trim().is_empty() && !self.skips()
    }

    /// Whether rows may be passed over without a word.
    fn skips(&self) -> bool {
        let mut words = self.before.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| word.eq_ignore_ascii_case("IGNORE"))
    }

    /// Whether runs under that guard may be folded. Oracle counts each. Where another database counts them all as
    /// done, each counted one; a guard that asks for another count has to see each alone.
    pub(super) fn suits(&self, dialect: Dialect, guard: Option<&Guard>) -> bool {
        if dialect == Dialect::Oracle {
            return true;
        }
        !self.skips() && guard.is_none_or(|guard| holds(guard.comparison, 1.cmp(&guard.count)))
    }

    fn bind_count(&self) -> usize {
        self.tuple.iter().filter(|piece| matches!(piece, Piece::Bind(_))).count()
    }
}

/// Renders runs, in order. [`Fold::suits`] must hold. For Oracle each statement is one run's, with the binds of
/// all of them: to be executed as an array.
pub(super) fn folded<'a>(
    fold: &Fold,
    dialect: Dialect,
    runs: &[RunValues<'a, '_>],
) -> Vec<Folded<'a>> {
    let lengths = lengths(runs.len(), fold.bind_count(), dialect);
    let mut start = 0;
    let one = |length: usize| {
        let range = start..start + length;
        start += length;
        let rows = runs.get(range.clone()).unwrap_or_default();
        let binds = rows.iter().flat_map(|run| {
            fold.tuple.iter().filter_map(|piece| match piece {
                Piece::Bind(source) => Some(run.source(source)),
                _ => None,
            })
        });
        let sql = if dialect == Dialect::Oracle { array_text(fold) } else { text(fold, length) };
        Folded { range, statement: Statement { sql, binds: binds.collect() } }
    };
    lengths.into_iter().map(one).collect()
}

/// How many runs each statement has.
pub(super) fn lengths(run_count: usize, bind_count: usize, dialect: Dialect) -> Vec<usize> {
    let largest = (binds_max(dialect) / bind_count.max(1)).clamp(1, FOLD_COUNT_MAX);
    let mut lengths = Vec::new();
    let mut left = run_count;
    while left > 0 {
        let length = match dialect {
            // Its text is the same for any number of runs.
            Dialect::Oracle => left.min(FOLD_COUNT_MAX),
            _ => 1 << left.min(largest).ilog2(),
        };
        lengths.push(length);
        left -= length;
    }
    lengths
}

/// Most binds of one statement: SQLite's `SQLITE_MAX_VARIABLE_NUMBER`, the 16 bits of MySQL's protocol.
const fn binds_max(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Sqlite => 32_766,
        Dialect::Mysql | Dialect::Oracle => 65_535,
    }
}

/// The text of one run for Oracle.
fn array_text(fold: &Fold) -> Arc<str> {
    let mut sql = String::with_capacity(fold.before.len() + fold.after.len() + 64);
    sql.push_str(&fold.before);
    let mut bind_count = 0;
    for piece in &fold.tuple {
        if let Piece::Text(text) = piece {
            sql.push_str(text);
        } else {
            bind_count += 1;
            // Writing to a String cannot fail.
            let _written = write!(sql, ":b{bind_count}");
        }
    }
    sql.push_str(&fold.after);
    sql.into()
}

/// The text for that many rows, with a `?` for each bind: both dialects that are served write them so.
fn text(fold: &Fold, length: usize) -> Arc<str> {
    let mut tuple = String::with_capacity(64);
    for piece in &fold.tuple {
        match piece {
            Piece::Text(text) => tuple.push_str(text),
            _ => tuple.push('?'),
        }
    }
    let mut sql =
        String::with_capacity(fold.before.len() + fold.after.len() + (tuple.len() + 1) * length);
    sql.push_str(&fold.before);
    for index in 0..length {
        if index > 0 {
            sql.push(',');
        }
        sql.push_str(&tuple);
    }
    sql.push_str(&fold.after);
    sql.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Comparison, Source};

    fn fold(before: &str, after: &str) -> Fold {
        let tuple =
            vec![Piece::Text("(".into()), Piece::Bind(Source::Slot(0)), Piece::Text(", 1)".into())];
        Fold { before: before.into(), tuple, after: after.into() }
    }

    #[test]
    fn runs_are_cut_into_powers_of_two_within_every_limit() {
        assert_eq!(lengths(7, 3, Dialect::Mysql), [4, 2, 1]);
        assert_eq!(lengths(600, 3, Dialect::Mysql), [256, 256, 64, 16, 8]);
        // 200 binds a row: 163 rows fit SQLite, 327 MySQL.
        assert_eq!(lengths(256, 200, Dialect::Sqlite), [128, 128]);
        assert_eq!(lengths(256, 200, Dialect::Mysql), [256]);
        assert_eq!(lengths(0, 3, Dialect::Mysql), [0; 0]);
        // A row that is too wide for any statement is left for the database to refuse.
        assert_eq!(lengths(2, 70_000, Dialect::Mysql), [1, 1]);
    }

    #[test]
    fn runs_for_oracle_have_one_text_whatever_their_number() {
        assert_eq!(lengths(600, 3, Dialect::Oracle), [256, 256, 88]);
        let fold = fold("INSERT INTO t VALUES ", "");
        assert_eq!(&*array_text(&fold), "INSERT INTO t VALUES (:b1, 1)");
    }

    #[test]
    fn text_has_the_tuple_once_a_row() {
        let fold = fold("INSERT INTO t VALUES ", " ON CONFLICT DO NOTHING");
        assert_eq!(&*text(&fold, 2), "INSERT INTO t VALUES (?, 1),(?, 1) ON CONFLICT DO NOTHING");
    }

    #[test]
    fn guards_that_one_row_each_satisfies_let_rows_fold_and_others_do_not() {
        let guard = |comparison, count| Some(Guard { comparison, count, error: None });
        let suits = |fold: &Fold, guard: Option<&Guard>| fold.suits(Dialect::Mysql, guard);
        let plain = fold("INSERT INTO t VALUES ", "");
        assert!(plain.suits(Dialect::Oracle, guard(Comparison::Eq, 0).as_ref()));
        assert!(plain.is_plain() && suits(&plain, None));
        assert!(suits(&plain, guard(Comparison::Eq, 1).as_ref()));
        assert!(suits(&plain, guard(Comparison::Ge, 1).as_ref()));
        assert!(!suits(&plain, guard(Comparison::Eq, 0).as_ref()));
        assert!(!suits(&plain, guard(Comparison::Gt, 1).as_ref()));
        assert!(!suits(&fold("INSERT IGNORE INTO t VALUES ", ""), None));
        assert!(!fold("INSERT INTO t VALUES ", " ON CONFLICT DO NOTHING").is_plain());
    }
}
