//! L1: entries in process, shared by every thread.
//!
//! A hit (`read.rs`) is a look-up in a lock-free map, a comparison of generations and whatever the caller does
//! with the entry under the map's guard. Filling, evicting, sweeping take a lock that hits never see.
//!
//! Invariant: a hit writes to no memory that another core reads or writes, except that it sets the
//! eviction bit when that is clear, and counts an entry's JSON when it is first seen.

mod read;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use papaya::Guard;

pub use read::{Found, Hit, Life, Reading};

use super::eviction::{NODE_BYTES, Order, Queue};
use super::generation::{Generations, View};
use super::key::CarriedHash;
use super::{Key, Stored};

/// An entry larger than this share of the budget is not kept.
const ENTRY_SHARE: u64 = 16;
/// Share of the budget for entries not hit yet, and at most for "no such row".
const SMALL_SHARE: u64 = 10;
/// Hit entries passed over for one eviction; then the oldest leaves, hit or not.
const CHANCES_MAX: usize = 64;
/// Memory of an entry besides long keys, body and tags: itself and its key, its node, which has the key again, its
/// share of the map's table at the usual load (24 bytes), and the headers of four allocations.
const ENTRY_BYTES: usize =
    size_of::<(Key, Entry)>() + size_of::<Stored>() + NODE_BYTES + 24 + 4 * 16;
/// In [`Entry::json_bytes`]: the entry is gone, count nothing more.
const GONE: u64 = u64::MAX;

/// The entries of one process.
#[derive(Debug)]
pub struct L1 {
    map: papaya::HashMap<Key, Entry, CarriedHash>,
    generations: Arc<Generations>,
    /// What is older is not served while messages of other instances may be missing.
    blind_ttl_ms: u64,
    bytes_max: AtomicU64,
    /// JSON made after its entry was kept.
    json_bytes: Apart<AtomicU64>,
    /// The filling side's; never touched by a hit.
    filling: Apart<Mutex<Filling>>,
}

/// On cache lines of its own: what fills write shares none with what hits read. Two lines of 64 bytes,
/// because x86 fetches them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

/// What only the filling side touches.
#[derive(Debug)]
struct Filling {
    order: Order,
    counts: L1Counts,
    /// Next place of the slab to sweep.
    cursor: u32,
}

/// What happened to entries since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L1Counts {
    /// Kept.
    pub filled: u64,
    /// Not kept: a write began since their fetch.
    pub dead_on_arrival: u64,
    /// Not kept: larger than a sixteenth of the budget.
    pub too_large: u64,
    /// Pushed out by the budget.
    pub evicted: u64,
    /// Swept out, too old or stale.
    pub expired: u64,
}

/// How full L1 is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L1Stats {
    /// Entries, stale ones too until they are swept.
    pub entry_count: usize,
    /// Their memory, in bytes.
    pub bytes: u64,
    /// Of that, "no such row".
    pub negative_bytes: u64,
    /// The budget, in bytes.
    pub bytes_max: u64,
    /// What happened since the start.
    pub counts: L1Counts,
}

#[derive(Debug)]
struct Entry {
    stored: Arc<Stored>,
    /// The body's own bytes, found without going through `stored`: one wait for memory less. `None`: no such row.
    msgpack: Option<Bytes>,
    view: View,
    fetched_ms: u64,
    expires_ms: u64,
    node: u32,
    hit: AtomicBool,
    json_bytes: AtomicU64,
}

impl L1 {
    /// Makes an empty L1.
    ///
    /// - `bytes_max`: the budget, in bytes; from `cache.l1_bytes_max`.
    /// - `blind_ttl`: from `cache.l1_blind_ttl`.
    pub fn new(bytes_max: u64, blind_ttl: Duration, generations: Arc<Generations>) -> Self {
        Self {
            map: papaya::HashMap::with_hasher(CarriedHash::default()),
            generations,
            blind_ttl_ms: millis(blind_ttl),
            bytes_max: AtomicU64::new(bytes_max),
            json_bytes: Apart(AtomicU64::new(0)),
            filling: Apart(Mutex::new(Filling {
                order: Order::new(),
                counts: L1Counts::default(),
                cursor: 0,
            })),
        }
    }

