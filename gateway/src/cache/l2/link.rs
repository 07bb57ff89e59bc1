//! Whether Redis is used, and what it is owed.
//!
//! Tags of writes that could not be told to Redis are owed. While anything is owed Redis counts as
//! down, whoever answers there; both change under one lock, so that no reader comes in between. Past
//! a bound single tags are forgotten and everything is owed instead: one new epoch.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Tag;

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    up: AtomicBool,
    tags_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    owed: HashSet<Tag>,
    /// Whether somebody heard that Redis is down, and not yet that it is up.
    told_down: bool,
}

impl Link {
    /// Starts down: nothing is connected yet.
    ///
    /// - `tags_max`: from `cache.pending_tags_max`.
    pub(super) fn new(tags_max: usize) -> Self {
        Self { up: AtomicBool::new(false), tags_max, state: Mutex::default() }
    }

    /// Whether L2 may be used.
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Tags owed now.
    pub(super) fn owed_count(&self) -> usize {
        self.lock().owed.len()
    }

    /// Takes note of tags that Redis must hear of; it is down from here on.
    pub(super) fn owe(&self, tags: &[Tag]) {
        let mut state = self.lock();
        self.up.store(false, Ordering::Release);
        if state.owed.contains(&Tag::EVERYTHING) {
            return;
        }
        state.owed.extend(tags);
        if state.owed.len() > self.tags_max || state.owed.contains(&Tag::EVERYTHING) {
            state.owed = HashSet::from([Tag::EVERYTHING]);
        }
    }

    /// Redis is down; whether that is news.
    pub(super) fn go_down(&self) -> bool {
        let mut state = self.lock();
        self.up.store(false, Ordering::Release);
        !std::mem::replace(&mut state.told_down, true)
    }

    /// Takes what is owed, to deliver it; link stays down. What is owed meanwhile is owed again: its
    /// write may be newer than the delivery. After a failure give it back with [`Link::owe`].
    pub(super) fn take_owed(&self) -> Vec<Tag> {
        self.lock().owed.drain().collect()
    }

    /// Goes up if nothing is owed. `None`: something is; else whether that is news.
    pub(super) fn go_up(&self) -> Option<bool> {
        let mut state = self.lock();
        if !state.owed.is_empty() {
            return None;
        }
        self.up.store(true, Ordering::Release);
        Some(std::mem::take(&mut state.told_down))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Tag = Tag([1; 16]);
    const TWO: Tag = Tag([2; 16]);

    #[test]
    fn link_goes_up_only_when_nothing_is_owed() {
        let link = Link::new(10);
        link.owe(&[ONE]);
        assert_eq!(link.go_up(), None);
        assert_eq!(link.take_owed(), [ONE]);
        assert!(!link.is_up());
        assert!(link.go_up().is_some() && link.is_up());
        link.owe(&[TWO]);
        assert!(!link.is_up());
    }

    /// A write may end between the delivery of its tag and the note of it.
    #[test]
    fn tag_owed_during_its_delivery_is_owed_still() {
        let link = Link::new(10);
        link.owe(&[ONE]);
        link.take_owed();
        link.owe(&[ONE]);
        assert_eq!(link.go_up(), None);
    }

    #[test]
    fn owed_tags_at_the_limit_are_kept_and_one_more_makes_it_everything() {
        let link = Link::new(1);
        link.owe(&[ONE]);
        assert_eq!(link.take_owed(), [ONE]);
        link.owe(&[ONE, TWO]);
        assert_eq!(link.take_owed(), [Tag::EVERYTHING]);
        link.owe(&[Tag::EVERYTHING]);
        link.owe(&[ONE]);
        assert_eq!(link.take_owed(), [Tag::EVERYTHING]);
    }

    #[test]
    fn news_of_down_and_up_are_told_once() {
        let link = Link::new(1);
        assert!(link.go_down() && !link.go_down());
        assert_eq!((link.go_up(), link.go_up()), (Some(true), Some(false)));
    }
}
