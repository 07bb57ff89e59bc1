//! The shadow reads of one game: what its databases say of them, the samples, and what came of those.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::super::capture::words;
use super::super::error::SwitchError;
use super::super::outbox;
use super::super::side::Side;
use super::super::tasks::MirroredGame;
use super::book::{self, Said, Tally};
use super::sample::{Lane, Sample, Sampler, Sampling};
use super::settle::{Position, Settled, Verifier};
use super::shadow::{Shadows, SharedFigures};
use crate::catalog::Repeatable;
use crate::config::ConnectionConfig;
use crate::queue::{Receiver, Watch};
use crate::snapshot::Which;

/// Between two looks at what the databases say.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// The same after a failure.
const AWAY_PAUSE: Duration = Duration::from_secs(5);
/// Between two times that figures are written down.
const FLUSH_PAUSE: Duration = Duration::from_secs(2);
/// Between two looks at the outbox, while somebody waits for rows to be copied.
const POSITION_PAUSE: Duration = Duration::from_millis(50);
/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Samples of a game that are compared, or wait for a connection, beside those that wait for rows to be copied.
const WORK_COUNT_MAX: usize = 64;
/// Connections of a game's databases that are used for them at once.
const CONNECTION_COUNT_MAX: usize = 2;
/// Mismatches of a game that the log is told of, each once.
const TOLD_COUNT_MAX: usize = 100;

/// How reads are compared at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Now {
    /// Who owns the game, and its epoch; `None`: nothing is compared.
    owner: Option<(Which, i64)>,
    ppm: u32,
    /// Raised each time they begin.
    run: i64,
}

/// A sample whose comparing has ended.
struct Done {
    operation: Box<str>,
    turn: u64,
    settled: Settled,
}

/// One game's task.
pub(super) struct Shadow {
    game: MirroredGame,
    name: Box<str>,
    sampler: Arc<Sampler>,
    figures: SharedFigures,
    verifier: Verifier,
    position: watch::Sender<Position>,
    settling: Arc<AtomicUsize>,
    lane: Arc<Lane>,
    samples: Receiver<Sample>,
    database: Option<Side>,
    mirror: Option<Side>,
    now: Now,
    /// Raised when they begin, and when the owner changes.
    turn: u64,
    /// What is known of operations, by the versions of both templates.
    known: HashMap<(Box<str>, u64, u64), Option<Arc<Repeatable>>>,
    /// What is to be written down.
    tallies: BTreeMap<Box<str>, Tally>,
    /// Mismatches that the log was told of.
    told: Vec<(Box<str>, Box<str>)>,
    flushed_at: Instant,
}

impl Shadow {
    /// Makes it; nothing is asked yet.
    pub(super) fn new(game: MirroredGame, shadows: &Shadows, figures: &SharedFigures) -> Self {
        let (lane, samples) = Lane::new();
        let (position, positions) = watch::channel(Position::default());
        let settling = Arc::new(AtomicUsize::new(0));
        let verifier = Verifier {
            pools: Arc::clone(&shadows.pools),
            turns: Arc::new(Semaphore::new(CONNECTION_COUNT_MAX)),
            positions,
            settling: Arc::clone(&settling),
        };
        Self {
            game,
            name: shadows.name.clone(),
            sampler: Arc::clone(&shadows.sampler),
            figures: Arc::clone(figures),
            verifier,
            position,
            settling,
            lane,
            samples,
            database: None,
            mirror: None,
            now: Now::default(),
            turn: 0,
            known: HashMap::new(),
            tallies: BTreeMap::new(),
            told: Vec::new(),
            flushed_at: Instant::now(),
        }
    }

