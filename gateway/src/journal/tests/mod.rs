//! A journal in a temporary folder, driven through its own thread.

mod bounds;
mod contracts;
mod damage;
mod faults;
mod model;
mod restart;
mod speed;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use smallvec::smallvec;

use super::device::Faults;
use super::writer::now_micros;
use super::*;
use crate::bind::Bound;
use crate::catalog::Scalar;
use crate::identity::RequestKey;

/// An order of a key, in a lane.
pub(super) fn draft(key: &str, lane: Option<u64>) -> Draft {
    let value = Scalar::Str(key.to_owned().into());
    let request = RequestKey::request("game1", "order.create", &value);
    Draft {
        key: RequestKey { request, params: [1; 16] },
        lane: lane.map(Lane),
        payload: Payload {
            game: "game1".into(),
            op: "order.create".into(),
            contract: 11,
            version: 12,
            is_urgent: false,
            now_micros: now_micros(),
            ids: smallvec![77],
            caller: "key:shop".into(),
            claims: [].into(),
            trace: "t-1".into(),
            key_text: key.into(),
            bound: Bound { values: smallvec![value, Scalar::Int(7)], given: 3 },
        },
    }
}

/// A small journal's settings.
fn config(path: &Path) -> JournalConfig {
    JournalConfig {
        path: Some(path.into()),
        segment_bytes: 64 << 10,
        group_bytes_max: 16 << 10,
        bytes_max: 1 << 20,
        records_max: 100_000,
        age_max: Duration::from_hours(1),
        keys_max: 1000,
        queue_max: 1024,
    }
}

/// A journal that a test drives.
struct Driven {
    journal: Arc<Journal>,
    thread: JoinHandle<io::Result<()>>,
    opened: Opened,
    faults: Arc<Faults>,
}

impl Driven {
    fn try_open(config: &JournalConfig) -> Result<Self, OpenError> {
        let path = config.path.as_deref().unwrap();
        let (store, opened) = Store::open(path, config.keys_max as usize)?;
        let (board, _heard) = queue::notices(1);
        let notices = board.of("journal");
        let faults = Arc::new(Faults::default());
        let own = Arc::clone(&faults);
        let (journal, thread) = Journal::spawn(store, config, path, 0, move |work| {
            work(Driver::Faulty(own), None, &notices)
        })?;
        Ok(Self { journal, thread, opened, faults })
    }

    #[track_caller]
    fn open(config: &JournalConfig) -> Self {
        Self::try_open(config).unwrap()
    }

    /// Sends an order, and does not wait.
    fn send(&self, draft: Draft) -> Answer<Result<Accepted, JournalError>> {
        let (reply, answer) = queue::reply();
        self.journal.offer(draft, reply);
        answer
    }

    /// Sends an order and waits for its answer.
    fn offer(&self, draft: Draft) -> Result<Accepted, JournalError> {
        block_on(self.send(draft)).unwrap()
    }

    #[track_caller]
    fn keep(&self, key: &str, lane: Option<u64>) -> u64 {
        self.offer(draft(key, lane)).unwrap().sequence
    }

    /// Everything that waits: sequence and key.
    fn waiting(&self) -> Vec<(u64, String)> {
        let records = self.journal.reader().next(0, usize::MAX).unwrap();
        records.iter().map(|it| (it.sequence, it.payload.key_text.to_string())).collect()
    }

    /// Dead letters.
    fn dead(&self) -> Vec<u64> {
        let letters = self.journal.letters(0, usize::MAX).unwrap();
        letters.iter().map(|letter| letter.sequence).collect()
    }

    fn record(&self, sequence: u64) -> Record {
        self.journal.reader().next(sequence, 1).unwrap().remove(0)
    }

    /// Returns when the applied position is on disk.
    fn positioned(&self) {
        let begun = Instant::now();
        self.journal.settle(begun + Duration::from_mins(1));
        while self.journal.position() != self.journal.lowest() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never written");
            std::thread::yield_now();
        }
    }

    fn close(self) {
        self.journal.stop();
        self.thread.join().unwrap().unwrap();
    }
}

fn numbered(keys: &[&str]) -> Vec<(u64, String)> {
    (1..).zip(keys.iter().map(|key| (*key).to_owned())).collect()
}

#[test]
fn acknowledged_orders_wait_in_order_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    for key in ["a", "b", "c"] {
        journal.keep(key, None);
    }
    let id = journal.journal.id();
    assert_eq!(journal.waiting(), numbered(&["a", "b", "c"]));
    journal.close();
    let journal = Driven::open(&config);
    assert_eq!((journal.opened.replayed_count, journal.journal.id()), (3, id));
    assert_eq!(journal.waiting(), numbered(&["a", "b", "c"]));
    assert_eq!(journal.record(2).payload.bound, draft("b", None).payload.bound);
    assert_eq!(journal.keep("d", None), 4);
    journal.close();
}

