//! Applies what the journal has accepted: reads records back, orders them by lane, and writes batches of them to
//! the databases.
//!
//! ```text
//! journal ── records ──▶ schedule (a game) ── batch ──▶ one transaction ──▶ Journal::applied
//!                             ▲                              │ refused: halves, down to the record
//!                             └──── again, its lane waits ◀──┘ given up: Journal::dead
//! ```
//! A game whose database is away waits with growing pauses; the others go on. What is read and not yet applied is
//! bounded: of a long backlog only the places in the order are in memory, and records are read again when it
//! is their turn.
//!
//! A record fails only by the database's word on it alone. What took too long is tried in smaller and smaller
//! batches; alone, it waits with its lane while the others go on. What a stop, a panic or a lost
//! connection leaves half done is tried again: the keys' rows in the database tell what was applied.
//!
//! Invariant: a record is marked as applied only after the transaction that applied it is committed.

mod attempt;
mod batch;
mod burial;
mod desk;
#[cfg(test)]
mod faults;
mod figures;
mod keeper;
mod outcome;
mod schedule;
mod share;
mod shared;
mod source;
mod teller;
mod told;
mod unwound;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};

use super::switch::Gates;
use super::{BackendError, Pools};
use crate::cache::Cache;
use crate::catalog::Dialect;
use crate::config::ConnectionConfig;
use crate::journal::{Burial, Journal, OpenError, Reader, Record};
use crate::observe::{Event, Metrics, emit};
use crate::queue::Watch;
use crate::snapshot::{Snapshot, Which};
use desk::{Desk, Word};
use figures::JOURNAL_NAMES;
pub use keeper::Keeper;
use outcome::{Ended, Outcome};
use shared::{Around, Shared};
use source::Source;

/// Records that one look at the journal takes.
const READ_COUNT_MAX: usize = if cfg!(test) { 64 } else { 2048 };
/// Records that may be waiting for their turn, beyond which no more are read; those of lanes and games that are
/// held up do not count.
const WINDOW: usize = if cfg!(test) { 256 } else { 16_384 };
/// Records in memory, and what they may cost there, roughly.
const HELD_MAX: (usize, usize) = (WINDOW, 64 << 20);
/// How long to wait before a journal that could not be read is read again.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait before the applier begins anew that has panicked.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What the applier works with.
#[derive(Debug)]
pub struct Applier {
    /// Where the records come from.
    pub journal: Arc<Journal>,
    /// Which templates there are.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The databases.
    pub pools: Arc<Pools>,
    /// Who is let to which.
    pub gates: Arc<Gates>,
    /// What is made stale.
    pub cache: Arc<Cache<BackendError>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// A look at the journal: the reader comes back with what it found.
type Look = JoinHandle<(Reader, Result<Vec<Record>, OpenError>)>;

/// The applier at work.
struct Loop {
    shared: Arc<Shared>,
    /// A game's own order and state, by name.
    desks: HashMap<Box<str>, Desk, RandomState>,
    running: JoinSet<Ended>,
    /// Whose the running batches are, and their records: of one that panics nothing else is known.
    batches: HashMap<Id, (Box<str>, Vec<u64>), RandomState>,
    /// The first sequence that was not looked at.
    next: u64,
    /// The first one that is not durable, as far as is known.
    known: u64,
    /// Nobody will tell of more.
    has_all: bool,
    pause_until: Option<Instant>,
    /// Of records in running batches.
    burials: Vec<Burial>,
    /// Records that were taken out before the reader came to them.
    ahead: HashSet<u64, RandomState>,
}

impl Applier {
    /// Runs until `stop` is true; then what is under way is finished, and nothing more is begun.
    pub async fn run(self, stop: Watch<bool>) {
        run(Arc::new(Shared::new(self)), stop).await;
    }

