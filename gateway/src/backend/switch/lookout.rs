//! Looks at the rows of one game, again and again, and opens and closes its gate by what they say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::flip::recover;
use super::gate::{Epoch, Gate, Standing};
use super::gates::{Gates, Ownership};
use super::instance::{InstanceState, NOT_CONFIGURED};
use super::ownership::{Conclusion, Said, Voice, conclude, conclude_alone};
use super::post::Post;
use super::registration::Registration;
use super::state::{Group, Phase, State};
use crate::config::ConnectionConfig;
use crate::journal::Journal;
use crate::queue::Watch;
use crate::snapshot::Snapshot;

/// Between two looks while nothing happens.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// The same while a flip is about to begin, and while it goes on.
const READY_PAUSE: Duration = Duration::from_millis(20);
const FLIP_PAUSE: Duration = Duration::from_millis(5);
/// Between two signs of life.
const BEAT_PAUSE: Duration = Duration::from_secs(1);
/// How long a flip may be without anybody who drives it, beyond the longest pause that it may make.
const LEFT_AFTER: Duration = Duration::from_secs(2);
/// The same before its pause: who began it waits so long for gateways.
const READY_MAX: Duration = Duration::from_secs(20);
/// The same at its end: who drives it opens the new owner within this.
const OPENED_WITHIN: Duration = Duration::from_millis(200);
/// How long an attempt to end what was left may take.
const RECOVER_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the end of the gateway waits for calls inside.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(2);

/// A game that has to do with a switch, and its databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// The game.
    pub(super) game: Box<str>,
    /// The configuration's `database`.
    pub(super) database: ConnectionConfig,
    /// Its `mirror`; `None`: the database itself says that there is one.
    pub(super) mirror: Option<ConnectionConfig>,
}

/// What every lookout works with.
#[derive(Clone, Debug)]
pub(super) struct Around {
    /// Where cache keys have their epochs.
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    /// Where the gates are.
    pub(super) gates: Arc<Gates>,
    /// Who this is, for `gateway switch GAME status`.
    pub(super) name: Box<str>,
    /// What holds dead letters; `None`: no journal is configured.
    pub(super) journal: Option<Arc<Journal>>,
    /// The gateway ends, and not only this lookout.
    pub(super) is_ending: Arc<AtomicBool>,
}

/// Looks at one game.
#[derive(Debug)]
pub(super) struct Lookout {
    of: Watched,
    around: Around,
    gate: Arc<Gate>,
    database: Post,
    mirror: Option<Post>,
    /// The flip that is under way, and since when nothing has changed.
    flip: Option<(Step, Instant)>,
    /// Since when calls wait.
    closed_at: Option<Instant>,
    shown: Ownership,
    said: Option<(Registration, Instant)>,
}

/// What a flip would change.
type Step = (Phase, i64, i64);

impl Lookout {
    /// A lookout that has not looked yet.
    pub(super) fn new(of: Watched, around: Around) -> Self {
        let gate = around.gates.make(&of.game);
        let (database, mirror) = (Post::new(&of.database), of.mirror.as_ref().map(Post::new));
        let shown = Ownership::default();
        Self { of, around, gate, database, mirror, flip: None, closed_at: None, shown, said: None }
    }

    /// Looks until `stop` is true.
    pub(super) async fn run(mut self, mut stop: Watch<bool>) {
        loop {
            let pause = self.look().await;
            tokio::select! {
                () = stop.until(|stop| *stop) => break,
                () = self.gate.rest(pause) => {}
            }
        }
        Box::pin(self.end()).await;
    }

