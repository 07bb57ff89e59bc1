//! The gate before a game's database: who is let in, to which of two databases, and under which epoch.
//!
//! Every call to the database of a game with a mirror holds a [`Permit`]. While the gate is closed callers wait, up to
//! their own deadlines; who is inside goes on, and is counted. What opens and closes it are the looks at the databases' own
//! rows (`owners`).
//!
//! Invariant: who enters is counted in the same step in which the gate was seen open: when it is closed and nobody is
//! inside, nobody comes any more. A gate that nobody has looked behind for [`LOOK_VALID`] lets nobody in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::super::BackendError;

/// How long a look at the rows counts. A flip waits longer than that for a gateway that is not heard of: what
/// has slept through it is to look before it lets anybody in.
pub(super) const LOOK_VALID: Duration = Duration::from_secs(5);

/// Which database owns a game, and what its own row says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Owner {
    /// The connection's name in the configuration.
    pub(in crate::backend) pool: Arc<str>,
    /// What a write has to find in it.
    pub(in crate::backend) epoch: Epoch,
}

/// What the row of an owner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Epoch {
    /// There is no table for it yet: nothing is asked.
    Unasked,
    /// There is no row.
    Absent,
    /// The epoch in the row.
    Row(i64),
}

impl Epoch {
    /// For cache keys and figures; 0 where there is no row.
    pub(in crate::backend) fn number(self) -> u32 {
        match self {
            Self::Unasked | Self::Absent => 0,
            Self::Row(epoch) => u32::try_from(epoch).unwrap_or(u32::MAX),
        }
    }
}

/// What a look at the rows came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Standing {
    /// Calls go to this database.
    Open(Owner),
    /// Calls wait.
    Closed,
    /// The owner is a database that the configuration does not name: nobody is to wait for it.
    Elsewhere,
    /// A database that has to be asked does not answer: nobody is to wait for it.
    Away {
        /// The connection's name in the configuration.
        pool: Box<str>,
    },
    /// The game has no gate any more.
    Gone,
}

/// The gate of one game.
#[derive(Debug)]
pub(in crate::backend) struct Gate {
    game: Box<str>,
    inner: Mutex<Inner>,
    /// Wakes who waits outside.
    changed: Notify,
    /// Wakes who waits until nobody is inside.
    emptied: Notify,
    /// Wakes who looks at the rows.
    asked: Notify,
}

#[derive(Debug)]
struct Inner {
    standing: Standing,
    /// When the look began that the standing is of.
    looked_at: Option<Instant>,
    /// How many permits there are.
    inside: usize,
    /// Looks that were begun.
    begun: u64,
    /// The last one that has ended, and the one before which nobody is let in.
    ended: u64,
    wanted: u64,
}

/// A look at the rows that has begun.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Look {
    number: u64,
    begun: Instant,
}

/// What a caller finds at the gate.
enum Found {
    In(Owner),
    Closed,
    Elsewhere,
    Away(Box<str>),
    Gone,
}

impl Gate {
    /// A gate that is closed until somebody has looked.
    pub(in crate::backend) fn new(game: &str) -> Self {
        let inner = Inner {
            standing: Standing::Closed,
            looked_at: None,
            inside: 0,
            begun: 0,
            ended: 0,
            wanted: 0,
        };
        Self {
            game: game.into(),
            inner: Mutex::new(inner),
            changed: Notify::new(),
            emptied: Notify::new(),
            asked: Notify::new(),
        }
    }

