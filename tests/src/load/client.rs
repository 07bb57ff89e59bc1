//! One game server under load: what it sends, and what it does after a crash.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::caller::{Caller, Outcome};
use crate::random::Random;
use crate::sample;

use super::book::{Effect, Entry, Fate, Tally};

/// Most calls of a client in a round, so that a round's checks stay short.
const ENTRY_COUNT_MAX: usize = 3_000;

/// Most calls under way on one connection: of a game server that does a bit of everything, and of a shop that
/// sends orders only, faster than the database takes them.
const WINDOW_MAX: u64 = 8;
const SHOP_WINDOW_MAX: u64 = 64;

/// Refusals that are told in words.
const PUT_OFF_TOLD_MAX: usize = 3;

/// Players that all clients share, so that they meet at the same rows.
pub(super) const PLAYERS: (i64, i64) = (1001, 1020);

/// Item types that each of these players has at the start.
const ITEM_TYPES: (i64, i64) = (1, 3);

/// What a client sends next.
enum Draft {
    /// A call that was never made.
    New(Box<Entry>),
    /// An acknowledged call (index) again.
    Repeat(usize),
    /// An acknowledged call's key (index) with other parameters.
    Reuse(usize),
}

#[expect(clippy::disallowed_methods, reason = "load has a pace; nothing waits for a state here")]
fn rest(pause: Duration) {
    std::thread::sleep(pause);
}

/// A game server.
#[derive(Debug)]
pub struct Client {
    /// Its calls of this round.
    pub entries: Vec<Entry>,
    /// Repeats of this round, and what was wrong with their answers.
    pub tally: Tally,
    /// How long the slowest of its calls took, in this round's load.
    pub slowest: Duration,
    /// The first refusals in this round's load that say "try again", and how many there were.
    pub put_off: (u64, Vec<String>),
    /// Between two rounds of its calls.
    pub pause: Duration,
    caller: Caller,
    random: Random,
    prefix: String,
    is_shop: bool,
}

impl Client {
    /// A client that is not connected yet.
    pub fn new(address: SocketAddr, random: Random, is_shop: bool) -> Self {
        let caller = Caller::new(address, sample::GAME);
        Self {
            entries: Vec::new(),
            tally: Tally::default(),
            slowest: Duration::ZERO,
            put_off: (0, Vec::new()),
            pause: Duration::ZERO,
            caller,
            random,
            prefix: String::new(),
            is_shop,
        }
    }

    /// Forgets the last round.
    ///
    /// - `prefix`: of the keys of this client in this round.
    pub fn begin(&mut self, prefix: String) {
        self.entries.clear();
        self.tally = Tally::default();
        self.slowest = Duration::ZERO;
        self.put_off = (0, Vec::new());
        self.prefix = prefix;
        // It may have been silent for so long that the gateway has closed it.
        self.caller.disconnect();
    }