    /// One look, and what follows from it. How long until the next one.
    pub(super) async fn look(&mut self) -> Duration {
        let look = self.gate.begin_look();
        let game = &*self.of.game;
        let (first, second) = match &mut self.mirror {
            None => (self.database.ask(game).await, None),
            Some(mirror) => {
                let (first, second) = tokio::join!(self.database.ask(game), mirror.ask(game));
                (first, Some(second))
            }
        };
        let voice = Voice { pool: &self.of.database.name, said: &first };
        let conclusion = match (&second, &self.of.mirror) {
            (Some(said), Some(config)) => {
                Some(conclude(game, voice, Voice { pool: &config.name, said }))
            }
            _ => conclude_alone(game, voice),
        };
        let rows = [Some(&first), second.as_ref()];
        let rows: Vec<&State> = rows
            .into_iter()
            .filter_map(|said| match said {
                Some(Said::Row(state)) => Some(&**state),
                _ => None,
            })
            .collect();
        let is_moving = |row: &&&State| row.phase.is_flip() && !is_over(row, conclusion.as_ref());
        let moving = rows.iter().find(is_moving).copied().cloned();
        self.note_flip(moving.as_ref());
        let standing = self.standing(conclusion.as_ref(), moving.as_ref());
        self.shown.phase =
            moving.as_ref().or(owning(&rows, standing.as_ref())).map(|row| row.phase.name());
        match standing {
            Some(standing) => {
                self.gate.end_look(look, standing.clone());
                self.take_in(&standing);
            }
            None => {
                if let Some(Conclusion::Away { pool }) = &conclusion {
                    self.gate.fail_look(pool);
                }
            }
        }
        self.around.gates.show(&self.of.game, self.shown.clone());
        if rows.iter().any(|row| row.phase != Phase::Single) {
            let away = match (&first, &second) {
                (Said::Away, _) => Some(&self.of.database.name),
                (_, Some(Said::Away)) => self.of.mirror.as_ref().map(|mirror| &mirror.name),
                _ => None,
            };
            let away = away.map(|name| format!("`{name}` does not answer it").into());
            self.beat(moving.as_ref(), &rows, away).await;
        }
        self.heal(moving.as_ref()).await;
        match moving.map(|row| row.phase) {
            None => LOOK_PAUSE,
            Some(Phase::Readying) => READY_PAUSE,
            Some(_) => FLIP_PAUSE,
        }
    }

    /// What the gate is to be; `None`: nobody knows anything new.
    fn standing(
        &mut self,
        conclusion: Option<&Conclusion>,
        moving: Option<&State>,
    ) -> Option<Standing> {
        let fault = match conclusion {
            Some(Conclusion::Stuck(why) | Conclusion::Elsewhere(why)) => Some(why.clone()),
            Some(Conclusion::Away { pool }) => {
                Some(format!("`{pool}` does not say whose the game is: it does not answer").into())
            }
            _ => None,
        };
        if fault != self.shown.fault {
            if let Some(fault) = &fault {
                tracing::warn!(game = %self.of.game, %fault, "nobody knows which database owns the game");
            }
            self.shown.fault = fault;
        }
        match conclusion {
            Some(Conclusion::Owned(owner)) => {
                let waits =
                    moving.is_some_and(|row| row.phase == Phase::Blocking) && !self.is_left(moving);
                Some(if waits { Standing::Closed } else { Standing::Open(owner.clone()) })
            }
            Some(Conclusion::Leaving { .. } | Conclusion::Stuck(_)) => Some(Standing::Closed),
            Some(Conclusion::Elsewhere(_)) => Some(Standing::Elsewhere),
            Some(Conclusion::Away { .. }) => None,
            // Who retired the mirror meanwhile is soon told; until then it is as it was.
            None => self.gate.owner().map(Standing::Open),
        }
    }

