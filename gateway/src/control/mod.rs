//! What operators do to a running gateway: reload it, ask it how it is, stop it.
//!
//! One thread with a runtime of its own; nothing here is on a request's path.

mod admin;
mod dialects;
mod events;
mod gauges;
mod journal;
mod reload;
mod schema;
mod signals;
mod statements;
mod status;
mod watch;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::backend::Pools;
use crate::observe::{Event, emit};
use crate::pipeline::Core;
use crate::queue::{Notice, Notices, Watch};

pub use dialects::{game_dialects, mirrored_games};
pub use events::{EVENTS_LISTED, event_query, events_listed};
pub use gauges::register_metrics;
pub use journal::{OPERATOR_BYTES_MAX, entry as journal_entry, whole_entry as whole_journal_entry};
pub use reload::{LoadFaults, Loaded, Origin, ReloadOutcome, Reloader, check_queued, served};
pub use signals::Signals;
pub use watch::{WatchPath, watch_paths};

/// The control thread's work.
#[derive(Debug)]
pub struct Control {
    /// What the threads share.
    pub core: Arc<Core>,
    /// The databases.
    pub pools: Arc<Pools>,
    /// Builds new snapshots.
    pub reloader: Reloader,
}

/// What the parts of this module share.
#[derive(Debug)]
struct Shared {
    core: Arc<Core>,
    pools: Arc<Pools>,
    reloader: Mutex<Reloader>,
    last: arc_swap::ArcSwap<ReloadOutcome>,
    schemas: arc_swap::ArcSwap<schema::SchemaStates>,
    prepared: arc_swap::ArcSwap<statements::PreparedStatements>,
    /// Wakes who looks at the schemas.
    reloaded: tokio::sync::Notify,
}

impl Shared {
    /// Reloads, one at a time, and remembers how it went.
    ///
    /// On a task of its own: who asked may leave, and what the journal agreed to must then take effect.
    async fn reload(self: &Arc<Self>) -> Arc<ReloadOutcome> {
        let own = Arc::clone(self);
        let done = tokio::spawn(async move { own.reload_now().await }).await;
        done.unwrap_or_else(|error| {
            let faults = LoadFaults(vec![format!("the reload ended on its own: {error}")]);
            Arc::new(ReloadOutcome::Refused(faults))
        })
    }

    async fn reload_now(&self) -> Arc<ReloadOutcome> {
        let mut reloader = self.reloader.lock().await;
        let outcome = Arc::new(reloader.reload(&self.core, &self.pools).await);
        let before = self.last.swap(Arc::clone(&outcome));
        // The log's last word on it would else be the refusal, for ever.
        if let (ReloadOutcome::Refused(_), ReloadOutcome::Unchanged) = (&*before, &*outcome) {
            let generation = self.core.snapshot.load().generation;
            emit(&Event::ReloadMended { generation });
        }
        if matches!(*outcome, ReloadOutcome::Done { .. }) {
            self.reloaded.notify_one();
        }
        outcome
    }
}

impl Control {
    /// Serves the admin port and the signals. Says when the process is told to stop, and then serves the
    /// admin port on, so that operators see it drain, until `stop` is true.
    ///
    /// # Errors
    ///
    /// When the admin port cannot be used.
    pub async fn run(
        self,
        admin: TcpListener,
        signals: Signals,
        notices: &Notices,
        mut stop: Watch<bool>,
    ) -> io::Result<()> {
        let shared = Arc::new(Shared {
            core: self.core,
            pools: self.pools,
            reloader: Mutex::new(self.reloader),
            last: arc_swap::ArcSwap::from_pointee(ReloadOutcome::NotYet),
            schemas: arc_swap::ArcSwap::default(),
            prepared: arc_swap::ArcSwap::default(),
            reloaded: tokio::sync::Notify::new(),
        });
        admin.set_nonblocking(true)?;
        let admin = tokio::net::TcpListener::from_std(admin)?;
        tokio::spawn(admin::serve(Arc::clone(&shared), admin));
        tokio::spawn(watch::watch_files(Arc::clone(&shared)));
        tokio::spawn(schema::watch(Arc::clone(&shared)));
        tokio::select! {
            () = signals::until_told_to_stop(&shared, signals) => notices.say(Notice::Stop),
            () = stop.until(|stop| *stop) => {}
        }
        stop.until(|stop| *stop).await;
        Ok(())
    }
}
