//! Writes, syncs and new segments that fail, by a fault injected below the journal: `Driver::Faulty`.

use std::sync::atomic::Ordering;

use super::*;

#[test]
fn failed_write_or_sync_acknowledges_nothing_and_the_next_segment_goes_on_with_later_sequences() {
    for of_write in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let journal = Driven::open(&config);
        journal.keep("a", None);
        let faults = Arc::clone(&journal.faults);
        let fault = if of_write { &faults.write } else { &faults.sync };
        fault.store(libc::EIO, Ordering::Relaxed);
        let refused = journal.offer(draft("b", None)).unwrap_err();
        assert_eq!(refused.code().number(), 1502);
        fault.store(0, Ordering::Relaxed);
        assert_eq!(journal.journal.state_of(&draft("b", None).key.request), None);
        assert_eq!(journal.waiting(), [(1, "a".into())]);
        assert_eq!(journal.keep("c", None), 3);
        assert_eq!(journal.keep("b", None), 4);
        let expected = [(1, "a".into()), (3, "c".into()), (4, "b".into())];
        assert_eq!(journal.waiting(), expected);
        journal.close();
        let journal = Driven::open(&config);
        assert_eq!(journal.waiting(), expected);
        assert_eq!(journal.keep("d", None), 5);
        journal.close();
    }
}

#[test]
fn full_disk_refuses_with_1501_and_is_tried_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    journal.keep("a", None);
    journal.faults.prepare.store(libc::ENOSPC, Ordering::Relaxed);
    let mut kept = 1;
    let refused = loop {
        match journal.offer(draft(&format!("k{kept}"), None)) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 1000, "never full");
    };
    assert_eq!(refused.code().number(), 1501);
    assert_eq!(journal.waiting().len(), kept);
    journal.faults.prepare.store(0, Ordering::Relaxed);
    let begun = Instant::now();
    while journal.offer(draft("later", None)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never tried again");
    }
    journal.close();
    let journal = Driven::open(&config);
    assert_eq!(journal.waiting().len(), kept + 1);
    journal.close();
}

#[test]
fn ended_journal_refuses_and_answers_what_it_had_taken() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Driven::open(&config(folder.path()));
    let answers: Vec<_> =
        (0..100).map(|number| journal.send(draft(&format!("k{number}"), None))).collect();
    journal.journal.stop();
    assert_eq!(journal.offer(draft("late", None)).unwrap_err().code().number(), 1002);
    for answer in answers {
        block_on(answer).unwrap().unwrap();
    }
    assert_eq!(journal.journal.backlog().record_count, 100);
    journal.close();
}

#[test]
fn stalled_disk_acknowledges_nothing_fills_the_queue_and_then_all_that_was_taken_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = JournalConfig { queue_max: 8, ..config(folder.path()) };
    let journal = Driven::open(&config);
    journal.keep("before", None);
    let faults = Arc::clone(&journal.faults);
    let stalled = faults.stalled.lock().unwrap();
    let mut taken = Vec::new();
    let refused = loop {
        let mut answer = journal.send(draft(&format!("k{}", taken.len()), None));
        match answer.try_recv() {
            Ok(answer) => break answer.unwrap_err(),
            Err(_not_yet) => taken.push(answer),
        }
        assert!(taken.len() < 100, "never full");
    };
    assert_eq!(refused.code().number(), 1001);
    assert!(taken.len() >= 8, "{}", taken.len());
    assert!(taken.iter_mut().all(|answer| answer.try_recv().is_err()), "none is acknowledged");
    // What is known, and what waits, can still be asked.
    assert_eq!(journal.waiting(), [(1, "before".into())]);
    drop(stalled);
    for (sequence, answer) in (2..).zip(taken) {
        assert_eq!(block_on(answer).unwrap().unwrap().sequence, sequence);
    }
    journal.keep("after", None);
    journal.close();
}
