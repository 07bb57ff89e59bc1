//! Orders that are acknowledged when they are on disk, and in the database after.
//!
//! ```text
//! frontend ──offer──▶ queue ──▶ thread `journal`: one group, one sync ──▶ acknowledged
//!                                      │ segments, index
//!                       backend/apply ◀┘ Reader::next … Journal::applied / dead
//! ```
//! What an acknowledgement promises: the order is on this machine's disk, and will be in the database once, or
//! among the dead letters. An order that was answered with 1502 was not acknowledged; it may still be applied
//! after a restart, so it is repeated with the same key or not at all.
//!
//! Invariant: nothing is acknowledged before its sync returned; a sequence is given once; sequences, not
//! clocks, make the order.

mod batch;
mod command;
mod dead;
mod device;
mod error;
mod group;
mod index;
mod offline;
mod online;
mod outcomes;
mod payload;
mod position;
mod repair;
mod segment;
mod segments;
mod spare;
mod state;
mod stats;
mod store;
mod wish;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

pub use command::{AcceptReply, Accepted};
pub use dead::{Cause, DeadLetter};
pub use error::{JournalError, OpenError};
pub use offline::{Entry, Offline};
pub use outcomes::Outcomes;
pub use payload::{Draft, Payload, Record};
pub use repair::{Damage, Remade, Repaired};
pub use segments::Reader;
pub use state::{Backlog, PendingContract, Served, State};
pub use store::Opened;
pub use wish::{Burial, Standing, Standings, Waits, Wish};

use crate::config::{IoUring, JournalConfig};
use crate::identity::Lane;
use crate::observe::{Event, Metrics, emit};
use crate::queue::{self, Answer, Notice, Notices, Refused, Sender, Watch};
use command::{Command, Order};
use dead::Shelf;
use device::{Driver, block_on};
use index::Index;
use segments::Segments;
use stats::Stats;
use store::Store;
use writer::Writer;

pub(crate) use writer::now_micros;

/// How often word of applied records wakes the journal's thread, at most.
const TIDY_MILLIS: u64 = 1000;

/// A journal that is open. Shared.
#[derive(Debug)]
pub struct Journal {
    id: i64,
    /// `None` once it has ended.
    commands: ArcSwapOption<Sender<Command>>,
    index: Arc<Index>,
    segments: Arc<Segments>,
    shelf: Arc<Shelf>,
    durable: Watch<u64>,
    stats: Arc<Stats>,
    begun: Instant,
    tidy_after: AtomicU64,
    /// Whoever applies records listens here; `None`: nobody does.
    wishes: ArcSwapOption<Sender<Wish>>,
}

/// A journal, and its thread.
pub type Running = (Arc<Journal>, JoinHandle<io::Result<()>>);

impl Journal {
    /// Opens a journal, reads what waits, and starts its thread, `journal`. `None`: none is configured.
    ///
    /// - `notices`: where the thread says that it works, and that it ended.
    ///
    /// Blocks: reads every segment.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; among others when another process has it, or it is damaged.
    pub fn start(
        config: &JournalConfig,
        io_uring: IoUring,
        notices: Notices,
    ) -> Result<Option<Running>, OpenError> {
        let Some(path) = config.path.as_deref() else { return Ok(None) };
        let (store, opened) = Store::open(path, config.keys_max as usize)?;
        tell(path, &opened);
        let buffer = usize::try_from(config.group_bytes_max).unwrap_or(usize::MAX);
        Self::spawn(store, config, path, opened.replayed_count, move |writer| {
            if io_uring == IoUring::Off {
                return writer(Driver::Plain, None, &notices);
            }
            match ring(buffer) {
                Ok((runtime, driver)) => writer(driver, Some(runtime), &notices),
                Err(error) if io_uring == IoUring::Required => Err(error),
                Err(error) => {
                    emit(&Event::IoUringUnavailable { reason: &format!("journal: {error}") });
                    writer(Driver::Plain, None, &notices)
                }
            }
        })
        .map(Some)
    }

