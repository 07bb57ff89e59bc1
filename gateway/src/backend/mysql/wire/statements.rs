//! The statements that are prepared on a connection.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::column::Column;
use super::row::Span;
use crate::catalog::Template;

/// Largest description of a result's columns that is kept, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    sql: Arc<str>,
    pub(super) id: u32,
    used: u64,
    pub(super) result: Description,
}

/// The columns of a result, as its server described them last.
#[derive(Debug, Default)]
pub(super) struct Description {
    /// The packets, with their headers.
    pub(super) packets: Vec<u8>,
    /// Whether they are all here.
    pub(super) is_kept: bool,
    pub(super) columns: Vec<Column>,
    /// For each column that the template declares, which of `columns` it is.
    pub(super) places: Vec<usize>,
    /// The template that the places are for; `None`: no template yet.
    pub(super) template: Option<Arc<Template>>,
    /// Where the values of the row at hand are.
    pub(super) spans: Vec<Span>,
}

impl Description {
    /// Forgets the columns, to take new ones in.
    pub(super) fn clear(&mut self) {
        self.is_kept = true;
        self.packets.clear();
        self.columns.clear();
        self.places.clear();
        self.template = None;
    }

    /// Keeps a packet of the description, with its header; once there is no room for one, none of them.
    pub(super) fn keep(&mut self, packet: &[u8]) {
        if self.is_kept && self.packets.len() + packet.len() <= DESCRIPTION_BYTES_MAX {
            self.packets.extend_from_slice(packet);
        } else {
            self.is_kept = false;
            self.packets.clear();
        }
    }
}

/// What is prepared, by its text.
#[derive(Debug)]
pub(super) struct Statements {
    by_sql: HashMap<Arc<str>, usize, RandomState>,
    slots: Vec<Prepared>,
    count_max: usize,
    clock: u64,
}

impl Statements {
    pub(super) fn new(count_max: usize) -> Self {
        Self {
            by_sql: HashMap::default(),
            slots: Vec::new(),
            count_max: count_max.max(1),
            clock: 0,
        }
    }

    /// The slot of that text's statement.
    pub(super) fn find(&mut self, sql: &str) -> Option<usize> {
        let index = *self.by_sql.get(sql)?;
        self.clock += 1;
        self.slots.get_mut(index)?.used = self.clock;
        Some(index)
    }

    /// A statement by its slot.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Prepared> {
        self.slots.get_mut(index)
    }

    /// Takes a statement in. Returns its slot, and the number of the one that had to go.
    pub(super) fn insert(&mut self, sql: Arc<str>, id: u32) -> (usize, Option<u32>) {
        self.clock += 1;
        let new = Prepared {
            sql: Arc::clone(&sql),
            id,
            used: self.clock,
            result: Description::default(),
        };
        let oldest = self.slots.iter_mut().enumerate().min_by_key(|(_, slot)| slot.used);
        let (index, closed) = match oldest {
            Some((index, slot)) if self.by_sql.len() >= self.count_max => {
                let old = std::mem::replace(slot, new);
                self.by_sql.remove(&old.sql);
                (index, Some(old.id))
            }
            _ => {
                self.slots.push(new);
                (self.slots.len() - 1, None)
            }
        };
        self.by_sql.insert(sql, index);
        (index, closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_cache_closes_the_statement_that_was_used_longest_ago() {
        let mut statements = Statements::new(2);
        assert_eq!(statements.insert("a".into(), 1), (0, None));
        assert_eq!(statements.insert("b".into(), 2), (1, None));
        assert_eq!(statements.find("a"), Some(0));
        assert_eq!(statements.insert("c".into(), 3), (1, Some(2)));
        assert_eq!(statements.find("b"), None);
        assert_eq!(statements.get_mut(0).map(|slot| slot.id), Some(1));
        assert_eq!(statements.get_mut(1).map(|slot| slot.id), Some(3));
    }
}
