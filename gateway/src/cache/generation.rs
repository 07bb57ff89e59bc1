//! Generations in process: a fixed array of counters that tags share by hash.
//!
//! A counter's word holds a generation (upper 44 bits) and the number of local writers in flight
//! (lower 20). An entry remembers the words of its tags as they were before its fetch began, all
//! without a writer; so one comparison a tag tells both that no write began or ended since and that
//! none is in flight. Two tags on one counter cost a false miss, never a stale hit.
//!
//! Invariant: a word never returns to a value that an entry remembers.

use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use super::Tag;

/// One generation, in a word.
const GENERATION: u64 = 1 << 20;
/// The writers in flight, in a word. More than a million at once cannot be: queues are shorter.
const WRITERS: u64 = GENERATION - 1;

/// The counters of one process, and what it knows of other instances' messages.
#[derive(Debug)]
pub struct Generations {
    words: Box<[AtomicU64]>,
    mask: u64,
    /// Of [`Tag::EVERYTHING`].
    epoch: AtomicU64,
    /// Until when messages of other instances are known to arrive; [`u64::MAX`]: there are none.
    confirmed_until_ms: AtomicU64,
}

/// The words of some tags at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    epoch: u64,
    words: SmallVec<[(u32, u64); 3]>,
}

impl View {
    /// Whether no tag had a local writer in flight.
    pub fn is_open(&self) -> bool {
        self.epoch & WRITERS == 0 && self.words.iter().all(|(_, word)| word & WRITERS == 0)
    }

    /// Memory outside of the value itself, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        if self.words.spilled() { self.words.capacity() * size_of::<(u32, u64)>() } else { 0 }
    }
}

impl Generations {
    /// Makes `slot_count` counters, rounded up to a power of two (1 to 2^24).
    ///
    /// - `confirmed`: whether there are no messages of other instances to wait for.
    pub fn new(slot_count: u32, confirmed: bool) -> Self {
        let slot_count = slot_count.clamp(1, 1 << 24).next_power_of_two();
        Self {
            words: (0..slot_count).map(|_| AtomicU64::new(0)).collect(),
            mask: u64::from(slot_count - 1),
            epoch: AtomicU64::new(0),
            confirmed_until_ms: AtomicU64::new(if confirmed { u64::MAX } else { 0 }),
        }
    }

    /// The words of `tags` and the epoch now. Take it before the fetch begins.
    pub fn view(&self, tags: &[Tag]) -> View {
        View {
            epoch: self.epoch.load(Ordering::Acquire),
            words: tags
                .iter()
                .filter(|tag| **tag != Tag::EVERYTHING)
                .map(|tag| {
                    let slot = self.slot(*tag);
                    (slot, self.load(slot))
                })
                .collect(),
        }
    }

    /// Whether no write began or ended since the view and none is in flight. Writes nothing.
    pub fn holds(&self, view: &View) -> bool {
        self.epoch.load(Ordering::Acquire) == view.epoch
            && view.words.iter().all(|(slot, word)| self.load(*slot) == *word)
    }

    /// A local write of these tags begins: nothing is served or kept under them until it ends.
    pub fn close(&self, tags: &[Tag]) {
        for tag in tags {
            self.word(*tag).fetch_add(GENERATION + 1, Ordering::AcqRel);
        }
    }

    /// It ended. Call once for each [`Generations::close`].
    pub fn reopen(&self, tags: &[Tag]) {
        for tag in tags {
            self.word(*tag).fetch_add(GENERATION - 1, Ordering::AcqRel);
        }
    }

    /// Makes what was fetched under these tags stale.
    pub fn advance(&self, tags: &[Tag]) {
        for tag in tags {
            self.word(*tag).fetch_add(GENERATION, Ordering::AcqRel);
        }
    }

    /// How often everything became stale since the start.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed) / GENERATION
    }

    /// Messages of other instances are known to arrive until then.
    pub fn confirm(&self, until_ms: u64) {
        self.confirmed_until_ms.store(until_ms, Ordering::Release);
    }

    /// Whether messages of other instances may be missing.
    pub fn is_blind(&self, now_ms: u64) -> bool {
        now_ms >= self.confirmed_until_ms.load(Ordering::Acquire)
    }

    fn slot(&self, tag: Tag) -> u32 {
        // The mask has at most 24 bits.
        u32::try_from(tag.bits() & self.mask).unwrap_or(0)
    }

    fn word(&self, tag: Tag) -> &AtomicU64 {
        if tag == Tag::EVERYTHING {
            return &self.epoch;
        }
        self.words.get(self.slot(tag) as usize).unwrap_or(&self.epoch)
    }

    fn load(&self, slot: u32) -> u64 {
        self.words.get(slot as usize).map_or(0, |word| word.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Tag = Tag([1; 16]);
    const TWO: Tag = Tag([2; 16]);

    #[test]
    fn view_holds_until_one_of_its_tags_is_written() {
        let generations = Generations::new(65_536, true);
        let view = generations.view(&[ONE]);
        generations.advance(&[TWO]);
        assert!(generations.holds(&view));
        generations.advance(&[ONE]);
        assert!(!generations.holds(&view));
    }

    #[test]
    fn view_of_before_during_and_after_a_write_are_three() {
        let generations = Generations::new(16, true);
        let before = generations.view(&[ONE]);
        generations.close(&[ONE]);
        let during = generations.view(&[ONE]);
        assert!(!generations.holds(&before) && before.is_open() && !during.is_open());
        generations.reopen(&[ONE]);
        let after = generations.view(&[ONE]);
        assert!(after.is_open() && generations.holds(&after));
        assert!(!generations.holds(&before) && !generations.holds(&during));
        assert_ne!(before, after);
    }

    #[test]
    fn tag_stays_closed_until_its_last_writer_ends() {
        let generations = Generations::new(16, true);
        generations.close(&[ONE]);
        generations.close(&[ONE]);
        generations.reopen(&[ONE]);
        assert!(!generations.view(&[ONE]).is_open());
        generations.reopen(&[ONE]);
        assert!(generations.view(&[ONE]).is_open());
    }

    #[test]
    fn epoch_makes_every_view_stale_also_without_tags() {
        let generations = Generations::new(16, true);
        let (tagged, bare) = (generations.view(&[ONE]), generations.view(&[]));
        generations.advance(&[Tag::EVERYTHING]);
        assert!(!generations.holds(&tagged) && !generations.holds(&bare));
        assert_eq!(generations.epoch(), 1);
        generations.close(&[Tag::EVERYTHING]);
        assert!(!generations.view(&[ONE]).is_open());
    }

    #[test]
    fn colliding_tags_cost_a_miss_and_never_a_stale_hit() {
        let generations = Generations::new(1, true);
        let view = generations.view(&[ONE]);
        generations.advance(&[TWO]);
        assert!(!generations.holds(&view));
    }

    #[test]
    fn confirmation_ends_at_its_millisecond() {
        let generations = Generations::new(1, false);
        assert!(generations.is_blind(0));
        generations.confirm(10);
        assert!(!generations.is_blind(9) && generations.is_blind(10));
        assert!(!Generations::new(1, true).is_blind(u64::MAX - 1));
    }
}
