//! How many of a game's streams this instance may own while others are there: as many as fall to each.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::queue::{self, Signal, Watch};

/// An instance's share of a game's streams. Clones are one.
#[derive(Clone, Debug)]
pub(super) struct Share(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream_count: u32,
    allow: Signal<u32>,
    allowed: Watch<u32>,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    count_max: u32,
    /// Streams that are owned, or about to be.
    streams: BTreeSet<u32>,
}

/// A stream that this instance owns, or tries to.
#[derive(Debug)]
pub(super) struct Place {
    share: Share,
    stream: u32,
}

impl Share {
    /// Of so many streams. Until [`Share::among`] says how many instances there are, nothing.
    pub(super) fn new(stream_count: u32) -> Self {
        let (allow, allowed) = queue::signal(0);
        Self(Arc::new(Inner { stream_count, allow, allowed, places: Mutex::default() }))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many instances share the streams now, this one included.
    pub(super) fn among(&self, instance_count: u32) {
        let count_max = self.0.stream_count.div_ceil(instance_count.max(1));
        self.places().count_max = count_max;
        self.0.allow.set(count_max);
    }

    /// A place for a stream, if this instance may own one more.
    pub(super) fn place(&self, stream: u32) -> Option<Place> {
        let mut places = self.places();
        if places.streams.len() >= places.count_max as usize || !places.streams.insert(stream) {
            return None;
        }
        Some(Place { share: self.clone(), stream })
    }
}

impl Place {
    /// Returns when others are to have the stream: of those that are too many the last ones go.
    pub(super) async fn is_surplus(&self) {
        let mut allowed = self.share.0.allowed.clone();
        let rank = || self.share.places().streams.range(..self.stream).count();
        allowed.until(|allowed| rank() >= *allowed as usize).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.share.places().streams.remove(&self.stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_owns_no_more_than_falls_to_each_rounded_up() {
        let share = Share::new(8);
        assert!(share.place(0).is_none(), "nobody has said yet how many there are");
        for (instances, expected) in [(1, 8), (2, 4), (3, 3), (8, 1), (100, 1), (0, 8)] {
            share.among(instances);
            let places: Vec<_> = (0..8).filter_map(|stream| share.place(stream)).collect();
            assert_eq!(places.len(), expected, "{instances} instances");
            assert!(share.place(0).is_none(), "it is taken");
        }
        assert!(share.place(0).is_some(), "places are given back");
    }

    #[tokio::test]
    async fn when_another_comes_the_last_streams_go_and_the_others_stay() {
        let share = Share::new(4);
        share.among(1);
        let places: Vec<_> = (0..4).filter_map(|stream| share.place(stream)).collect();
        share.among(2);
        for (stream, place) in places.iter().enumerate() {
            let surplus = tokio::time::timeout(std::time::Duration::ZERO, place.is_surplus());
            assert_eq!(surplus.await.is_ok(), stream >= 2, "{stream}");
        }
    }
}
