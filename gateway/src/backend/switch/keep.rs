//! A running gateway copies for every game that has a mirror, as far as nobody else does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::copy::Copier;
use super::direction::by_rows;
use super::error::SwitchError;
use super::lease::Takeover;
use super::outbox::{Depth, depth};
use super::side::Side;
use super::state::{Group, now_ms};
use super::tasks::{MirroredGame, Tasks};
use crate::observe::{Kind, Metrics};
use crate::queue::Watch;
use crate::snapshot::Snapshot;

/// Between two looks for games that have a mirror.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at an outbox that is empty.
const IDLE_PAUSE: Duration = Duration::from_millis(200);
/// Between two signs of life while nothing waits.
const BEAT_PAUSE: Duration = Duration::from_secs(2);
/// After a failure, or while somebody else copies.
const AWAY_PAUSE: Duration = Duration::from_secs(2);
/// How long one batch may take.
const BATCH_TIMEOUT: Duration = Duration::from_mins(1);
/// Between two looks at how much waits.
const SAMPLE_PAUSE: Duration = Duration::from_secs(1);

/// Copies for every game with a mirror: `games.<id>.mirror`.
#[derive(Debug)]
pub struct Copiers {
    /// Says which games those are.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Where the figures are told.
    pub metrics: Arc<Metrics>,
    /// Who copies: this process, for `gateway switch GAME status`.
    pub name: Box<str>,
}

/// What is known of one game.
#[derive(Clone, Copy, Debug, Default)]
struct Figure {
    waiting: u64,
    age_ms: i64,
    copied: u64,
    refused: u64,
    is_copier: bool,
}

type Figures = Arc<Mutex<BTreeMap<Box<str>, Figure>>>;

impl Copiers {
    /// Runs until `stop` is true; leases are given back then.
    pub async fn run(self, mut stop: Watch<bool>) {
        let figures = Figures::default();
        register(&self.metrics, &figures);
        let mut tasks = Tasks::default();
        loop {
            let wanted = MirroredGame::all(&self.snapshot.load().config);
            let begin = |of, stop| keep(of, self.name.clone(), Arc::clone(&figures), stop);
            for game in tasks.keep(wanted, begin).await {
                lock(&figures).remove(&game);
            }
            tokio::select! {
                () = stop.until(|stop| *stop) => break,
                () = tokio::time::sleep(LOOK_PAUSE) => {}
            }
        }
        tasks.end().await;
    }
}

