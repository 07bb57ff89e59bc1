//! What a restart finds: after gaps, after dropped letters, after files that were in the way.

use std::fs;
use std::sync::atomic::Ordering;

use super::*;

#[test]
fn segment_after_an_empty_one_that_was_dropped_goes_on_where_the_records_end() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    journal.keep("a", None);
    journal.faults.write.store(libc::EIO, Ordering::Relaxed);
    // The second failure leaves a segment without a record.
    for _ in 0..2 {
        assert_eq!(journal.offer(draft("b", None)).unwrap_err().code().number(), 1502);
    }
    journal.close();
    assert_eq!(segment::list(folder.path()).unwrap().len(), 2);
    let journal = Driven::open(&config);
    let kept = journal.keep("c", None);
    journal.close();
    let journal = Driven::open(&config);
    assert_eq!(journal.waiting(), [(1, "a".into()), (kept, "c".into())]);
    journal.close();
}

#[test]
fn key_of_a_dropped_letter_is_free_after_every_restart_while_its_segment_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    journal.keep("a", None);
    journal.keep("b", None);
    block_on(journal.journal.dead(&journal.record(1), Cause::now(2103, "NOT_ENOUGH"))).unwrap();
    block_on(journal.journal.drop_dead(1)).unwrap();
    journal.journal.applied(&[2]);
    journal.close();
    for _ in 0..3 {
        let journal = Driven::open(&config);
        let state = |key| journal.journal.state_of(&draft(key, None).key.request);
        assert_eq!(state("a"), None);
        assert_eq!(state("b"), Some(State::Applied { sequence: 2 }));
        journal.close();
    }
}

/// By game, whatever becomes of them: found again after a restart, tried again, dropped.
#[test]
fn dead_letters_of_each_game_are_counted_and_no_records_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    let of = |key: &str, game: &str, op: &str| {
        let mut draft = draft(key, None);
        (draft.payload.game, draft.payload.op) = (game.into(), op.into());
        journal.offer(draft).unwrap();
    };
    of("a", "game1", "order.create");
    of("b", "game1", "order.cancel");
    of("c", "game2", "order.create");
    of("d", "game1", "order.create");
    let counts =
        |journal: &Driven| ["game1", "game2", "game3"].map(|game| journal.journal.dead_count(game));
    assert_eq!(counts(&journal), [0, 0, 0]);
    for sequence in [1, 2, 3] {
        let record = journal.record(sequence);
        block_on(journal.journal.dead(&record, Cause::now(2103, "NOT_ENOUGH"))).unwrap();
    }
    assert_eq!(counts(&journal), [2, 1, 0]);
    journal.close();
    let journal = Driven::open(&config);
    assert_eq!(counts(&journal), [2, 1, 0]);
    block_on(journal.journal.retry(1, true)).unwrap();
    assert_eq!(counts(&journal), [1, 1, 0]);
    block_on(journal.journal.drop_dead(2)).unwrap();
    block_on(journal.journal.drop_dead(3)).unwrap();
    assert_eq!(counts(&journal), [0, 0, 0]);
    journal.close();
    let journal = Driven::open(&config);
    assert_eq!(counts(&journal), [0, 0, 0]);
    journal.close();
}

#[test]
fn letter_of_a_journal_without_segments_is_tried_again_only_when_forced() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    journal.keep("a", Some(7));
    block_on(journal.journal.dead(&journal.record(1), Cause::now(2103, "NOT_ENOUGH"))).unwrap();
    journal.close();
    assert!(!Offline::open(folder.path()).unwrap().find(1).unwrap().is_overtaken);
    fs::remove_file(segment::path_of(folder.path(), 1)).unwrap();
    let offline = Offline::open(folder.path()).unwrap();
    assert!(matches!(offline.retry(1, false), Err(OpenError::Overtaken { sequence: 1 })));
}

