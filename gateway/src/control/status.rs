//! How the gateway and what it depends on are, as JSON for operators.

use serde_json::{Map, Value, json};

use super::{ReloadOutcome, Shared};
use crate::backend::switch::Ownership;
use crate::catalog::Template;

/// Whether requests should be sent here, and the state of each dependency.
///
/// A dead database or Redis is shown and does not make the instance unready: other games live on it.
pub(super) fn ready(shared: &Shared) -> (bool, Value) {
    let snapshot = shared.core.snapshot.load();
    let is_draining = shared.core.is_draining();
    let mut databases = Map::new();
    let (schemas, prepared) = (shared.schemas.load(), shared.prepared.load());
    for (name, pool) in shared.pools.stats() {
        let state = json!({
            "up": pool.up,
            "open": pool.open,
            "idle": pool.idle,
            "leased": pool.leased,
            "waiting": pool.waiting,
            "statements": prepared.get(&name).map(super::statements::Prepared::shown),
            "schema": schemas.get(&name).map(super::schema::Looked::shown),
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
        "switch": switch(shared),
        "redis": redis,
        "reload": reload(&shared.last.load()),
    });
    (!is_draining, body)
}

/// Of each game that has two databases: which of them owns it, and whether calls are let to it. `fault` is there where
/// they wait for an operator.
fn switch(shared: &Shared) -> Value {
    let told = |(game, is_open, ownership): (Box<str>, bool, Ownership)| {
        let Ownership { owner, epoch, phase, pause, fault } = ownership;
        let state = json!({
            "owner": owner,
            "epoch": epoch,
            "phase": phase,
            "gate": if is_open { "open" } else { "closed" },
            "last_pause_ms": pause.map(|pause| pause.as_millis()),
            "fault": fault,
        });
        (String::from(game), state)
    };
    Value::Object(shared.core.gates.shown().into_iter().map(told).collect())
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

/// Every game with its operations: what a caller must know of each, and whether it is switched on.
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
                let mut told = contract(&operation.template);
                told.insert("template".into(), json!(&*operation.version_text));
                told.insert("enabled".into(), json!(operation.enabled));
                Value::Object(told)
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

/// What a caller must know of an operation.
fn contract(template: &Template) -> Map<String, Value> {
    let write = &template.write;
    let name = |slot: usize| template.slots.get(slot).map(|slot| &*slot.name);
    let params = template.slots.iter().map(|slot| {
        json!({ "name": &*slot.name, "type": slot.ty.as_written(), "required": slot.required })
    });
    let columns = template
        .columns
        .iter()
        .map(|column| json!({ "name": &*column.name, "type": column.ty.as_written() }));
    let outputs = template
        .outputs
        .iter()
        .map(|output| json!({ "name": output.name(), "type": output.type_as_written() }));
    let roles = template.allow.iter().map(|rule| &*rule.role);
    let idempotent = write.idempotent.map(
        |idempotent| json!({ "key": name(idempotent.key_slot), "ttl_s": idempotent.ttl.as_secs() }),
    );
    let returns = write.returns.iter().map(|returned| &*returned.name);
    let http = template.http.as_ref();
    let told = [
        ("operation", json!(template.op.as_str())),
        ("desc", json!(&*template.desc)),
        ("kind", json!(template.kind.name())),
        ("http", json!(http.map(|route| format!("{} {}", route.method.name(), route.path)))),
        ("roles", roles.collect()),
        ("params", params.collect()),
        ("columns", columns.collect()),
        ("outputs", outputs.collect()),
        ("writes", json!(template.kind.is_write())),
        ("returns", returns.collect()),
        ("idempotent", json!(idempotent)),
        ("async", json!(write.asynchronous.is_some())),
        ("lane", json!(write.lane.and_then(name))),
        ("status", json!(write.status.as_ref().map(|reading| reading.op.as_str()))),
        ("deprecated", json!(template.deprecated.as_deref())),
    ];
    told.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Dialect;
    use crate::catalog::load::tests::template;

    #[test]
    fn contract_of_an_operation_tells_what_a_caller_must_know() {
        let template = template(
            "-- @kind tx\n-- @param order_no string(32)\n-- @param gold int optional\n\
             -- @result left bigint\n-- @return left = seen.left\n-- @return id = _id\n\
             -- @allow game_server, admin\n-- @http POST /v1/{game}/orders\n\
             -- @idempotent key=order_no ttl=1h\n-- @lane order_no\n\
             -- @step seen one\nSELECT w.gold AS left FROM w WHERE w.o = :order_no\nAND w.gold > :gold -- ?",
            Dialect::Mysql,
        );
        let told = Value::Object(contract(&template));
        let expected = json!({
            "operation": "x",
            "desc": "",
            "kind": "tx",
            "http": "POST /v1/{game}/orders",
            "roles": ["game_server", "admin"],
            "params": [
                { "name": "order_no", "type": "string(32)", "required": true },
                { "name": "gold", "type": "int", "required": false },
            ],
            "columns": [{ "name": "left", "type": "bigint" }],
            "outputs": [],
            "writes": true,
            "returns": ["left", "id"],
            "idempotent": { "key": "order_no", "ttl_s": 3600 },
            "async": false,
            "lane": "order_no",
            "status": null,
            "deprecated": null,
        });
        assert_eq!(told, expected);
    }
}
