//! The connections of one thread, and the sweep that ends those that stopped talking.
//!
//! A timer for each connection would cost more than its requests. Instead each connection notes in
//! which second it last got on, and a sweep once a second shuts down those that are over their time:
//! a pending read or write then ends by itself.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use slab::Slab;

use crate::pipeline::unix_seconds;

/// Receives within one second after which a connection is in full swing: what it is read with need not be such that it can be
/// cancelled, which costs each read some hundred nanoseconds.
const SWING_RECEIVES: u8 = 3;

/// What a connection does, as far as its time depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is asked; the limit is the keep-alive or the heartbeat.
    Idle,
    /// A request is arriving; the limit is the read timeout.
    Reading,
    /// The gateway works; no limit here, the request has its own.
    Serving,
    /// Before the hello.
    Greeting,
}

/// Why the thread turns to a connection that did not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nudge {
    /// A second has passed.
    Second,
    /// The thread drains; told again and again until the connection has left.
    Drain,
}

/// A limit in whole seconds, at least one: limits are looked at once a second.
pub(super) fn whole_seconds(limit: Duration) -> u32 {
    u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1)
}

type Hook = Box<dyn Fn(Nudge)>;

/// The limits of each phase, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhaseLimits {
    /// See [`Phase::Idle`].
    pub(super) idle: u32,
    /// See [`Phase::Reading`].
    pub(super) reading: u32,
    /// Of a write that the client does not take.
    pub(super) writing: u32,
    /// See [`Phase::Greeting`].
    pub(super) greeting: u32,
}

/// One connection, as the sweep sees it.
pub(super) struct Presence {
    fd: RawFd,
    limits: PhaseLimits,
    phase: Cell<Phase>,
    since: Cell<u32>,
    writing_since: Cell<Option<u32>>,
    /// The second in which bytes last arrived.
    heard: Cell<u32>,
    /// How often they did in that second.
    receives: Cell<u8>,
    /// The second in which it last asked for something.
    asked: Cell<u32>,
    /// Requests that are being served.
    requests: Cell<u32>,
    hook: RefCell<Option<Hook>>,
    clock: Rc<Clock>,
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presence")
            .field("fd", &self.fd)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// A request under way; over when it is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct Serving(Rc<Presence>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get().saturating_sub(1));
    }
}

/// The second that a thread is in; advanced by its sweep.
#[derive(Debug)]
pub(super) struct Clock {
    second: Cell<u32>,
    unix_seconds: Cell<u64>,
    /// Seconds without a request after which a connection is parked.
    park_after: Cell<u32>,
}

impl Default for Clock {
    fn default() -> Self {
        let park_after = Cell::new(u32::MAX);
        Self { second: Cell::new(0), unix_seconds: Cell::new(unix_seconds()), park_after }
    }
}

