//! The gateway that the stages are measured on: its rows are all in L1, and its backend does not run.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use gateway::auth::Authenticator;
use gateway::backend::IdSource;
use gateway::bind::{Param, bind_each};
use gateway::cache::{Body, Cache, Keys, Load, Stored, read_tags};
use gateway::catalog::{Catalog, Dialect, Template};
use gateway::config::{Config, Env};
use gateway::error::Error;
use gateway::observe::Metrics;
use gateway::pipeline::Core;
use gateway::queue;
use gateway::snapshot::{Parts, build};
use gateway_protocol::{Value, msgpack};

use super::{Asker, ROWS, SECRET};

/// What frontends share, with every row kept in L1.
pub(super) fn core() -> Arc<Core> {
    let folder = tempfile::tempdir().unwrap();
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let text = format!(
        "templates: {}\ndatabase: {{connections: {{game1: {{type: mysql, host: 127.0.0.1, username: x, password: x, database: x}}}}}}\n\
         games: {{game1: {{id: game1, name: g, database: game1}}}}\n\
         journal: {{path: journal}}\n\
         auth:\n  roles: {{game_server: {{}}, player: {{}}}}\n  jwt: {{keys: [{{alg: HS256, secret: {SECRET}}}]}}\n",
        templates.display()
    );
    let (config, _) = Config::parse(&text, folder.path(), &Env::process()).unwrap();
    let games = [(config.games[0].id.clone(), Dialect::Mysql)];
    let catalog = Catalog::load(&config.templates, &games).unwrap();
    let authenticator = Arc::new(Authenticator::new(&config.auth, None, true).unwrap());
    let metrics = Arc::new(Metrics::new());
    let cache = Arc::new(Cache::new(&config.cache, Box::new(|_| {})).unwrap());
    let parts = Parts { config: Arc::new(config), catalog, authenticator, jwks: None };
    let snapshot = build(1, parts, &metrics).unwrap();
    let (sender, _jobs) = queue::bounded(1);
    let ids = Arc::new(IdSource::new(0).unwrap());
    let core = Arc::new(Core::new(snapshot, cache, sender, metrics, ids));
    fill(&core);
    core
}

fn fill(core: &Arc<Core>) {
    let asker = Asker::new(core);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut keys = Keys::default();
    for id in 1..=ROWS {
        keys.clear();
        let routed = asker.routed();
        let param = Param { name: "player_id".into(), value: Value::Int(id), untyped: false };
        let template = &routed.operation.template;
        let bound = bind_each(template, [Ok::<_, Error>(param.clone())]).unwrap();
        let bind = |template: &Template| bind_each(template, [Ok(param)]);
        assert!(asker.worker.put_key(&asker.request(), routed, bind, &mut keys));
        let policy = template.cache.as_ref().unwrap();
        let tags = read_tags(&template.game, &policy.tags, &bound);
        let key = keys.iter().next().unwrap().to_key();
        let load = Load { key: &key, tags: tags.as_deref(), policy };
        runtime.block_on(core.cache.load(load, || async move { Ok(stored(id)) })).unwrap();
    }
}

pub(super) fn stored(id: i64) -> Stored {
    let mut row = Vec::new();
    write_row(&mut row, id);
    Stored::Present(Body { msgpack: row.into(), json: OnceLock::new(), etag: "1-1".into() })
}

/// A row of `player.get`, as the backend encodes it.
pub(super) fn write_row(out: &mut Vec<u8>, id: i64) {
    msgpack::write_map_header(out, 11);
    for (name, value) in [("id", id), ("level", 17), ("exp", id * 37), ("gold", id * 101)] {
        msgpack::write_str(out, name);
        msgpack::write_int(out, value);
    }
    for (name, value) in [("diamonds", 77), ("vip", 3), ("guild_id", 1234), ("status", 1)] {
        msgpack::write_str(out, name);
        msgpack::write_int(out, value);
    }
    for (name, text) in [
        ("name", "player_12345"),
        ("created_at", "2024-01-01T03:25:45Z"),
        ("updated_at", "2024-06-01T03:25:45Z"),
    ] {
        msgpack::write_str(out, name);
        msgpack::write_str(out, text);
    }
}
