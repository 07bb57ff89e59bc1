//! Which rows changed: triggers of the owner write it into the outbox, in the transaction of the change.
//!
//! Whatever program writes, and whatever template: nothing passes a trigger but `TRUNCATE`, changes of the schema, and
//! what a database says itself (MySQL: what a foreign key does in cascade).
//!
//! A trigger's name has a digest of what it does, so that one of another version is not taken for it.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::error::SwitchError;
use super::pair::{Pair, PairColumn, Role};
use super::side::Side;
use crate::catalog::Type;
use crate::config::Dialect;

/// What the names of all these triggers begin with.
const PREFIXES: [&str; 3] = ["gateway_ins_", "gateway_upd_", "gateway_del_"];
/// Digits of the digest in a trigger's name: all of it are 28 letters, and an old Oracle takes 30.
const DIGEST_DIGITS: usize = 16;

const MYSQL_TRIGGERS: &str = "SELECT trigger_name, event_object_table FROM information_schema.triggers \
    WHERE trigger_schema = DATABASE() ORDER BY trigger_name";
const SQLITE_TRIGGERS: &str =
    "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' ORDER BY name";
/// Of whoever they are; one that is disabled does nothing, and counts as one that is not there.
const ORACLE_TRIGGERS: &str = "SELECT trigger_name, table_name FROM all_triggers WHERE table_owner = USER \
    AND status = 'ENABLED' ORDER BY trigger_name";
/// Those that the gateway's user can drop, disabled ones too.
const ORACLE_OWN_TRIGGERS: &str =
    "SELECT trigger_name, table_name FROM user_triggers ORDER BY trigger_name";

/// A trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trigger {
    /// Its name.
    pub name: String,
    /// The table, in small letters.
    pub table: Box<str>,
    /// What makes it.
    pub sql: String,
}

/// The triggers of a table: on insert, update and delete.
pub(super) fn triggers(dialect: Dialect, pair: &Pair) -> Vec<Trigger> {
    let names = pair.names(Role::Owner);
    let insert = |row: &str| {
        format!(
            "INSERT INTO gateway_outbox (kind, table_name, row_key, created_at) VALUES (0, '{}', {}, {})",
            pair.name.replace('\'', "''"),
            key(dialect, pair, row),
            moment(dialect)
        )
    };
    let (new, old) = (insert(&row(dialect, "NEW")), insert(&row(dialect, "OLD")));
    let moved = moved(dialect, pair);
    let update = match dialect {
        Dialect::Sqlite => {
            let other = old.replacen("VALUES (", "SELECT ", 1);
            let other = other.strip_suffix(')').unwrap_or(&other);
            format!("BEGIN {new}; {other} WHERE {moved}; END")
        }
        Dialect::Mysql | Dialect::Oracle => {
            format!("BEGIN {new}; IF {moved} THEN {old}; END IF; END")
        }
    };
    let whole = |body: String| match dialect {
        Dialect::Sqlite if !body.starts_with("BEGIN") => format!("BEGIN {body}; END"),
        Dialect::Oracle if !body.starts_with("BEGIN") => format!("BEGIN {body}; END;"),
        Dialect::Oracle => format!("{body};"),
        Dialect::Mysql | Dialect::Sqlite => body,
    };
    let one = |(prefix, (event, body)): (&str, (&str, String))| {
        let rest = format!("AFTER {event} ON {} FOR EACH ROW {}", names.table, whole(body));
        let name = format!("{prefix}{}", short_digest(&rest));
        let create = if dialect == Dialect::Oracle { "CREATE OR REPLACE" } else { "CREATE" };
        let sql = format!("{create} TRIGGER {name} {rest}");
        Trigger { name, table: pair.name.clone(), sql }
    };
    let events = [("INSERT", new.clone()), ("UPDATE", update), ("DELETE", old.clone())];
    PREFIXES.into_iter().zip(events).map(one).collect()
}

/// The row as a trigger names it.
fn row(dialect: Dialect, name: &str) -> String {
    if dialect == Dialect::Oracle { format!(":{name}") } else { name.to_owned() }
}

/// The key as a JSON array of texts, as `key::parse_key` reads it.
fn key(dialect: Dialect, pair: &Pair, row: &str) -> String {
    let names = pair.key_names(Role::Owner);
    let columns = names.iter().zip(pair.key_columns());
    let texts: Vec<String> =
        columns.map(|(name, column)| key_text(dialect, &format!("{row}.{name}"), column)).collect();
    match dialect {
        Dialect::Mysql | Dialect::Oracle => format!("JSON_ARRAY({})", texts.join(", ")),
        Dialect::Sqlite => format!("json_array({})", texts.join(", ")),
    }
}

