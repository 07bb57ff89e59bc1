//! What a snapshot serves: orders it could not apply are refused, and keys are forgotten after their time.

use super::*;

fn served(contract: u64, ttl: Duration) -> Vec<Served> {
    vec![Served { game: "game1".into(), op: "order.create".into(), contract, ttl }]
}

const HOUR: Duration = Duration::from_hours(1);

fn serve(journal: &Driven, served: Vec<Served>) -> Result<(), Vec<PendingContract>> {
    block_on(journal.journal.serve(served).unwrap()).unwrap()
}

#[test]
fn order_under_another_contract_than_the_one_in_effect_is_refused_and_may_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Driven::open(&config(folder.path()));
    serve(&journal, served(11, HOUR)).unwrap();
    journal.keep("a", None);
    journal.journal.applied(&[1]);
    serve(&journal, served(12, HOUR)).unwrap();
    let refused = journal.offer(draft("b", None)).unwrap_err();
    assert!(matches!(refused, JournalError::Superseded));
    assert!(refused.code().retryable(), "{refused}");
    let mut newer = draft("b", None);
    newer.payload.contract = 12;
    assert_eq!(journal.offer(newer).unwrap(), Accepted { sequence: 2, repeated: false });
    // What is known needs no contract: it is applied already.
    assert!(journal.offer(draft("a", None)).unwrap().repeated);
    journal.close();
}

#[test]
fn orders_on_their_way_count_when_a_reload_asks_and_its_refusal_leaves_all_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Driven::open(&config(folder.path()));
    serve(&journal, served(11, HOUR)).unwrap();
    // Neither is answered when the reload asks: they stand before it in the queue.
    let orders = ["a", "b"].map(|key| journal.send(draft(key, None)));
    let asked = journal.journal.serve(served(12, HOUR)).unwrap();
    let late = journal.send(draft("c", None));
    let pending = block_on(asked).unwrap().unwrap_err();
    assert_eq!((pending[0].contract, pending[0].count), (11, 2));
    for order in orders.into_iter().chain([late]) {
        block_on(order).unwrap().unwrap();
    }
    block_on(journal.journal.dead(&journal.record(3), Cause::now(2103, "NOT_ENOUGH"))).unwrap();
    journal.journal.applied(&[1, 2]);
    let pending = serve(&journal, served(12, HOUR)).unwrap_err();
    assert_eq!(pending[0].count, 1, "a dead letter may be tried again");
    block_on(journal.journal.drop_dead(3)).unwrap();
    serve(&journal, served(12, HOUR)).unwrap();
    journal.close();
}

#[test]
fn key_of_an_applied_order_is_forgotten_after_its_time_and_no_other_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    let aged = |key: &str, seconds: i64| {
        let mut draft = draft(key, None);
        draft.payload.now_micros -= seconds * 1_000_000;
        draft
    };
    serve(&journal, served(11, HOUR)).unwrap();
    journal.offer(aged("old", 3_500)).unwrap();
    journal.offer(aged("older", 3_599)).unwrap();
    journal.journal.applied(&[1]);
    serve(&journal, served(11, Duration::from_mins(58))).unwrap();
    let repeat = |journal: &Driven, key| journal.offer(draft(key, None)).unwrap();
    // A restart would hand it out again, so its row in the database is kept and would be found.
    assert_eq!(repeat(&journal, "old"), Accepted { sequence: 1, repeated: true });
    journal.positioned();
    assert_eq!(repeat(&journal, "old"), Accepted { sequence: 3, repeated: false });
    assert_eq!(repeat(&journal, "older"), Accepted { sequence: 2, repeated: true }, "it waits");
    assert_eq!(repeat(&journal, "old"), Accepted { sequence: 3, repeated: true });
    journal.journal.applied(&[2, 3]);
    journal.close();
    // The same after a restart, as soon as a snapshot has told the times.
    let journal = Driven::open(&config);
    assert_eq!(repeat(&journal, "older"), Accepted { sequence: 2, repeated: true });
    serve(&journal, served(11, Duration::from_mins(58))).unwrap();
    assert_eq!(repeat(&journal, "older"), Accepted { sequence: 4, repeated: false });
    journal.close();
}

#[test]
fn many_groups_that_wait_at_once_are_written_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let config = JournalConfig {
        group_bytes_max: 4 << 10,
        bytes_max: 64 << 20,
        segment_bytes: 1 << 20,
        queue_max: 16_384,
        ..config(folder.path())
    };
    let journal = Driven::open(&config);
    let answers: Vec<_> =
        (0..8_000).map(|number| journal.send(draft(&format!("k{number}"), None))).collect();
    for (number, answer) in (1..).zip(answers) {
        assert_eq!(block_on(answer).unwrap().unwrap().sequence, number);
    }
    assert!(journal.journal.stats.syncs() >= 300, "{}", journal.journal.stats.syncs());
    journal.close();
}
