//! Flights: of many who miss one key at one time, one fetches and the others wait for it.
//!
//! A flight is known by key and generations, so a read that starts after a write's reply never joins
//! a fetch from before it. A leader that is dropped without a result (cancelled, panicked) lets one
//! of those who wait take over. Deadlines are everyone's own: drop the future.
//!
//! Invariant: no lock is held over an await, and this works under any executor.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Key;
use super::generation::View;

/// Independently locked parts of the table.
const SHARD_COUNT: usize = 16;

type FlightKey = (Key, View);
type Shard<T> = Mutex<HashMap<FlightKey, Arc<Flight<T>>>>;

/// The fetches in progress, each with a result of type `T`.
#[derive(Debug)]
pub(super) struct Flights<T> {
    shards: Box<[Shard<T>]>,
}

/// What somebody who missed is to do.
pub(super) enum Role<'a, T: Clone> {
    /// Fetch, and tell the others.
    Lead(Lead<'a, T>),
    /// Wait.
    Wait(Wait<T>),
}

#[derive(Debug)]
struct Flight<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
enum State<T> {
    /// In progress; who to wake, by number.
    Running { wakers: HashMap<u64, Waker>, number: u64 },
    /// Landed.
    Done(T),
    /// The leader is gone without a result.
    Abandoned,
}

impl<T: Clone> Flights<T> {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARD_COUNT).map(|_| Mutex::default()).collect() }
    }

    /// Joins the flight of this key and these generations, or starts it.
    pub(super) fn join(&self, key: &Key, view: &View) -> Role<'_, T> {
        let Some(shard) = self.shard(key) else {
            return Role::Lead(Lead { flight: Arc::new(Flight::new()), place: None });
        };
        let mut flights = lock(shard);
        let name = (key.clone(), view.clone());
        if let Some(flight) = flights.get(&name) {
            return Role::Wait(Wait { flight: Arc::clone(flight), number: None });
        }
        let flight = Arc::new(Flight::new());
        flights.insert(name.clone(), Arc::clone(&flight));
        Role::Lead(Lead { flight, place: Some((shard, name)) })
    }

    /// Whether somebody who came now would wait.
    pub(super) fn is_under_way(&self, key: Key, view: View) -> bool {
        self.shard(&key).is_some_and(|shard| lock(shard).contains_key(&(key, view)))
    }

    /// Fetches in progress.
    pub(super) fn count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, key: &Key) -> Option<&Shard<T>> {
        self.shards.get(shard_of(key))
    }
}

impl<T> Flight<T> {
    fn new() -> Self {
        Self { state: Mutex::new(State::Running { wakers: HashMap::new(), number: 0 }) }
    }

    fn land(&self, state: State<T>) {
        let before = std::mem::replace(&mut *lock(&self.state), state);
        if let State::Running { wakers, .. } = before {
            wakers.into_values().for_each(Waker::wake);
        }
    }
}

/// The one who fetches. Dropped without [`Lead::land`], one who waits takes over.
pub(super) struct Lead<'a, T: Clone> {
    flight: Arc<Flight<T>>,
    /// Where it stands, until it landed.
    place: Option<(&'a Shard<T>, FlightKey)>,
}

impl<T: Clone> Lead<'_, T> {
    /// Gives the result to everyone who waits.
    pub(super) fn land(mut self, result: T) {
        self.leave();
        self.flight.land(State::Done(result));
    }

    fn leave(&mut self) -> bool {
        let Some((shard, name)) = self.place.take() else { return false };
        lock(shard).remove(&name);
        true
    }
}

impl<T: Clone> Drop for Lead<'_, T> {
    fn drop(&mut self) {
        if self.leave() {
            self.flight.land(State::Abandoned);
        }
    }
}

/// One who waits. Gives the leader's result; `None`: the leader is gone, join again.
pub(super) struct Wait<T> {
    flight: Arc<Flight<T>>,
    number: Option<u64>,
}

impl<T: Clone> Future for Wait<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match &mut *lock(&this.flight.state) {
            State::Running { wakers, number } => {
                let own = *this.number.get_or_insert_with(|| {
                    *number += 1;
                    *number
                });
                wakers.insert(own, context.waker().clone());
                Poll::Pending
            }
            State::Done(result) => Poll::Ready(Some(result.clone())),
            State::Abandoned => Poll::Ready(None),
        }
    }
}