    /// Runs until `stop` is true.
    pub(super) async fn run(mut self, mut stop: Watch<bool>) {
        let mut work: JoinSet<Done> = JoinSet::new();
        let mut look = tokio::time::interval(LOOK_PAUSE);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut positions = tokio::time::interval(POSITION_PAUSE);
        positions.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let settling = self.settling.load(Ordering::Relaxed);
            let has_room = work.len() < WORK_COUNT_MAX + settling;
            tokio::select! {
                () = stop.until(|stop| *stop) => break,
                done = work.join_next(), if !work.is_empty() => {
                    // One that panicked is not counted.
                    if let Some(Ok(done)) = done {
                        self.note(done);
                    }
                }
                sample = self.samples.take(), if has_room => {
                    let Some(sample) = sample else { break };
                    self.begin(&mut work, sample);
                }
                _ = look.tick() => {
                    if !self.look().await {
                        look.reset_after(AWAY_PAUSE);
                    }
                }
                _ = positions.tick(), if !work.is_empty() => self.look_at_the_outbox().await,
            }
        }
        self.sampler.set(&self.game.id, None);
        work.shutdown().await;
        if let Err(error) = self.flush().await {
            tracing::debug!(game = %self.game.id, %error, "figures of shadow reads were not written");
        }
        for side in [self.database, self.mirror].into_iter().flatten() {
            side.close().await;
        }
    }

    /// Asks the databases what is to be compared, and writes down what was.
    ///
    /// Returns whether they answered.
    async fn look(&mut self) -> bool {
        let found = match tokio::time::timeout(LOOK_TIMEOUT, self.ask()).await {
            Ok(found) => found,
            Err(_late) => Err(SwitchError::Late { connection: self.game.database.name.clone() }),
        };
        let is_answered = found.is_ok();
        let now = found.unwrap_or_else(|error| {
            let cause = words(&error);
            tracing::debug!(game = %self.game.id, %cause, "reads are not compared");
            (self.database, self.mirror) = (None, None);
            Now::default()
        });
        if now != self.now {
            self.change(now);
        }
        if self.flushed_at.elapsed() >= FLUSH_PAUSE && now.owner.is_some() {
            self.flushed_at = Instant::now();
            if let Err(error) = self.flush().await {
                let cause = words(&error);
                tracing::warn!(game = %self.game.id, %cause, "figures of shadow reads were not written");
            }
        }
        self.note_dropped();
        is_answered
    }

    async fn ask(&mut self) -> Result<Now, SwitchError> {
        let MirroredGame { id, database, mirror } = &self.game;
        let first = said(&mut self.database, database, id).await;
        if let Ok(said) = &first
            && said.is_owner
        {
            // A connection that nobody needs is not kept.
            self.mirror = None;
            return Ok(now(Which::Database, *said));
        }
        let said = said(&mut self.mirror, mirror, id).await?;
        // What was moved is compared on, also while the database of before is away.
        if said.is_owner {
            return Ok(now(Which::Mirror, said));
        }
        first.map(|_| Now::default())
    }

    /// From now on other reads are compared, or none.
    fn change(&mut self, now: Now) {
        // What is under way when they end still counts; after another beginning or of another owner it does not.
        if (now.owner, now.run) != (self.now.owner, self.now.run) {
            self.turn += 1;
            self.tallies.clear();
            self.known.clear();
        }
        if now.ppm != self.now.ppm {
            let share = f64::from(now.ppm) / 10_000.0;
            tracing::info!(game = %self.game.id, "{share} % of the reads are compared with the mirror's");
        }
        self.now = now;
        let sampling = now.owner.filter(|_| now.ppm > 0).map(|(owner, _)| Sampling {
            ppm: now.ppm,
            owner,
            turn: self.turn,
            lane: Arc::clone(&self.lane),
        });
        self.sampler.set(&self.game.id, sampling.as_ref());
    }

    fn begin(&mut self, work: &mut JoinSet<Done>, sample: Sample) {
        if sample.turn != self.turn {
            return;
        }
        let Some(repeatable) = self.repeatable(&sample) else { return };
        let verifier = self.verifier.clone();
        work.spawn(async move {
            let settled = Box::pin(verifier.verify(&sample, &repeatable)).await;
            let operation = sample.operation.template.op.as_str().into();
            Done { operation, turn: sample.turn, settled }
        });
    }

    /// What of the operation's answers can be compared; `None`: nothing, which is told once.
    fn repeatable(&mut self, sample: &Sample) -> Option<Arc<Repeatable>> {
        let template = &sample.operation.template;
        let twin = &sample.operation.mirror.as_ref()?.template;
        let op: Box<str> = template.op.as_str().into();
        let key = (op.clone(), template.version, twin.version);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let looked = Repeatable::of(template).and_then(|own| Repeatable::of(twin).map(|_| own));
        let found = match looked {
            Ok(repeatable) => Some(Arc::new(repeatable)),
            Err(fault) => {
                tracing::info!(game = %self.game.id, %op, %fault, "its answers cannot be compared");
                self.tallies.entry(op).or_default().fault = Some(fault.into());
                None
            }
        };
        self.known.insert(key, found.clone());
        found
    }

    fn note(&mut self, done: Done) {
        let Done { operation, turn, settled } = done;
        if turn != self.turn {
            return;
        }
        let tally = self.tallies.entry(operation.clone()).or_default();
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.game.id.clone(), operation.clone());
        if settled == Settled::Undecided {
            tally.undecided += 1;
            *figures.dropped.entry(key.0).or_default() += 1;
            return;
        }
        tally.compared += 1;
        let [compared, mismatched] = figures.operations.entry(key).or_default();
        *compared += 1;
        if let Settled::Different { params, fault } = settled {
            *mismatched += 1;
            drop(figures);
            tally.mismatched += 1;
            *tally.mismatches.entry((params, fault.clone())).or_default() += 1;
            self.tell(operation, fault);
        }
    }

    /// Tells the log of a mismatch, once for each operation and what differs.
    fn tell(&mut self, operation: Box<str>, fault: Box<str>) {
        let one = (operation, fault);
        if self.told.len() < TOLD_COUNT_MAX && !self.told.contains(&one) {
            let (op, fault) = &one;
            tracing::warn!(game = %self.game.id, %op, %fault, "the mirror answers something else");
            self.told.push(one);
        }
    }

    fn note_dropped(&self) {
        let dropped = self.lane.take_dropped();
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        *figures.dropped.entry(self.game.id.clone()).or_default() += dropped;
    }

    /// Writes down what was found; what cannot be written now is kept.
    async fn flush(&mut self) -> Result<(), SwitchError> {
        let Some((which, _)) = self.now.owner.filter(|_| !self.tallies.is_empty()) else {
            return Ok(());
        };
        let group = (&*self.game.id, &*self.name);
        let tallies = std::mem::take(&mut self.tallies);
        let side = match which {
            Which::Database => &mut self.database,
            Which::Mirror => &mut self.mirror,
        };
        let Some(open) = side else { return Ok(()) };
        let added =
            tokio::time::timeout(LOOK_TIMEOUT, book::add(open, group, self.now.run, &tallies))
                .await;
        let failed = match added {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_late) => SwitchError::Late { connection: self.game.database.name.clone() },
        };
        // It may be in the middle of something.
        *side = None;
        self.tallies = tallies;
        Err(failed)
    }

    /// Tells those who look again how far copying is.
    async fn look_at_the_outbox(&mut self) {
        if self.settling.load(Ordering::Relaxed) == 0 {
            return;
        }
        let side = match self.now.owner {
            Some((Which::Database, _)) => &mut self.database,
            Some((Which::Mirror, _)) => &mut self.mirror,
            None => return,
        };
        let Some(open) = side else { return };
        let looked = async {
            let depth = outbox::depth(open).await?;
            Ok::<_, SwitchError>((depth, outbox::has_retries(open).await?))
        };
        match tokio::time::timeout(LOOK_TIMEOUT, looked).await {
            Ok(Ok((depth, has_retries))) => self.position.send_modify(|position| {
                let number = position.number + 1;
                *position = Position { number, first: depth.first, last: depth.last, has_retries };
            }),
            Ok(Err(_)) | Err(_) => *side = None,
        }
    }
}

const fn now(which: Which, said: Said) -> Now {
    Now { owner: Some((which, said.epoch)), ppm: said.ppm, run: said.run }
}

/// What a side says, over a connection that is kept.
async fn said(
    side: &mut Option<Side>,
    config: &ConnectionConfig,
    group: &str,
) -> Result<Said, SwitchError> {
    let open = match side {
        Some(open) => open,
        None => side.insert(Side::open(config).await?),
    };
    book::said(open, group).await
}
