//! Rows changed on the mirror behind everybody's back: `reconcile` finds exactly those.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::course::{Course, Told};

/// A statement for the mirror, and what the comparison has to say of it: table, what kind, key, column.
type Planted = (&'static str, &'static str);

/// In any database: a row changed, one missing, one too many, a digit lost, a moment in another zone.
const EVERYWHERE: [Planted; 5] = [
    (
        "UPDATE player SET gold = gold + 1 WHERE player_id = 1201",
        r#"player different ["1201"] gold"#,
    ),
    ("DELETE FROM auth_token WHERE player_id = 1202", r#"auth_token missing ["12020"]"#),
    (
        "INSERT INTO player_wallet (player_id, currency, balance, version) VALUES (1203, 'planted', 1, 1)",
        r#"player_wallet extra ["1203","planted"]"#,
    ),
    (
        "UPDATE game_order SET amount = amount - 0.09 WHERE order_id = 120400001",
        r#"game_order different ["120400001"] amount"#,
    ),
    (
        "UPDATE player SET created_at = created_at + INTERVAL '8' HOUR WHERE player_id = 1205",
        r#"player different ["1205"] created_at"#,
    ),
];

/// Where '' is not NULL: a table with a text that may be either, on both sides.
pub(crate) const NOTES: &str = "CREATE TABLE guild_note (note_id BIGINT NOT NULL PRIMARY KEY, body VARCHAR(80) NULL) \
    ENGINE = InnoDB";
/// Its rows.
pub(crate) const NOTE_ROWS: &str =
    "INSERT INTO guild_note (note_id, body) VALUES (1, NULL), (2, ''), (3, NULL), (4, '')";
const NOTES_PLANTED: [Planted; 2] = [
    ("UPDATE guild_note SET body = '' WHERE note_id = 1", r#"guild_note different ["1"] body"#),
    ("UPDATE guild_note SET body = NULL WHERE note_id = 2", r#"guild_note different ["2"] body"#),
];

impl Course<'_> {
    /// Plants, compares, repairs, compares.
    pub(crate) fn plant(&mut self) -> Told {
        let mut told = Told::default();
        let owner = self.stage.settled_owner();
        let (server, schema) = self.stage.side(1 - owner);
        let mut planted = EVERYWHERE.to_vec();
        if self.stage.has_notes() {
            planted.extend(NOTES_PLANTED);
        }
        for (sql, _) in &planted {
            server.query(&schema, sql);
        }
        let (status, report) = self.stage.reconcile(&[]);
        let expected: BTreeSet<String> = planted.iter().map(|(_, it)| (*it).to_owned()).collect();
        let found = found(&report);
        if status != Some(1) || found != expected {
            let missed: Vec<_> = expected.difference(&found).collect();
            let beyond: Vec<_> = found.difference(&expected).collect();
            told.mismatched += u64::try_from(beyond.len()).unwrap();
            told.violations
                .push(format!("reconcile did not find {missed:?}, and found {beyond:?}"));
        }
        let (_, repaired) = self.stage.reconcile(&["--repair", "owner-to-mirror"]);
        let mut after = Told::default();
        self.ready(&mut after);
        told.violations.extend(after.violations);
        (told.rows, told.compared) = (after.rows, after.compared);
        told.what = format!("{} of {} found, and repaired", found.len(), planted.len());
        if !repaired["tables"].is_array() {
            told.violations.push(format!("the repair: {repaired}"));
        }
        told
    }
}

/// What a report lists, a line each.
fn found(report: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let tables = report["tables"].as_array().cloned().unwrap_or_default();
    for table in &tables {
        let name = table["table"].as_str().unwrap();
        for what in ["missing", "extra"] {
            for key in table[what].as_array().unwrap() {
                lines.insert(format!("{name} {what} {}", key.as_str().unwrap()));
            }
        }
        for row in table["different"].as_array().unwrap() {
            let columns = row["columns"].as_array().unwrap().iter();
            let columns: Vec<&str> =
                columns.map(|column| column["column"].as_str().unwrap()).collect();
            let key = row["key"].as_str().unwrap();
            lines.insert(format!("{name} different {key} {}", columns.join(",")));
        }
    }
    lines
}