impl Presence {
    /// Enters a phase, now.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.second.get());
    }

    /// Bytes arrived.
    pub(super) fn hears(&self) {
        let now = self.now();
        let is_same = self.heard.replace(now) == now;
        self.receives.set(if is_same { self.receives.get().saturating_add(1) } else { 1 });
    }

    /// What arrived was a request, and not only a sign of life.
    pub(super) fn asks(&self) {
        self.asked.set(self.now());
    }

    /// It comes back from the lot: a sign of life alone does not keep it, and its silence goes on until there is one.
    ///
    /// - `left`: seconds of it that were left.
    pub(super) fn comes_back(&self, left: u32) {
        let silent = self.limits.idle.saturating_sub(left);
        self.since.set(self.now().wrapping_sub(silent));
        self.asked.set(self.now().wrapping_sub(self.clock.park_after.get()).wrapping_sub(1));
    }

    /// Whether nothing has arrived for a second or more.
    pub(super) fn is_silent(&self) -> bool {
        self.now().wrapping_sub(self.heard.get()) > 1
    }

    /// Whether its receives follow each other so closely that it will hardly fall silent now. One that does stays as it
    /// is until its next receive, which a heartbeat, or the time limit of an idle connection, sees to.
    pub(super) fn is_in_full_swing(&self) -> bool {
        self.receives.get() >= SWING_RECEIVES && !self.is_silent()
    }

    /// Whether it has asked for nothing for so long that it is to be parked, if nothing is owed to it.
    pub(super) fn is_dormant(&self) -> bool {
        self.now().wrapping_sub(self.asked.get()) > self.clock.park_after.get()
    }

    /// Its limits, and how many seconds are left of that of its phase.
    pub(super) fn left(&self) -> (PhaseLimits, u32) {
        let limit = match self.phase.get() {
            Phase::Idle | Phase::Serving => self.limits.idle,
            Phase::Reading => self.limits.reading,
            Phase::Greeting => self.limits.greeting,
        };
        (self.limits, limit.saturating_sub(self.now().wrapping_sub(self.since.get())))
    }

    /// A write begins; it may take as long as the write timeout.
    pub(super) fn begin_write(&self) {
        self.writing_since.set(Some(self.clock.second.get()));
    }

    /// A write goes on: its time began with the first call since it last ended.
    pub(super) fn continue_write(&self) {
        if self.writing_since.get().is_none() {
            self.begin_write();
        }
    }

    /// The write ended.
    pub(super) fn end_write(&self) {
        self.writing_since.set(None);
    }

    /// A request is being served until what this gives is dropped: meanwhile the connection is not idle.
    pub(super) fn begin_request(self: &Rc<Self>) -> Serving {
        self.requests.set(self.requests.get().saturating_add(1));
        Serving(Rc::clone(self))
    }

    /// Whether a request is being served.
    pub(super) fn is_serving(&self) -> bool {
        self.requests.get() > 0
    }

    /// Enters a phase unless it is in it already: its time runs on.
    pub(super) fn stay(&self, phase: Phase) {
        if self.phase.get() != phase {
            self.enter(phase);
        }
    }

    /// The phase it is in.
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Says what is to be done when the thread nudges. Keep no strong reference in it.
    pub(super) fn on_nudge(&self, hook: impl Fn(Nudge) + 'static) {
        self.hook.replace(Some(Box::new(hook)));
    }

    fn nudge(&self, nudge: Nudge) {
        if let Some(hook) = self.hook.borrow().as_ref() {
            hook(nudge);
        }
    }

    /// The second of the thread's clock.
    pub(super) fn now(&self) -> u32 {
        self.clock.second.get()
    }

    /// Ends both directions: what is pending on the socket returns.
    pub(super) fn cut(&self) {
        // Fails only when the peer is gone already, which is what is wanted.
        let _gone = shutdown(self.fd, Shutdown::Both);
    }

    /// Seconds since 1970, as of the last sweep.
    pub(super) fn unix_seconds(&self) -> u64 {
        self.clock.unix_seconds.get()
    }

    fn is_over(&self, now: u32) -> bool {
        let over = |since: u32, limit: u32| now.wrapping_sub(since) > limit;
        if self.writing_since.get().is_some_and(|since| over(since, self.limits.writing)) {
            return true;
        }
        let limit = match self.phase.get() {
            Phase::Idle => self.limits.idle,
            Phase::Reading => self.limits.reading,
            Phase::Serving => return false,
            Phase::Greeting => self.limits.greeting,
        };
        // One more: the second it entered in was already under way.
        over(self.since.get(), limit)
    }
}

/// The connections of one thread and protocol.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: RefCell<Slab<Rc<Presence>>>,
    clock: Rc<Clock>,
}

/// A connection's place in the registry; leaving it is dropping this. It must be dropped before the
/// socket is closed: afterwards the number may belong to somebody else.
#[derive(Debug)]
pub(super) struct Place {
    registry: Rc<Registry>,
    key: usize,
    presence: Rc<Presence>,
}

impl Place {
    /// What the sweep sees.
    pub(super) const fn presence(&self) -> &Rc<Presence> {
        &self.presence
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.entries.borrow_mut().try_remove(self.key);
    }
}

