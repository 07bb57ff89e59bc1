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
//! Invariant: a record is marked as applied only after the transaction that applied it is committed.

mod batch;
mod desk;
mod schedule;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use tokio::task::{JoinHandle, JoinSet};

use super::{BackendError, Pools};
use crate::cache::Cache;
use crate::journal::{Journal, OpenError, Reader, Record};
use crate::observe::{Event, Metrics, emit};
use crate::queue::Watch;
use crate::snapshot::Snapshot;
use batch::Outcome;
use desk::{Desk, Work};

/// Records that one look at the journal takes.
const READ_COUNT_MAX: usize = 2048;
/// Records that may be waiting for their turn, beyond which no more are read; those of lanes and games that are
/// held up do not count.
const WINDOW: usize = 16_384;
/// How long to wait before a journal that could not be read is read again.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// What the applier works with.
#[derive(Debug)]
pub struct Applier {
    /// Where the records come from.
    pub journal: Arc<Journal>,
    /// Which templates there are.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The databases.
    pub pools: Arc<Pools>,
    /// What is made stale.
    pub cache: Arc<Cache<BackendError>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// A look at the journal: the reader comes back with what it found.
type Look = JoinHandle<(Reader, Result<Vec<Record>, OpenError>)>;

/// The applier at work.
struct Loop {
    applier: Arc<Applier>,
    /// A game's own order and state, by name.
    desks: HashMap<Box<str>, Desk, RandomState>,
    running: JoinSet<(Box<str>, Vec<(u64, Outcome)>)>,
    teller: batch::Teller,
    next: u64,
}

impl Applier {
    /// Runs until `stop` is true; then what is under way is finished.
    pub async fn run(self, mut stop: Watch<bool>) {
        let applier = Arc::new(self);
        let mut reader = Some(applier.journal.reader());
        let mut durable = applier.journal.durable();
        let teller = batch::Teller::start(Arc::clone(&applier.cache));
        let next = applier.journal.lowest();
        let mut work =
            Loop { applier, desks: HashMap::default(), running: JoinSet::new(), teller, next };
        let mut look: Option<Look> = None;
        let mut pause_until: Option<Instant> = None;
        let mut known = work.next;
        loop {
            work.dispatch();
            let now = Instant::now();
            let may_look = pause_until.is_none_or(|until| until <= now) && work.has_room(now);
            if look.is_none()
                && may_look
                && work.next < known
                && let Some(mut reader) = reader.take()
            {
                let from = work.next;
                look = Some(tokio::task::spawn_blocking(move || {
                    let found = reader.next(from, READ_COUNT_MAX);
                    (reader, found)
                }));
            }
            let wake_at = work.wake_at(now).into_iter().chain(pause_until).min();
            let from = work.next.max(known);
            tokio::select! {
                biased;
                () = stop.until(|stop| *stop) => break,
                Some(done) = work.running.join_next(), if !work.running.is_empty() => {
                    match done {
                        Ok((game, outcomes)) => work.settle(&game, outcomes),
                        // A batch that panicked: its records stay unsettled until the next start, told aloud.
                        Err(error) => emit(&Event::JournalFailed { what: "a batch", error: &error }),
                    }
                }
                found = async { look.as_mut()?.await.ok() }, if look.is_some() => {
                    look = None;
                    pause_until = None;
                    let Some((back, found)) = found else {
                        reader = Some(work.applier.journal.reader());
                        continue;
                    };
                    reader = Some(back);
                    match found {
                        Ok(records) => work.take(records, known),
                        Err(error) => {
                            emit(&Event::JournalFailed { what: "reading", error: &error });
                            pause_until = Some(Instant::now() + READ_PAUSE);
                        }
                    }
                }
                () = durable.until(|durable| { known = known.max(*durable); *durable > from }),
                    if work.next >= known => {}
                () = sleep_until(wake_at) => { pause_until = pause_until.filter(|at| *at > Instant::now()); }
            }
        }
        while let Some(done) = work.running.join_next().await {
            if let Ok((game, outcomes)) = done {
                work.settle(&game, outcomes);
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Loop {
    /// Whether there is room for more records.
    fn has_room(&self, now: Instant) -> bool {
        self.desks.values().map(|desk| desk.runnable_count(now)).sum::<usize>() < WINDOW
    }

    /// When a desk has something to do that it does not have now.
    fn wake_at(&self, now: Instant) -> Option<Instant> {
        self.desks.values().filter_map(|desk| desk.wake_at(now)).min()
    }

    /// Takes in what a look found, up to `known`.
    fn take(&mut self, records: Vec<Record>, known: u64) {
        self.next = records.last().map_or(known, |record| record.sequence + 1);
        let snapshot = self.applier.snapshot.load();
        let mut held: usize = self.desks.values().map(Desk::held_count).sum();
        self.teller.journalled(&records);
        for record in records {
            let is_kept = held < WINDOW;
            held += usize::from(is_kept);
            let game = record.payload.game.clone();
            let desk = self.desks.entry(game).or_default();
            desk.push(record, is_kept, &snapshot);
        }
    }

    /// Starts every batch that is due.
    fn dispatch(&mut self) {
        let now = Instant::now();
        for (game, desk) in &mut self.desks {
            while let Some(work) = desk.next(now) {
                let (applier, teller) = (Arc::clone(&self.applier), self.teller.clone());
                let game = game.clone();
                self.running.spawn(async move {
                    let Work { records, missing, failures } = work;
                    let outcomes =
                        batch::apply(&applier, &teller, records, missing, &failures).await;
                    (game, outcomes)
                });
            }
        }
    }

    fn settle(&mut self, game: &str, outcomes: Vec<(u64, Outcome)>) {
        if let Some(desk) = self.desks.get_mut(game) {
            desk.settle(outcomes, Instant::now());
        }
    }
}
