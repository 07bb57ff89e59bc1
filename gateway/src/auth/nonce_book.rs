//! The nonces of accepted hellos, remembered for as long as their hello could be played again.
//!
//! It outlives reloads: the server owns one and lends it to each authenticator.
//!
//! Invariant: only hellos whose MAC was verified are written down, so that a stranger cannot fill
//! it. A full book refuses; it never forgets early.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::credential::Fingerprint;
use super::error::AuthError;

/// Length of a nonce, in bytes.
pub const NONCE_BYTES: usize = 16;

/// Nonces that a book holds unless told otherwise: 546 hellos a second for two minutes; 5 MiB.
pub const NONCE_COUNT_MAX: usize = 1 << 16;

/// Used nonces of all game-server keys.
#[derive(Debug)]
pub struct NonceBook {
    count_max: usize,
    /// A mutex, and on frontend threads: a hello comes once in a connection's life.
    pages: Mutex<Pages>,
}

/// A nonce is one of its key: another key may use the same.
type Entry = ([u8; 16], [u8; NONCE_BYTES]);

#[derive(Debug, Default)]
struct Pages {
    used: HashSet<Entry>,
    /// The same entries by the last second in which they must be known.
    by_end: BTreeMap<u64, Vec<Entry>>,
    /// Everything that ended before this second was forgotten.
    forgotten_before: u64,
}

impl NonceBook {
    /// An empty book.
    ///
    /// - `count_max`: most nonces that it holds; one more is refused.
    pub fn new(count_max: usize) -> Self {
        Self { count_max, pages: Mutex::default() }
    }

    /// Writes down a nonce of a verified hello.
    ///
    /// - `key`: whose it is.
    /// - `end`: the last second in which the hello would be accepted, in Unix seconds.
    /// - `now`: Unix seconds; what ended before is forgotten.
    ///
    /// # Errors
    ///
    /// [`AuthError::Replayed`] when it is written already, [`AuthError::NonceBookFull`], and
    /// [`AuthError::Expired`] when the clock went back and its page was torn out.
    pub(super) fn write(
        &self,
        key: Fingerprint,
        nonce: [u8; NONCE_BYTES],
        end: u64,
        now: u64,
    ) -> Result<(), AuthError> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.forget_before(now);
        if end < pages.forgotten_before {
            return Err(AuthError::Expired { expired_at: end.saturating_add(1) });
        }
        let entry = (key.bytes(), nonce);
        if pages.used.contains(&entry) {
            return Err(AuthError::Replayed);
        }
        if pages.used.len() >= self.count_max {
            return Err(AuthError::NonceBookFull { count_max: self.count_max });
        }
        pages.used.insert(entry);
        pages.by_end.entry(end).or_default().push(entry);
        Ok(())
    }
}

impl Default for NonceBook {
    fn default() -> Self {
        Self::new(NONCE_COUNT_MAX)
    }
}

impl Pages {
    fn forget_before(&mut self, now: u64) {
        self.forgotten_before = self.forgotten_before.max(now);
        while let Some(page) = self.by_end.first_entry().filter(|page| *page.key() < now) {
            for entry in page.remove() {
                self.used.remove(&entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[&[u8]] = &[b"key"];

    #[expect(clippy::needless_pass_by_value, reason = "expected values are written in place")]
    #[track_caller]
    fn check(book: &NonceBook, nonce: u8, end: u64, now: u64, expected: Result<(), AuthError>) {
        assert_eq!(book.write(Fingerprint::of(KEY), [nonce; 16], end, now), expected);
    }

    #[test]
    fn nonce_is_refused_through_its_last_second_and_free_after_it() {
        let book = NonceBook::new(8);
        check(&book, 1, 160, 100, Ok(()));
        check(&book, 1, 160, 160, Err(AuthError::Replayed));
        check(&book, 1, 220, 161, Ok(()));
    }

    #[test]
    fn nonce_of_another_key_is_another_nonce() {
        let book = NonceBook::new(8);
        check(&book, 1, 160, 100, Ok(()));
        assert_eq!(book.write(Fingerprint::of(&[b"other"]), [1; 16], 160, 100), Ok(()));
    }

    #[test]
    fn book_at_its_bound_refuses_until_a_page_ends() {
        let book = NonceBook::new(2);
        check(&book, 1, 160, 100, Ok(()));
        check(&book, 2, 161, 100, Ok(()));
        check(&book, 3, 170, 160, Err(AuthError::NonceBookFull { count_max: 2 }));
        check(&book, 2, 161, 160, Err(AuthError::Replayed));
        check(&book, 3, 170, 161, Ok(()));
    }

    #[test]
    fn clock_that_goes_back_does_not_bring_forgotten_nonces_back_into_use() {
        let book = NonceBook::new(8);
        check(&book, 1, 160, 100, Ok(()));
        check(&book, 2, 260, 200, Ok(()));
        check(&book, 1, 160, 150, Err(AuthError::Expired { expired_at: 161 }));
        check(&book, 3, 200, 150, Ok(()));
    }
}
