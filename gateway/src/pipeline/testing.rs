//! What tests of frontends and of the pipeline stand on: a gateway of one operation, without its threads.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::Core;
use crate::auth::Authenticator;
use crate::backend::{IdSource, Job};
use crate::cache::Cache;
use crate::catalog::{Catalog, Dialect};
use crate::config::{Config, Env};
use crate::observe::Metrics;
use crate::queue;
use crate::snapshot::{Parts, build};

/// `game1` with the operation `t.get`, and what it hands to its backend.
///
/// - `base`: an empty folder, which has to outlive both.
/// - `template`: the text of `t.get`, for SQLite.
/// - `sections`: of the configuration, besides those that name the game and its database.
/// - `queue_max`: how many jobs wait at most.
pub(crate) fn core(
    base: &Path,
    template: &str,
    sections: &str,
    queue_max: usize,
) -> (Arc<Core>, queue::Receiver<Job>) {
    fs::create_dir_all(base.join("sql/game1/t")).expect("a folder");
    fs::write(base.join("sql/game1/t/get.sql"), template).expect("written");
    let text = format!(
        "templates: sql\ndatabase: {{connections: {{db: {{type: sqlite, path: t.db}}}}}}\n\
         games: {{game1: {{id: game1, name: g, database: db}}}}\n{sections}"
    );
    let (config, _) = Config::parse(&text, base, &Env::process()).expect("a configuration");
    let games = [(config.games[0].id.clone(), Dialect::Sqlite)];
    let catalog = Catalog::load(&config.templates, &games).expect("templates");
    let authenticator = Arc::new(Authenticator::new(&config.auth, None, true).expect("keys"));
    let metrics = Arc::new(Metrics::new());
    let cache = Arc::new(Cache::new(&config.cache, Box::new(|_| {})).expect("a cache"));
    let parts = Parts { config: Arc::new(config), catalog, authenticator, jwks: None };
    let snapshot = build(1, parts, &metrics).expect("a snapshot");
    let (sender, jobs) = queue::bounded(queue_max);
    let ids = Arc::new(IdSource::new(0).expect("a node"));
    (Arc::new(Core::new(snapshot, cache, sender, metrics, ids)), jobs)
}

/// Gives a gateway of [`core`] its second snapshot: the same configuration and templates, read anew.
pub(crate) fn reload(core: &Core) {
    let old = core.snapshot.load_full();
    let games = [(old.config.games[0].id.clone(), Dialect::Sqlite)];
    let parts = Parts {
        config: Arc::clone(&old.config),
        catalog: Catalog::load(&old.config.templates, &games).expect("templates"),
        authenticator: Arc::clone(&old.authenticator),
        jwks: None,
    };
    core.snapshot.store(Arc::new(build(2, parts, &core.metrics).expect("a snapshot")));
}