    /// Keeps what a fetch found.
    ///
    /// - `view`: the generations from before the fetch began.
    /// - `fetched_ms`: when that was.
    /// - `ttl`: from the policy; cut by up to a tenth, so that entries do not expire together.
    ///
    /// What a write made stale meanwhile, what is too large and what has no life is not kept.
    pub fn fill(
        &self,
        key: &Key,
        stored: &Arc<Stored>,
        view: View,
        fetched_ms: u64,
        ttl: Duration,
    ) {
        let life_ms = jittered_ms(ttl, key.as_ref().hash ^ fetched_ms);
        if life_ms == 0 {
            return;
        }
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        let bytes = entry_bytes(key, stored, &view);
        let guard = self.map.guard();
        let mut filling = self.lock();
        if !view.is_open() || !self.generations.holds(&view) {
            filling.counts.dead_on_arrival += 1;
            return;
        }
        if bytes > bytes_max / ENTRY_SHARE {
            filling.counts.too_large += 1;
            return;
        }
        let queue = match **stored {
            Stored::Absent => Queue::Negative,
            Stored::Present(_) => match self.remove(&mut filling, key, &guard) {
                Some(Queue::Main) => Queue::Main,
                _ if filling.order.recall(key.as_ref().hash) => Queue::Main,
                _ => Queue::Small,
            },
        };
        if queue == Queue::Negative {
            self.remove(&mut filling, key, &guard);
        }
        let Some(node) = filling.order.add(key.clone(), bytes, queue) else { return };
        filling.counts.filled += 1;
        let entry = Entry {
            stored: Arc::clone(stored),
            msgpack: match &**stored {
                Stored::Present(body) => Some(body.msgpack.clone()),
                Stored::Absent => None,
            },
            view,
            fetched_ms,
            expires_ms: fetched_ms.saturating_add(life_ms),
            node,
            hit: AtomicBool::new(false),
            json_bytes: AtomicU64::new(0),
        };
        self.map.insert(key.clone(), entry, &guard);
        self.shrink(&mut filling, &guard);
    }

    /// Removes entries that are too old or stale, looking at no more than `count_max` places.
    pub fn sweep(&self, now_ms: u64, count_max: usize) {
        let guard = self.map.guard();
        let mut filling = self.lock();
        for _ in 0..count_max.min(filling.order.place_count()) {
            let place = filling.cursor;
            filling.cursor += 1;
            if filling.cursor as usize >= filling.order.place_count() {
                filling.cursor = 0;
            }
            let Some(key) = filling.order.at(place).cloned() else { continue };
            let Some(entry) = self.map.get(&key, &guard) else { continue };
            self.count_json(entry);
            if now_ms >= entry.expires_ms || !self.generations.holds(&entry.view) {
                self.remove(&mut filling, &key, &guard);
                filling.counts.expired += 1;
            }
        }
        self.shrink(&mut filling, &guard);
    }