#[test]
fn segment_that_could_not_be_deleted_is_tried_again_and_one_that_is_gone_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    let kept: Vec<u64> = (0..400).map(|at| journal.keep(&format!("k{at}"), None)).collect();
    journal.close();
    let files: Vec<_> = segment::list(folder.path()).unwrap();
    assert!(files.len() >= 4);
    let (mut store, _) = Store::open(folder.path(), 10).unwrap();
    // A folder in a file's place is not deleted.
    let (first, aside) = (&files[0].1, folder.path().join("aside"));
    fs::rename(first, &aside).unwrap();
    fs::create_dir(first).unwrap();
    store.index.applied(&kept);
    assert!(matches!(store.tidy(), Err(OpenError::Machine { .. })));
    assert!(store.has_applied_segments());
    fs::remove_dir(first).unwrap();
    fs::rename(&aside, first).unwrap();
    fs::remove_file(&files[1].1).unwrap();
    store.tidy().unwrap();
    assert!(!store.has_applied_segments());
    assert_eq!(segment::list(folder.path()).unwrap().len(), 1);
}

#[test]
fn journal_is_made_in_folders_that_are_not_there_yet() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("a/b/journal"));
    let journal = Driven::open(&config);
    journal.keep("a", None);
    journal.close();
    let journal = Driven::open(&config);
    assert_eq!(journal.waiting(), numbered(&["a"]));
    journal.close();
}

#[test]
fn applied_keys_beyond_the_bound_are_forgotten_only_below_the_position_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let config = JournalConfig { keys_max: 1, ..config(folder.path()) };
    let journal = Driven::open(&config);
    for key in ["a", "b", "c", "d"] {
        journal.keep(key, None);
    }
    let state = |journal: &Journal, key| journal.state_of(&draft(key, None).key.request);
    journal.journal.applied(&[2, 3, 4]);
    for (key, sequence) in [("b", 2), ("c", 3), ("d", 4)] {
        assert_eq!(state(&journal.journal, key), Some(State::Applied { sequence }));
    }
    journal.journal.applied(&[1]);
    let own = Arc::clone(&journal.journal);
    journal.close();
    assert_eq!(own.position(), 5);
    let known = ["a", "b", "c", "d"].into_iter().filter(|key| state(&own, key).is_some());
    assert_eq!(known.collect::<Vec<_>>(), ["a"]);
}

#[test]
fn position_is_written_when_it_is_asked_for_again_after_the_last_record() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Driven::open(&config(folder.path()));
    assert_eq!(journal.journal.settle(Instant::now()), None);
    journal.keep("a", None);
    journal.journal.applied(&[1]);
    // A second after the start at the earliest, so not yet.
    let again = journal.journal.settle(journal.journal.begun).unwrap();
    assert!(again > journal.journal.begun);
    assert_eq!(journal.journal.position(), 1);
    journal.positioned();
    assert_eq!((journal.journal.position(), journal.journal.settle(again)), (2, None));
    journal.close();
}

#[test]
fn folder_that_the_journal_makes_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("journal");
    let (store, _) = Store::open(&path, 16).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    drop(store);
}

#[test]
fn letter_says_to_operators_what_it_says_to_clients_and_its_detail_after_every_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    let cause = Cause::now(1303, "the statement failed").with_detail("pay counted 0");
    let short = Cause::now(2103, "NO_GOLD");
    for (key, cause) in [("a", &cause), ("b", &short)] {
        let sequence = journal.keep(key, None);
        block_on(journal.journal.dead(&journal.record(sequence), cause.clone())).unwrap();
    }
    let check = |journal: &Driven| {
        assert_eq!(journal.journal.find(1).unwrap().dead.as_ref(), Some(&cause));
        assert_eq!(journal.journal.find(2).unwrap().dead.as_ref(), Some(&short));
    };
    check(&journal);
    journal.close();
    for _ in 0..2 {
        let journal = Driven::open(&config);
        check(&journal);
        journal.close();
    }
    // A long one is cut between characters.
    let long = Cause::now(1303, "x").with_detail(&"名".repeat(400));
    assert_eq!(*long.detail, "名".repeat(341));
}