impl<T> Drop for Wait<T> {
    fn drop(&mut self) {
        let Some(own) = self.number else { return };
        if let State::Running { wakers, .. } = &mut *lock(&self.flight.state) {
            wakers.remove(&own);
        }
    }
}

fn shard_of(key: &Key) -> usize {
    // The remainder is below the count: it fits any integer.
    usize::try_from(key.as_ref().hash % SHARD_COUNT as u64).unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::cache::Tag;
    use crate::cache::generation::Generations;
    use crate::cache::testing::key;

    const TAG: Tag = Tag([1; 16]);

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn lead<T: Clone>(role: Role<'_, T>) -> Lead<'_, T> {
        match role {
            Role::Lead(lead) => lead,
            Role::Wait(_) => panic!("somebody else leads"),
        }
    }

    fn wait<T: Clone>(role: Role<'_, T>) -> Wait<T> {
        match role {
            Role::Wait(wait) => wait,
            Role::Lead(_) => panic!("nobody leads"),
        }
    }

    fn poll<T: Clone>(wait: &mut Wait<T>, wakes: &Arc<Count>) -> Poll<Option<T>> {
        let own = Waker::from(Arc::clone(wakes));
        Pin::new(wait).poll(&mut Context::from_waker(&own))
    }

    #[test]
    fn one_leads_and_the_others_get_its_result() {
        let flights = Flights::new();
        let view = Generations::new(1, true).view(&[TAG]);
        let first = lead(flights.join(&key("a"), &view));
        let wakes = Arc::new(Count::default());
        let mut others: Vec<_> = (0..3).map(|_| wait(flights.join(&key("a"), &view))).collect();
        assert!(others.iter_mut().all(|other| poll(other, &wakes).is_pending()));
        first.land(7);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 3);
        for other in &mut others {
            assert_eq!(poll(other, &wakes), Poll::Ready(Some(7)));
        }
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn flight_is_under_way_for_its_key_and_generations_until_it_lands() {
        let flights = Flights::new();
        let generations = Generations::new(16, true);
        let view = generations.view(&[TAG]);
        let first = lead(flights.join(&key("a"), &view));
        assert!(flights.is_under_way(key("a"), view.clone()));
        assert!(!flights.is_under_way(key("b"), view.clone()));
        generations.close(&[TAG]);
        assert!(!flights.is_under_way(key("a"), generations.view(&[TAG])));
        first.land(7);
        assert!(!flights.is_under_way(key("a"), view));
    }

    #[test]
    fn other_key_or_other_generations_is_another_flight() {
        let flights = Flights::<u32>::new();
        let generations = Generations::new(16, true);
        let before = generations.view(&[TAG]);
        let _first = lead(flights.join(&key("a"), &before));
        let _second = lead(flights.join(&key("b"), &before));
        generations.close(&[TAG]);
        let _third = lead(flights.join(&key("a"), &generations.view(&[TAG])));
        generations.reopen(&[TAG]);
        let _fourth = lead(flights.join(&key("a"), &generations.view(&[TAG])));
        assert_eq!(flights.count(), 4);
    }

    #[test]
    fn leader_that_vanishes_is_followed_by_one_who_waits() {
        let flights = Flights::new();
        let view = Generations::new(1, true).view(&[]);
        let first = lead(flights.join(&key("a"), &view));
        let wakes = Arc::new(Count::default());
        let mut second = wait(flights.join(&key("a"), &view));
        let mut third = wait(flights.join(&key("a"), &view));
        assert!(poll(&mut second, &wakes).is_pending() && poll(&mut third, &wakes).is_pending());
        drop(first);
        assert_eq!(poll(&mut second, &wakes), Poll::Ready(None));
        assert_eq!(poll(&mut third, &wakes), Poll::Ready(None));
        let again = lead(flights.join(&key("a"), &view));
        let mut third = wait(flights.join(&key("a"), &view));
        again.land(1);
        assert_eq!(poll(&mut third, &wakes), Poll::Ready(Some(1)));
    }

    #[test]
    fn who_stops_waiting_is_not_woken_and_leaves_nothing() {
        let flights = Flights::new();
        let view = Generations::new(1, true).view(&[]);
        let first = lead(flights.join(&key("a"), &view));
        let wakes = Arc::new(Count::default());
        let mut second = wait(flights.join(&key("a"), &view));
        assert!(poll(&mut second, &wakes).is_pending());
        drop(second);
        first.land(1);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    }
}