impl Registry {
    /// Enters a connection.
    pub(super) fn join(self: &Rc<Self>, fd: RawFd, limits: PhaseLimits, phase: Phase) -> Place {
        let presence = Rc::new(Presence {
            fd,
            limits,
            phase: Cell::new(phase),
            since: Cell::new(self.clock.second.get()),
            writing_since: Cell::new(None),
            heard: Cell::new(self.clock.second.get()),
            receives: Cell::new(0),
            asked: Cell::new(self.clock.second.get()),
            requests: Cell::new(0),
            hook: RefCell::new(None),
            clock: Rc::clone(&self.clock),
        });
        let key = self.entries.borrow_mut().insert(Rc::clone(&presence));
        Place { registry: Rc::clone(self), key, presence }
    }

    /// Connections now.
    pub(super) fn count(&self) -> usize {
        self.entries.borrow().len()
    }

    /// A second has passed: cuts those that are over their time. Returns how many.
    pub(super) fn sweep(&self) -> usize {
        let now = self.clock.second.get().wrapping_add(1);
        self.clock.second.set(now);
        self.clock.unix_seconds.set(unix_seconds());
        let entries = self.entries.borrow();
        let over = entries.iter().filter(|(_, presence)| presence.is_over(now));
        over.map(|(_, presence)| presence.cut()).count()
    }

    /// Connections are parked after so many seconds without a request, from now on.
    pub(super) fn park_after(&self, seconds: u32) {
        self.clock.park_after.set(seconds);
    }

    /// Turns to every connection.
    pub(super) fn nudge_all(&self, nudge: Nudge) {
        // A copy: a hook may let a connection leave.
        let present: Vec<Rc<Presence>> = {
            let entries = self.entries.borrow();
            entries.iter().map(|(_, presence)| Rc::clone(presence)).collect()
        };
        for presence in present {
            presence.nudge(nudge);
        }
    }