    fn spawn(
        store: Store,
        config: &JournalConfig,
        path: &Path,
        replayed: u64,
        drive: impl FnOnce(Work) -> io::Result<()> + Send + 'static,
    ) -> Result<Running, OpenError> {
        let (sender, receiver) = queue::bounded(config.queue_max as usize);
        let (signal, durable) = queue::signal(store.next);
        let stats = Arc::new(Stats::default());
        stats.replayed(replayed);
        let journal = Arc::new(Self {
            id: store.journal,
            commands: ArcSwapOption::from_pointee(sender),
            index: Arc::clone(&store.index),
            segments: Arc::clone(&store.segments),
            shelf: Arc::clone(store.dead.shelf()),
            durable,
            stats: Arc::clone(&stats),
            begun: Instant::now(),
            tidy_after: AtomicU64::new(TIDY_MILLIS),
            wishes: ArcSwapOption::empty(),
        });
        let config = config.clone();
        let work: Work = Box::new(move |driver, runtime, notices| {
            let writer = Writer::new(store, config, driver, stats, signal);
            notices.say(Notice::Ready);
            match runtime {
                Some(runtime) => runtime.block_on(writer.run(receiver)),
                None => block_on(writer.run(receiver)),
            }
            Ok(())
        });
        let thread = std::thread::Builder::new().name("journal".into());
        let thread = thread.spawn(move || drive(work)).map_err(OpenError::machine(path))?;
        Ok((journal, thread))
    }

