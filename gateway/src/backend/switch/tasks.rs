//! Tasks of a running gateway for what its configuration names: they begin and end with it.

use std::collections::HashMap;

use tokio::task::JoinHandle;

use crate::config::{Config, ConnectionConfig, GameConfig};
use crate::queue::{self, Watch};

/// A game whose configuration has a mirror, with both of its databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MirroredGame {
    pub(super) id: Box<str>,
    pub(super) database: ConnectionConfig,
    pub(super) mirror: ConnectionConfig,
}

impl MirroredGame {
    /// All of them, by their ids.
    pub(super) fn all(config: &Config) -> HashMap<Box<str>, Self> {
        let one = |game: &GameConfig| {
            let id: Box<str> = game.id.as_str().into();
            let database = config.database.connection(&game.database)?.clone();
            let mirror = config.database.connection(game.mirror.as_ref()?)?.clone();
            Some((id.clone(), Self { id, database, mirror }))
        };
        config.games.iter().filter_map(one).collect()
    }
}

/// One task for each name, with what it is for.
#[derive(Debug)]
pub(super) struct Tasks<T>(HashMap<Box<str>, Running<T>>);

#[derive(Debug)]
struct Running<T> {
    of: T,
    stop: queue::Signal<bool>,
    task: JoinHandle<()>,
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone + PartialEq> Tasks<T> {
    /// Ends what is not wanted any more, is for something else by now, or ended by itself; then begins what is missing.
    /// Gives back the names whose tasks were ended.
    ///
    /// - `begin`: the task for one, which ends when its `Watch` is true.
    pub(super) async fn keep<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        wanted: HashMap<Box<str>, T>,
        mut begin: impl FnMut(T, Watch<bool>) -> F,
    ) -> Vec<Box<str>> {
        let is_gone = |name: &str, one: &Running<T>| {
            wanted.get(name) != Some(&one.of) || one.task.is_finished()
        };
        let gone: Vec<Box<str>> = self
            .0
            .iter()
            .filter(|(name, one)| is_gone(name, one))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &gone {
            if let Some(one) = self.0.remove(name) {
                one.stop.set(true);
                one.ended().await;
            }
        }
        for (name, of) in wanted {
            self.0.entry(name).or_insert_with(|| {
                let (stop, stopped) = queue::signal(false);
                Running { of: of.clone(), stop, task: tokio::spawn(begin(of, stopped)) }
            });
        }
        gone
    }

    /// Ends all of them. Returns when they have ended.
    pub(super) async fn end(self) {
        for one in self.0.values() {
            one.stop.set(true);
        }
        for one in self.0.into_values() {
            one.ended().await;
        }
    }
}

impl<T> Running<T> {
    async fn ended(self) {
        let _ended_or_panicked = self.task.await.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn task_runs_while_it_is_wanted_as_it_is_and_begins_anew_when_it_ended_by_itself() {
        let count = std::sync::Arc::new(AtomicU32::new(0));
        let mut tasks = Tasks::default();
        let wanted = |of: u32| HashMap::from([(Box::from("a"), of)]);
        let begin = |of: u32, mut stop: Watch<bool>| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                assert_ne!(of, 13, "a task that panics");
                stop.until(|stop| *stop).await;
            }
        };
        let started = || count.load(Ordering::Relaxed);
        assert!(tasks.keep(wanted(1), begin).await.is_empty());
        assert!(tasks.keep(wanted(1), begin).await.is_empty());
        assert_eq!(started(), 1, "it is the same one");
        assert_eq!(tasks.keep(wanted(13), begin).await, [Box::from("a")]);
        assert_eq!(started(), 2);
        while !tasks.0.values().all(|one| one.task.is_finished()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(tasks.keep(wanted(13), begin).await, [Box::from("a")]);
        assert_eq!(started(), 3);
        assert_eq!(tasks.keep(HashMap::new(), begin).await, [Box::from("a")]);
        assert!(tasks.0.is_empty());
        tasks.end().await;
    }
}
