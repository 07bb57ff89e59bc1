//! Faults of the applier's own, which tests ask for with a record's key.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::journal::Record;

/// A transaction with such a record panics, whenever it is tried.
const ALWAYS: &str = "panic-";
/// The task of a batch with such a record panics, once.
const ONCE: &str = "crash-";
/// The loop panics that takes in such a record, once.
const ONCE_IN_LOOP: &str = "loop-";

/// Called for each record of a transaction.
pub(super) fn in_transaction(record: &Record) {
    assert!(!record.payload.key_text.starts_with(ALWAYS), "on purpose");
}

/// Called for each record of a batch, before anything is tried.
pub(super) fn in_task(record: &Record) {
    strike(record, ONCE);
}

/// Called for each record that the loop takes in.
pub(super) fn in_loop(record: &Record) {
    strike(record, ONCE_IN_LOOP);
}

fn strike(record: &Record, name: &str) {
    static STRUCK: Mutex<BTreeSet<Box<str>>> = Mutex::new(BTreeSet::new());
    let key = &record.payload.key_text;
    if key.starts_with(name) {
        let is_new = STRUCK.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        assert!(!is_new, "on purpose");
    }
}