#[test]
fn repeat_is_told_and_other_parameters_are_refused_before_and_after_application() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    let first = journal.send(draft("a", None));
    let second = journal.send(draft("a", None));
    assert_eq!(block_on(first).unwrap().unwrap(), Accepted { sequence: 1, repeated: false });
    let repeated = Accepted { sequence: 1, repeated: true };
    assert_eq!(block_on(second).unwrap().unwrap(), repeated);
    let mut other = draft("a", None);
    other.key.params = [2; 16];
    let check = |journal: &Driven| {
        assert_eq!(journal.offer(draft("a", None)).unwrap(), repeated);
        assert_eq!(journal.offer(other.clone()).unwrap_err().code().number(), 2020);
    };
    check(&journal);
    journal.journal.applied(&[1]);
    assert_eq!(journal.journal.state_of(&other.key.request), Some(State::Applied { sequence: 1 }));
    check(&journal);
    journal.close();
    let journal = Driven::open(&config);
    assert_eq!(journal.waiting(), []);
    check(&journal);
    journal.close();
}

#[test]
fn second_process_is_told_that_the_first_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    assert!(matches!(Driven::try_open(&config), Err(OpenError::InUse { .. })));
    assert!(matches!(Offline::open(folder.path()), Err(OpenError::InUse { .. })));
    assert!(matches!(Damage::repair(folder.path(), false), Err(OpenError::InUse { .. })));
    journal.close();
    Driven::open(&config).close();
}

#[test]
fn lane_is_settled_when_what_was_there_is_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Driven::open(&config(folder.path()));
    for (key, lane) in [("a", 7), ("b", 8), ("c", 7)] {
        journal.keep(key, Some(lane));
    }
    assert_eq!(journal.journal.lane_record_count(Lane(7)), 2);
    let own = Arc::clone(&journal.journal);
    let mut settled = std::pin::pin!(own.lane_settled(Lane(7)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(settled.as_mut().poll(&mut context).is_pending());
    journal.keep("d", Some(7));
    journal.journal.applied(&[3]);
    assert!(settled.as_mut().poll(&mut context).is_pending());
    journal.journal.applied(&[1]);
    assert!(settled.as_mut().poll(&mut context).is_ready());
    block_on(journal.journal.lane_settled(Lane(9)));
    journal.close();
}

#[test]
fn segments_are_deleted_once_all_in_them_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    // A group takes 512 bytes or more, so these fill three segments and more.
    let sequences: Vec<u64> =
        (0..400).map(|number| journal.keep(&format!("k{number}"), None)).collect();
    assert!(segment::list(folder.path()).unwrap().len() >= 4);
    assert_eq!(journal.waiting().len(), 400);
    journal.journal.applied(&sequences[1..]);
    journal.close();
    let journal = Driven::open(&config);
    // All but the first are applied; their marks were not below the position, so they come again.
    assert_eq!(journal.journal.lowest(), 1);
    journal.journal.applied(&sequences);
    journal.close();
    let journal = Driven::open(&config);
    assert_eq!(journal.waiting(), []);
    assert!(segment::list(folder.path()).unwrap().len() <= 2);
    assert_eq!(journal.keep("next", None), 401);
    journal.close();
}

#[test]
fn dead_letter_is_told_kept_tried_again_and_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    for key in ["a", "b", "c"] {
        journal.keep(key, Some(7));
    }
    let request = draft("a", None).key.request;
    for sequence in [1, 3] {
        block_on(journal.journal.dead(&journal.record(sequence), Cause::now(2103, "NOT_ENOUGH")))
            .unwrap();
    }
    let check = |journal: &Driven| {
        assert_eq!(journal.waiting(), [(2, "b".into())]);
        let state = journal.journal.state_of(&request);
        assert!(matches!(state, Some(State::Dead { sequence: 1, code: 2103, .. })), "{state:?}");
        assert!(journal.offer(draft("a", Some(7))).unwrap().repeated);
        let contracts = journal.journal.pending_contracts();
        assert_eq!((contracts[0].contract, contracts[0].count), (11, 3));
    };
    check(&journal);
    journal.close();
    let journal = Driven::open(&config);
    check(&journal);
    let retry = |sequence, force| block_on(journal.journal.retry(sequence, force));
    assert!(matches!(retry(1, false), Err(OpenError::Overtaken { sequence: 1 })));
    assert_eq!(retry(1, true).unwrap(), 4);
    assert_eq!(retry(3, true).unwrap(), 5);
    assert!(matches!(retry(3, true), Err(OpenError::NoRecord { sequence: 3 })));
    block_on(journal.journal.dead(&journal.record(5), Cause::now(2103, "NOT_ENOUGH"))).unwrap();
    block_on(journal.journal.drop_dead(5)).unwrap();
    journal.close();
    let journal = Driven::open(&config);
    assert_eq!(journal.waiting(), [(2, "b".into()), (4, "a".into())]);
    assert!(journal.dead().is_empty());
    assert!(!journal.offer(draft("c", Some(7))).unwrap().repeated);
    journal.close();
}

