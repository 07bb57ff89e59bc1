//! What a pool knows, and every decision about it. No clock, no task, no socket: time is passed in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::connection::Connection;
use super::PoolStats;
use super::patience::Patience;
use super::wait::{Waiter, Waiting};
use crate::config::ConnectionConfig;

/// First pause after a failed attempt to connect; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The same after a login was refused: databases lock accounts that try too often.
const LOGIN_PAUSE_MIN: Duration = Duration::from_secs(30);
const LOGIN_PAUSE_MAX: Duration = Duration::from_mins(10);
/// Idle connections pinged in one round.
const PINGS_PER_ROUND: usize = 8;
/// Shortest time between two rounds of upkeep.
const ROUND_MIN: Duration = Duration::from_millis(20);

/// A connection, and what the pool remembers of it.
#[derive(Debug)]
pub(super) struct Open {
    pub connection: Connection,
    /// Which endpoint it belongs to.
    pub generation: u64,
    /// When it has lived long enough.
    pub expires_at: Instant,
    /// When the database last answered on it.
    pub checked_at: Instant,
    /// When a request last used it.
    pub used_at: Instant,
}

/// What a request that wants a connection gets.
#[derive(Debug)]
pub(super) enum Admission {
    /// A connection.
    Ready(Open),
    /// A connection that must answer first: another one was lost after this one was last heard of.
    Suspect(Open),
    /// A place in the line.
    Wait(Waiting),
    /// Nothing: the line is full.
    Full,
    /// Nothing: there is no connection and no reaching the database, or the pool is closed.
    Down,
}

/// Where a connection goes that comes back.
#[derive(Debug)]
pub(super) enum Return {
    /// To the idle ones.
    Kept,
    /// To the first in line who is to be served; those before that one have waited too long.
    Handed { waiter: Waiter, open: Open, late: Vec<Waiter> },
    /// To its end; it is counted out.
    Retired(Open),
}

/// What a round of upkeep has to do.
#[derive(Debug)]
pub(super) struct Round {
    /// To be closed; counted out.
    pub retired: Vec<Open>,
    /// To be pinged and given back.
    pub due: Vec<Open>,
    /// To be opened; counted in.
    pub opening: u32,
    /// When the next round is.
    pub wake_at: Instant,
    /// Whether there will be none.
    pub closed: bool,
}

/// A pause between attempts to connect.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    length: Duration,
}

/// What a pool knows.
#[derive(Debug)]
pub(super) struct State {
    pub config: Arc<ConnectionConfig>,
    pub generation: u64,
    /// Connections, idle, lent, being opened or being stopped.
    pub open: u32,
    /// Of those, being opened.
    opening: u32,
    /// Of those, what frontend threads have, also while it is opened.
    pub(super) direct: u32,
    /// Of those, what is opened.
    pub(super) direct_made: u32,
    /// Used last, lent first.
    pub(super) idle: Vec<Open>,
    /// Came first, served first. Tickets ascend.
    pub(super) line: VecDeque<Waiter>,
    next_ticket: u64,
    pub patience: Patience,
    suspect_since: Option<Instant>,
    pause: Option<Pause>,
    up: bool,
    closed: bool,
}

impl State {
    /// An empty pool, taken to be up until an attempt says otherwise.
    pub(super) fn new(config: Arc<ConnectionConfig>) -> Self {
        Self {
            config,
            generation: 0,
            open: 0,
            opening: 0,
            direct: 0,
            direct_made: 0,
            idle: Vec::new(),
            line: VecDeque::new(),
            next_ticket: 0,
            patience: Patience::default(),
            suspect_since: None,
            pause: None,
            up: true,
            closed: false,
        }
    }