    /// Calls until it is told to stop, or nobody listens any more.
    pub fn load(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) && self.entries.len() < ENTRY_COUNT_MAX {
            if self.caller.connect().is_none() {
                return;
            }
            let window_max = if self.is_shop { SHOP_WINDOW_MAX } else { WINDOW_MAX };
            let count = 1 + self.random.below(window_max);
            let drafts: Vec<Draft> = (0..count).map(|index| self.draft(index)).collect();
            self.send(drafts);
            if !self.pause.is_zero() {
                rest(self.pause);
            }
        }
    }

    /// Sends what is open again, with the same key, until the answer is definite. A quarter is given up
    /// instead: what became of that, only the database knows.
    pub fn settle(&mut self) {
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            if !entry.is_open() || self.random.chance(25) {
                continue;
            }
            let settled = self.caller.settle(entry.operation, &entry.params);
            let learned = self.entries[index].learn(settled.outcome);
            self.tally.violations.extend(learned.err());
        }
    }

    /// Repeats some of what was acknowledged, when everything is applied.
    ///
    /// - `knows_keys`: the gateway still knows every key of an order, also of what is applied.
    pub fn ask_again(&mut self, knows_keys: bool) {
        for index in 0..self.entries.len() {
            if !matches!(self.entries[index].fate, Fate::Acknowledged(_)) || !self.random.chance(4)
            {
                continue;
            }
            let entry = &self.entries[index];
            let again = self.caller.settle(entry.operation, &entry.params).outcome;
            self.compare_repeat(index, &again);
            let entry = &self.entries[index];
            if knows_keys || !entry.is_async() {
                let reused = self.caller.settle(entry.operation, &entry.other_params).outcome;
                self.compare_reuse(index, &reused);
            }
        }
    }

    fn send(&mut self, drafts: Vec<Draft>) {
        let calls: Vec<_> = drafts
            .iter()
            .map(|draft| match draft {
                Draft::New(entry) => (entry.operation, &entry.params),
                Draft::Repeat(of) => (self.entries[*of].operation, &self.entries[*of].params),
                Draft::Reuse(of) => (self.entries[*of].operation, &self.entries[*of].other_params),
            })
            .collect();
        let begun = Instant::now();
        let outcomes = self.caller.call_all(&calls);
        self.slowest = self.slowest.max(begun.elapsed());
        for outcome in outcomes.iter().filter(|outcome| outcome.may_be_repeated()) {
            self.put_off.0 += 1;
            if self.put_off.1.len() < PUT_OFF_TOLD_MAX {
                self.put_off.1.push(format!("{outcome:?}"));
            }
        }
        for (draft, outcome) in drafts.into_iter().zip(outcomes) {
            match draft {
                Draft::New(mut entry) => {
                    self.tally.violations.extend(entry.learn(outcome).err());
                    self.entries.push(*entry);
                }
                Draft::Repeat(of) => self.compare_repeat(of, &outcome),
                Draft::Reuse(of) => self.compare_reuse(of, &outcome),
            }
        }
    }

    /// A repeat of an acknowledged call has the first answer; or none yet, while things are down.
    fn compare_repeat(&mut self, index: usize, outcome: &Outcome) {
        let entry = &self.entries[index];
        let Fate::Acknowledged(first) = &entry.fate else { return };
        self.tally.repeats += 1;
        let is_right = match outcome {
            Outcome::Done { body, replayed } => body == first && (*replayed || entry.is_async()),
            other => other.may_be_repeated(),
        };
        if !is_right {
            let told = format!("{} {}", entry.operation, entry.key);
            self.tally.violations.push(format!("{told}: first {first}, then {outcome:?}"));
        }
    }

    /// A used key with other parameters is refused.
    fn compare_reuse(&mut self, index: usize, outcome: &Outcome) {
        let entry = &self.entries[index];
        self.tally.repeats += 1;
        let is_right = outcome.code() == Some(sample::KEY_REUSED) || outcome.may_be_repeated();
        if !is_right {
            let told = format!("{} {}", entry.operation, entry.key);
            self.tally.violations.push(format!("{told}: other parameters got {outcome:?}"));
        }
    }

    fn draft(&mut self, index: u64) -> Draft {
        if self.random.chance(12) {
            let acknowledged = self.recently_acknowledged();
            match acknowledged {
                Some(of) if self.random.chance(60) => return Draft::Repeat(of),
                Some(of) => return Draft::Reuse(of),
                None => {}
            }
        }
        let key = format!("{}-{:05}-{index}", self.prefix, self.entries.len());
        let entry = match self.random.below(10) {
            _ if self.is_shop => self.order(key),
            0..=5 => self.order(key),
            6..=7 => self.transfer(key),
            8 => self.money(key, sample::CREDIT, 1),
            _ => self.money(key, sample::DEBIT, -1),
        };
        Draft::New(Box::new(entry))
    }

    fn recently_acknowledged(&mut self) -> Option<usize> {
        let count: u64 = self.entries.len().try_into().ok()?;
        let back = self.random.below(count.clamp(1, 200));
        let index = self.entries.len().checked_sub(1 + usize::try_from(back).ok()?)?;
        matches!(self.entries[index].fate, Fate::Acknowledged(_)).then_some(index)
    }

    fn player(&mut self) -> i64 {
        self.random.between(PLAYERS.0, PLAYERS.1)
    }

    fn order(&mut self, key: String) -> Entry {
        let (player, qty) = (self.player(), self.random.between(1, 999));
        let effect = Effect::Order { row: sample::order_row(player, qty) };
        Entry {
            operation: sample::ORDER_CREATE,
            params: sample::order(&key, player, qty),
            other_params: sample::order(&key, player, 1 + qty % 999),
            key,
            effect,
            fate: Fate::Unknown,
        }
    }

    fn transfer(&mut self, key: String) -> Entry {
        let (from, step) = (self.player(), self.random.between(1, PLAYERS.1 - PLAYERS.0));
        let to = PLAYERS.0 + (from - PLAYERS.0 + step) % (PLAYERS.1 - PLAYERS.0 + 1);
        let item_type = self.random.between(ITEM_TYPES.0, ITEM_TYPES.1);
        let qty = self.random.between(1, 5);
        Entry {
            operation: sample::TRANSFER,
            params: sample::transfer(&key, (from, to), item_type, qty),
            other_params: sample::transfer(&key, (from, to), item_type, qty + 1),
            key,
            effect: Effect::Transfer { from, to, item_type, qty },
            fate: Fate::Unknown,
        }
    }

    fn money(&mut self, key: String, operation: &'static str, sign: i64) -> Entry {
        let (player, amount) = (self.player(), self.random.between(1, 500));
        Entry {
            operation,
            params: sample::money(&key, player, amount),
            other_params: sample::money(&key, player, amount + 1),
            key,
            effect: Effect::Money { player, delta: sign * amount },
            fate: Fate::Unknown,
        }
    }
}
