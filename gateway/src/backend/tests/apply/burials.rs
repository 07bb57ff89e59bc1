//! Records that operators give up while the applier runs, and what they are told of those that wait.

use super::records::done_by_another;
use super::*;
use crate::journal::{OpenError, Record, Standing, Waits};

impl Bed {
    fn record(&self, sequence: u64) -> Record {
        self.journal.reader().next(sequence, 1).expect("readable").remove(0)
    }

    async fn bury(&self, sequence: u64, is_forced: bool) -> Result<(), OpenError> {
        self.journal.bury(self.record(sequence), "alice: it is stuck".into(), is_forced).await
    }

    async fn standing(&self, sequence: u64) -> Option<Standing> {
        let lane = self.record(sequence).lane;
        self.journal.why(vec![(sequence, lane)]).await.remove(&sequence)
    }

    /// Waits until a record's standing is as wanted.
    async fn stands(&self, sequence: u64, wanted: impl Fn(&Standing) -> bool) -> Standing {
        let limit = far();
        loop {
            if let Some(standing) = self.standing(sequence).await.filter(&wanted) {
                return standing;
            }
            assert!(Instant::now() < limit, "{sequence} never stands so");
            tokio::task::yield_now().await;
        }
    }

    fn letters(&self) -> Vec<u64> {
        let letters = self.journal.letters(0, usize::MAX).expect("readable");
        letters.iter().map(|letter| letter.sequence).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_that_fails_says_why_it_waits_and_its_lane_goes_on_when_it_is_buried() {
    for bed in &beds("ap_bury").await.all {
        let working = bed.start();
        bed.keep(
            "game1",
            &[("endless", "a", 1, 101), ("endless", "b", 1, 1), ("endless", "c", 2, 1)],
        )
        .await;
        let first = bed.stands(1, |it| it.try_count >= 2 && it.waits != Waits::Running).await;
        assert!(matches!(first.waits, Waits::Next(_) | Waits::Turn), "{first:?}");
        assert_eq!(first.last.map(|last| last.code), Some(2103));
        let second = bed.stands(2, |_| true).await;
        assert_eq!((second.try_count, second.last, second.waits), (0, None, Waits::Behind(1)));
        let record = bed.record(1);
        bed.bury(1, false).await.expect("buried");
        bed.drained().await;
        let letter = bed.journal.find(1).expect("it lies there").dead.expect("it is dead");
        assert_eq!((letter.code, &*letter.message), (1504, "withdrawn by an operator"));
        assert!(letter.detail.starts_with("alice: it is stuck; tried "), "{}", letter.detail);
        assert!(letter.detail.ends_with("2103 NO_GOLD"), "{}", letter.detail);
        bed.check("game1", 2).await;
        assert_eq!(bed.figure(r#"gateway_apply_records_total{outcome="buried"}"#), 1);
        let again = bed.journal.bury(record, "bob".into(), false).await;
        assert!(matches!(again, Err(OpenError::Settled { sequence: 1 })), "{again:?}");
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_is_applied_or_buried_and_never_both_whenever_the_word_comes() {
    for bed in &beds("ap_bury_race").await.all {
        let working = bed.start();
        let count = 300;
        let keeping = bed.keep_many("game1", "a", count, 5);
        let burying = async {
            let mut buried = Vec::new();
            for sequence in (1..=count.unsigned_abs()).step_by(7) {
                until(|| bed.journal.lowest() > sequence || bed.journal.is_pending(sequence)).await;
                let mut found = bed.journal.reader().next(sequence, 1).expect("readable");
                let Some(record) = found.pop().filter(|record| record.sequence == sequence) else {
                    continue;
                };
                match bed.journal.bury(record, "alice".into(), false).await {
                    Ok(()) => buried.push(sequence),
                    Err(OpenError::Settled { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            buried
        };
        let ((), buried) = tokio::join!(keeping, burying);
        bed.drained().await;
        assert_eq!(bed.letters(), buried);
        bed.check("game1", usize::try_from(count).expect("few") - buried.len()).await;
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_whose_effect_a_crash_let_the_database_have_is_not_buried() {
    for bed in &beds("ap_bury_done").await.all {
        let done: Order<'_> = ("create", "b", 1, 1);
        done_by_another(bed, done).await;
        let working = bed.start();
        // It waits behind one that fails, so that the applier does not find out by itself.
        bed.keep("game1", &[("endless", "a", 1, 101), done]).await;
        bed.stands(2, |it| it.waits == Waits::Behind(1)).await;
        let refused = bed.bury(2, false).await;
        assert!(matches!(refused, Err(OpenError::Settled { sequence: 2 })), "{refused:?}");
        assert!(matches!(bed.state("game1", done), Some(State::Applied { sequence: 2 })));
        assert!(bed.letters().is_empty());
        bed.bury(1, false).await.expect("buried");
        bed.drained().await;
        bed.check("game1", 1).await;
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_of_a_database_that_is_away_is_buried_only_when_forced_read_or_not() {
    for bed in &beds("ap_bury_away").await.all {
        bed.place("game1", true);
        // So many that the last ones are hardly read before they are asked for: read or not, it is the same.
        bed.keep_many("game1", "a", 1500, 3).await;
        let working = bed.start();
        let standing = bed.stands(1, |it| matches!(it.waits, Waits::Away(_))).await;
        assert_eq!(standing.last.map(|last| last.code), Some(1302));
        for sequence in [1, 2, 1490] {
            let refused = bed.bury(sequence, false).await;
            assert!(matches!(refused, Err(OpenError::Untold { .. })), "{refused:?}");
            assert!(bed.journal.is_pending(sequence));
        }
        for sequence in [2, 1495] {
            bed.bury(sequence, true).await.expect("buried");
        }
        bed.place("game1", false);
        bed.drained().await;
        assert_eq!(bed.letters(), [2, 1495]);
        bed.check("game1", 1498).await;
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_that_a_record_was_buried_where_nobody_applies_records() {
    for bed in &beds("ap_bury_none").await.all {
        bed.keep("game1", &[("create", "a", 1, 1)]).await;
        let refused = bed.bury(1, true).await;
        assert!(matches!(refused, Err(OpenError::Journal(JournalError::Ended))), "{refused:?}");
        assert_eq!(bed.standing(1).await, None);
        assert!(bed.journal.is_pending(1) && bed.letters().is_empty());
    }
}