    /// Ends every connection, whatever it does. Returns how many were in the middle of a request.
    pub(super) fn cut_all(&self) -> usize {
        let entries = self.entries.borrow();
        entries.iter().for_each(|(_, presence)| presence.cut());
        entries.iter().filter(|(_, presence)| presence.requests.get() > 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PhaseLimits = PhaseLimits { idle: 3, reading: 1, writing: 1, greeting: 1 };

    #[test]
    fn connection_is_cut_one_second_after_its_limit_and_not_before() {
        let registry = Rc::new(Registry::default());
        // No file has this number: the cut itself fails, and is counted all the same.
        let place = registry.join(-1, LIMITS, Phase::Idle);
        assert_eq!([registry.sweep(), registry.sweep(), registry.sweep()], [0, 0, 0]);
        assert_eq!(registry.sweep(), 1);
        place.presence().enter(Phase::Serving);
        assert_eq!([registry.sweep(), registry.sweep()], [0, 0]);
    }

    #[test]
    fn staying_in_a_phase_does_not_give_it_new_time() {
        let registry = Rc::new(Registry::default());
        let place = registry.join(-1, LIMITS, Phase::Reading);
        assert_eq!(registry.sweep(), 0);
        place.presence().stay(Phase::Reading);
        assert_eq!(registry.sweep(), 1);
        place.presence().enter(Phase::Reading);
        assert_eq!(registry.sweep(), 0);
    }

    #[test]
    fn connection_is_dormant_after_its_time_without_a_request_whatever_signs_of_life_it_gives() {
        let registry = Rc::new(Registry::default());
        let place = registry.join(-1, LIMITS, Phase::Idle);
        let presence = place.presence();
        let dormant_after = |seconds: u32| {
            let swept: Vec<bool> = (0..seconds)
                .map(|_| {
                    registry.sweep();
                    presence.hears();
                    presence.is_dormant()
                })
                .collect();
            swept.iter().position(|dormant| *dormant)
        };
        assert_eq!(dormant_after(9), None, "nobody has said when");
        registry.park_after(2);
        presence.asks();
        assert_eq!(dormant_after(3), Some(2));
        presence.asks();
        assert!(!presence.is_dormant());
        presence.comes_back(1);
        assert!(presence.is_dormant());
        assert_eq!(presence.left().1, 1, "it is as silent as it was");
    }

    #[test]
    fn connection_is_in_full_swing_after_some_receives_in_one_second_until_it_is_silent() {
        let registry = Rc::new(Registry::default());
        let place = registry.join(-1, LIMITS, Phase::Idle);
        let presence = place.presence();
        registry.sweep();
        let swing: Vec<bool> = (0..=SWING_RECEIVES)
            .map(|_| {
                presence.hears();
                presence.is_in_full_swing()
            })
            .collect();
        assert_eq!(swing, [false, false, true, true]);
        registry.sweep();
        assert!(presence.is_in_full_swing(), "one second is no silence");
        registry.sweep();
        assert!(presence.is_silent() && !presence.is_in_full_swing());
        presence.hears();
        assert!(!presence.is_silent() && !presence.is_in_full_swing());
    }

    #[test]
    fn parked_connection_has_what_is_left_of_its_silence() {
        let registry = Rc::new(Registry::default());
        let place = registry.join(-1, LIMITS, Phase::Idle);
        let left = || place.presence().left().1;
        assert_eq!(left(), 3);
        registry.sweep();
        assert_eq!(left(), 2);
        for _ in 0..5 {
            registry.sweep();
        }
        assert_eq!(left(), 0);
    }

    #[test]
    fn write_that_nobody_takes_is_cut_even_while_requests_arrive() {
        let registry = Rc::new(Registry::default());
        let place = registry.join(-1, LIMITS, Phase::Idle);
        place.presence().begin_write();
        assert_eq!(registry.sweep(), 0);
        place.presence().enter(Phase::Idle);
        assert_eq!(registry.sweep(), 1);
        place.presence().end_write();
        assert_eq!(registry.sweep(), 0);
    }

    #[test]
    fn connection_in_the_middle_of_a_request_is_counted_when_all_are_cut() {
        let registry = Rc::new(Registry::default());
        let busy = registry.join(-1, LIMITS, Phase::Idle);
        let _idle = registry.join(-1, LIMITS, Phase::Idle);
        let requests = [busy.presence().begin_request(), busy.presence().begin_request()];
        assert_eq!(registry.cut_all(), 1);
        drop(requests);
        assert_eq!(registry.cut_all(), 0);
    }

    #[test]
    fn table_grows_with_its_connections_and_a_place_that_was_left_is_the_next_ones() {
        let registry = Rc::new(Registry::default());
        let join = || registry.join(-1, LIMITS, Phase::Idle);
        let mut places: Vec<Place> = (0..70_000).map(|_| join()).collect();
        let busy = places[69_999].presence().begin_request();
        for _ in 0..3 {
            // Every other one goes, and a new one has its place: leaving twice over must not take that from it.
            places = places
                .into_iter()
                .enumerate()
                .filter(|(at, _)| at % 2 == 1)
                .map(|(_, it)| it)
                .collect();
            assert_eq!(registry.count(), 35_000);
            places.splice(0..0, (0..35_000).map(|_| join()));
            assert_eq!(registry.count(), 70_000);
        }
        let keys: std::collections::BTreeSet<usize> =
            places.iter().map(|place| place.key).collect();
        assert_eq!(
            (keys.len(), keys.last()),
            (70_000, Some(&69_999)),
            "no place is given twice or left unused"
        );
        assert_eq!(registry.cut_all(), 1);
        drop((busy, places));
        assert_eq!(registry.count(), 0);
    }

    #[test]
    fn connection_that_left_is_not_counted() {
        let registry = Rc::new(Registry::default());
        drop(registry.join(-1, LIMITS, Phase::Idle));
        assert_eq!(registry.count(), 0);
    }
}