fn key_text(dialect: Dialect, value: &str, column: &PairColumn) -> String {
    match (dialect, &column.ty) {
        (Dialect::Mysql | Dialect::Sqlite, Type::Bytes { .. }) => format!("hex({value})"),
        (Dialect::Sqlite, _) => format!("CAST({value} AS TEXT)"),
        (Dialect::Mysql, Type::Str { .. }) => value.to_owned(),
        (Dialect::Mysql, Type::Date) => format!("DATE_FORMAT({value}, '%Y-%m-%d')"),
        (Dialect::Mysql, Type::Timestamp { .. }) => {
            format!("DATE_FORMAT({value}, '%Y-%m-%dT%H:%i:%s.%fZ')")
        }
        (Dialect::Mysql, _) => format!("CAST({value} AS CHAR)"),
        (Dialect::Oracle, ty) => oracle_key_text(value, ty, column.local.is_some()),
    }
}

/// Nothing of it depends on the settings of the session that writes, which may be any program's.
fn oracle_key_text(value: &str, ty: &Type, is_local: bool) -> String {
    match ty {
        Type::Bytes { .. } => format!("RAWTOHEX({value})"),
        Type::Str { .. } => value.to_owned(),
        Type::Date => format!("TO_CHAR({value}, 'YYYY-MM-DD')"),
        // What clocks of the connection's zone show, and no `Z`.
        Type::Timestamp { .. } if is_local => {
            format!("TO_CHAR(CAST({value} AS TIMESTAMP), 'YYYY-MM-DD\"T\"HH24:MI:SS.FF6')")
        }
        Type::Timestamp { .. } => {
            format!("TO_CHAR(SYS_EXTRACT_UTC({value}), 'YYYY-MM-DD\"T\"HH24:MI:SS.FF6\"Z\"')")
        }
        _ => format!("TO_CHAR({value}, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')"),
    }
}

/// Whether an update changed the key, compared by its bytes: a collation may hold two texts for one.
fn moved(dialect: Dialect, pair: &Pair) -> String {
    let (new, old) = (row(dialect, "NEW"), row(dialect, "OLD"));
    let one = |(name, column): (&str, &PairColumn)| match dialect {
        Dialect::Sqlite => format!("CAST({new}.{name} AS BLOB) IS NOT CAST({old}.{name} AS BLOB)"),
        Dialect::Mysql => {
            format!("NOT (CAST({new}.{name} AS BINARY) <=> CAST({old}.{name} AS BINARY))")
        }
        Dialect::Oracle if matches!(column.ty, Type::Str { .. }) => {
            let bytes = |row: &str| format!("NLSSORT({row}.{name}, 'NLS_SORT=BINARY')");
            format!("{} <> {}", bytes(&new), bytes(&old))
        }
        Dialect::Oracle => format!("{new}.{name} <> {old}.{name}"),
    };
    let names = pair.key_names(Role::Owner).into_iter().zip(pair.key_columns());
    names.map(one).collect::<Vec<_>>().join(" OR ")
}

/// What says the moment at which a row of the outbox is written.
pub(in crate::backend) const fn moment(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mysql => "UTC_TIMESTAMP(6)",
        Dialect::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')",
        Dialect::Oracle => "SYSTIMESTAMP",
    }
}

fn short_digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut digits = String::with_capacity(DIGEST_DIGITS);
    for byte in digest.iter().take(DIGEST_DIGITS / 2) {
        // Writing to a string does not fail.
        let _written = write!(digits, "{byte:02x}");
    }
    digits
}

/// Every trigger of a database: its name and its table.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn present(side: &mut Side) -> Result<Vec<(String, String)>, SwitchError> {
    let question = match side.dialect() {
        Dialect::Mysql => MYSQL_TRIGGERS,
        Dialect::Sqlite => SQLITE_TRIGGERS,
        Dialect::Oracle => ORACLE_TRIGGERS,
    };
    asked(side, question).await
}