    /// Decides what a request gets. What it finds too old goes to `retired`, counted out.
    ///
    /// - `stays`: it waits out a standing line, too.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        stays: bool,
        retired: &mut Vec<Open>,
    ) -> Admission {
        if self.closed {
            return Admission::Down;
        }
        if self.line.is_empty() {
            self.patience.forget_old(self.config.standing.after, now);
            while let Some(open) = self.idle.pop() {
                if self.is_over(&open, now) {
                    self.open -= 1;
                    retired.push(open);
                } else if self.suspect_since.is_some_and(|since| open.checked_at <= since) {
                    return Admission::Suspect(open);
                } else {
                    return Admission::Ready(open);
                }
            }
        }
        if self.is_hopeless() {
            return Admission::Down;
        }
        if self.line.len() >= self.config.acquire_waiting_max as usize {
            return Admission::Full;
        }
        let (sender, receiver) = oneshot::channel();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.line.push_back(Waiter { ticket, since: now, stays, sender });
        Admission::Wait(Waiting { ticket, receiver })
    }

    /// Takes somebody out of the line who no longer waits.
    pub(super) fn leave(&mut self, ticket: u64) {
        let place = self.line.partition_point(|waiter| waiter.ticket < ticket);
        if self.line.get(place).is_some_and(|waiter| waiter.ticket == ticket) {
            self.line.remove(place);
        }
    }

    /// Decides where a connection goes that comes back.
    pub(super) fn take_back(&mut self, open: Open, now: Instant) -> Return {
        let too_many = self.open > self.config.open_count_max;
        if self.closed || too_many || self.is_over(&open, now) {
            self.open -= 1;
            return Return::Retired(open);
        }
        let late = self.patience.take_late(&mut self.line, self.config.standing, now);
        if let Some(waiter) = self.line.pop_front() {
            return Return::Handed { waiter, open, late };
        }
        if self.idle.len() >= self.config.idle_count_max as usize {
            self.open -= 1;
            return Return::Retired(open);
        }
        self.idle.push(open);
        Return::Kept
    }

    /// Counts in the connections that those in line need, and says how many to open.
    pub(super) fn reserve(&mut self, now: Instant) -> u32 {
        if self.line.is_empty() || !self.may_open(now) {
            return 0;
        }
        let waiting = u32::try_from(self.line.len()).unwrap_or(u32::MAX);
        self.count_in(waiting.saturating_sub(self.opening))
    }

    /// Everyone in line, if there is no use in waiting.
    pub(super) fn hopeless(&mut self) -> Vec<Waiter> {
        if self.is_hopeless() { self.line.drain(..).collect() } else { Vec::new() }
    }

    /// A connection was made. Returns whether the database was down until now.
    pub(super) const fn connected(&mut self) -> bool {
        self.opening -= 1;
        self.pause = None;
        !std::mem::replace(&mut self.up, true)
    }

    /// A connection could not be made. Returns whether the database was up until now.
    ///
    /// - `generation`: of the endpoint that was tried; an old one's failure says nothing.
    /// - `jitter`: 0 to 1, how much of the pause's second half to leave out.
    /// - `is_login`: the database refused user or password.
    pub(super) fn failed(
        &mut self,
        generation: u64,
        now: Instant,
        jitter: f64,
        is_login: bool,
    ) -> bool {
        self.opening -= 1;
        self.open -= 1;
        if generation != self.generation {
            return false;
        }
        // Attempts that were under way together fail together, and are one failure.
        if self.pause.is_none_or(|pause| pause.until <= now) {
            let (least, most) =
                if is_login { (LOGIN_PAUSE_MIN, LOGIN_PAUSE_MAX) } else { (PAUSE_MIN, PAUSE_MAX) };
            let length = self.pause.map_or(least, |pause| (pause.length * 2).clamp(least, most));
            let until = now + length.mul_f64(1.0 - jitter / 2.0);
            self.pause = Some(Pause { until, length });
        }
        self.established() == 0 && std::mem::replace(&mut self.up, false)
    }

    /// A connection was lost: those not heard of since must answer before they are lent.
    pub(super) const fn suspect(&mut self, now: Instant) {
        self.suspect_since = Some(now);
    }

    /// Takes a new configuration. Returns what it has no room for, counted out.
    pub(super) fn reconfigure(&mut self, config: Arc<ConnectionConfig>) -> Vec<Open> {
        let moved =
            config.endpoint != self.config.endpoint || config.dialect != self.config.dialect;
        self.config = config;
        if moved {
            self.generation += 1;
            self.pause = None;
            self.up = true;
        }
        let surplus = self.open.saturating_sub(self.config.open_count_max) as usize;
        let kept = if moved { 0 } else { self.idle.len().saturating_sub(surplus) };
        let kept = kept.min(self.config.idle_count_max as usize);
        // The hottest are kept.
        let retired: Vec<Open> = self.idle.drain(..self.idle.len() - kept).collect();
        self.open -= u32::try_from(retired.len()).unwrap_or(0);
        retired
    }

    /// Closes the pool. Returns the idle connections, counted out, and everyone in line.
    pub(super) fn close(&mut self) -> (Vec<Open>, VecDeque<Waiter>) {
        self.closed = true;
        let idle = std::mem::take(&mut self.idle);
        self.open -= u32::try_from(idle.len()).unwrap_or(0);
        (idle, std::mem::take(&mut self.line))
    }

    /// Decides what a round of upkeep does.
    pub(super) fn upkeep(&mut self, now: Instant) -> Round {
        let retired = self.retire(now);
        let due = self.take_due(now);
        let opening = self.reserve_aside(now, due.len());
        let wake_at = self.wake_at(now).max(now + ROUND_MIN);
        Round { retired, due, opening, wake_at, closed: self.closed }
    }

    /// Its figures; the counters are kept elsewhere.
    pub(super) fn stats(&self) -> PoolStats {
        let idle = u32::try_from(self.idle.len()).unwrap_or(u32::MAX);
        PoolStats {
            open: self.open,
            idle,
            leased: self.established().saturating_sub(idle),
            direct: self.direct_made,
            waiting: u32::try_from(self.line.len()).unwrap_or(u32::MAX),
            up: self.up,
            ..PoolStats::default()
        }
    }

    /// Connections that were made, and are the pool's own.
    pub(super) const fn established(&self) -> u32 {
        self.open - self.opening - self.direct
    }

    /// Whether who comes is told that the database cannot be reached.
    pub(super) const fn is_down(&self) -> bool {
        self.closed || self.is_hopeless()
    }

    /// Whether nobody can be served before the database is back.
    const fn is_hopeless(&self) -> bool {
        !self.up && self.established() == 0
    }

    fn is_over(&self, open: &Open, now: Instant) -> bool {
        open.generation != self.generation || open.expires_at <= now
    }

    /// Whether an attempt to connect is in order.
    pub(super) fn may_open(&self, now: Instant) -> bool {
        !self.closed && self.up && self.pause.is_none_or(|pause| pause.until <= now)
    }

    fn count_in(&mut self, wanted: u32) -> u32 {
        let count = wanted.min(self.config.open_count_max.saturating_sub(self.open));
        self.open += count;
        self.opening += count;
        count
    }

    fn retire(&mut self, now: Instant) -> Vec<Open> {
        let (keep, idle_time) = (self.config.idle_count_min as usize, self.config.idle_time);
        let mut retired = Vec::new();
        let mut index = 0;
        while let Some(open) = self.idle.get(index) {
            let unused = self.idle.len() > keep && open.used_at + idle_time <= now;
            if unused || self.is_over(open, now) {
                retired.push(self.idle.remove(index));
                self.open -= 1;
            } else {
                index += 1;
            }
        }
        retired
    }

    fn take_due(&mut self, now: Instant) -> Vec<Open> {
        let mut due = Vec::new();
        let mut index = 0;
        while due.len() < PINGS_PER_ROUND
            && let Some(open) = self.idle.get(index)
        {
            if self.due_at(open, now) <= now {
                due.push(self.idle.remove(index));
            } else {
                index += 1;
            }
        }
        due
    }

    fn due_at(&self, open: &Open, now: Instant) -> Instant {
        match self.suspect_since {
            Some(since) if open.checked_at <= since => now,
            _ => open.checked_at + self.config.health_interval,
        }
    }

    /// What is opened without anybody waiting: the least idle ones, or one probe while down.
    fn reserve_aside(&mut self, now: Instant, pinged: usize) -> u32 {
        if !self.up {
            let over = self.pause.is_none_or(|pause| pause.until <= now);
            let probe = !self.closed && over && self.opening == 0;
            return if probe { self.count_in(1) } else { 0 };
        }
        if !self.may_open(now) {
            return 0;
        }
        let idle = u32::try_from(self.idle.len() + pinged).unwrap_or(u32::MAX);
        let waiting = u32::try_from(self.line.len()).unwrap_or(u32::MAX);
        let wanted = (self.config.idle_count_min.saturating_add(waiting)).saturating_sub(idle);
        self.count_in(wanted.saturating_sub(self.opening))
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let keeps = self.idle.len() > self.config.idle_count_min as usize;
        let idle = self.idle.iter().flat_map(|open| {
            let unused = keeps.then(|| open.used_at + self.config.idle_time);
            [Some(self.due_at(open, now)), Some(open.expires_at), unused]
        });
        // While an attempt is under way its end wakes the upkeep.
        let pause = self.pause.filter(|_| self.opening == 0).map(|pause| pause.until);
        let next = idle.flatten().chain(pause).min();
        next.unwrap_or(now + self.config.health_interval)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::testing::sqlite_config;
    use super::*;

    #[test]
    fn attempts_that_fail_together_pause_as_one_and_the_next_failure_doubles_the_pause() {
        let mut state = State::new(Arc::new(sqlite_config(Path::new("."))));
        let now = Instant::now();
        (state.open, state.opening) = (16, 16);
        for _ in 0..16 {
            state.failed(0, now, 0.0, false);
        }
        assert_eq!(state.pause.map(|pause| pause.length), Some(PAUSE_MIN));
        (state.open, state.opening) = (1, 1);
        state.failed(0, now + PAUSE_MIN, 0.0, false);
        assert_eq!(state.pause.map(|pause| pause.length), Some(PAUSE_MIN * 2));
    }

    #[test]
    fn refused_logins_are_tried_again_so_seldom_that_no_account_is_locked_for_them() {
        let mut state = State::new(Arc::new(sqlite_config(Path::new("."))));
        let mut now = Instant::now();
        let start = now;
        for _ in 0..10 {
            (state.open, state.opening) = (1, 1);
            state.failed(0, now, 1.0, true);
            now = state.pause.expect("a pause").until;
        }
        assert!(now - start > Duration::from_mins(30), "{:?}", now - start);
        (state.open, state.opening) = (1, 1);
        state.failed(0, now, 0.0, false);
        assert_eq!(state.pause.map(|pause| pause.length), Some(PAUSE_MAX));
    }
}
