//! What operators and the applier do to a journal that runs: dead letters made, looked at, tried again, dropped.

use super::command::Command;
use super::writer::now_micros;
use super::{DeadLetter, Entry, Journal, JournalError, OpenError, Record, offline};
use crate::queue::{self, Answer, Reply};

impl Journal {
    /// Asks the thread for something. Apart from the waiting, whose future would carry the command along.
    fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<Answer<T>, JournalError> {
        let (reply, answer) = queue::reply();
        self.send(command(reply)).map_err(|(_, error)| error)?;
        Ok(answer)
    }

    /// Puts a record among the dead letters: it waits no more once this returns.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it could not be written; the record then still waits.
    pub async fn dead(
        &self,
        record: &Record,
        code: u16,
        message: &str,
    ) -> Result<(), JournalError> {
        let letter = DeadLetter {
            sequence: record.sequence,
            code,
            message: message.into(),
            since_micros: now_micros(),
            draft: record.draft(),
        };
        let asked = self.ask(|reply| Command::Dead(Box::new(letter), reply));
        asked?.await.unwrap_or(Err(JournalError::Ended))
    }

    /// Dead letters from a sequence on, in order, at most `count_max`.
    ///
    /// Blocks: reads a file.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the file cannot be read.
    pub fn letters(&self, from: u64, count_max: usize) -> Result<Vec<Entry>, OpenError> {
        let known = self.index.letters_from(from, count_max).into_iter();
        let read = known.filter_map(|(sequence, known)| match self.shelf.read(sequence) {
            Ok(letter) => Some(Ok(Entry::of_letter(letter, known.overtaken))),
            // Dropped, or tried again, since the index was asked.
            Err(OpenError::NoRecord { .. }) => None,
            Err(error) => Some(Err(error)),
        });
        read.collect()
    }

    /// Records that wait, from a sequence on, in order, at most `count_max`.
    ///
    /// Blocks: reads files.
    ///
    /// # Errors
    ///
    /// As [`super::Reader::next`].
    pub fn waiting(&self, from: u64, count_max: usize) -> Result<Vec<Entry>, OpenError> {
        let records = self.reader().next(from, count_max)?;
        Ok(records.into_iter().map(Entry::of_record).collect())
    }

    /// A dead letter, or a record that waits.
    ///
    /// Blocks: reads a file.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoRecord`], or at what cannot be read.
    pub fn find(&self, sequence: u64) -> Result<Entry, OpenError> {
        offline::find(&self.index, &self.shelf, &mut self.reader(), sequence)
    }

    /// Tries a dead letter again, as a new record whose sequence is returned.
    ///
    /// - `force`: also behind later records of its lane.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoRecord`], [`OpenError::Overtaken`], or what kept it from being written.
    pub async fn retry(&self, sequence: u64, force: bool) -> Result<u64, OpenError> {
        let asked = self.ask(|reply| Command::Retry { sequence, force, reply });
        asked?.await.unwrap_or(Err(OpenError::Journal(JournalError::Ended)))
    }

    /// Forgets a dead letter.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoRecord`], or what kept that from being written.
    pub async fn drop_dead(&self, sequence: u64) -> Result<(), OpenError> {
        let asked = self.ask(|reply| Command::Drop(sequence, reply));
        asked?.await.unwrap_or(Err(OpenError::Journal(JournalError::Ended)))
    }
}
