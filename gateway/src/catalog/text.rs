//! Writes what a request decides of a statement: lists, the seek predicate, the order, the limit of rows.

use super::{BindRef, Dialect, Direction, KeysetColumn, RenderError};

/// Most items that Oracle takes in one `IN (…)`: ORA-01795. More of them are several `IN`s.
pub(super) const ORACLE_ITEM_COUNT_MAX: usize = 1_000;

/// Placeholders of a list: so few counts that texts stay few.
pub(super) fn padded(len: usize, dialect: Dialect) -> usize {
    let padded = len.next_power_of_two();
    let is_one = dialect == Dialect::Oracle && len <= ORACLE_ITEM_COUNT_MAX;
    if is_one { padded.min(ORACLE_ITEM_COUNT_MAX) } else { padded }
}

pub(super) struct Writer<'p> {
    pub(super) dialect: Dialect,
    pub(super) sql: String,
    pub(super) place: &'p mut dyn FnMut(&mut String, BindRef),
    /// Whether a parenthesis around several `IN`s is to be closed behind the last one.
    pub(super) is_open: bool,
}

impl Writer<'_> {
    /// Text as written.
    pub(super) fn text(&mut self, text: &str) {
        let close = text.find(')').filter(|_| self.is_open);
        let (before, rest) = text.split_at(close.map_or(0, |at| at + 1));
        self.sql.push_str(before);
        if close.is_some() {
            self.sql.push(')');
            self.is_open = false;
        }
        self.sql.push_str(rest);
    }

    pub(super) fn bind(&mut self, bind: BindRef) {
        (self.place)(&mut self.sql, bind);
    }

    pub(super) fn list(
        &mut self,
        slot: usize,
        len: usize,
        nonempty: bool,
    ) -> Result<(), RenderError> {
        if len == 0 && nonempty {
            return Err(RenderError::EmptyList { slot });
        }
        if len == 0 {
            // Unknown for every row, so no row; and seen at once to be so, where an empty subquery makes
            // MariaDB read the whole table. Under a NOT it would be wrong: there the list is `nonempty`.
            self.sql.push_str("NULL");
            return Ok(());
        }
        let between = if self.dialect == Dialect::Oracle && len > ORACLE_ITEM_COUNT_MAX {
            let max = ORACLE_ITEM_COUNT_MAX;
            self.open_several().ok_or(RenderError::LongList { slot, len, max })?
        } else {
            String::new()
        };
        for index in 0..padded(len, self.dialect) {
            let begins_another = !between.is_empty() && index % ORACLE_ITEM_COUNT_MAX == 0;
            if begins_another && index > 0 {
                self.sql.push_str(&between);
            } else if index > 0 {
                self.sql.push_str(", ");
            }
            self.bind(BindRef::ListItem { slot, index: index.min(len - 1) });
        }
        Ok(())
    }

    /// Opens a parenthesis before the column whose `IN (` was just written; what stands between two of several then:
    /// `) OR x IN (`, or `) AND x NOT IN (`. `None`: what is compared is no column.
    fn open_several(&mut self) -> Option<String> {
        let (start, is_negated) = column_in(&self.sql)?;
        let condition = self.sql.get(start..)?.trim_start().to_owned();
        self.sql.insert(start, '(');
        self.is_open = true;
        Some(format!("){}{condition}", if is_negated { " AND " } else { " OR " }))
    }

    /// `AND (a < ? OR (a = ? AND b < ?))`: what comes behind the cursor's row.
    pub(super) fn seek(&mut self, columns: &[KeysetColumn]) {
        self.sql.push_str("AND (");
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                self.sql.push_str(" OR (");
            }
            for (before, equal) in columns.iter().take(index).enumerate() {
                self.sql.push_str(&equal.sql);
                self.sql.push_str(" = ");
                self.bind(BindRef::Seek(before));
                self.sql.push_str(" AND ");
            }
            self.sql.push_str(&column.sql);
            self.sql.push_str(match column.direction {
                Direction::Asc => " > ",
                Direction::Desc => " < ",
            });
            self.bind(BindRef::Seek(index));
            if index > 0 {
                self.sql.push(')');
            }
        }
        self.sql.push_str(")\n");
    }

    pub(super) fn sort(&mut self, columns: &[KeysetColumn]) {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                self.sql.push_str(", ");
            }
            self.sql.push_str(&column.sql);
            if column.direction == Direction::Desc {
                self.sql.push_str(" DESC");
            }
        }
    }

    pub(super) fn page_limit(&mut self) {
        if self.dialect == Dialect::Oracle {
            self.sql.push_str("\nFETCH FIRST ");
            self.bind(BindRef::PageLimit);
            self.sql.push_str(" ROWS ONLY");
        } else {
            self.sql.push_str("\nLIMIT ");
            self.bind(BindRef::PageLimit);
        }
    }
}

/// Where `x IN (` or `x NOT IN (` begins that a text ends with, x being a column, and whether it is the latter.
fn column_in(sql: &str) -> Option<(usize, bool)> {
    let rest = sql.trim_end().strip_suffix('(')?;
    let rest = before_word(rest, "IN")?;
    let (rest, is_negated) = match before_word(rest, "NOT") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let rest = rest.trim_end();
    let start = rest.rfind(|c: char| !is_of_name(c) && !matches!(c, '.' | '"')).map_or(0, |at| {
        // Behind that character, however many bytes it has.
        at + rest.get(at..).and_then(|text| text.chars().next()).map_or(1, char::len_utf8)
    });
    (start < rest.len()).then_some((start, is_negated))
}

fn before_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let text = text.trim_end();
    let (rest, last) = text.split_at_checked(text.len().checked_sub(word.len())?)?;
    let is_whole = !rest.ends_with(is_of_name);
    (last.eq_ignore_ascii_case(word) && is_whole).then_some(rest)
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_before_a_list_is_found_and_nothing_else_is_taken_for_one() {
        let check = |sql: &str, expected: Option<(&str, bool)>| {
            let found = column_in(sql);
            assert_eq!(
                found.map(|(at, negated)| (sql.get(at..).unwrap_or_default(), negated)),
                expected,
                "{sql}"
            );
        };
        check("WHERE p.id IN (", Some(("p.id IN (", false)));
        check("WHERE (\"P\".id\n  not in ( ", Some(("\"P\".id\n  not in ( ", true)));
        check("id IN (", Some(("id IN (", false)));
        check("é IN (", Some(("é IN (", false)));
        check("WHERE LOWER(a) IN (", None);
        check("WHERE (a, b) IN (", None);
        check("WHERE id = (", None);
    }
}