    /// Takes note of an opened or closed gate.
    fn take_in(&mut self, standing: &Standing) {
        match standing {
            Standing::Open(owner) => {
                let epoch = owner.epoch.number();
                // Only now: who finds the new epoch reads from the new owner.
                let snapshot = self.around.snapshot.load();
                let game = snapshot.game(&self.of.game).ok();
                if let Some(cell) = game.and_then(|game| game.owner_epoch.as_ref())
                    && cell.read() != epoch
                {
                    cell.set(epoch);
                }
                let pause = self.closed_at.take().map(|since| since.elapsed());
                let is_other = self.shown.owner.as_deref() != Some(&owner.pool);
                if is_other || pause.is_some() {
                    let pause_ms = pause.map_or(0, |pause| pause.as_millis());
                    tracing::info!(game = %self.of.game, owner = %owner.pool, epoch, pause_ms, "calls go to this owner");
                }
                self.shown.owner = Some((*owner.pool).into());
                self.shown.epoch = epoch;
                self.shown.pause = pause.or(self.shown.pause);
            }
            Standing::Closed | Standing::Elsewhere | Standing::Away { .. } | Standing::Gone => {
                // The wait for the first look is none of a flip.
                if self.shown.owner.is_some() && self.closed_at.is_none() {
                    self.closed_at = Some(Instant::now());
                }
                self.shown.owner = None;
            }
        }
    }

    fn note_flip(&mut self, moving: Option<&State>) {
        let step = moving.map(|row| (row.phase, row.epoch, row.flip_id));
        if self.flip.map(|(step, _)| step) != step {
            self.flip = step.map(|step| (step, Instant::now()));
        }
    }

    /// Whether nobody seems to drive the flip any more.
    fn is_left(&self, moving: Option<&State>) -> bool {
        let (Some(row), Some((_, since))) = (moving, self.flip) else { return false };
        let pause_max = Duration::from_millis(u64::try_from(row.pause_max_ms).unwrap_or(0));
        let limit = match row.phase {
            Phase::Readying => READY_MAX,
            Phase::Flipped => OPENED_WITHIN,
            _ => pause_max + LEFT_AFTER,
        };
        since.elapsed() >= limit
    }

    /// Says what was seen, at once where it is new.
    ///
    /// - `away`: why it could not go along to the other database.
    async fn beat(&mut self, moving: Option<&State>, rows: &[&State], away: Option<Box<str>>) {
        let owner = self.gate.owner();
        let is_empty = owner.is_none() && self.gate.inside() == 0;
        let fault = match (&self.of.mirror, &self.shown.fault) {
            (None, _) => Some(format!("`games.{}.mirror` {NOT_CONFIGURED}", self.of.game).into()),
            (Some(_), fault) => fault.clone().or(away),
        };
        let state = match moving.map(|row| row.phase) {
            _ if fault.is_some() => InstanceState::Unfit,
            None => InstanceState::Open,
            Some(_) if is_empty => InstanceState::Blocked,
            Some(_) => InstanceState::Ready,
        };
        let epoch = match owner.map(|owner| owner.epoch) {
            Some(Epoch::Row(epoch)) => epoch,
            _ => 0,
        };
        let newest = rows.iter().map(|row| row.flip_id).max().unwrap_or(0);
        let flip_id = moving.map_or(newest, |row| row.flip_id);
        let pause = self.shown.pause.unwrap_or_default().as_millis();
        let pause_ms = i64::try_from(pause).unwrap_or(i64::MAX);
        let journal = self.around.journal.as_deref().map(Journal::id);
        let dead_letters = self.dead_letters();
        let said = Registration { epoch, flip_id, state, fault, pause_ms, journal, dead_letters };
        let is_known = self
            .said
            .as_ref()
            .is_some_and(|(before, at)| *before == said && at.elapsed() < BEAT_PAUSE);
        if is_known {
            return;
        }
        let who = (&*self.of.game, &*self.around.name);
        let (first, second) = match &mut self.mirror {
            None => (self.database.say(who, &said).await, false),
            Some(mirror) => tokio::join!(self.database.say(who, &said), mirror.say(who, &said)),
        };
        // Where nobody heard it, it is said again at the next look.
        self.said = (first || second).then(|| (said, Instant::now()));
    }

    /// Dead letters of the game in the gateway's own journal.
    fn dead_letters(&self) -> i64 {
        let count = self.around.journal.as_ref().map(|journal| journal.dead_count(&self.of.game));
        i64::try_from(count.unwrap_or(0)).unwrap_or(i64::MAX)
    }

