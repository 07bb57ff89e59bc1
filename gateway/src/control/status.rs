//! How the gateway and what it depends on are, as JSON for operators.

use serde_json::{Map, Value, json};

use super::{ReloadOutcome, Shared};

/// Whether requests should be sent here, and the state of each dependency.
///
/// A dead database or Redis is shown and does not make the instance unready: other games live on it.
pub(super) fn ready(shared: &Shared) -> (bool, Value) {
    let snapshot = shared.core.snapshot.load();
    let is_draining = shared.core.is_draining();
    let mut databases = Map::new();
    let schemas = shared.schemas.load();
    for (name, pool) in shared.pools.stats() {
        let state = json!({
            "up": pool.up,
            "open": pool.open,
            "idle": pool.idle,
            "leased": pool.leased,
            "waiting": pool.waiting,
            "schema": schemas.get(&name).map(super::schema::SchemaState::shown),
        });
        databases.insert(name.to_string(), state);
    }
    let cache = shared.core.cache.stats();
    let redis = cache.l2.map_or(
        Value::Null,
        |l2| json!({ "up": l2.up, "subscribed": !cache.blind, "pending_tags": l2.pending_tags }),
    );
    let body = json!({
        "status": if is_draining { "draining" } else { "ready" },
        "version": env!("CARGO_PKG_VERSION"),
        "generation": snapshot.generation,
        "catalog": &*snapshot.catalog_hash,
        "databases": databases,
        "redis": redis,
        "reload": reload(&shared.last.load()),
    });
    (!is_draining, body)
}

/// How the last reload went.
pub(super) fn reload(outcome: &ReloadOutcome) -> Value {
    match outcome {
        ReloadOutcome::NotYet => json!({ "state": "none" }),
        ReloadOutcome::Unchanged => json!({ "state": "unchanged" }),
        ReloadOutcome::Done { generation, needs_restart } => {
            json!({ "state": "done", "generation": generation, "needs_restart": needs_restart })
        }
        ReloadOutcome::Refused(faults) => json!({ "state": "refused", "faults": faults.0 }),
    }
}

/// Every game with its operations: version, kind, route, and whether it is switched on.
pub(super) fn operations(shared: &Shared) -> Value {
    let snapshot = shared.core.snapshot.load();
    let mut games = Map::new();
    let mut sorted: Vec<_> = snapshot.games().collect();
    sorted.sort_by_key(|game| game.id.as_str());
    for game in sorted {
        let mut operations: Vec<_> = game.operations().collect();
        operations.sort_by_key(|operation| operation.template.op.as_str());
        let operations: Vec<Value> = operations
            .into_iter()
            .map(|operation| {
                let template = &operation.template;
                json!({
                    "operation": template.op.as_str(),
                    "template": &*operation.version_text,
                    "kind": template.kind.name(),
                    "http": template.http.as_ref().map(|route| {
                        format!("{} {}", route.method.name(), route.path)
                    }),
                    "enabled": operation.enabled,
                })
            })
            .collect();
        let state = json!({
            "enabled": game.enabled,
            "database": &*game.pool,
            "operations": operations,
        });
        games.insert(game.id.to_string(), state);
    }
    json!({ "catalog": &*snapshot.catalog_hash, "games": games })
}