    /// The same, counting the turns of its loop.
    #[cfg(test)]
    pub(in crate::backend) async fn run_counted(self, stop: Watch<bool>, turns: Arc<AtomicUsize>) {
        run(Arc::new(Shared { turns, ..Shared::new(self) }), stop).await;
    }
}

/// Runs the loop, and begins it anew where it panics: from the journal, which knows what is applied.
async fn run(shared: Arc<Shared>, stop: Watch<bool>) {
    shared.figures.register(&shared.applier.metrics, JOURNAL_NAMES);
    // A set, because what it runs ends with it.
    let mut tasks = JoinSet::new();
    loop {
        let work = Loop::new(Arc::clone(&shared));
        tasks.spawn(Box::pin(work.run(stop.clone())));
        let Some(Err(error)) = tasks.join_next().await else { return };
        shared.journal_failed("the applier", &error);
        tokio::time::sleep(RESTART_PAUSE).await;
        drop(shared.burials.write().await);
    }
}

impl Loop {
    fn new(shared: Arc<Shared>) -> Self {
        let next = match &shared.source {
            Source::Journal(journal) => journal.lowest(),
            Source::Stream(_) => 0,
        };
        Self {
            shared,
            desks: HashMap::default(),
            running: JoinSet::new(),
            batches: HashMap::default(),
            next,
            known: next,
            has_all: false,
            pause_until: None,
            burials: Vec::new(),
            ahead: HashSet::default(),
        }
    }

    async fn run(mut self, mut stop: Watch<bool>) {
        let Source::Journal(journal) = self.shared.source.clone() else { return };
        let mut reader = Some(journal.reader());
        let mut durable = journal.durable();
        let mut wishes = journal.wishes();
        let mut look: Option<Look> = None;
        loop {
            #[cfg(test)]
            self.shared.turns.fetch_add(1, Ordering::Relaxed);
            self.dispatch();
            let now = Instant::now();
            self.pause_until = self.pause_until.filter(|until| *until > now);
            if self.wants_more(now)
                && let Some(reader) = reader.take()
            {
                look = Some(spawn_look(reader, self.next));
            }
            let (wake_at, from) = (self.wake_at(now), self.next);
            tokio::select! {
                biased;
                () = stop.until(|stop| *stop) => break,
                Some(done) = self.running.join_next_with_id(), if !self.running.is_empty() => {
                    self.ended(done);
                }
                Some(wish) = wishes.take() => self.hear(wish),
                found = async { look.as_mut()?.await.ok() }, if look.is_some() => {
                    look = None;
                    reader = Some(match found {
                        Some((reader, found)) => {
                            self.found(found);
                            reader
                        }
                        None => journal.reader(),
                    });
                }
                () = durable.until(|durable| { self.known = self.known.max(*durable); *durable > from }),
                    if self.next >= self.known && !self.has_all => {
                    // Told of nothing: the journal has ended.
                    self.has_all = self.known <= from;
                }
                () = sleep_until(wake_at) => {}
            }
        }
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        while let Some(done) = self.running.join_next_with_id().await {
            self.ended(done);
        }
    }

    /// Whether the journal is to be looked at now.
    fn wants_more(&self, now: Instant) -> bool {
        self.next < self.known && self.pause_until.is_none() && self.has_room(now)
    }

    /// Whether there is room for more records.
    fn has_room(&self, now: Instant) -> bool {
        let runnable = self.desks.values().map(|desk| desk.runnable_count(now, WINDOW));
        runnable.sum::<usize>() < WINDOW
    }

    /// When there is something to do that is not to be done now.
    fn wake_at(&self, now: Instant) -> Option<Instant> {
        let desks = self.desks.values().filter_map(|desk| desk.wake_at(now));
        let position = match &self.shared.source {
            Source::Journal(journal) => journal.settle(now),
            Source::Stream(_) => None,
        };
        desks.chain(self.pause_until).chain(position).min()
    }

    /// Takes in what a look found.
    fn found(&mut self, found: Result<Vec<Record>, OpenError>) {
        match found {
            Ok(records) => self.take(records),
            Err(error) => {
                self.shared.journal_failed("reading", &error);
                self.pause_until = Some(Instant::now() + READ_PAUSE);
            }
        }
    }

