//! Who owns each game: a running gateway looks at the rows of every game that has a mirror, or whose database says that it
//! has one, and lets calls to the owner.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::error::SwitchError;
use super::gates::{Gates, Ownership};
use super::lookout::{Around, Lookout, Watched};
use super::side::Side;
use super::state::text;
use super::tasks::Tasks;
use crate::config::{Config, ConnectionConfig, GameConfig};
use crate::journal::Journal;
use crate::observe::{Kind, Metrics, Samples};
use crate::queue::Watch;
use crate::snapshot::Snapshot;

/// Between two looks for games that have a mirror.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Between two questions to a database whether it knows of a mirror that the configuration does not, while it answers and
/// while it does not.
const ASK_PAUSE: Duration = Duration::from_secs(1);
const AWAY_PAUSE: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Games that a database knows to be owned by another one, or to have a mirror.
const KNOWN: &str = "SELECT group_name FROM gateway_switch WHERE phase <> 'single' OR owner <> ?";

/// Opens and closes the gates of the games.
#[derive(Debug)]
pub struct Owners {
    /// Says which games have a mirror.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Where calls wait.
    pub gates: Arc<Gates>,
    /// Where the figures are told.
    pub metrics: Arc<Metrics>,
    /// Who this is, for `gateway switch GAME status`.
    pub name: Box<str>,
    /// Whose dead letters this gateway tells of; `None`: no journal is configured.
    pub journal: Option<Arc<Journal>>,
}

/// Games whose configuration has no mirror, and whose database knows of one.
type Found = Arc<Mutex<BTreeSet<(Box<str>, Box<str>)>>>;

impl Owners {
    /// Runs until `stop` is true; then, when no call is under way any more, nobody waits for this gateway.
    pub async fn run(self, mut stop: Watch<bool>) {
        register(&self.metrics, &self.gates);
        let around = Around {
            snapshot: Arc::clone(&self.snapshot),
            gates: Arc::clone(&self.gates),
            name: self.name,
            journal: self.journal,
            is_ending: Arc::default(),
        };
        let found = Found::default();
        let mut lookouts = Tasks::default();
        let mut questions = Tasks::default();
        loop {
            let config = Arc::clone(&self.snapshot.load().config);
            let begin = |of, stop| {
                let (found, gates) = (Arc::clone(&found), Arc::clone(&self.gates));
                ask(of, found, gates, stop)
            };
            questions.keep(alone(&config), begin).await;
            let wanted = wanted(&config, &lock(&found));
            lookouts
                .keep(wanted.clone(), |of, stop| Lookout::new(of, around.clone()).run(stop))
                .await;
            // Also those that somebody asked for who began before a reload.
            for game in self.gates.games().iter().filter(|game| !wanted.contains_key(*game)) {
                if !self.gates.is_unasked(game) {
                    self.gates.remove(game);
                }
            }
            tokio::select! {
                () = stop.until(|stop| *stop) => break,
                () = self.gates.made.notified() => {}
                () = tokio::time::sleep(LOOK_PAUSE) => {}
            }
        }
        around.is_ending.store(true, Ordering::Relaxed);
        lookouts.end().await;
        questions.end().await;
    }
}

/// The games to look at.
fn wanted(config: &Config, found: &BTreeSet<(Box<str>, Box<str>)>) -> HashMap<Box<str>, Watched> {
    let one = |game: &GameConfig| {
        let id: Box<str> = game.id.as_str().into();
        let is_found = || found.contains(&(game.database.clone(), id.clone()));
        if game.mirror.is_none() && !is_found() {
            return None;
        }
        let database = config.database.connection(&game.database)?.clone();
        let mirror =
            game.mirror.as_ref().and_then(|mirror| config.database.connection(mirror)).cloned();
        Some((id.clone(), Watched { game: id, database, mirror }))
    };
    config.games.iter().filter_map(one).collect()
}

/// The databases of games that have no mirror.
fn alone(config: &Config) -> HashMap<Box<str>, ConnectionConfig> {
    let games = config.games.iter().filter(|game| game.mirror.is_none());
    games
        .filter_map(|game| {
            Some((game.database.clone(), config.database.connection(&game.database)?.clone()))
        })
        .collect()
}

/// Asks a database, now and then, for games of which it knows more than the configuration.
async fn ask(connection: ConnectionConfig, found: Found, gates: Arc<Gates>, mut stop: Watch<bool>) {
    let mut side = None;
    loop {
        let asked = tokio::select! {
            () = stop.until(|stop| *stop) => break,
            asked = tokio::time::timeout(ASK_TIMEOUT, known(&mut side, &connection)) => asked,
        };
        let pause = match asked {
            Ok(Ok(known)) => {
                let mut found = lock(&found);
                found.retain(|(name, _)| *name != connection.name);
                found.extend(known.into_iter().map(|game| (connection.name.clone(), game)));
                ASK_PAUSE
            }
            // It does not have the table.
            Ok(Err(SwitchError::Statement { .. })) => AWAY_PAUSE,
            // Of a database that does not answer nothing new is known.
            Ok(Err(_)) | Err(_) => {
                side = None;
                AWAY_PAUSE
            }
        };
        // Also one that does not answer: its calls are told so by the pool, and write nothing.
        gates.note_asked(&connection);
        tokio::select! {
            () = stop.until(|stop| *stop) => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    lock(&found).retain(|(name, _)| *name != connection.name);
    if let Some(side) = side {
        side.close().await;
    }
}

async fn known(
    side: &mut Option<Side>,
    connection: &ConnectionConfig,
) -> Result<Vec<Box<str>>, SwitchError> {
    let side = match side {
        Some(side) => side,
        None => side.insert(Side::open(connection).await?),
    };
    let rows = side.texts(KNOWN, vec![text(&connection.name)]).await?;
    Ok(rows.into_iter().filter_map(|row| Some(row.into_iter().next()??.into())).collect())
}

fn lock(found: &Found) -> MutexGuard<'_, BTreeSet<(Box<str>, Box<str>)>> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register(metrics: &Metrics, gates: &Arc<Gates>) {
    let family = |name, help, write: fn(&str, bool, &Ownership, &mut Samples)| {
        let gates = Arc::clone(gates);
        metrics.family(name, help, Kind::Gauge, move |samples| {
            for (game, is_open, ownership) in gates.shown() {
                write(&game, is_open, &ownership, samples);
            }
        });
    };
    family(
        "gateway_switch_epoch",
        "How often the owner of the game has changed, as this gateway knows it.",
        |game, _, ownership, samples| samples.add(&[("game", game)], ownership.epoch),
    );
    family(
        "gateway_switch_gate_open",
        "Whether calls are let to the game's database; 0: they wait for the end of a flip.",
        |game, is_open, _, samples| samples.add(&[("game", game)], is_open),
    );
    family(
        "gateway_switch_pause_milliseconds",
        "How long the last flip made this gateway's calls wait.",
        |game, _, ownership, samples| {
            let pause = ownership.pause.unwrap_or_default().as_millis();
            samples.add(&[("game", game)], u64::try_from(pause).unwrap_or(u64::MAX));
        },
    );
}
