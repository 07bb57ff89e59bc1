//! Which reads are sampled, and where samples wait: the caller's side of shadow reads.
//!
//! Invariant: who asked waits for nothing here: a full queue drops the sample, and counts it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use foldhash::fast::RandomState;

use super::super::super::{Asker, CursorKey, Supplied};
use crate::bind::Bound;
use crate::cache::Stored;
use crate::queue::{self, Receiver, Sender};
use crate::snapshot::{Operation, Which};

/// Samples of a game that wait.
const QUEUE_COUNT_MAX: usize = 1024;
/// Bytes of their answers.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// A sampling rate is a share of this.
pub const PPM: u32 = 1_000_000;

/// A read that a database answered, to be compared.
#[derive(Debug)]
pub(in crate::backend) struct Sample {
    /// What was asked.
    pub(super) operation: Arc<Operation>,
    /// Which database answered.
    pub(super) which: Which,
    /// The parameters.
    pub(super) bound: Bound<'static>,
    /// What the gateway supplied.
    pub(super) now_micros: i64,
    /// The same.
    pub(super) id: i64,
    /// Who asked.
    pub(super) asker: Asker,
    /// The answer; `None`: no such row.
    pub(super) answer: Option<Bytes>,
    /// What pages' cursors are sealed with.
    pub(super) cursor_key: CursorKey,
    /// Most bytes of an answer.
    pub(super) result_bytes_max: u32,
    /// When sampling was this way: what was seen before a change of it does not count.
    pub(super) turn: u64,
    lane: Arc<Lane>,
}

impl Drop for Sample {
    fn drop(&mut self) {
        let bytes = self.answer.as_ref().map_or(0, Bytes::len);
        self.lane.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A read that was answered, as its caller has it.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Answered<'r> {
    /// What was asked.
    pub(in crate::backend) operation: &'r Arc<Operation>,
    /// Which database answered.
    pub(in crate::backend) which: Which,
    /// The parameters.
    pub(in crate::backend) bound: &'r Bound<'static>,
    /// What the gateway supplied.
    pub(in crate::backend) supplied: &'r Supplied<'r>,
    /// Who asked.
    pub(in crate::backend) asker: &'r Asker,
    /// The answer.
    pub(in crate::backend) stored: &'r Stored,
    /// What pages' cursors are sealed with.
    pub(in crate::backend) cursor_key: &'r CursorKey,
    /// Most bytes of an answer.
    pub(in crate::backend) result_bytes_max: u32,
}

/// What a game's samples go through.
#[derive(Debug)]
pub(super) struct Lane {
    samples: Sender<Sample>,
    bytes: AtomicUsize,
    /// How many reads were looked at: each one's number decides whether it is sampled.
    count: AtomicU64,
    dropped: AtomicU64,
}

impl Lane {
    /// Makes a lane, and the end at which its samples come out.
    pub(super) fn new() -> (Arc<Self>, Receiver<Sample>) {
        let (samples, taken) = queue::bounded(QUEUE_COUNT_MAX);
        // Two gateways that started together do not take the same of their reads.
        let count = std::hash::BuildHasher::hash_one(&RandomState::default(), 0_u8);
        let lane = Self {
            samples,
            bytes: AtomicUsize::new(0),
            count: AtomicU64::new(count),
            dropped: AtomicU64::new(0),
        };
        (Arc::new(lane), taken)
    }

    /// Samples that found no room, since it was asked last.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Whether the next read is one of the sampled ones.
    fn takes(&self, ppm: u32) -> bool {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        mixed(number) % u64::from(PPM) < u64::from(ppm)
    }
}

/// How a game's reads are sampled now.
#[derive(Clone, Debug)]
pub(super) struct Sampling {
    /// Of a million.
    pub(super) ppm: u32,
    /// Which database owns the game: only its answers are compared.
    pub(super) owner: Which,
    /// Raised at each change.
    pub(super) turn: u64,
    /// Where samples go.
    pub(super) lane: Arc<Lane>,
}

/// The games whose reads are sampled.
#[derive(Default)]
pub struct Sampler {
    games: ArcSwap<HashMap<Box<str>, Sampling, RandomState>>,
}

impl Sampler {
    /// Has a game's reads sampled so; `None`: not at all.
    pub(super) fn set(&self, game: &str, sampling: Option<&Sampling>) {
        self.games.rcu(|games| {
            let mut games = HashMap::clone(games);
            match sampling {
                Some(sampling) => games.insert(game.into(), sampling.clone()),
                None => games.remove(game),
            };
            games
        });
    }

    /// Looks at a read that a database has answered.
    ///
    /// Cost: nothing for games without a mirror; a look-up for those with one; for a sampled one its parameters are
    /// copied and its answer shared. Never waits.
    pub(in crate::backend) fn offer(&self, read: Answered<'_>) {
        let Answered { operation, which, bound, supplied, asker, stored, .. } = read;
        if operation.mirror.is_none() {
            return;
        }
        let games = self.games.load();
        let Some(sampling) = games.get(operation.template.game.as_str()) else { return };
        if sampling.owner != which || !sampling.lane.takes(sampling.ppm) {
            return;
        }
        let lane = &sampling.lane;
        let answer = match stored {
            Stored::Present(body) => Some(body.msgpack.clone()),
            Stored::Absent => None,
        };
        let bytes = answer.as_ref().map_or(0, Bytes::len);
        let waiting = lane.bytes.fetch_add(bytes, Ordering::Relaxed);
        let sample = Sample {
            operation: Arc::clone(operation),
            which,
            bound: bound.clone(),
            now_micros: supplied.now_micros,
            id: supplied.id,
            asker: asker.clone(),
            answer,
            cursor_key: read.cursor_key.clone(),
            result_bytes_max: read.result_bytes_max,
            turn: sampling.turn,
            lane: Arc::clone(lane),
        };
        if waiting + bytes > QUEUE_BYTES_MAX || lane.samples.offer(sample).is_err() {
            lane.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").field("games", &self.games.load().len()).finish()
    }
}

/// A number that has nothing to do with those beside it: of a load that repeats itself not always the same is taken.
/// `SplitMix64`.
const fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(ppm: u32) -> usize {
        let (lane, _samples) = Lane::new();
        (0..100_000).filter(|_| lane.takes(ppm)).count()
    }

    #[test]
    fn share_that_is_asked_for_is_taken_and_of_everything_everything() {
        assert_eq!((taken(0), taken(PPM)), (0, 100_000));
        let twentieth = taken(50_000);
        assert!((4_600..5_400).contains(&twentieth), "{twentieth}");
    }

    #[test]
    fn load_that_repeats_itself_is_not_always_sampled_at_the_same_place() {
        let (lane, _samples) = Lane::new();
        let mut of_each = [0_u32; 20];
        for number in 0..100_000_usize {
            of_each[number % 20] += u32::from(lane.takes(50_000));
        }
        assert!(of_each.iter().all(|count| (150..350).contains(count)), "{of_each:?}");
    }
}