/// Copies one game until `stop` is true.
async fn keep(of: MirroredGame, name: Box<str>, figures: Figures, mut stop: Watch<bool>) {
    let named = Group { id: &of.id, owner: &of.database, mirror: &of.mirror };
    let mut told = String::new();
    loop {
        let mut group = named;
        let pause = match copy(&mut group, &name, &figures, &mut stop).await {
            Ok(()) => return,
            Err(error) => {
                note(&figures, &of.id, |figure| figure.is_copier = false);
                let held = matches!(error, SwitchError::Held { .. });
                let cause = super::capture::words(&error);
                // That there is no mirror yet is how every mirror begins.
                if held || matches!(error, SwitchError::Refused(_)) {
                    tracing::debug!(game = %of.id, %error, "this gateway copies nothing");
                } else if told != cause {
                    tracing::warn!(game = %of.id, %error, %cause, "rows are not copied to the mirror");
                    told = cause;
                }
                if held {
                    sample(group, &figures).await;
                }
                AWAY_PAUSE
            }
        };
        tokio::select! {
            () = stop.until(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Copies until `stop` is true, or something fails.
///
/// - `group`: as the configuration names it, then as the rows do.
async fn copy(
    group: &mut Group<'_>,
    name: &str,
    figures: &Figures,
    stop: &mut Watch<bool>,
) -> Result<(), SwitchError> {
    let late = |_late| SwitchError::Late { connection: group.owner.name.clone() };
    let directed = tokio::time::timeout(BATCH_TIMEOUT, by_rows(*group)).await.map_err(late)??;
    *group = directed;
    let group = directed;
    let late = |_late| SwitchError::Late { connection: group.owner.name.clone() };
    let opening = Copier::open(group, name, Takeover::WhenSilent);
    let mut copier = tokio::time::timeout(BATCH_TIMEOUT, opening).await.map_err(late)??;
    let (mut sampled, mut beaten) = (None, None);
    loop {
        let asked = tokio::time::timeout(BATCH_TIMEOUT, copier.depth()).await.map_err(late)??;
        let now = tokio::time::Instant::now();
        let is_due = beaten.is_none_or(|at| now.saturating_duration_since(at) >= BEAT_PAUSE);
        if asked.first == 0 && !is_due {
            tokio::select! {
                () = stop.until(|stop| *stop) => break,
                () = tokio::time::sleep(IDLE_PAUSE) => continue,
            }
        }
        beaten = Some(now);
        let batch = tokio::time::timeout(BATCH_TIMEOUT, copier.batch()).await.map_err(late)??;
        note(figures, group.id, |figure| {
            figure.copied += batch.copied;
            figure.is_copier = true;
        });
        if sampled.is_none_or(|at| now.saturating_duration_since(at) >= SAMPLE_PAUSE) {
            sampled = Some(now);
            let asked = async { Ok((copier.depth().await?, copier.refused_count().await?)) };
            let asked = tokio::time::timeout(BATCH_TIMEOUT, asked).await.map_err(late)?;
            let (depth, refused) = asked?;
            note(figures, group.id, |figure| figure.take(depth, refused));
        }
        if tokio::time::timeout(Duration::ZERO, stop.until(|stop| *stop)).await.is_ok() {
            break;
        }
    }
    copier.close().await;
    Ok(())
}

/// How much waits, while another gateway copies it.
async fn sample(group: Group<'_>, figures: &Figures) {
    let asked = async {
        let mut owner = Side::open(group.owner).await?;
        let depth = depth(&mut owner).await?;
        owner.close().await;
        Ok::<_, SwitchError>(depth)
    };
    if let Ok(Ok(depth)) = tokio::time::timeout(BATCH_TIMEOUT, asked).await {
        note(figures, group.id, |figure| {
            let refused = figure.refused;
            figure.take(depth, refused);
        });
    }
}

impl Figure {
    fn take(&mut self, depth: Depth, refused: u64) {
        self.waiting = depth.count_max;
        self.age_ms = depth.since.map_or(0, |since| (now_ms() - since / 1000).max(0));
        self.refused = refused;
    }
}

fn note(figures: &Figures, game: &str, change: impl FnOnce(&mut Figure)) {
    change(lock(figures).entry(game.into()).or_default());
}

fn lock(figures: &Figures) -> std::sync::MutexGuard<'_, BTreeMap<Box<str>, Figure>> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register(metrics: &Metrics, figures: &Figures) {
    let family = |name, help, kind, value: fn(&Figure) -> i64| {
        let figures = Arc::clone(figures);
        metrics.family(name, help, kind, move |samples| {
            for (game, figure) in lock(&figures).iter() {
                samples.add(&[("game", game)], value(figure));
            }
        });
    };
    family(
        "gateway_switch_outbox_rows",
        "Rows that wait to be copied to the game's mirror, at most.",
        Kind::Gauge,
        |figure| i64::try_from(figure.waiting).unwrap_or(i64::MAX),
    );
    family(
        "gateway_switch_lag_milliseconds",
        "For how long the first of them has waited.",
        Kind::Gauge,
        |figure| figure.age_ms,
    );
    family(
        "gateway_switch_copied_rows_total",
        "Rows that this gateway copied to the game's mirror.",
        Kind::Counter,
        |figure| i64::try_from(figure.copied).unwrap_or(i64::MAX),
    );
    family(
        "gateway_switch_refused_rows",
        "Rows that the game's mirror does not take; copying stops at 1000.",
        Kind::Gauge,
        |figure| i64::try_from(figure.refused).unwrap_or(i64::MAX),
    );
    family(
        "gateway_switch_copier",
        "Whether this gateway copies for the game.",
        Kind::Gauge,
        |figure| i64::from(figure.is_copier),
    );
}
