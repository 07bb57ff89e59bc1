//! A journal that no gateway runs on: what operators look at, try again, drop and repair.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::dead::Shelf;
use super::device::{Driver, block_on};
use super::group::SECTOR_BYTES;
use super::index::Index;
use super::payload::{Draft, Record};
use super::segments::Reader;
use super::stats::Stats;
use super::store::Store;
use super::writer::Writer;
use super::{Cause, DeadLetter, OpenError, Opened};
use crate::config::JournalConfig;
use crate::queue;

/// Records that are read at once.
const PAGE: usize = 1000;

/// A record that waits, or a dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place in the order of all records.
    pub sequence: u64,
    /// What it asks for.
    pub draft: Draft,
    /// Of a dead letter: why it is one.
    pub dead: Option<Cause>,
    /// A dead letter that later records of its lane came behind: tried again only when forced.
    pub is_overtaken: bool,
}

impl Entry {
    /// A dead letter.
    pub(super) fn of_letter(letter: DeadLetter, is_overtaken: bool) -> Self {
        let DeadLetter { sequence, cause, draft } = letter;
        Self { sequence, draft, dead: Some(cause), is_overtaken }
    }

    /// It as the record that it is, or was.
    pub fn into_record(self) -> Record {
        let Draft { key, lane, payload } = self.draft;
        Record { sequence: self.sequence, key, lane, payload }
    }

    /// A record that waits.
    pub(super) fn of_record(record: Record) -> Self {
        let Record { sequence, key, lane, payload } = record;
        Self { sequence, draft: Draft { key, lane, payload }, dead: None, is_overtaken: false }
    }
}

/// A journal's folder, taken by this process.
#[derive(Debug)]
pub struct Offline {
    store: Store,
    /// What opening found.
    pub opened: Opened,
}

impl Offline {
    /// Takes the folder.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: a gateway has it, it is damaged, or it is no journal.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let (store, opened) = Store::open(folder, 0)?;
        Ok(Self { store, opened })
    }

    /// Gives every dead letter, then every record that waits, each in order.
    ///
    /// # Errors
    ///
    /// [`OpenError`] at what cannot be read.
    pub fn each(&self, mut visit: impl FnMut(Entry)) -> Result<(), OpenError> {
        for (sequence, known) in self.store.index.letters_from(0, usize::MAX) {
            visit(Entry::of_letter(self.store.dead.shelf().read(sequence)?, known.overtaken));
        }
        let mut reader = self.reader();
        let mut from = 0;
        loop {
            let records = reader.next(from, PAGE)?;
            let Some(last) = records.last() else { return Ok(()) };
            from = last.sequence + 1;
            for record in records {
                visit(Entry::of_record(record));
            }
        }
    }

    /// A record that waits, or a dead letter.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoRecord`], or at what cannot be read.
    pub fn find(&self, sequence: u64) -> Result<Entry, OpenError> {
        find(&self.store.index, self.store.dead.shelf(), &mut self.reader(), sequence)
    }

    /// Tries a dead letter again: as a new record, which the next gateway applies.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoRecord`], [`OpenError::Overtaken`], or what kept it from being written.
    pub fn retry(self, sequence: u64, force: bool) -> Result<u64, OpenError> {
        let bytes = self.find(sequence)?.draft.encode().len() as u64;
        let segment_bytes = (bytes + 4 * SECTOR_BYTES).next_multiple_of(SECTOR_BYTES);
        let config = JournalConfig {
            path: None,
            segment_bytes,
            group_bytes_max: segment_bytes,
            bytes_max: u64::MAX,
            records_max: u64::MAX,
            age_max: Duration::MAX,
            keys_max: 0,
            queue_max: 1,
        };
        let (signal, _watch) = queue::signal(0);
        let stats = Arc::new(Stats::default());
        let mut writer = Writer::new(self.store, config, Driver::Plain, stats, signal);
        let tried = block_on(writer.retry(sequence, force));
        writer.finish();
        tried
    }

    /// Forgets a dead letter; with `force` also a record that waits, which is then never applied.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoRecord`], or what kept that from being written.
    pub fn discard(&mut self, sequence: u64, force: bool) -> Result<(), OpenError> {
        let index = &self.store.index;
        let is_there = index.letter(sequence).is_some() || (force && index.is_pending(sequence));
        if !is_there {
            return Err(OpenError::NoRecord { sequence });
        }
        self.store.dead.gone(sequence).map_err(OpenError::machine(&self.store.folder))?;
        self.store.index.remove_dead(sequence);
        self.store.index.skip(sequence);
        Ok(())
    }

    fn reader(&self) -> Reader {
        let (index, segments) = (&self.store.index, &self.store.segments);
        Reader::new(self.store.journal, Arc::clone(index), Arc::clone(segments))
    }
}

/// A dead letter, or a record that waits.
pub(super) fn find(
    index: &Index,
    shelf: &Shelf,
    reader: &mut Reader,
    sequence: u64,
) -> Result<Entry, OpenError> {
    if let Some(known) = index.letter(sequence) {
        return Ok(Entry::of_letter(shelf.read(sequence)?, known.overtaken));
    }
    let mut found = reader.next(sequence, 1)?;
    let found = found.pop().filter(|record| record.sequence == sequence);
    found.map(Entry::of_record).ok_or(OpenError::NoRecord { sequence })
}
