//! Takes streams over, as far as nobody else owns them, and applies what comes from them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::figures::{Figures, STREAM_NAMES};
use super::share::{Place, Share};
use super::source::Source;
use super::teller::Teller;
use super::{Around, Loop, READ_COUNT_MAX, Shared, sleep_until};
use crate::backend::switch::Gates;
use crate::backend::{BackendError, Pools};
use crate::cache::Cache;
use crate::config::QueueKind;
use crate::journal::Record;
use crate::observe::{Event, Metrics, emit};
use crate::queue::{self, Watch};
use crate::snapshot::Snapshot;
use crate::stream::{Owned, StreamError, Streams};

/// Between two looks for games whose streams nobody looks after yet.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at how much waits, for the metrics.
const SAMPLE_PAUSE: Duration = Duration::from_secs(5);
/// Shortest time that an instance is taken for living after its last beat, which comes with each look.
const LIFE_LEAST: Duration = Duration::from_secs(3);
/// After a failure of Redis, before the next attempt to own a stream.
const FAILED_PAUSE: Duration = Duration::from_millis(500);

/// What keepers of streams work with.
#[derive(Debug)]
pub struct Keeper {
    /// Where the records come from.
    pub streams: Arc<Streams>,
    /// Which games and templates there are.
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

impl Keeper {
    /// Runs until `stop` is true; then what is under way is finished, and streams are given back.
    pub async fn run(self, mut stop: Watch<bool>) {
        let figures = Figures::default();
        figures.register(&self.metrics, STREAM_NAMES);
        let around = Around {
            snapshot: self.snapshot,
            pools: self.pools,
            gates: self.gates,
            cache: self.cache,
            metrics: self.metrics,
        };
        let keep = Arc::new(Keep { streams: self.streams, around, figures });
        let mut tasks = JoinSet::new();
        let mut known: HashMap<Box<str>, Share> = HashMap::new();
        let life = keep.streams.lease().max(LIFE_LEAST);
        let mut look_at = Instant::now();
        loop {
            let games = keep.games();
            if look_at <= Instant::now() {
                keep.streams.sample(&games).await;
                look_at = Instant::now() + SAMPLE_PAUSE;
            }
            for game in games {
                if known.contains_key(&game) {
                    continue;
                }
                // Redis away: asked again at the next look.
                let Ok(count) = keep.streams.count(&game).await else { continue };
                let Ok(instance_count) = keep.streams.beat(&game, life).await else { continue };
                let share = Share::new(count);
                share.among(instance_count);
                for index in 0..count {
                    let (keep, stop) = (Arc::clone(&keep), stop.clone());
                    let (game, share) = (game.clone(), share.clone());
                    tasks.spawn(async move { keep.stream(&game, index, &share, stop).await });
                }
                known.insert(game, share);
            }
            for (game, share) in &known {
                // Redis away: the others are taken to be as many as before.
                if let Ok(instance_count) = keep.streams.beat(game, life).await {
                    share.among(instance_count);
                }
            }
            tokio::select! {
                () = stop.until(|stop| *stop) => break,
                () = tokio::time::sleep(LOOK_PAUSE) => {}
            }
        }
        for game in known.keys() {
            keep.streams.leave(game).await;
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// What the tasks of all streams share.
#[derive(Debug)]
struct Keep {
    streams: Arc<Streams>,
    around: Around,
    figures: Figures,
}

impl Keep {
    /// Games whose orders go to streams.
    fn games(&self) -> Vec<Box<str>> {
        let snapshot = self.around.snapshot.load();
        let games = snapshot.config.games.iter();
        games
            .filter(|game| game.queue == QueueKind::Stream)
            .map(|game| game.id.as_str().into())
            .collect()
    }

    /// Owns one stream whenever nobody else does, and it is among this instance's share.
    async fn stream(&self, game: &str, index: u32, share: &Share, mut stop: Watch<bool>) {
        let mut is_failing = false;
        loop {
            let taken = match share.place(index) {
                None => Ok(None),
                Some(place) => {
                    let owned = self.streams.take(game, index).await;
                    owned.map(|owned| owned.map(|owned| (owned, place)))
                }
            };
            let pause = match taken {
                Ok(Some((owned, place))) => {
                    is_failing = false;
                    self.own(&owned, &place, stop.clone()).await;
                    FAILED_PAUSE
                }
                Ok(None) => self.streams.lease() / 4,
                Err(error) => {
                    if !is_failing {
                        emit(&Event::JournalFailed { what: "taking a stream over", error: &error });
                    }
                    is_failing = true;
                    FAILED_PAUSE
                }
            };
            tokio::select! {
                biased;
                () = stop.until(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Applies what comes, until the stream is lost, others are to have it, or everything stops.
    async fn own(&self, owned: &Arc<Owned>, place: &Place, mut stop: Watch<bool>) {
        let source = Source::Stream(Arc::clone(owned));
        let (around, figures) = (self.around.clone(), self.figures.clone());
        let work = Loop::new(Arc::new(Shared::of(around, source, Teller::silent(), figures)));
        // A set, because what it runs ends with it; a task, because a panic of it ends no more than that.
        let mut tasks = JoinSet::new();
        let (ending, ended) = queue::signal(false);
        tasks.spawn(Box::pin(work.run_stream(Arc::clone(owned), ended)));
        let mut lost = owned.lost();
        tokio::join!(
            async {
                if let Some(Err(error)) = tasks.join_next().await {
                    emit(&Event::JournalFailed { what: "applying a stream", error: &error });
                }
                owned.release().await;
            },
            owned.keep_lease(),
            async {
                tokio::select! {
                    () = stop.until(|stop| *stop) => {}
                    () = place.is_surplus() => {}
                    () = lost.until(|lost| *lost) => {}
                }
                ending.set(true);
            }
        );
    }
}

impl Loop {
    /// Applies what a stream holds, until it is lost or `stop` is true; then what is under way is finished.
    async fn run_stream(mut self, owned: Arc<Owned>, mut stop: Watch<bool>) {
        let mut lost = owned.lost();
        let (sender, mut arrived) = mpsc::channel(1);
        // A task of its own: a read that is dropped half done would hold up the connection.
        drop(tokio::spawn(read(owned, sender)));
        loop {
            self.dispatch();
            let now = Instant::now();
            let (has_room, wake_at) = (self.has_room(now), self.wake_at(now));
            tokio::select! {
                biased;
                () = stop.until(|stop| *stop) => break,
                () = lost.until(|lost| *lost) => break,
                Some(done) = self.running.join_next_with_id(), if !self.running.is_empty() => {
                    self.ended(done);
                }
                found = arrived.recv(), if has_room => match found {
                    Some(Ok(records)) => self.take(records),
                    Some(Err(error)) => {
                        emit(&Event::JournalFailed { what: "reading a stream", error: &error });
                        break;
                    }
                    None => break,
                },
                () = sleep_until(wake_at) => {}
            }
        }
        drop(arrived);
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        while let Some(done) = self.running.join_next_with_id().await {
            self.ended(done);
        }
    }
}

/// Reads a stream while somebody takes what is read.
async fn read(owned: Arc<Owned>, sender: mpsc::Sender<Result<Vec<Record>, StreamError>>) {
    let mut incoming = match owned.incoming().await {
        Ok(incoming) => incoming,
        Err(error) => {
            let _heard = sender.send(Err(error)).await.is_ok();
            return;
        }
    };
    while !sender.is_closed() {
        let found = incoming.next(READ_COUNT_MAX).await;
        let is_over = found.is_err();
        let is_empty = found.as_ref().is_ok_and(Vec::is_empty);
        if (!is_empty && sender.send(found).await.is_err()) || is_over {
            return;
        }
    }
}