    fn take(&mut self, records: Vec<Record>) {
        self.next = records.last().map_or(self.known, |record| record.sequence + 1);
        let snapshot = self.shared.applier.snapshot.load();
        let now = Instant::now();
        let held = self.desks.values().map(Desk::held);
        let (mut count, bytes) = held.fold((0, 0), |all, own| (all.0 + own.0, all.1 + own.1));
        self.shared.teller.journalled(&records);
        for record in records {
            if self.ahead.remove(&record.sequence) {
                continue;
            }
            #[cfg(test)]
            faults::in_loop(&record);
            // What one look adds to the bytes is bounded by the look.
            let has_room = count < HELD_MAX.0 && bytes < HELD_MAX.1;
            count += usize::from(has_room);
            let desk = match self.desks.get_mut(&record.payload.game) {
                Some(desk) => desk,
                None => self.desks.entry(record.payload.game.clone()).or_default(),
            };
            desk.push(record, has_room, &snapshot, now);
        }
        // What was buried before it was read does not come.
        self.ahead.retain(|sequence| *sequence >= self.next);
        self.count_held();
    }

    fn count_held(&self) {
        self.shared.figures.held(self.desks.values().map(|desk| desk.held().0).sum());
    }

    /// Starts every batch that is due.
    fn dispatch(&mut self) {
        let now = Instant::now();
        let applier = &self.shared.applier;
        let snapshot = applier.snapshot.load();
        for (name, desk) in self.desks.iter_mut().filter(|(_, desk)| !desk.is_idle()) {
            // Of a game with two databases either may own it when the batch comes to it.
            let game = snapshot.game(name).ok();
            let pools = [Which::Database, Which::Mirror]
                .into_iter()
                .filter_map(|which| applier.pools.named(game?.pool_of(which)?));
            let count_max = match &self.shared.source {
                Source::Journal(_) => {
                    pools.map(|pool| batch_count_max(&pool.config())).min().unwrap_or(1)
                }
                // A stream's transactions wait for each other at its row; a game has several streams.
                Source::Stream(_) => 1,
            };
            desk.allow(count_max);
            while let Some(work) = desk.next(now) {
                let mut sequences = work.missing.clone();
                sequences.extend(work.records.iter().map(|record| record.sequence));
                let shared = Arc::clone(&self.shared);
                let task = self.running.spawn(async move { batch::apply(&shared, work).await });
                self.batches.insert(task.id(), (name.clone(), sequences));
            }
        }
    }

    /// Takes note of a batch's end.
    fn ended(&mut self, done: Result<(Id, Ended), JoinError>) {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((game, sequences)) = self.batches.remove(&id) else { return };
        let ended = done.map_or_else(
            |error| {
                self.shared.journal_failed("a batch", &error);
                let outcome = |sequence| (sequence, Outcome::Panicked);
                let outcomes = sequences.into_iter().map(outcome).collect();
                Ended { outcomes, ..Ended::default() }
            },
            |(_, ended)| ended,
        );
        let figures = &self.shared.figures;
        figures.ended(&ended.outcomes);
        let Some(desk) = self.desks.get_mut(&game) else { return };
        desk.note(ended.causes, ended.lost.as_ref());
        let word = desk.settle(&ended.outcomes, Instant::now());
        figures.away(&game, desk.is_without());
        self.count_held();
        match word {
            Some(Word::Back(away)) => {
                emit(&Event::ApplyResumed { game: &game, away });
            }
            Some(Word::Away) => {
                if let Some(error) = &ended.lost {
                    emit(&Event::ApplyPaused { game: &game, error });
                }
            }
            None => {}
        }
        self.bury_late();
    }
}

fn spawn_look(mut reader: Reader, from: u64) -> Look {
    tokio::task::spawn_blocking(move || {
        let found = reader.next(from, READ_COUNT_MAX);
        (reader, found)
    })
}

/// Batches of one game at once: half of the connections are for live traffic. A database with one writer at a
/// time gets one.
fn batch_count_max(config: &ConnectionConfig) -> usize {
    if config.dialect == Dialect::Sqlite {
        return 1;
    }
    config.apply_batch_count_max.min(config.open_count_max / 2).max(1) as usize
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