    /// Asks to keep an order; the answer comes when it is durable, or refused. Never waits.
    ///
    /// Cost: encodes the order on the calling thread.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "given away: nobody may change what was offered"
    )]
    pub fn offer(&self, draft: Draft, reply: AcceptReply) {
        let command = Command::Append(Order::new(&draft, reply));
        if let Err((Command::Append(order), error)) = self.send(command) {
            self.stats.outcomes.answered(Err(error.code()));
            let _heard = order.reply.send(Err(error));
        }
    }

    fn send(&self, command: Command) -> Result<(), (Command, JournalError)> {
        let Some(commands) = &*self.commands.load() else {
            return Err((command, JournalError::Ended));
        };
        commands.offer(command).map_err(|Refused(command)| (command, JournalError::QueueFull))
    }

    /// What is known of a request: it waits, was applied lately, or is dead. `None`: nothing.
    pub fn state_of(&self, request: &[u8; 16]) -> Option<State> {
        self.index.state_of(request)
    }

    /// Records of a lane that wait.
    pub fn lane_record_count(&self, lane: Lane) -> usize {
        self.index.lane_count(lane)
    }

    /// Returns when every record of the lane that is acknowledged now is applied or dead.
    ///
    /// Whoever calls puts a deadline around it; dropping it leaves nothing behind.
    pub async fn lane_settled(&self, lane: Lane) {
        if let Some(settled) = self.index.lane_settled(lane) {
            let _settled_or_ended = settled.await.is_ok();
        }
    }

    /// Under which contracts records wait, dead letters included.
    pub fn pending_contracts(&self) -> Vec<PendingContract> {
        self.index.contracts()
    }

    /// Takes what a snapshot serves, before that snapshot does: from then on orders under any other contract are
    /// refused, and what was taken before is counted. So nothing slips in between a reload's check and its effect.
    ///
    /// Answers when the journal's thread comes to it, which a stalled disk keeps it from.
    ///
    /// # Errors
    ///
    /// Inside: what waits and could not be applied; what was served before stays in effect. Outside: the
    /// journal has ended, or its queue is full.
    pub fn serve(
        &self,
        served: Vec<Served>,
    ) -> Result<Answer<Result<(), Vec<PendingContract>>>, JournalError> {
        let (reply, answer) = queue::reply();
        self.send(Command::Serve(served, reply)).map_err(|(_, error)| error)?;
        Ok(answer)
    }

    /// Figures of what waits.
    pub fn backlog(&self) -> Backlog {
        self.index.backlog()
    }

    /// Dead letters of a game. Cost: one look, however many there are.
    pub fn dead_count(&self, game: &str) -> u64 {
        self.index.dead_count(game)
    }

    /// The journal's id: with a sequence it names a record for all time.
    pub const fn id(&self) -> i64 {
        self.id
    }

    /// A reader of records that wait.
    pub fn reader(&self) -> Reader {
        Reader::new(self.id, Arc::clone(&self.index), Arc::clone(&self.segments))
    }

    /// The sequence after the newest durable record, to wait for more.
    pub fn durable(&self) -> Watch<u64> {
        self.durable.clone()
    }

    /// The lowest sequence that waits; the next to come when nothing does.
    pub fn lowest(&self) -> u64 {
        self.index.lowest()
    }

    /// Whether a record waits.
    pub fn is_pending(&self, sequence: u64) -> bool {
        self.index.is_pending(sequence)
    }

    /// Marks records as applied: their transaction is committed. In any order.
    ///
    /// The mark is on disk later; after a crash some records are handed out again, and their keys' rows in
    /// the database tell that they were applied.
    pub fn applied(&self, sequences: &[u64]) {
        self.index.applied(sequences);
        let _later = self.settle(Instant::now());
    }

    /// Has the applied position written, once a second at most. Whoever applies records calls it again when the
    /// answer says so; `None`: it stands on disk. Never waits.
    pub fn settle(&self, now: Instant) -> Option<Instant> {
        if self.index.lowest() == self.index.position() {
            return None;
        }
        let passed = now.saturating_duration_since(self.begun).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let due = self.tidy_after.load(Ordering::Relaxed);
        let due = if passed >= due {
            let next = passed.saturating_add(TIDY_MILLIS);
            self.tidy_after.store(next, Ordering::Relaxed);
            // A full queue wakes the thread as well.
            let _woken = self.send(Command::Tidy).is_ok();
            next
        } else {
            due
        };
        self.begun.checked_add(Duration::from_millis(due))
    }

    /// The applied position on disk: a restart hands out every record from it on, applied or not.
    pub fn position(&self) -> u64 {
        self.index.position()
    }

    /// Whether the database must keep the row of a request: a restart would hand out a record of it, or an operator
    /// may try one again.
    ///
    /// - `sequence`: this journal's record that wrote the row, if one did.
    pub fn needs(&self, request: &[u8; 16], sequence: Option<u64>) -> bool {
        self.index.needs(request, sequence)
    }

    /// Takes nothing more in. The thread ends when what was taken is answered and the position is written.
    pub fn stop(&self) {
        self.commands.store(None);
    }

    /// Registers the journal's figures.
    pub fn register_metrics(self: &Arc<Self>, metrics: &Metrics) {
        stats::register(self, metrics);
    }
}

/// The thread's work, for whichever way it writes.
type Work =
    Box<dyn FnOnce(Driver, Option<tokio_uring::Runtime>, &Notices) -> io::Result<()> + Send>;

/// A ring of the calling thread, with a registered buffer.
fn ring(buffer_bytes: usize) -> io::Result<(tokio_uring::Runtime, Driver)> {
    // Never more than one write or sync in flight.
    let runtime = tokio_uring::Runtime::new(tokio_uring::builder().entries(8))?;
    let driver = runtime.block_on(async { Driver::ring(buffer_bytes) })?;
    Ok((runtime, driver))
}

fn tell(path: &Path, opened: &Opened) {
    if opened.replayed_count > 0 {
        emit(&Event::JournalReplayed { count: opened.replayed_count });
    }
    if let Some((segment, offset)) = &opened.torn {
        emit(&Event::JournalTorn { file: &segment.display().to_string(), offset: *offset });
    }
    if opened.dead_cut_bytes > 0 {
        let file = path.join("dead").display().to_string();
        emit(&Event::JournalTorn { file: &file, offset: 0 });
    }
}
