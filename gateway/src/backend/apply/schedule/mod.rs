//! Which records are applied next, and which of them together.
//!
//! Records of one lane are applied in the order of their sequence, whatever else happens: a lane has
//! records in at most one running batch, and a record that failed stands before the others of its lane until
//! it succeeds or is given up. Everything else runs side by side; urgent groups go first.
//!
//! Pure: time comes in as an argument, nothing is read or written here.
//!
//! Invariant: of two records of one lane the later one is never handed out while the earlier one is unsettled,
//! unless both are in the same batch, in order.

mod pull;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::identity::Lane;

pub(super) use pull::{Pulled, Stands};

/// How the records of one group (one operation of one game) are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gathering {
    /// Most records of a batch.
    pub(super) count_max: usize,
    /// How long a record waits for others.
    pub(super) linger: Duration,
    /// Whether the group goes before groups that are not.
    pub(super) is_urgent: bool,
}

/// A record that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting<G> {
    /// Its place in the journal, unique and growing.
    pub(super) sequence: u64,
    /// What it can be applied together with.
    pub(super) group: G,
    /// What it must keep its order in.
    pub(super) lane: Option<Lane>,
    /// When it came here.
    pub(super) arrived: Instant,
}

/// Records to apply in one transaction, in the order of their sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch<G> {
    /// Their group.
    pub(super) group: G,
    /// Never empty.
    pub(super) sequences: Vec<u64>,
}

/// What became of one record of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settlement {
    /// Applied or given up: it is over.
    Over,
    /// To be tried again, at this time at the earliest; its lane waits.
    Again(Instant),
}

/// The records that wait and those that run.
#[derive(Debug)]
pub(super) struct Schedule<G> {
    lanes: HashMap<Lane, LaneState<G>, RandomState>,
    groups: HashMap<G, Group, RandomState>,
    /// What may be tried again, and when.
    later: BTreeMap<(Instant, u64), Unit>,
    running: HashMap<u64, Waiting<G>, RandomState>,
    loose: HashMap<u64, Waiting<G>, RandomState>,
    waiting_count: usize,
}

/// What can be handed out as one: the head of a lane, or a record without a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Lane(Lane),
    Record(u64),
}

#[derive(Debug)]
struct LaneState<G> {
    waiting: VecDeque<Waiting<G>>,
    /// Whether it stands in a group's queue, in `later` or in a running batch.
    is_placed: bool,
    /// Its records in a running batch.
    running_count: usize,
    /// A record that failed: nothing before this time.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Group {
    gathering: Gathering,
    ready: VecDeque<Unit>,
    /// Records that wait in this group, ready or behind others of their lane.
    waiting_count: usize,
}

impl<G: Clone + Eq + Hash> Schedule<G> {
    /// Nothing waits.
    pub(super) fn new() -> Self {
        Self {
            lanes: HashMap::default(),
            groups: HashMap::default(),
            later: BTreeMap::new(),
            running: HashMap::default(),
            loose: HashMap::default(),
            waiting_count: 0,
        }
    }

    /// Records that wait.
    pub(super) const fn waiting_count(&self) -> usize {
        self.waiting_count
    }

    /// Records that wait and are not held up by one that failed.
    ///
    /// Cost: looks at every lane that is held up.
    pub(super) fn runnable_count(&self) -> usize {
        let held_up = self.later.values().map(|unit| match unit {
            Unit::Lane(lane) => self.lanes.get(lane).map_or(0, |state| state.waiting.len()),
            Unit::Record(_) => 1,
        });
        self.waiting_count.saturating_sub(held_up.sum())
    }

    /// Whether a lane waits for a record that failed.
    pub(super) fn is_held_up(&self, lane: Lane) -> bool {
        self.lanes.get(&lane).is_some_and(|state| state.not_before.is_some())
    }

    /// Records in running batches.
    #[cfg(test)]
    fn running_count(&self) -> usize {
        self.running.len()
    }