    /// Lets a call in, when the gate is open; `None`: there is no such gate any more.
    ///
    /// # Errors
    ///
    /// [`BackendError::SwitchPaused`] when it is not so at `deadline`, and at once where the owner is known to be a database that
    /// the configuration does not name; [`BackendError::Unreachable`] at once where nobody can tell whose the game is.
    pub(in crate::backend) async fn enter(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<Option<Permit>, BackendError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Told of what happens from here on, also before it is awaited.
            changed.as_mut().enable();
            match self.look_in() {
                Found::In(owner) => return Ok(Some(Permit { gate: Arc::clone(self), owner })),
                Found::Gone => return Ok(None),
                Found::Elsewhere => return Err(self.paused()),
                Found::Away(pool) => return Err(BackendError::Unreachable { pool, source: None }),
                Found::Closed => {}
            }
            if tokio::time::timeout_at(deadline.into(), changed).await.is_err() {
                return Err(self.paused());
            }
        }
    }

    fn look_in(&self) -> Found {
        let mut inner = self.lock();
        let is_current = inner.looked_at.is_some_and(|at| at.elapsed() < LOOK_VALID);
        match &inner.standing {
            Standing::Away { pool } => Found::Away(pool.clone()),
            Standing::Gone => Found::Gone,
            Standing::Open(owner) if is_current && inner.ended >= inner.wanted => {
                let owner = owner.clone();
                inner.inside += 1;
                Found::In(owner)
            }
            Standing::Elsewhere if is_current => Found::Elsewhere,
            Standing::Open(_) | Standing::Closed | Standing::Elsewhere => Found::Closed,
        }
    }

    /// That a call has waited too long.
    pub(in crate::backend) fn paused(&self) -> BackendError {
        BackendError::SwitchPaused { game: self.game.clone() }
    }

    /// Whether calls are let in.
    pub(in crate::backend) fn is_open(&self) -> bool {
        let inner = self.lock();
        let is_current = inner.looked_at.is_some_and(|at| at.elapsed() < LOOK_VALID);
        matches!(inner.standing, Standing::Open(_)) && is_current && inner.ended >= inner.wanted
    }

    /// Who owns the game, as far as is known.
    pub(in crate::backend) fn owner(&self) -> Option<Owner> {
        match &self.lock().standing {
            Standing::Open(owner) => Some(owner.clone()),
            Standing::Closed | Standing::Elsewhere | Standing::Away { .. } | Standing::Gone => None,
        }
    }

    /// How many calls are inside.
    pub(in crate::backend) fn inside(&self) -> usize {
        self.lock().inside
    }

    /// A database said something else than the permit does: nobody is let in until a look that begins after now.
    pub(in crate::backend) fn doubt(&self, permit: &Permit) {
        let mut inner = self.lock();
        if matches!(&inner.standing, Standing::Open(owner) if *owner == permit.owner) {
            inner.wanted = inner.begun + 1;
            drop(inner);
            self.asked.notify_one();
        }
    }

    /// Begins a look at the rows.
    pub(in crate::backend) fn begin_look(&self) -> Look {
        let mut inner = self.lock();
        inner.begun += 1;
        Look { number: inner.begun, begun: Instant::now() }
    }

    /// Takes in what a look found. Returns whether anything is new.
    pub(in crate::backend) fn end_look(&self, look: Look, standing: Standing) -> bool {
        let mut inner = self.lock();
        let is_new = inner.standing != standing;
        inner.standing = standing;
        inner.looked_at = Some(look.begun);
        inner.ended = inner.ended.max(look.number);
        drop(inner);
        self.changed.notify_waiters();
        is_new
    }

    /// Takes in that a look failed. While an earlier one counts, what it found stands.
    ///
    /// - `pool`: the database that does not answer.
    pub(in crate::backend) fn fail_look(&self, pool: &str) {
        let mut inner = self.lock();
        if inner.looked_at.is_none_or(|at| at.elapsed() >= LOOK_VALID) {
            inner.standing = Standing::Away { pool: pool.into() };
            drop(inner);
            self.changed.notify_waiters();
        }
    }

    /// Returns when nobody is inside a closed gate, or somebody wants a look, at the latest after `limit`.
    pub(in crate::backend) async fn rest(&self, limit: Duration) {
        tokio::select! {
            () = self.asked.notified() => {}
            () = self.emptied.notified() => {}
            () = tokio::time::sleep(limit) => {}
        }
    }

    fn leave(&self) {
        let mut inner = self.lock();
        inner.inside = inner.inside.saturating_sub(1);
        if inner.inside == 0 && !matches!(inner.standing, Standing::Open(_)) {
            drop(inner);
            self.emptied.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Being inside a gate; dropped when the call to the database has ended.
#[derive(Debug)]
pub(in crate::backend) struct Permit {
    gate: Arc<Gate>,
    owner: Owner,
}

impl Permit {
    /// To which database.
    pub(in crate::backend) const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The database says something else; see [`Gate::doubt`].
    pub(in crate::backend) fn doubt(&self) {
        self.gate.doubt(self);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn owner(pool: &str, epoch: i64) -> Owner {
        Owner { pool: pool.into(), epoch: Epoch::Row(epoch) }
    }

    /// A look that finds this.
    fn look(gate: &Gate, standing: Standing) {
        gate.end_look(gate.begin_look(), standing);
    }

    async fn enter(gate: &Arc<Gate>, deadline: Instant) -> Result<Permit, BackendError> {
        gate.enter(deadline).await.map(|permit| permit.expect("it is there"))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(60)
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test]
    async fn gate_is_closed_until_the_first_look_and_then_lets_in_whoever_waits() {
        let gate = Arc::new(Gate::new("game1"));
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { enter(&gate, far()).await.map(|permit| permit.owner().clone()) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && !gate.is_open());
        look(&gate, Standing::Open(owner("a", 3)));
        assert_eq!(waiting.await.expect("no panic").expect("let in"), owner("a", 3));
        assert_eq!(gate.inside(), 0, "it has left");
    }

    #[tokio::test]
    async fn caller_waits_up_to_its_deadline_and_not_less() {
        let gate = Arc::new(Gate::new("game1"));
        let deadline = soon();
        let refused = enter(&gate, deadline).await.expect_err("closed");
        assert!(Instant::now() >= deadline);
        assert!(matches!(&refused, BackendError::SwitchPaused { game } if **game == *"game1"));
        assert_eq!(refused.code(), 1306);
        // Who comes to an open gate after its deadline is let in: what comes next refuses it.
        look(&gate, Standing::Open(owner("a", 1)));
        assert!(enter(&gate, deadline).await.is_ok());
    }

    #[tokio::test]
    async fn calls_inside_are_counted_until_they_are_dropped_and_the_last_one_wakes_who_waits() {
        let gate = Arc::new(Gate::new("game1"));
        look(&gate, Standing::Open(owner("a", 1)));
        let first = enter(&gate, far()).await.expect("open");
        let second = enter(&gate, far()).await.expect("open");
        assert_eq!(gate.inside(), 2);
        drop(first);
        look(&gate, Standing::Closed);
        assert_eq!(gate.inside(), 1, "who is inside goes on");
        let begun = Instant::now();
        let left = tokio::spawn(async move { drop(second) });
        gate.rest(Duration::from_mins(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!(gate.inside(), 0);
        left.await.expect("no panic");
    }

    #[tokio::test]
    async fn database_that_nobody_can_ask_is_told_at_once_and_only_when_the_last_look_is_old() {
        let gate = Arc::new(Gate::new("game1"));
        gate.fail_look("a");
        let begun = Instant::now();
        let refused = enter(&gate, far()).await.expect_err("away");
        assert!(matches!(&refused, BackendError::Unreachable { pool, .. } if **pool == *"a"));
        assert!(begun.elapsed() < Duration::from_secs(30));
        look(&gate, Standing::Open(owner("a", 1)));
        gate.fail_look("a");
        assert!(enter(&gate, far()).await.is_ok(), "a moment ago it answered");
    }

    #[tokio::test]
    async fn owner_that_the_configuration_does_not_name_is_waited_for_by_nobody_while_the_look_counts()
     {
        let gate = Arc::new(Gate::new("game1"));
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { enter(&gate, far()).await }
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        look(&gate, Standing::Elsewhere);
        assert_eq!(waiting.await.expect("no panic").expect_err("elsewhere").code(), 1306);
        assert_eq!(enter(&gate, far()).await.expect_err("elsewhere").code(), 1306);
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(!gate.is_open());
        let Some(begun) = Instant::now().checked_sub(LOOK_VALID) else { return };
        let old = Look { begun, ..gate.begin_look() };
        gate.end_look(old, Standing::Elsewhere);
        let deadline = soon();
        assert_eq!(enter(&gate, deadline).await.expect_err("nobody knows").code(), 1306);
        assert!(Instant::now() >= deadline, "it may have come back");
        look(&gate, Standing::Open(owner("a", 1)));
        assert!(enter(&gate, far()).await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_at_a_gate_that_is_taken_away_is_told_so() {
        let gate = Arc::new(Gate::new("game1"));
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(far()).await }
        });
        tokio::task::yield_now().await;
        look(&gate, Standing::Gone);
        assert!(waiting.await.expect("no panic").expect("no refusal").is_none());
    }

    #[tokio::test]
    async fn gate_that_nobody_has_looked_behind_for_long_lets_nobody_in() {
        let gate = Arc::new(Gate::new("game1"));
        let Some(begun) = Instant::now().checked_sub(LOOK_VALID) else { return };
        let old = Look { begun, ..gate.begin_look() };
        gate.end_look(old, Standing::Open(owner("a", 1)));
        assert_eq!(enter(&gate, soon()).await.expect_err("old").code(), 1306);
        gate.fail_look("a");
        assert_eq!(enter(&gate, soon()).await.expect_err("away").code(), 1302);
        look(&gate, Standing::Open(owner("a", 1)));
        assert!(enter(&gate, soon()).await.is_ok());
    }

    #[tokio::test]
    async fn doubt_lets_nobody_in_before_a_look_that_began_after_it() {
        let gate = Arc::new(Gate::new("game1"));
        look(&gate, Standing::Open(owner("a", 1)));
        let permit = enter(&gate, far()).await.expect("open");
        let under_way = gate.begin_look();
        permit.doubt();
        gate.end_look(under_way, Standing::Open(owner("a", 1)));
        assert_eq!(enter(&gate, soon()).await.expect_err("it may be older").code(), 1306);
        // Somebody was asked to look.
        gate.rest(Duration::from_mins(1)).await;
        look(&gate, Standing::Open(owner("b", 2)));
        assert_eq!(*enter(&gate, far()).await.expect("open").owner(), owner("b", 2));
        // What another has found out already is no reason to look again.
        permit.doubt();
        assert!(gate.is_open());
    }

    /// Callers come and go while the gate is opened and closed: whenever it is closed and said to be empty, none is
    /// inside, and none that waits is forgotten.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_is_lost_and_nobody_slips_in_while_the_gate_opens_and_closes() {
        let gate = Arc::new(Gate::new("game1"));
        let (inside, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let entered = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let gate = Arc::clone(&gate);
                let (inside, entered) = (Arc::clone(&inside), Arc::clone(&entered));
                let stop = Arc::clone(&stop);
                tokio::spawn(async move {
                    while !stop.load(Ordering::SeqCst) {
                        let permit = enter(&gate, far()).await.expect("nobody waits for a minute");
                        inside.fetch_add(1, Ordering::SeqCst);
                        entered.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                })
            })
            .collect();
        for round in 0..500 {
            let before = entered.load(Ordering::SeqCst);
            look(&gate, Standing::Open(owner("a", round)));
            while entered.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
            look(&gate, Standing::Closed);
            while gate.inside() > 0 {
                gate.rest(Duration::from_secs(1)).await;
            }
            for _ in 0..50 {
                assert_eq!(inside.load(Ordering::SeqCst), 0, "round {round}");
            }
        }
        stop.store(true, Ordering::SeqCst);
        look(&gate, Standing::Open(owner("a", 500)));
        for caller in callers {
            caller.await.expect("no panic");
        }
        assert_eq!(gate.inside(), 0);
    }
}
