//! The journal's thread: takes what has arrived, writes it as one group, syncs, and only then answers.
//!
//! Invariant: one group is in flight at a time; a segment that failed is never written to again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::batch::{Batch, Bounds};
use super::command::{AcceptReply, Accepted, Command, Order};
use super::dead::DeadLetter;
use super::device::{Device, Driver};
use super::group::{Group, GroupHeader, HEADER_BYTES};
use super::index::Ticket;
use super::segment::{GROUPS_AT, SegmentHeader};
use super::segments::Segment;
use super::spare::Spare;
use super::state::{Letter, Seen};
use super::stats::Stats;
use super::store::Store;
use super::{JournalError, OpenError};
use crate::config::JournalConfig;
use crate::observe::{Event, emit};
use crate::queue::{Receiver, Reply, Signal};

/// How often the applied position is written, at most, unless a segment can go.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// Most entries of one round; more wait for the next.
const ROUND_MAX: usize = 16_384;

/// A letter to write, and who waits for that.
type Death = (Box<DeadLetter>, Reply<Result<(), JournalError>>);

/// The segment that is written to.
struct Active {
    device: Device,
    first: u64,
    offset: u64,
}

/// The thread's own part of a journal.
pub(super) struct Writer {
    store: Store,
    config: JournalConfig,
    driver: Driver,
    stats: Arc<Stats>,
    durable: Signal<u64>,
    active: Option<Active>,
    spare: Spare,
    tidied: Instant,
    /// A segment could not be deleted: tried again with the next position.
    is_untidy: bool,
    batch: Batch,
    /// Taken from the queue, for the next round.
    held: Option<Command>,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        config: JournalConfig,
        driver: Driver,
        stats: Arc<Stats>,
        durable: Signal<u64>,
    ) -> Self {
        let spare = Spare::new(&store.folder, config.segment_bytes, &driver);
        Self {
            store,
            config,
            driver,
            stats,
            durable,
            active: None,
            spare,
            tidied: Instant::now(),
            is_untidy: false,
            batch: Batch::default(),
            held: None,
        }
    }

    /// Serves until every sender is gone; then what was taken is on disk, and so is the applied position.
    pub(super) async fn run(mut self, mut commands: Receiver<Command>) {
        loop {
            let command = match self.held.take() {
                Some(held) => Some(held),
                None => commands.take().await,
            };
            let Some(command) = command else { break };
            self.round(command, &mut commands).await;
        }
        self.finish();
    }

    /// Writes the applied position.
    pub(super) fn finish(&mut self) {
        self.tidy();
        self.spare.end();
    }

    /// Takes what has arrived, as far as it fits into a group, and serves it. What does not fit is held.
    async fn round(&mut self, first: Command, commands: &mut Receiver<Command>) {
        let (mut orders, mut deaths, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let is_ripe = !self.is_untidy && self.store.has_applied_segments();
        if is_ripe || self.tidied.elapsed() >= TIDY_INTERVAL {
            self.tidy();
        }
        let mut next = Some(first);
        let mut bytes = HEADER_BYTES;
        for _ in 0..ROUND_MAX {
            let Some(command) = next else { break };
            match command {
                Command::Append(order) => {
                    bytes += Group::cost(&order.bytes);
                    if bytes > self.group_bytes_max() && !orders.is_empty() {
                        self.held = Some(Command::Append(order));
                        break;
                    }
                    orders.push(order);
                }
                Command::Dead(letter, reply) => deaths.push((letter, reply)),
                Command::Serve(..) => {
                    // What came before it is written first, what comes after it is judged by it.
                    others.push(command);
                    break;
                }
                other => others.push(other),
            }
            next = commands.try_take();
        }
        self.admit_all(orders);
        self.write_batch().await;
        self.bury(deaths);
        for command in others {
            self.other(command).await;
        }
    }

    fn group_bytes_max(&self) -> usize {
        usize::try_from(self.config.group_bytes_max).unwrap_or(usize::MAX)
    }

    /// Puts each order into the batch, or answers it at once.
    fn admit_all(&mut self, orders: Vec<Order>) {
        self.batch.clear();
        if orders.is_empty() {
            return;
        }
        let now_micros = now_micros();
        let asked = orders.iter().map(|order| (&order.key, order.asked()));
        let (seen, load) = self.store.index.look(asked, now_micros);
        let disk_bytes = self.store.segments.bytes() + self.store.dead.shelf().bytes();
        let bounds = Bounds { load, now_micros, disk_bytes };
        for (order, seen) in orders.into_iter().zip(seen) {
            let refused = match seen {
                Seen::Repeated(sequence) => Ok(Accepted { sequence, repeated: true }),
                Seen::Reused(sequence) => Err(JournalError::KeyReused { sequence }),
                Seen::Superseded => Err(JournalError::Superseded),
                Seen::New { operation } => {
                    self.admit(order, operation, &bounds);
                    continue;
                }
            };
            self.answer(order.reply, refused);
        }
    }

    /// Puts an order into the batch whose key the index does not know, or answers it at once.
    fn admit(&mut self, order: Order, operation: u32, bounds: &Bounds) {
        let Order { key, lane, at_micros, bytes, reply } = order;
        if let Some(at) = self.batch.keys.get(&key.request).copied() {
            let first = self.batch.records.get(at);
            if first.is_some_and(|(first, _)| first.key.params == key.params) {
                self.batch.replies.push((reply, at, true));
            } else {
                let sequence = self.store.next + at as u64;
                self.answer(reply, Err(JournalError::KeyReused { sequence }));
            }
            return;
        }
        if let Err(error) = bounds.check(&self.config, &self.batch.group, bytes.len()) {
            self.answer(reply, Err(error));
            return;
        }
        let at = self.batch.records.len();
        self.batch.group.push(&bytes);
        self.batch.keys.insert(key.request, at);
        self.batch.records.push((Ticket { key, lane, at_micros, operation }, bytes.len()));
        self.batch.replies.push((reply, at, false));
    }

    fn answer(&self, reply: AcceptReply, answer: Result<Accepted, JournalError>) {
        self.stats
            .outcomes
            .answered(answer.as_ref().map(|it| it.repeated).map_err(JournalError::code));
        // Nobody waits any more, maybe.
        let _heard = reply.send(answer);
    }

    async fn write_batch(&mut self) {
        if self.batch.group.count() == 0 {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let first = self.store.next;
        let written = self.write_group(&mut batch.group, first).await;
        if written.is_ok() {
            self.store.index.insert_all(first, &batch.records);
            self.durable.set(self.store.next);
        }
        for (reply, at, repeated) in batch.replies.drain(..) {
            let sequence = first + at as u64;
            self.answer(reply, written.clone().map(|()| Accepted { sequence, repeated }));
        }
        self.batch = batch;
        self.batch.clear();
    }

    /// Writes a group and syncs it. After a failure its sequences are used up, and its segment is left.
    async fn write_group(&mut self, group: &mut Group, first: u64) -> Result<(), JournalError> {
        let count = group.count();
        let bytes = group.finish(self.store.journal, first);
        let extent = bytes.len() as u64;
        let is_room = |active: &Active| active.offset + extent <= self.config.segment_bytes;
        if !self.active.as_ref().is_some_and(is_room) {
            self.switch(first).map_err(JournalError::no_segment)?;
        }
        let Some(active) = &mut self.active else { return Err(JournalError::Ended) };
        let begun = Instant::now();
        let mut written = active.device.write(bytes, active.offset).await;
        if written.is_ok() {
            written = active.device.sync().await;
        }
        self.store.next = first + count;
        if let Err(error) = written {
            self.active = None;
            emit(&Event::JournalFailed { what: "a group", error: &error });
            return Err(JournalError::failed(error));
        }
        self.stats.synced(begun.elapsed(), count, extent);
        let header = GroupHeader::decode(
            bytes.first_chunk().unwrap_or(&[0; HEADER_BYTES]),
            self.store.journal,
        );
        if let (Some(header), Some(known)) =
            (header, self.store.segments.lock().get_mut(&active.first))
        {
            known.extend(&header, active.offset);
        }
        active.offset += extent;
        self.store.durable_next = self.store.next;
        Ok(())
    }

    /// Begins the next segment, at the sequence `first`.
    fn switch(&mut self, first: u64) -> io::Result<()> {
        self.active = None;
        let previous_next = self.store.durable_next;
        let header = SegmentHeader { journal: self.store.journal, first, previous_next };
        let (file, path) = self.spare.begin(&self.driver, &header).inspect_err(|error| {
            emit(&Event::JournalFailed { what: "a new segment", error });
        })?;
        self.store.segments.lock().insert(first, Segment::new(path, first));
        self.active = Some(Active { device: self.driver.device(file), first, offset: GROUPS_AT });
        Ok(())
    }

    /// Writes dead letters, with one sync, and only then settles their records.
    fn bury(&mut self, deaths: Vec<Death>) {
        if deaths.is_empty() {
            return;
        }
        let mut bytes = Vec::new();
        for (letter, _) in &deaths {
            self.store.dead.put_dead(&mut bytes, letter);
        }
        let written = self.store.dead.append(&bytes);
        let written = written.inspect_err(|error| {
            emit(&Event::JournalFailed { what: "a dead letter", error });
        });
        let written = written.map_err(JournalError::failed);
        for (letter, reply) in deaths {
            if written.is_ok() {
                self.store.index.insert_dead(letter.sequence, &letter.draft, &letter.cause);
                self.stats.buried();
            }
            let _heard = reply.send(written.clone());
        }
    }

    async fn other(&mut self, command: Command) {
        match command {
            Command::Retry { sequence, force, reply } => {
                let answer = self.retry(sequence, force).await;
                let _heard = reply.send(answer);
            }
            Command::Drop(sequence, reply) => {
                let answer = self.drop_letter(sequence);
                let _heard = reply.send(answer);
            }
            Command::Serve(served, reply) => {
                let answer = self.store.index.serve(&served);
                let _heard = reply.send(answer);
            }
            Command::Tidy => self.tidy(),
            Command::Append(_) | Command::Dead(..) => {}
        }
    }

    /// Appends a dead letter's record again, under a new sequence.
    pub(super) async fn retry(&mut self, sequence: u64, force: bool) -> Result<u64, OpenError> {
        let letter = self.letter(sequence)?;
        if letter.overtaken && !force {
            return Err(OpenError::Overtaken { sequence });
        }
        let draft = self.store.dead.shelf().read(sequence)?.draft;
        let bytes = draft.encode();
        let mut group = Group::default();
        group.clear();
        group.push(&bytes);
        let first = self.store.next;
        self.write_group(&mut group, first).await?;
        self.store.index.remove_dead(sequence);
        // Its age is what it waits from now on: one that was dead for long is not to close the journal.
        self.store.index.insert(first, &draft, now_micros(), bytes.len());
        self.durable.set(self.store.next);
        // Were this not to be written, the next start would find the newer record and write it.
        if let Err(error) = self.store.dead.gone(sequence) {
            emit(&Event::JournalFailed { what: "a dead letter's end", error: &error });
        }
        Ok(first)
    }

    fn letter(&self, sequence: u64) -> Result<Letter, OpenError> {
        let index = &self.store.index;
        index.letter(sequence).ok_or_else(|| {
            if index.is_pending(sequence) {
                OpenError::NotDead { sequence }
            } else {
                OpenError::NoRecord { sequence }
            }
        })
    }

    /// Forgets a dead letter.
    pub(super) fn drop_letter(&mut self, sequence: u64) -> Result<(), OpenError> {
        self.letter(sequence)?;
        self.store.dead.gone(sequence).map_err(JournalError::failed)?;
        self.store.index.remove_dead(sequence);
        Ok(())
    }

    fn tidy(&mut self) {
        self.tidied = Instant::now();
        let tidied = self.store.tidy();
        self.is_untidy = tidied.is_err();
        if let Err(error) = tidied {
            emit(&Event::JournalFailed { what: "the applied position", error: &error });
        }
    }
}

/// The wall clock, in Unix microseconds: for ages only, never for order.
pub(crate) fn now_micros() -> i64 {
    let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    i64::try_from(micros).unwrap_or(i64::MAX)
}