#[test]
fn last_dead_letter_of_a_lane_is_tried_again_without_force() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    journal.keep("a", Some(7));
    journal.keep("b", Some(8));
    block_on(journal.journal.dead(&journal.record(1), Cause::now(2103, "NOT_ENOUGH"))).unwrap();
    journal.close();
    let offline = Offline::open(folder.path()).unwrap();
    assert_eq!(offline.find(1).unwrap().dead.unwrap().code, 2103);
    assert_eq!(offline.retry(1, false).unwrap(), 3);
    let mut offline = Offline::open(folder.path()).unwrap();
    let mut keys = Vec::new();
    offline.each(|entry| keys.push((entry.sequence, entry.draft.payload.key_text))).unwrap();
    assert_eq!(keys, [(2, "b".into()), (3, "a".into())]);
    assert!(matches!(offline.discard(2, false), Err(OpenError::NoRecord { .. })));
    offline.discard(2, true).unwrap();
    drop(offline);
    let journal = Driven::open(&config);
    assert_eq!(journal.waiting(), [(3, "a".into())]);
    journal.close();
}

#[test]
fn journal_at_its_bound_takes_orders_and_beyond_refuses_with_1503() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Driven::open(&JournalConfig { records_max: 2, ..config(folder.path()) });
    journal.keep("a", None);
    journal.keep("b", None);
    let refused = journal.offer(draft("c", None)).unwrap_err();
    assert!(matches!(refused, JournalError::BacklogFull { bound: "journal.records_max" }));
    assert_eq!(refused.code().number(), 1503);
    journal.journal.applied(&[1]);
    journal.keep("c", None);
    journal.close();

    let folder = tempfile::tempdir().unwrap();
    let journal = Driven::open(&config(folder.path()));
    let mut old = draft("a", None);
    old.payload.now_micros -= 3_590 * 1_000_000;
    journal.offer(old).unwrap();
    journal.keep("b", None);
    let mut older = draft("c", None);
    older.payload.now_micros -= 3_610 * 1_000_000;
    journal.offer(older).unwrap();
    journal.journal.applied(&[1, 2]);
    let refused = journal.offer(draft("d", None)).unwrap_err();
    assert!(matches!(refused, JournalError::BacklogFull { bound: "journal.age_max" }));
    journal.journal.applied(&[3]);
    // A clock that went back makes ages of nothing, never of less.
    let mut future = draft("e", None);
    future.payload.now_micros = i64::MAX;
    journal.offer(future).unwrap();
    journal.keep("f", None);
    journal.close();
}

#[test]
fn bytes_on_disk_are_bounded_and_room_comes_back_when_they_are_applied() {
    let folder = tempfile::tempdir().unwrap();
    let config = JournalConfig { bytes_max: 3 * (64 << 10), ..config(folder.path()) };
    let journal = Driven::open(&config);
    let mut kept = Vec::new();
    let refused = loop {
        match journal.offer(draft(&format!("k{}", kept.len()), None)) {
            Ok(accepted) => kept.push(accepted.sequence),
            Err(error) => break error,
        }
        assert!(kept.len() < 1000, "never full");
    };
    assert!(matches!(refused, JournalError::BacklogFull { bound: "journal.bytes_max" }));
    assert!(kept.len() >= 300, "{}", kept.len());
    journal.journal.applied(&kept);
    journal.keep("again", None);
    journal.close();
}

#[test]
fn order_larger_than_a_group_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Driven::open(&config(folder.path()));
    let sized = |length| {
        let mut draft = draft("a", None);
        draft.payload.trace = "x".repeat(length).into();
        draft
    };
    let room = (16 << 10) - 64 - 4 - sized(0).encode().len();
    assert_eq!(journal.offer(sized(room + 1)).unwrap_err().code().number(), 1102);
    assert_eq!(journal.offer(sized(room)).unwrap().sequence, 1);
    journal.close();
}

#[test]
fn ring_and_plain_writes_make_the_same_journal() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    for (io_uring, key) in [(IoUring::Off, "a"), (IoUring::Preferred, "b")] {
        let (board, _heard) = queue::notices(1);
        let (journal, thread) =
            Journal::start(&config, io_uring, board.of("journal")).unwrap().unwrap();
        let (reply, answer) = queue::reply();
        journal.offer(draft(key, None), reply);
        block_on(answer).unwrap().unwrap();
        journal.stop();
        thread.join().unwrap().unwrap();
    }
    let journal = Driven::open(&config);
    assert_eq!(journal.waiting(), numbered(&["a", "b"]));
    journal.close();
}