    /// Ends a flip that nobody drives any more.
    async fn heal(&mut self, moving: Option<&State>) {
        let (Some(row), Some(mirror)) = (moving, &self.of.mirror) else { return };
        if !self.is_left(moving) {
            return;
        }
        let database = &self.of.database;
        let named = Group { id: &self.of.game, owner: database, mirror };
        // Its row is the one of the owner of before: from `draining` on it names the other one.
        let has_left = matches!(row.phase, Phase::Draining | Phase::Flipped);
        let is_of_database = (*row.owner == *database.name) != has_left;
        let group = if is_of_database { named } else { named.reversed() };
        let recovering = Box::pin(recover(group, row, &self.around.name));
        match tokio::time::timeout(RECOVER_TIMEOUT, recovering).await {
            Ok(Ok(done)) => {
                let phase = row.phase.name();
                tracing::warn!(game = %self.of.game, phase, ?done, "a flip that was left is ended");
            }
            Ok(Err(error)) => {
                tracing::warn!(game = %self.of.game, %error, "a flip that was left cannot be ended");
            }
            Err(_late) => {
                tracing::warn!(game = %self.of.game, "a flip that was left is not ended in time");
            }
        }
        // Looked at anew, and tried again after a while.
        if let Some((_, since)) = &mut self.flip {
            *since += LEFT_AFTER / 2;
        }
    }

    /// Where the gateway ends, nobody is to wait for it: when nobody is inside any more, it is not there. Another lookout
    /// finds the gate as it is.
    async fn end(mut self) {
        if self.around.is_ending.load(Ordering::Relaxed) {
            self.gate.end_look(self.gate.begin_look(), Standing::Closed);
            let until = Instant::now() + EMPTY_TIMEOUT;
            while self.gate.inside() > 0 && Instant::now() < until {
                self.gate.rest(FLIP_PAUSE).await;
            }
            if self.said.is_some() && self.gate.inside() == 0 {
                let dead_letters = self.dead_letters();
                let who = (&*self.of.game, &*self.around.name);
                for post in [Some(&mut self.database), self.mirror.as_mut()].into_iter().flatten() {
                    post.leave(who, dead_letters).await;
                }
            }
        }
        for post in [Some(self.database), self.mirror].into_iter().flatten() {
            post.close().await;
        }
    }
}

/// Whether a flip's row is history: the other database is open, or its owner says something newer.
fn is_over(moving: &State, conclusion: Option<&Conclusion>) -> bool {
    let has_left = matches!(moving.phase, Phase::Draining | Phase::Flipped);
    let epoch = match conclusion {
        Some(Conclusion::Owned(owner)) => match owner.epoch {
            Epoch::Row(epoch) => epoch,
            Epoch::Absent | Epoch::Unasked => return false,
        },
        _ => return false,
    };
    has_left && epoch >= moving.epoch
}

/// The row of whoever calls are let to.
fn owning<'r>(rows: &[&'r State], standing: Option<&Standing>) -> Option<&'r State> {
    let Some(Standing::Open(owner)) = standing else { return rows.first().copied() };
    row_of(rows, &owner.pool)
}

/// The row that an owner has of itself: its mirror's names it, too.
fn row_of<'r>(rows: &[&'r State], owner: &str) -> Option<&'r State> {
    let named = rows.iter().filter(|row| *row.owner == *owner);
    named.min_by_key(|row| row.phase == Phase::Mirror).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_is_the_owners_own_and_not_its_mirrors_whichever_was_asked_first() {
        let row = |phase| State::plain("b", phase, 2);
        let (own, mirrors) = (row(Phase::Mirrored), row(Phase::Mirror));
        for rows in [[&own, &mirrors], [&mirrors, &own]] {
            assert_eq!(row_of(&rows, "b").map(|row| row.phase), Some(Phase::Mirrored));
            assert!(row_of(&rows, "a").is_none());
        }
    }
}
