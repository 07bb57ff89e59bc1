//! Shadow reads of a running gateway: a share of the reads that the owner's database answered is answered by the
//! mirror, too, and compared, while callers have their answers long since.
//!
//! For each game with a mirror one task asks the databases every second whether and how many reads are to be compared
//! (`gateway switch GAME verify --sample 5%`), takes samples from the queue, and writes down what came of them. Nothing
//! counts that was begun before the game became `mirrored`, or changed its owner.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::super::super::Pools;
use super::super::tasks::{MirroredGame, Tasks};
use super::game::Shadow;
use super::sample::Sampler;
use crate::observe::{Kind, Metrics};
use crate::queue::Watch;
use crate::snapshot::Snapshot;

/// Between two looks at which games have a mirror.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Compares reads for every game with a mirror.
#[derive(Debug)]
pub struct Shadows {
    /// Says which games those are.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Their databases.
    pub pools: Arc<Pools>,
    /// Where reads are sampled.
    pub sampler: Arc<Sampler>,
    /// Where the figures are told.
    pub metrics: Arc<Metrics>,
    /// Who compares: this process.
    pub name: Box<str>,
}

/// What metrics are told.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// By game and operation: compared, mismatched.
    pub(super) operations: BTreeMap<(Box<str>, Box<str>), [u64; 2]>,
    /// By game.
    pub(super) dropped: BTreeMap<Box<str>, u64>,
}

pub(super) type SharedFigures = Arc<Mutex<Figures>>;

impl Shadows {
    /// Runs until `stop` is true.
    pub async fn run(self, mut stop: Watch<bool>) {
        let figures = SharedFigures::default();
        register(&self.metrics, &figures);
        let mut tasks = Tasks::default();
        loop {
            let wanted = MirroredGame::all(&self.snapshot.load().config);
            tasks.keep(wanted, |game, stop| Shadow::new(game, &self, &figures).run(stop)).await;
            tokio::select! {
                () = stop.until(|stop| *stop) => break,
                () = tokio::time::sleep(LOOK_PAUSE) => {}
            }
        }
        tasks.end().await;
    }
}

fn register(metrics: &Metrics, figures: &SharedFigures) {
    let by_operation = |name, help, place: usize| {
        let figures = Arc::clone(figures);
        metrics.family(name, help, Kind::Counter, move |samples| {
            let figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
            for ((game, op), counts) in &figures.operations {
                let count = counts.get(place).copied().unwrap_or(0);
                samples.add(&[("game", game), ("op", op)], count);
            }
        });
    };
    by_operation(
        "gateway_shadow_compared_total",
        "Answers of a game's database that were compared with its mirror's.",
        0,
    );
    by_operation(
        "gateway_shadow_mismatched_total",
        "Of those, answers that were different when copying had caught up.",
        1,
    );
    let figures = Arc::clone(figures);
    let help =
        "Sampled reads that were not compared: no room, no answer, or rows that always change.";
    metrics.family("gateway_shadow_dropped_total", help, Kind::Counter, move |samples| {
        let figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
        for (game, count) in &figures.dropped {
            samples.add(&[("game", game)], *count);
        }
    });
}
