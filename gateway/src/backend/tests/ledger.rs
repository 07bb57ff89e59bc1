//! What the tests of queued orders share, wherever the orders wait.

use std::collections::BTreeMap;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

use gateway_protocol::GameId;

use crate::auth::Authenticator;
use crate::bind::Bound;
use crate::catalog::{Catalog, Dialect, Scalar};
use crate::config::{Config, Env};
use crate::identity::{Lane, RequestKey};
use crate::journal::{Draft, Payload};
use crate::observe::Metrics;
use crate::snapshot::{Parts, Snapshot, build};

/// What a draft is: operation, key, player, quantity.
pub(super) type Order<'a> = (&'a str, &'a str, i64, i64);

/// The snapshot of a configuration whose templates stand in `folder`.
pub(super) fn snapshot(
    text: &str,
    folder: &Path,
    (dialect, games): (Dialect, &[&str]),
    metrics: &Metrics,
) -> Snapshot {
    let (config, _) = Config::parse(text, folder, &Env::process()).expect("good");
    let named = games.iter().map(|name| (GameId::new(name).expect("a name"), dialect));
    let games: Vec<_> = named.collect();
    let catalog = Catalog::load(&config.templates, &games).expect("good templates");
    let authenticator = Arc::new(Authenticator::new(&config.auth, None, true).expect("good"));
    let parts = Parts { config: Arc::new(config), catalog, authenticator, jwks: None };
    build(1, parts, metrics).expect("they fit")
}

/// An order as a frontend hands it over.
pub(super) fn draft(snapshot: &Snapshot, game: &str, (op, key, player, qty): Order<'_>) -> Draft {
    let template = snapshot.game(game).expect("a game").template(&format!("order.{op}"));
    let template = template.expect("an operation");
    let values = [Scalar::Str(key.to_owned().into()), Scalar::Int(player), Scalar::Int(qty)];
    let bound = Bound { values: values.into_iter().collect(), given: 7 };
    let payload = Payload {
        game: game.into(),
        op: template.op.as_str().into(),
        contract: template.contract,
        version: template.version,
        is_urgent: op == "urgent",
        now_micros: 1_767_225_600_000_000,
        ids: smallvec::smallvec![],
        caller: "key:shop".into(),
        claims: [].into(),
        trace: "t-1".into(),
        key_text: key.into(),
        bound: bound.clone(),
    };
    let key = RequestKey::of(template, &bound).expect("it has a key");
    Draft { key, lane: Lane::of(template, &bound), payload }
}

/// Checks that so many orders were applied, each once, and each player's in the order of their keys.
///
/// - `players`, `orders`: columns of the ledger, in the order in which they were applied.
pub(super) fn check(
    players: &[String],
    orders: &[String],
    expected_count: usize,
    place: &Location<'_>,
) {
    let mut distinct = orders.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let counts = (orders.len(), distinct.len());
    assert_eq!(counts, (expected_count, expected_count), "{place}: applied, distinct");
    let mut lanes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (player, order) in players.iter().zip(orders) {
        lanes.entry(player).or_default().push(order);
    }
    for (player, orders) in lanes {
        assert!(orders.is_sorted(), "{place}: player {player}: {orders:?}");
    }
}
