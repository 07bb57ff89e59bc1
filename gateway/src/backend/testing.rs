//! What the tests of the backend share.

use gateway_protocol::{GameId, OpId};

use crate::catalog::{Dialect, Direction, KeysetColumn, Kind, Plan, Template};

/// A template that says nothing but its kind.
pub(super) fn template(dialect: Dialect, kind: Kind) -> Template {
    Template {
        game: GameId::new("game1").expect("a name"),
        op: OpId::new("test.run").expect("a name"),
        dialect,
        version: 7,
        desc: "".into(),
        kind,
        not_found: None,
        slots: Vec::new(),
        columns: Vec::new(),
        version_column: None,
        allow: Vec::new(),
        http: None,
        cache: None,
        invalidate: Vec::new(),
        page: None,
        orders: Vec::new(),
        requires: Vec::new(),
        on_duplicate: None,
        includes: Vec::new(),
        timeout: None,
        row_count_max: if matches!(kind, Kind::One | Kind::Optional) { 1 } else { 1000 },
        masked: Vec::new(),
        audit: false,
        http_cache: None,
        deprecated: None,
        plan: Plan::default(),
    }
}

/// An ascending order of the first `count` columns.
pub(super) fn keyset(count: usize) -> Vec<KeysetColumn> {
    (0..count)
        .map(|column| KeysetColumn {
            sql: format!("c{column}").into(),
            column,
            direction: Direction::Asc,
        })
        .collect()
}