    /// Adds a record. Records are added in the order of their sequence.
    pub(super) fn push(&mut self, record: Waiting<G>, gathering: Gathering) {
        let group = self.groups.entry(record.group.clone()).or_insert_with(|| Group {
            gathering,
            ready: VecDeque::new(),
            waiting_count: 0,
        });
        group.gathering = gathering;
        group.waiting_count += 1;
        self.waiting_count += 1;
        let Some(lane) = record.lane else {
            group.ready.push_back(Unit::Record(record.sequence));
            self.loose.insert(record.sequence, record);
            return;
        };
        self.lanes.entry(lane).or_insert_with(LaneState::empty).put(record);
        self.place(lane);
    }

    /// Hands out the next batch, if one is due.
    ///
    /// - `shrink`: how much smaller it is than its group allows, as a power of two.
    pub(super) fn next(&mut self, now: Instant, shrink: u32) -> Option<Batch<G>> {
        self.wake(now);
        let mut best: Option<(bool, Instant, G)> = None;
        for (name, group) in &self.groups {
            let Some(oldest) = group.ready.front().and_then(|unit| self.arrival(*unit)) else {
                continue;
            };
            let is_due = group.waiting_count >= group.gathering.count_max
                || now.saturating_duration_since(oldest) >= group.gathering.linger;
            // Not urgent sorts after urgent, then the oldest first.
            let rank = (!group.gathering.is_urgent, oldest);
            if is_due && best.as_ref().is_none_or(|(later, at, _)| rank < (*later, *at)) {
                best = Some((rank.0, rank.1, name.clone()));
            }
        }
        best.map(|(_, _, group)| self.take(group, shrink))
    }

    /// When [`Schedule::next`] may have something that it does not have now.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let later = self.later.keys().next().map(|(at, _)| *at);
        let lingering = self.groups.values().filter_map(|group| {
            let oldest = group.ready.front().and_then(|unit| self.arrival(*unit))?;
            Some(oldest + group.gathering.linger)
        });
        lingering.chain(later).min()
    }

    /// Tells what became of a batch: each of its records, once. Those that are tried again keep their place.
    pub(super) fn settle(&mut self, outcomes: &[(u64, Settlement)]) {
        let mut again = Vec::new();
        let mut lanes = Vec::new();
        for (sequence, settlement) in outcomes {
            let Some(record) = self.running.remove(sequence) else { continue };
            if let Some(lane) = record.lane {
                if let Some(state) = self.lanes.get_mut(&lane) {
                    state.running_count = state.running_count.saturating_sub(1);
                    if *settlement == Settlement::Over && !state.is_placed {
                        // It may have been what the lane waited for.
                        state.not_before = None;
                    }
                }
                lanes.push(lane);
            }
            if let Settlement::Again(at) = settlement {
                again.push((record, *at));
            }
        }
        // Backwards, so that putting each before the lane's others leaves them in order.
        again.sort_unstable_by_key(|(record, _)| std::cmp::Reverse(record.sequence));
        for (record, at) in again {
            self.put_back(record, at);
        }
        // Placed once all are back: a lane waits for the longest of its records' times.
        for lane in lanes {
            self.place(lane);
        }
    }

    fn put_back(&mut self, record: Waiting<G>, at: Instant) {
        self.waiting_count += 1;
        if let Some(group) = self.groups.get_mut(&record.group) {
            group.waiting_count += 1;
        }
        let Some(lane) = record.lane else {
            self.later.insert((at, record.sequence), Unit::Record(record.sequence));
            self.loose.insert(record.sequence, record);
            return;
        };
        let state = self.lanes.entry(lane).or_insert_with(LaneState::empty);
        state.not_before = Some(state.not_before.map_or(at, |other| other.max(at)));
        state.put(record);
    }

    /// Puts a lane where it is found: to its group's ready ones, or to those for later.
    fn place(&mut self, lane: Lane) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        if state.running_count > 0 {
            return;
        }
        let Some(head) = state.waiting.front() else {
            if !state.is_placed {
                self.lanes.remove(&lane);
            }
            return;
        };
        if let Some(at) = state.not_before {
            if !state.is_placed {
                self.later.insert((at, head.sequence), Unit::Lane(lane));
                state.is_placed = true;
            }
        } else if !state.is_placed
            && let Some(group) = self.groups.get_mut(&head.group)
        {
            group.ready.push_back(Unit::Lane(lane));
            state.is_placed = true;
        }
    }

    /// Makes ready what may be tried again by now.
    fn wake(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                return;
            }
            match entry.remove() {
                Unit::Lane(lane) => {
                    if let Some(state) = self.lanes.get_mut(&lane) {
                        (state.is_placed, state.not_before) = (false, None);
                    }
                    self.place(lane);
                }
                Unit::Record(sequence) => {
                    let group = self.loose.get(&sequence).map(|record| &record.group);
                    if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
                        group.ready.push_back(Unit::Record(sequence));
                    }
                }
            }
        }
    }

    fn arrival(&self, unit: Unit) -> Option<Instant> {
        match unit {
            Unit::Lane(lane) => self.lanes.get(&lane)?.waiting.front().map(|head| head.arrived),
            Unit::Record(sequence) => self.loose.get(&sequence).map(|record| record.arrived),
        }
    }

    /// Takes a batch out of a group: whole runs of lanes, as far as they are of the group and there is room.
    fn take(&mut self, name: G, shrink: u32) -> Batch<G> {
        let mut sequences = Vec::new();
        let Some(group) = self.groups.get_mut(&name) else {
            return Batch { group: name, sequences };
        };
        let count_max = group.gathering.count_max.checked_shr(shrink).unwrap_or(0).max(1);
        while sequences.len() < count_max
            && let Some(unit) = group.ready.pop_front()
        {
            match unit {
                Unit::Record(sequence) => {
                    if let Some(record) = self.loose.remove(&sequence) {
                        self.running.insert(sequence, record);
                        sequences.push(sequence);
                    }
                }
                Unit::Lane(lane) => {
                    let Some(state) = self.lanes.get_mut(&lane) else { continue };
                    state.is_placed = false;
                    while sequences.len() < count_max
                        && let Some(record) =
                            state.waiting.pop_front_if(|record| record.group == name)
                    {
                        state.running_count += 1;
                        sequences.push(record.sequence);
                        self.running.insert(record.sequence, record);
                    }
                }
            }
        }
        group.waiting_count -= sequences.len();
        self.waiting_count -= sequences.len();
        sequences.sort_unstable();
        Batch { group: name, sequences }
    }
}

