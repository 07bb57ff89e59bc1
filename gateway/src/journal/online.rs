//! What operators and the applier do to a journal that runs: dead letters made, looked at, tried again, dropped.

use std::sync::Arc;

use super::command::Command;
use super::wish::{Burial, Standings, WISHES_MAX, Wish};
use super::{Cause, DeadLetter, Entry, Journal, JournalError, OpenError, Record, offline};
use crate::identity::Lane;
use crate::queue::{self, Answer, Receiver, Refused, Reply};

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
    pub async fn dead(&self, record: &Record, cause: Cause) -> Result<(), JournalError> {
        let letter = DeadLetter { sequence: record.sequence, cause, draft: record.draft() };
        let asked = self.ask(|reply| Command::Dead(Box::new(letter), reply));
        asked?.await.unwrap_or(Err(JournalError::Ended))
    }

    /// Where whoever applies records hears what operators wish. Whoever listened before does not any more.
    pub fn wishes(&self) -> Receiver<Wish> {
        let (sender, receiver) = queue::bounded(WISHES_MAX);
        self.wishes.store(Some(Arc::new(sender)));
        receiver
    }

    fn wish<T>(&self, wish: impl FnOnce(Reply<T>) -> Wish) -> Result<Answer<T>, JournalError> {
        let (reply, answer) = queue::reply();
        match &*self.wishes.load() {
            None => Err(JournalError::Ended),
            Some(wishes) => match wishes.offer(wish(reply)) {
                Ok(()) => Ok(answer),
                Err(Refused(_)) => Err(JournalError::QueueFull),
            },
        }
    }

    /// Gives a record up that waits, between two tries of it, at an operator's word. Returns when it is a dead
    /// letter; while it stands in a transaction that is waited for.
    ///
    /// - `reason`: who wants that, and why.
    /// - `is_forced`: also where its database does not tell whether it has the record's effect.
    ///
    /// # Errors
    ///
    /// [`OpenError::Settled`] where it waits no more, [`OpenError::Untold`], or what kept it from being written: it
    /// then still waits.
    pub async fn bury(
        &self,
        record: Record,
        reason: Box<str>,
        is_forced: bool,
    ) -> Result<(), OpenError> {
        let asked =
            self.wish(|reply| Wish::Bury(Box::new(Burial { record, reason, is_forced, reply })));
        asked?.await.unwrap_or(Err(OpenError::Journal(JournalError::Ended)))
    }

    /// Why records wait, as far as whoever applies them knows.
    pub async fn why(&self, records: Vec<(u64, Option<Lane>)>) -> Standings {
        match self.wish(|reply| Wish::Why(records, reply)) {
            Ok(answer) => answer.await.unwrap_or_default(),
            Err(_) => Standings::default(),
        }
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