/// Names of triggers and of their tables.
async fn asked(side: &mut Side, question: &str) -> Result<Vec<(String, String)>, SwitchError> {
    let rows = side.texts(question, Vec::new()).await?;
    let pair = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter();
        Some((texts.next()??, texts.next()??.to_ascii_lowercase()))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// Whether a trigger is one of these.
pub(super) fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Those that the owner lacks.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn missing(owner: &mut Side, pairs: &[Pair]) -> Result<Vec<Trigger>, SwitchError> {
    let present = present(owner).await?;
    let has =
        |wanted: &Trigger| present.iter().any(|(name, _)| name.eq_ignore_ascii_case(&wanted.name));
    let dialect = owner.dialect();
    let wanted = pairs.iter().flat_map(|pair| triggers(dialect, pair));
    Ok(wanted.filter(|trigger| !has(trigger)).collect())
}

/// Makes what is missing, then removes what another version of the gateway, or of the schema, has left.
///
/// - `command`: what prints the statements for a DBA who is to run them, as `game1 mirror game1-new`.
///
/// # Errors
///
/// [`SwitchError::Refused`], with what the database needs and how to have a DBA do it.
pub(super) async fn install(
    owner: &mut Side,
    pairs: &[Pair],
    command: Option<&str>,
) -> Result<usize, SwitchError> {
    // A table that a long transaction uses is waited for, and everybody waits behind that.
    match owner.dialect() {
        Dialect::Mysql => owner.run_text("SET SESSION lock_wait_timeout = 10").await?,
        Dialect::Oracle => owner.run_text("ALTER SESSION SET DDL_LOCK_TIMEOUT = 10").await?,
        Dialect::Sqlite => {}
    }
    let missing = missing(owner, pairs).await?;
    for trigger in &missing {
        if let Err(error) = owner.run_text(&trigger.sql).await {
            if owner.dialect() == Dialect::Oracle {
                // One that does not compile is there all the same, and every write to its table would fail.
                let drop = owner.run_text(&format!("DROP TRIGGER {}", trigger.name)).await;
                tracing::debug!(is_dropped = drop.is_ok(), "a trigger that was not made");
            }
            return Err(not_made(error, trigger, command, owner.dialect()));
        }
    }
    remove(owner, pairs).await?;
    Ok(missing.len())
}

/// What a database needs that did not take a trigger, and how to have a DBA make it.
fn not_made(
    error: SwitchError,
    Trigger { name, table, .. }: &Trigger,
    command: Option<&str>,
    dialect: Dialect,
) -> SwitchError {
    let SwitchError::Statement { connection, source } = error else { return error };
    let needs = match dialect {
        Dialect::Oracle => "Oracle needs the privilege CREATE TRIGGER",
        Dialect::Mysql | Dialect::Sqlite => {
            "MySQL needs the right TRIGGER, and with a binary log also log_bin_trust_function_creators=1 (or SUPER)"
        }
    };
    let or_else = command.map_or(String::new(), |command| {
        format!(
            ". Or have a DBA run what `gateway switch {command} --print-sql` prints, and repeat the command"
        )
    });
    SwitchError::refused(format!(
        "the trigger {name} on `{table}` of `{connection}` cannot be made: {}. {needs}; a table that is in use for \
         more than 10 s is tried again by repeating the command{or_else}",
        words(&source)
    ))
}

/// Removes the gateway's triggers but those of these pairs.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn remove(owner: &mut Side, but: &[Pair]) -> Result<(), SwitchError> {
    let dialect = owner.dialect();
    let kept: Vec<String> = but
        .iter()
        .flat_map(|pair| triggers(dialect, pair))
        .map(|trigger| trigger.name.to_ascii_lowercase())
        .collect();
    let present = match dialect {
        Dialect::Oracle => asked(owner, ORACLE_OWN_TRIGGERS).await?,
        Dialect::Mysql | Dialect::Sqlite => present(owner).await?,
    };
    for (name, _) in present {
        if is_ours(&name) && !kept.contains(&name.to_ascii_lowercase()) {
            owner.run_text(&format!("DROP TRIGGER {name}")).await?;
        }
    }
    Ok(())
}

/// The script that a DBA runs in place of [`install`].
pub(super) fn script(dialect: Dialect, pairs: &[Pair]) -> String {
    let end = match dialect {
        Dialect::Mysql => "//",
        Dialect::Sqlite => ";",
        Dialect::Oracle => "\n/",
    };
    let mut text = String::new();
    if dialect == Dialect::Mysql {
        text.push_str("DELIMITER //\n");
    }
    for pair in pairs {
        for trigger in triggers(dialect, pair) {
            text.extend([&trigger.sql, end, "\n"]);
        }
    }
    if dialect == Dialect::Mysql {
        text.push_str("DELIMITER ;\n");
    }
    text
}

/// The last cause's words.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