impl<G> LaneState<G> {
    /// Puts a record at its place: last, mostly, or first.
    fn put(&mut self, record: Waiting<G>) {
        let at = self.waiting.partition_point(|other| other.sequence < record.sequence);
        self.waiting.insert(at, record);
    }

    fn empty() -> Self {
        Self { waiting: VecDeque::new(), is_placed: false, running_count: 0, not_before: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: Gathering = Gathering { count_max: 4, linger: Duration::ZERO, is_urgent: false };

    /// The group of a record that is being buried.
    const BURIAL: char = '!';

    fn record(sequence: u64, group: char, lane: Option<u64>, arrived: Instant) -> Waiting<char> {
        Waiting { sequence, group, lane: lane.map(Lane), arrived }
    }

    /// Pushes `(group, lane)`s with sequences from 1 on.
    fn schedule(records: &[(char, Option<u64>)], now: Instant) -> Schedule<char> {
        let mut schedule = Schedule::new();
        for (sequence, (group, lane)) in (1..).zip(records) {
            schedule.push(record(sequence, *group, *lane, now), EACH);
        }
        schedule
    }

    #[track_caller]
    fn check(schedule: &mut Schedule<char>, now: Instant, expected: Option<(char, &[u64])>) {
        let batch = schedule.next(now, 0);
        let found = batch.as_ref().map(|batch| (batch.group, &batch.sequences[..]));
        assert_eq!(found, expected);
    }

    fn over(sequences: &[u64]) -> Vec<(u64, Settlement)> {
        sequences.iter().map(|sequence| (*sequence, Settlement::Over)).collect()
    }

    #[test]
    fn records_of_one_lane_go_together_in_order_and_the_next_batch_waits_for_them() {
        let now = Instant::now();
        let mut schedule = schedule(&[('a', Some(1)); 6], now);
        check(&mut schedule, now, Some(('a', &[1, 2, 3, 4])));
        check(&mut schedule, now, None);
        schedule.settle(&over(&[1, 2, 3, 4]));
        check(&mut schedule, now, Some(('a', &[5, 6])));
    }

    #[test]
    fn a_lane_that_changes_its_operation_waits_for_the_earlier_one() {
        let now = Instant::now();
        let mut schedule = schedule(&[('a', Some(1)), ('b', Some(1)), ('a', Some(1))], now);
        check(&mut schedule, now, Some(('a', &[1])));
        check(&mut schedule, now, None);
        schedule.settle(&over(&[1]));
        check(&mut schedule, now, Some(('b', &[2])));
        schedule.settle(&over(&[2]));
        check(&mut schedule, now, Some(('a', &[3])));
    }

    #[test]
    fn other_lanes_go_on_while_one_waits_for_its_failed_record() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let lanes = [Some(1), Some(2), Some(1), Some(2)];
        let mut schedule = schedule(&lanes.map(|lane| ('a', lane)), now);
        check(&mut schedule, now, Some(('a', &[1, 2, 3, 4])));
        // 1 failed, so 3 was not tried.
        let again = [(1, Settlement::Again(later)), (3, Settlement::Again(now))];
        schedule.settle(&[&over(&[2, 4])[..], &again].concat());
        schedule.push(record(5, 'a', Some(2), now), EACH);
        schedule.push(record(6, 'a', Some(1), now), EACH);
        check(&mut schedule, now, Some(('a', &[5])));
        check(&mut schedule, now, None);
        assert_eq!(schedule.wake_at(), Some(later));
        check(&mut schedule, later, Some(('a', &[1, 3, 6])));
    }

    #[test]
    fn urgent_group_goes_first_and_never_past_its_lane() {
        let now = Instant::now();
        let urgent = Gathering { is_urgent: true, ..EACH };
        let mut schedule = schedule(&[('a', Some(1)), ('a', Some(2))], now);
        schedule.push(record(3, 'u', Some(1), now), urgent);
        schedule.push(record(4, 'u', Some(3), now), urgent);
        check(&mut schedule, now, Some(('u', &[4])));
        check(&mut schedule, now, Some(('a', &[1, 2])));
        check(&mut schedule, now, None);
        schedule.settle(&over(&[1, 2]));
        check(&mut schedule, now, Some(('u', &[3])));
    }

    #[test]
    fn records_linger_for_others_until_the_batch_is_full_or_the_time_is_over() {
        let now = Instant::now();
        let linger = Duration::from_millis(5);
        let gathering = Gathering { linger, ..EACH };
        let mut schedule = Schedule::new();
        schedule.push(record(1, 'a', None, now), gathering);
        check(&mut schedule, now, None);
        assert_eq!(schedule.wake_at(), Some(now + linger));
        check(&mut schedule, now + linger, Some(('a', &[1])));
        for sequence in 2..=5 {
            schedule.push(record(sequence, 'a', None, now), gathering);
        }
        check(&mut schedule, now, Some(('a', &[2, 3, 4, 5])));
    }

    /// A small generator, so that a failure can be repeated by its seed.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % bound
        }
    }

    #[test]
    fn whatever_fails_each_record_is_settled_once_and_each_lane_in_order() {
        for seed in 0..50 {
            run_randomly(seed);
        }
    }

    /// What became of records.
    #[derive(Default)]
    struct Played {
        lanes: HashMap<u64, Option<u64>>,
        settled: Vec<u64>,
        buried: Vec<u64>,
    }

    impl Played {
        fn is_over(&self, sequence: u64) -> bool {
            self.settled.contains(&sequence) || self.buried.contains(&sequence)
        }

        /// Checks that nothing before them in their lanes waits.
        fn check(&self, batch: &Batch<char>, seed: u64) {
            for sequence in &batch.sequences {
                let lane = self.lanes[sequence];
                let unsettled_before = (1..*sequence).any(|earlier| {
                    lane.is_some()
                        && self.lanes[&earlier] == lane
                        && !self.is_over(earlier)
                        && !batch.sequences.contains(&earlier)
                });
                assert!(!unsettled_before, "seed {seed}: {sequence} passed its lane");
            }
            assert!(!batch.sequences.is_empty() && batch.sequences.is_sorted());
        }

        /// Ends a batch: a fifth of it is tried again.
        fn end(
            &mut self,
            batch: Batch<char>,
            random: &mut Random,
            now: Instant,
        ) -> Vec<(u64, Settlement)> {
            let mut failed: Vec<Option<u64>> = Vec::new();
            let mut outcomes = Vec::new();
            for sequence in batch.sequences {
                let lane = self.lanes[&sequence];
                let is_behind = lane.is_some() && failed.contains(&lane);
                if is_behind || random.below(5) == 0 {
                    failed.push(lane);
                    let wait = if is_behind { 0 } else { random.below(20) };
                    let at = now + Duration::from_millis(wait);
                    outcomes.push((sequence, Settlement::Again(at)));
                } else {
                    assert!(!self.is_over(sequence), "{sequence} twice");
                    let over =
                        if batch.group == BURIAL { &mut self.buried } else { &mut self.settled };
                    over.push(sequence);
                    outcomes.push((sequence, Settlement::Over));
                }
            }
            outcomes
        }
    }

    fn run_randomly(seed: u64) {
        let mut random = Random(seed);
        let mut now = Instant::now();
        let mut schedule = Schedule::new();
        let mut played = Played::default();
        let mut running: Vec<Batch<char>> = Vec::new();
        let (mut pushed, count) = (0, 300);
        while played.settled.len() + played.buried.len() < count {
            now += Duration::from_millis(random.below(3));
            if pushed < count && random.below(3) > 0 {
                pushed += 1;
                let lane = (random.below(4) > 0).then(|| random.below(5));
                let group = char::from(b'a' + u8::try_from(random.below(3)).unwrap());
                played.lanes.insert(pushed as u64, lane);
                schedule.push(record(pushed as u64, group, lane, now), EACH);
            }
            if running.len() < 3
                && let Some(batch) = schedule.next(now, u32::try_from(random.below(4)).unwrap())
            {
                played.check(&batch, seed);
                running.push(batch);
            }
            if pushed > 0 && random.below(6) == 0 {
                let sequence = 1 + random.below(pushed as u64);
                let lane = played.lanes[&sequence].map(Lane);
                let is_running = running.iter().any(|batch| batch.sequences.contains(&sequence));
                let expected = match (is_running, played.is_over(sequence)) {
                    (true, _) => Pulled::Running,
                    (_, true) => Pulled::Unknown,
                    _ => Pulled::Taken,
                };
                assert_eq!(schedule.pull(sequence, lane), expected, "seed {seed}: {sequence}");
                if expected == Pulled::Taken {
                    // To be buried, or back at its place in the lane.
                    running.push(Batch { group: BURIAL, sequences: vec![sequence] });
                }
            }
            if !running.is_empty() && random.below(2) == 0 {
                let index = usize::try_from(random.below(running.len() as u64)).unwrap();
                let outcomes = played.end(running.swap_remove(index), &mut random, now);
                schedule.settle(&outcomes);
            }
        }
        let Played { lanes, settled, buried } = played;
        assert_eq!((schedule.waiting_count(), schedule.running_count()), (0, 0));
        assert!(!buried.is_empty(), "seed {seed}");
        for lane in 0..5 {
            let of_lane = settled.iter().filter(|sequence| lanes[sequence] == Some(lane));
            assert!(of_lane.is_sorted(), "seed {seed}: lane {lane} out of order");
        }
        assert!(schedule.lanes.is_empty() && schedule.loose.is_empty(), "seed {seed}: left over");
    }
}
