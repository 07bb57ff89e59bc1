//! A template without SQL, for tests of what is done with its contract.

use std::time::Duration;

use gateway_protocol::{GameId, OpId};

use crate::catalog::{Dialect, Kind, Plan, Slot, Template, WriteContract};

/// A template of these slots, with nothing else in it.
pub(crate) fn template(slots: Vec<Slot>) -> Template {
    Template {
        game: GameId::new("game1").unwrap(),
        op: OpId::new("x.y").unwrap(),
        dialect: Dialect::Sqlite,
        version: 1,
        desc: "".into(),
        kind: Kind::Many,
        not_found: None,
        slots,
        columns: vec![],
        version_column: None,
        allow: vec![],
        http: None,
        cache: None,
        invalidate: vec![],
        page: None,
        orders: vec![],
        requires: vec![],
        on_duplicate: None,
        write: WriteContract::default(),
        contract: 0,
        includes: vec![],
        timeout: Some(Duration::from_secs(1)),
        row_count_max: 1000,
        masked: vec![],
        audit: false,
        http_cache: None,
        deprecated: None,
        plan: Plan::default(),
    }
}
