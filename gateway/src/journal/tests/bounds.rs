//! What dead letters do to the bounds, and what a letter that was tried again does not.

use super::super::writer::Writer;
use super::*;

#[test]
fn dead_letters_count_toward_bytes_max_until_they_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        JournalConfig { segment_bytes: 20 << 10, bytes_max: 96 << 10, ..config(folder.path()) };
    let journal = Driven::open(&config);
    let large = |number: u64| {
        let mut draft = draft(&format!("k{number}"), None);
        draft.payload.trace = "x".repeat(8 << 10).into();
        draft
    };
    let mut letters = Vec::new();
    let refused = loop {
        match journal.offer(large(letters.len() as u64)) {
            Ok(Accepted { sequence, .. }) => {
                let record = journal.record(sequence);
                block_on(journal.journal.dead(&record, Cause::now(2103, "NO_GOLD"))).unwrap();
                letters.push(sequence);
            }
            Err(error) => break error,
        }
        assert!(letters.len() < 100, "its segments went, and the letters are bounded by nothing");
    };
    assert!(matches!(refused, JournalError::BacklogFull { bound: "journal.bytes_max" }));
    assert!(letters.len() >= 6, "{letters:?}");
    for sequence in &letters {
        block_on(journal.journal.drop_dead(*sequence)).unwrap();
    }
    journal.offer(large(1000)).unwrap();
    journal.close();
}

#[test]
fn letter_older_than_age_max_that_is_tried_again_closes_the_journal_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Driven::open(&config(folder.path()));
    let mut old = draft("a", None);
    old.payload.now_micros -= 3_610 * 1_000_000;
    let dead = journal.offer(old.clone()).unwrap().sequence;
    block_on(journal.journal.dead(&journal.record(dead), Cause::now(2103, "NO_GOLD"))).unwrap();
    let again = block_on(journal.journal.retry(dead, false)).unwrap();
    assert_eq!(journal.keep("b", None), again + 1);
    assert_eq!(journal.record(again).draft(), old, "it asks for what it did");
    journal.close();
}

#[test]
fn letter_whose_end_cannot_be_written_stays() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    let dead = journal.keep("a", None);
    block_on(journal.journal.dead(&journal.record(dead), Cause::now(2103, "NO_GOLD"))).unwrap();
    journal.close();
    let (mut store, _) = Store::open(folder.path(), 0).unwrap();
    store.dead.refuse_writes().unwrap();
    let (signal, _watch) = queue::signal(0);
    let mut writer = Writer::new(store, config, Driver::Plain, Arc::default(), signal);
    let refused = writer.drop_letter(dead).unwrap_err();
    // What the admin port answers with 503.
    assert!(matches!(refused, OpenError::Journal(JournalError::SyncFailed(_))), "{refused:?}");
    assert!(matches!(writer.drop_letter(dead), Err(OpenError::Journal(_))), "it is still there");
    writer.finish();
}
