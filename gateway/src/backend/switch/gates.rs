//! The gates of the games that have to do with a switch, by the games' names.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use gateway_protocol::GameId;
use tokio::sync::Notify;

use super::super::BackendError;
use super::gate::{Gate, Owner, Permit, Standing};
use crate::config::{Config, ConnectionConfig};
use crate::snapshot::{Operation, Placed, Which};

/// The gates, for everybody who calls a database. A game without one is none of theirs.
#[derive(Debug, Default)]
pub struct Gates {
    by_game: ArcSwap<HashMap<Box<str>, Arc<Gate>, RandomState>>,
    /// Wakes who sees to it that somebody looks behind each.
    pub(super) made: Notify,
    shown: Mutex<BTreeMap<Box<str>, Ownership>>,
    /// Games whose configuration has no mirror, and whose database was not asked yet whether it knows of one: which database that is.
    unasked: Mutex<HashMap<Box<str>, ConnectionConfig>>,
}

/// Where a game stands, for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The connection that owns it; `None`: none, or nobody knows.
    pub owner: Option<Box<str>>,
    /// The owner's epoch; 0 where nobody has ever begun a mirror.
    pub epoch: u32,
    /// The word of the phase that its rows are in; `None`: there are none.
    pub phase: Option<&'static str>,
    /// How long calls waited the last time.
    pub pause: Option<Duration>,
    /// Why calls wait, where it is not the pause of a flip.
    pub fault: Option<Box<str>>,
}

/// A call that was let to its game's owner.
#[derive(Debug)]
pub(in crate::backend) struct Entered<'o> {
    /// The operation as it is there.
    pub(in crate::backend) placed: Placed<'o>,
    /// Its stay; `None`: the game has one database, and nothing to do with a switch.
    pub(in crate::backend) permit: Option<Box<Permit>>,
}

impl Entered<'_> {
    /// What a write has to find in the database.
    pub(in crate::backend) fn owner(&self) -> Option<&Owner> {
        self.permit.as_deref().map(Permit::owner)
    }
}

impl Gates {
    /// Lets a call of an operation to its game's owner, at once where there is no gate.
    ///
    /// # Errors
    ///
    /// As [`Gate::enter`]; [`BackendError::SwitchPaused`] also where the owner is a database that the operation does not know: its
    /// configuration is an old one.
    pub(in crate::backend) async fn enter<'o>(
        &self,
        operation: &'o Operation,
        deadline: Instant,
    ) -> Result<Entered<'o>, BackendError> {
        while let Some(gate) = self.of(operation) {
            // Boxed: most calls have no gate, and would have room for it.
            let Some(permit) = Box::pin(gate.enter(deadline)).await? else { continue };
            return match operation.on(&permit.owner().pool) {
                Some(placed) => Ok(Entered { placed, permit: Some(Box::new(permit)) }),
                None => Err(gate.paused()),
            };
        }
        let which = Which::Database;
        let placed = Placed { which, pool: &operation.pool, template: &operation.template };
        Ok(Entered { placed, permit: None })
    }

    /// The gate before an operation's databases.
    fn of(&self, operation: &Operation) -> Option<Arc<Gate>> {
        let game = operation.template.game.as_str();
        match self.named(game) {
            Some(known) => Some(known),
            None if operation.mirror.is_some() => Some(self.make(game)),
            None => None,
        }
    }

    /// The gate of that game.
    pub(in crate::backend) fn named(&self, game: &str) -> Option<Arc<Gate>> {
        let gates = self.by_game.load();
        if gates.is_empty() { None } else { gates.get(game).cloned() }
    }

    /// The same, and a new one, closed, where there was none.
    pub(super) fn make(&self, game: &str) -> Arc<Gate> {
        let new = Arc::new(Gate::new(game));
        self.by_game.rcu(|gates| {
            let mut gates = HashMap::clone(gates);
            gates.entry(game.into()).or_insert_with(|| Arc::clone(&new));
            gates
        });
        self.made.notify_one();
        self.named(game).unwrap_or(new)
    }

    /// Has the calls of games wait whose configuration names one database alone, and did not before, until that database has said whether it knows
    /// of another owner. Called before anybody sees the configuration: an old owner takes no write meanwhile.
    pub fn expect(&self, before: Option<&Config>, next: &Config) {
        let alone = |config: &Config, id: &GameId| {
            let game = config.games.iter().find(|game| game.id == *id && game.mirror.is_none())?;
            config.database.connection(&game.database).cloned()
        };
        for game in &next.games {
            let Some(connection) = alone(next, &game.id) else { continue };
            let known = before.and_then(|before| alone(before, &game.id));
            if !known.is_some_and(|known| is_same_database(&known, &connection)) {
                self.lock_unasked().insert(game.id.as_str().into(), connection);
                self.make(game.id.as_str());
            }
        }
    }

    /// A database was asked which of its games it knows to have another owner, or a mirror.
    pub(super) fn note_asked(&self, connection: &ConnectionConfig) {
        let mut unasked = self.lock_unasked();
        if unasked.is_empty() {
            return;
        }
        unasked.retain(|_, own| !is_same_database(own, connection));
        self.made.notify_one();
    }

    /// Whether a game's calls wait for that.
    pub(super) fn is_unasked(&self, game: &str) -> bool {
        self.lock_unasked().contains_key(game)
    }

    fn lock_unasked(&self) -> MutexGuard<'_, HashMap<Box<str>, ConnectionConfig>> {
        self.unasked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The games whose gates there are.
    pub(super) fn games(&self) -> Vec<Box<str>> {
        self.by_game.load().keys().cloned().collect()
    }

    /// The game has nothing to do with a switch any more.
    pub(super) fn remove(&self, game: &str) {
        let before = self.named(game);
        self.by_game.rcu(|gates| {
            let mut gates = HashMap::clone(gates);
            gates.remove(game);
            gates
        });
        // Who waits there looks for another one, and finds none.
        if let Some(before) = before {
            before.end_look(before.begin_look(), Standing::Gone);
        }
        self.lock_shown().remove(game);
    }

    /// Whether calls of a game wait at the moment.
    pub(in crate::backend) fn is_closed(&self, operation: &Operation) -> Option<BackendError> {
        let gate = self.of(operation).filter(|gate| !gate.is_open())?;
        Some(gate.paused())
    }

    /// Where each game stands whose gate there is: whether calls are let in, and what is known.
    pub fn shown(&self) -> Vec<(Box<str>, bool, Ownership)> {
        let shown = self.lock_shown();
        let gates = self.by_game.load();
        let mut all: Vec<_> = gates
            .iter()
            .map(|(game, gate)| {
                (game.clone(), gate.is_open(), shown.get(game).cloned().unwrap_or_default())
            })
            .collect();
        all.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        all
    }

    /// Notes where a game stands.
    pub(super) fn show(&self, game: &str, ownership: Ownership) {
        self.lock_shown().insert(game.into(), ownership);
    }

    fn lock_shown(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Ownership>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether both lead to one database, whatever else they say: limits may change while it is asked.
fn is_same_database(one: &ConnectionConfig, other: &ConnectionConfig) -> bool {
    one.name == other.name && one.dialect == other.dialect && one.endpoint == other.endpoint
}