    /// Changes the budget; what no longer fits leaves at once.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        let guard = self.map.guard();
        self.shrink(&mut self.lock(), &guard);
    }

    /// How full it is, for the metrics. Takes the filling side's lock.
    pub fn stats(&self) -> L1Stats {
        let filling = self.lock();
        L1Stats {
            entry_count: filling.order.count(),
            bytes: self.bytes(&filling),
            negative_bytes: filling.order.bytes_of(Queue::Negative),
            bytes_max: self.bytes_max.load(Ordering::Relaxed),
            counts: filling.counts,
        }
    }

    /// Evicts until the budgets hold.
    fn shrink(&self, filling: &mut Filling, guard: &impl Guard) {
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        let share = bytes_max / SMALL_SHARE;
        while filling.order.bytes_of(Queue::Negative) > share {
            if !self.evict(filling, Queue::Negative, guard) {
                break;
            }
        }
        while self.bytes(filling) > bytes_max {
            let small = filling.order.bytes_of(Queue::Small);
            let queue = if small > share || filling.order.bytes_of(Queue::Main) == 0 {
                if small == 0 { Queue::Negative } else { Queue::Small }
            } else {
                Queue::Main
            };
            if !self.evict(filling, queue, guard) {
                break;
            }
        }
    }

    /// Takes one entry out of a list, passing over those that were hit; false: the list is empty.
    fn evict(&self, filling: &mut Filling, queue: Queue, guard: &impl Guard) -> bool {
        for chance in 0..=CHANCES_MAX {
            let Some((node, key)) = filling.order.oldest(queue) else { return chance > 0 };
            let key = key.clone();
            let was_hit = self.map.get(&key, guard).is_some_and(|entry| {
                entry.hit.swap(false, Ordering::Relaxed) && self.generations.holds(&entry.view)
            });
            if was_hit && chance < CHANCES_MAX {
                let next = if queue == Queue::Negative { queue } else { Queue::Main };
                filling.order.shift(node, next);
                continue;
            }
            self.remove(filling, &key, guard);
            filling.counts.evicted += 1;
            if queue == Queue::Small {
                filling.order.remember(key.as_ref().hash);
            }
            return true;
        }
        true
    }

    /// Takes an entry out of map and list; tells which list that was.
    fn remove(&self, filling: &mut Filling, key: &Key, guard: &impl Guard) -> Option<Queue> {
        let entry = self.map.remove(key, guard)?;
        let json_bytes = entry.json_bytes.swap(GONE, Ordering::Relaxed);
        if json_bytes != GONE {
            self.json_bytes.0.fetch_sub(json_bytes, Ordering::Relaxed);
        }
        let queue = filling.order.queue_of(entry.node);
        filling.order.remove(entry.node);
        queue
    }

    fn bytes(&self, filling: &Filling) -> u64 {
        filling.order.bytes() + self.json_bytes.0.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Filling> {
        self.filling.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A life between nine tenths of `ttl` and `ttl`, in milliseconds; `salt` says where.
pub(super) fn jittered_ms(ttl: Duration, salt: u64) -> u64 {
    let ttl_ms = millis(ttl);
    let spread_ms = ttl_ms / 10;
    // Multiplicative hashing (Knuth): the upper half of the product is well mixed.
    let mixed = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ttl_ms - mixed % (spread_ms + 1)
}

fn entry_bytes(key: &Key, stored: &Stored, view: &View) -> u64 {
    let body_bytes = match stored {
        Stored::Present(body) => body.msgpack.len() + body.etag.len(),
        Stored::Absent => 0,
    };
    (ENTRY_BYTES + 2 * key.heap_bytes() + view.heap_bytes() + body_bytes) as u64
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use bytes::Bytes;

    use super::*;
    use crate::cache::Tag;
    use crate::cache::testing::{bytes_of, key, present};

    const TTL: Duration = Duration::from_secs(1);
    const BLIND_TTL: Duration = Duration::from_millis(100);
    const TAG: Tag = Tag([1; 16]);

    fn l1(bytes_max: u64) -> L1 {
        L1::new(bytes_max, BLIND_TTL, Arc::new(Generations::new(1024, true)))
    }

    /// Fills one entry under [`TAG`], fetched at 0.
    fn fill(l1: &L1, name: &str, stored: Stored) {
        l1.fill(&key(name), &Arc::new(stored), l1.generations.view(&[TAG]), 0, TTL);
    }

    fn read(l1: &L1, name: &str, now_ms: u64) -> Option<Vec<u8>> {
        l1.read(key(name).as_ref(), now_ms, |hit| bytes_of(hit.stored()))
    }

    /// Bytes of a budget that holds `count` bodies of `body_bytes` with names of 5 bytes.
    fn room(count: u64, body_bytes: usize) -> u64 {
        let view = Generations::new(1, true).view(&[TAG]);
        entry_bytes(&key("00000"), &present(&vec![0; body_bytes]), &view) * count
    }

    #[test]
    fn entry_is_read_until_its_life_is_over_and_not_after() {
        let l1 = l1(1 << 20);
        fill(&l1, "a", present(b"1"));
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "of every lifetime, which the method is not"
        )]
        let life = l1.read(key("a").as_ref(), 10, |hit| hit.life()).unwrap();
        assert_eq!(life.age_ms, 10);
        let last_ms = 10 + life.left_ms;
        assert!((900..=1000).contains(&last_ms), "{last_ms}");
        assert_eq!(read(&l1, "a", last_ms - 1), Some(b"1".to_vec()));
        assert_eq!(read(&l1, "a", last_ms), None);
        assert_eq!(read(&l1, "b", 0), None);
    }

    #[test]
    fn lives_spread_over_a_tenth_below_the_ttl() {
        let lives: std::collections::HashSet<u64> =
            (0..1000).map(|salt| jittered_ms(TTL, salt)).collect();
        assert!(lives.iter().all(|life| (900..=1000).contains(life)));
        assert!(lives.len() > 50);
        assert_eq!(jittered_ms(Duration::ZERO, 7), 0);
        assert_eq!(jittered_ms(Duration::from_millis(1), 7), 1);
    }

    #[test]
    fn write_makes_what_was_kept_and_what_is_on_its_way_stale() {
        let l1 = l1(1 << 20);
        fill(&l1, "kept", present(b"old"));
        let before = l1.generations.view(&[TAG]);
        l1.generations.close(&[TAG]);
        assert_eq!(read(&l1, "kept", 0), None);
        fill(&l1, "during", present(b"old"));
        assert_eq!(read(&l1, "during", 0), None);
        l1.generations.reopen(&[TAG]);
        l1.fill(&key("late"), &Arc::new(present(b"old")), before, 0, TTL);
        for name in ["kept", "during", "late"] {
            assert_eq!(read(&l1, name, 0), None, "{name}");
        }
        assert_eq!(l1.stats().counts.dead_on_arrival, 2);
        fill(&l1, "kept", present(b"new"));
        assert_eq!(read(&l1, "kept", 0), Some(b"new".to_vec()));
    }

    #[test]
    fn blind_instance_serves_entries_younger_than_the_blind_ttl_only() {
        let l1 = L1::new(1 << 20, BLIND_TTL, Arc::new(Generations::new(16, false)));
        fill(&l1, "a", present(b"1"));
        assert!(read(&l1, "a", 99).is_some());
        assert!(read(&l1, "a", 100).is_none());
        l1.generations.confirm(500);
        assert!(read(&l1, "a", 499).is_some());
        assert!(read(&l1, "a", 500).is_none());
    }

    #[test]
    fn value_of_a_sixteenth_of_the_budget_is_kept_and_a_larger_one_is_not() {
        let bytes = room(1, 100);
        let fits = l1(bytes * ENTRY_SHARE);
        fill(&fits, "00000", present(&[0; 100]));
        assert!(read(&fits, "00000", 0).is_some());
        let tight = l1(bytes * ENTRY_SHARE - 1);
        fill(&tight, "00000", present(&[0; 100]));
        assert!(read(&tight, "00000", 0).is_none());
        assert_eq!(tight.stats().counts.too_large, 1);
    }

    #[test]
    fn key_is_counted_in_the_map_and_in_its_node_wherever_its_bytes_stand() {
        let view = Generations::new(1024, true).view(&[TAG]);
        let of = |length: usize| entry_bytes(&key(&"k".repeat(length)), &Stored::Absent, &view);
        let least = 2 * size_of::<Key>() + size_of::<Entry>() + size_of::<Stored>();
        assert!(of(5) >= least as u64, "{} < {least}", of(5));
        let (long, longer) = (of(500), of(600));
        assert!(long >= of(5) + 2 * 500, "{long}");
        assert_eq!(longer - long, 2 * 100);
    }

    #[test]
    fn budget_holds_whatever_is_filled_and_full_means_nearly_full() {
        let l1 = l1(room(100, 64));
        for number in 0..1000 {
            fill(&l1, &format!("{number:05}"), present(&[0; 64]));
            assert!(l1.stats().bytes <= room(100, 64));
        }
        assert_eq!(l1.stats().entry_count, 100);
        assert_eq!(l1.stats().counts.evicted, 900);
        assert_eq!(l1.map.len(), 100);
    }

    #[test]
    fn scan_does_not_wash_out_what_is_hit() {
        let l1 = l1(room(100, 64));
        for number in 0..50 {
            fill(&l1, &format!("h{number:04}"), present(&[0; 64]));
            read(&l1, &format!("h{number:04}"), 0);
        }
        for number in 0..10_000 {
            fill(&l1, &format!("s{number:04}"), present(&[0; 64]));
        }
        let kept = (0..50).filter(|number| read(&l1, &format!("h{number:04}"), 0).is_some());
        assert_eq!(kept.count(), 50);
    }

    #[test]
    fn entry_that_comes_back_soon_after_it_left_outlives_a_scan() {
        let l1 = l1(room(100, 64));
        let scan = |from: u32, to: u32| {
            for number in from..to {
                fill(&l1, &format!("s{number:04}"), present(&[0; 64]));
            }
        };
        fill(&l1, "again", present(&[0; 64]));
        scan(0, 200);
        assert!(read(&l1, "again", 0).is_none());
        fill(&l1, "again", present(&[0; 64]));
        scan(200, 1000);
        assert!(read(&l1, "again", 0).is_some());
    }

    #[test]
    fn unknown_ids_take_a_tenth_of_the_budget_and_push_nothing_else_out() {
        let l1 = l1(room(100, 64));
        for number in 0..80 {
            fill(&l1, &format!("{number:05}"), present(&[0; 64]));
        }
        for number in 0..10_000 {
            fill(&l1, &format!("u{number:04}"), Stored::Absent);
        }
        let stats = l1.stats();
        assert!(stats.negative_bytes <= stats.bytes_max / 10 && stats.negative_bytes > 0);
        assert!((0..80).all(|number| read(&l1, &format!("{number:05}"), 0).is_some()));
    }

    #[test]
    fn json_made_later_is_counted_once_and_leaves_with_its_entry() {
        let l1 = l1(1 << 20);
        fill(&l1, "a", present(b"1"));
        let before = l1.stats().bytes;
        let make = || {
            l1.read(key("a").as_ref(), 0, |hit| {
                let Stored::Present(body) = hit.stored() else { panic!("it has a body") };
                body.json.get_or_init(|| Bytes::from(vec![0; 1000])).len()
            })
        };
        assert_eq!((make(), make()), (Some(1000), Some(1000)));
        assert_eq!(l1.stats().bytes, before + 1000);
        fill(&l1, "a", present(b"2"));
        assert_eq!(l1.stats().bytes, before);
    }

    #[test]
    fn json_over_the_budget_evicts_at_the_next_sweep() {
        let budget = room(20, 64);
        let l1 = l1(budget);
        for number in 0..20 {
            fill(&l1, &format!("{number:05}"), present(&[0; 64]));
            l1.read(key(&format!("{number:05}")).as_ref(), 0, |hit| {
                let Stored::Present(body) = hit.stored() else { panic!("it has a body") };
                body.json.get_or_init(|| Bytes::from(vec![0; 128])).len()
            });
        }
        l1.sweep(0, 100);
        assert!(l1.stats().bytes <= budget);
        assert!(l1.stats().entry_count > 0);
    }

    #[test]
    fn smaller_budget_evicts_at_once_and_a_larger_one_takes_more() {
        let l1 = l1(room(100, 64));
        for number in 0..100 {
            fill(&l1, &format!("{number:05}"), present(&[0; 64]));
        }
        l1.set_bytes_max(room(30, 64));
        assert_eq!(l1.stats().entry_count, 30);
        l1.set_bytes_max(room(200, 64));
        for number in 0..200 {
            fill(&l1, &format!("{number:05}"), present(&[0; 64]));
        }
        assert_eq!(l1.stats().entry_count, 200);
    }

    #[test]
    fn sweep_takes_out_old_and_stale_entries_a_bounded_number_at_a_time() {
        let l1 = l1(1 << 20);
        for number in 0..100 {
            fill(&l1, &format!("{number:05}"), present(b"1"));
        }
        l1.sweep(0, 1000);
        assert_eq!(l1.stats().entry_count, 100);
        l1.sweep(1000, 30);
        assert_eq!(l1.stats().entry_count, 70);
        l1.generations.advance(&[TAG]);
        l1.sweep(0, 70);
        assert_eq!((l1.stats().entry_count, l1.stats().bytes, l1.map.len()), (0, 0, 0));
    }

    /// Readers on other threads, while a writer goes through its steps: nobody reads a version older
    /// than the last one that was acknowledged before the read began.
    #[test]
    fn readers_of_other_threads_never_see_an_acknowledged_write_undone() {
        let l1 = l1(1 << 20);
        let (database, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        let known = acknowledged.load(Ordering::SeqCst);
                        let view = l1.generations.view(&[TAG]);
                        let seen = read(&l1, "row", 0).map_or_else(
                            || {
                                let version = database.load(Ordering::SeqCst);
                                let stored = Arc::new(present(&version.to_be_bytes()));
                                l1.fill(&key("row"), &stored, view, 0, TTL);
                                version
                            },
                            |bytes| u64::from_be_bytes(bytes.try_into().unwrap()),
                        );
                        assert!(seen >= known, "read {seen} after {known} was acknowledged");
                        if known == 20_000 {
                            break;
                        }
                    }
                });
            }
            for version in 1..=20_000 {
                l1.generations.close(&[TAG]);
                database.store(version, Ordering::SeqCst);
                l1.generations.reopen(&[TAG]);
                acknowledged.store(version, Ordering::SeqCst);
            }
        });
    }
}
