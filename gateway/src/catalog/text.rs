//! Writes what a request decides of a statement: lists, the seek predicate, the order, the limit of rows.

use super::{BindRef, Dialect, Direction, KeysetColumn, RenderError};

/// Most items that Oracle takes in one `IN (…)`.
const ORACLE_ITEM_COUNT_MAX: usize = 1_000;

/// Placeholders of a list: so few counts that texts stay few.
pub(super) fn padded(len: usize, dialect: Dialect) -> usize {
    let padded = len.next_power_of_two();
    if dialect == Dialect::Oracle { padded.min(ORACLE_ITEM_COUNT_MAX) } else { padded }
}

pub(super) struct Writer<'p> {
    pub(super) dialect: Dialect,
    pub(super) sql: String,
    pub(super) place: &'p mut dyn FnMut(&mut String, BindRef),
}

impl Writer<'_> {
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
        if self.dialect == Dialect::Oracle && len > ORACLE_ITEM_COUNT_MAX {
            return Err(RenderError::LongList { slot, len, max: ORACLE_ITEM_COUNT_MAX });
        }
        for index in 0..padded(len, self.dialect) {
            if index > 0 {
                self.sql.push_str(", ");
            }
            self.bind(BindRef::ListItem { slot, index: index.min(len - 1) });
        }
        Ok(())
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
