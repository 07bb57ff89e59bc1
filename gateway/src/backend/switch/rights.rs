//! Rights that the gateway's account lacks in a database, for what a game's switch has it do there.
//!
//! The database is asked with statements that change nothing whatever they find, not for lists of grants: roles, patterns of
//! names and rights on everything are its own to add up. MySQL's `EXPLAIN` needs the rights of the statement that it explains.

use std::collections::BTreeMap;
use std::fmt;

use super::super::BackendError;
use super::super::fault;
use super::error::SwitchError;
use super::pair::{Pair, Role};
use super::side::{Side, quoted};
use crate::config::Dialect;

/// `ER_DBACCESS_DENIED_ERROR`, `ER_TABLEACCESS_DENIED_ERROR`. One on a column (1143) says that there are rights on others.
const DENIED: [i32; 2] = [1044, 1142];
/// `ER_LOCK_WAIT_TIMEOUT`.
const LOCKED: i32 = 1205;
/// `ER_BINLOG_CREATE_ROUTINE_NEED_SUPER`.
const UNTRUSTED: i32 = 1419;

/// A table that there is not: who may make triggers on all tables hears so, and nothing is locked.
const ANYWHERE: &str = "CREATE TRIGGER gateway_probe AFTER INSERT ON gateway_no_such_table \
    FOR EACH ROW SET @gateway = 1";
/// A change of a table's schema that waits keeps everybody waiting who asks of the table, for a day unless that is limited.
const PATIENCE: &str = "SET SESSION lock_wait_timeout = 1";
const PATIENCE_BEFORE: &str = "SET SESSION lock_wait_timeout = DEFAULT";
/// What system privileges count on an Oracle, also those that come with a role. Its tables are the account's own.
const ORACLE_PRIVILEGES: &str = "SELECT privilege FROM session_privs WHERE privilege IN ('CREATE TRIGGER', 'CREATE ANY TRIGGER')";

/// A right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    Select,
    Insert,
    Update,
    Delete,
    Trigger,
}

impl Right {
    /// Its word in a GRANT.
    const fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Trigger => "TRIGGER",
        }
    }

    /// What the database refuses where it is missing, and does not do where it is there.
    fn probe(self, table: &str, column: &str) -> String {
        match self {
            Self::Select => format!("EXPLAIN SELECT {column} FROM {table} WHERE 1 = 0"),
            Self::Insert => {
                format!(
                    "EXPLAIN INSERT INTO {table} ({column}) SELECT {column} FROM {table} WHERE 1 = 0"
                )
            }
            Self::Update => format!("EXPLAIN UPDATE {table} SET {column} = {column} WHERE 1 = 0"),
            Self::Delete => format!("EXPLAIN DELETE FROM {table} WHERE 1 = 0"),
            // Rights come first, then the lock, then the column that there is not.
            Self::Trigger => format!(
                "CREATE TRIGGER gateway_probe AFTER INSERT ON {table} FOR EACH ROW \
                 SET @gateway = NEW.gateway_no_such_column"
            ),
        }
    }
}

/// What has to be allowed on a table.
#[derive(Clone, Debug)]
pub(super) struct Need {
    table: Box<str>,
    /// One of its columns, quoted.
    column: Box<str>,
    rights: Vec<Right>,
}

/// The gateway's tables that a switch and its games write: `grants.sql`.
const OWN_TABLES: [(&str, &str); 12] = [
    ("gateway_request", "request_hash"),
    ("gateway_stream", "stream"),
    ("gateway_switch", "group_name"),
    ("gateway_switch_table", "group_name"),
    ("gateway_switch_instance", "group_name"),
    ("gateway_switch_shadow", "group_name"),
    ("gateway_switch_mismatch", "group_name"),
    ("gateway_switch_reconcile", "group_name"),
    ("gateway_copier", "group_name"),
    ("gateway_outbox", "id"),
    ("gateway_outbox_refused", "id"),
    ("gateway_event_batch", "game"),
];
/// Those whose rows are never removed.
const KEPT_TABLES: [&str; 2] = ["gateway_stream", "gateway_event_batch"];

impl Need {
    /// Of the tables of a group.
    pub(super) fn of_pairs(pairs: &[Pair], role: Role, rights: &[Right]) -> Vec<Self> {
        let one = |pair: &Pair| {
            let column = pair.key_names(role).first().copied().unwrap_or_default().into();
            Self { table: pair.name.clone(), column, rights: rights.to_vec() }
        };
        pairs.iter().map(one).collect()
    }

    /// Of the gateway's own.
    pub(super) fn of_own() -> Vec<Self> {
        let one = |(table, column): &(&str, &str)| {
            let mut rights = vec![Right::Select, Right::Insert, Right::Update];
            if !KEPT_TABLES.contains(table) {
                rights.push(Right::Delete);
            }
            Self { table: (*table).into(), column: (*column).into(), rights }
        };
        OWN_TABLES.iter().map(one).collect()
    }

    /// Adds a right on those of the tables for which that holds.
    pub(super) fn add(needs: &mut [Self], right: Right, holds: impl Fn(&str) -> bool) {
        for need in needs.iter_mut().filter(|need| holds(&need.table)) {
            need.rights.push(right);
        }
    }
}

/// What is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lacking {
    tables: BTreeMap<Right, Vec<Box<str>>>,
    /// Tables that were locked, so that nothing is known of them.
    unasked: Vec<Box<str>>,
    /// What is missing besides, in words.
    others: Vec<&'static str>,
}

impl Lacking {
    /// Whether nothing is.
    pub(super) fn is_empty(&self) -> bool {
        self.denies_nothing() && self.unasked.is_empty()
    }

    fn denies_nothing(&self) -> bool {
        self.tables.is_empty() && self.others.is_empty()
    }

    /// Whether that right is missing on a table.
    pub(super) fn has(&self, right: Right, table: &str) -> bool {
        self.tables.get(&right).is_some_and(|tables| tables.iter().any(|it| **it == *table))
    }

    /// Forgets that right: it need not be there.
    pub(super) fn forgive(&mut self, right: Right) {
        self.tables.remove(&right);
    }

    fn note(&mut self, right: Right, table: &str) {
        let tables = self.tables.entry(right).or_default();
        if !tables.iter().any(|it| **it == *table) {
            tables.push(table.into());
        }
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.tables.iter();
        let tables =
            tables.map(|(right, tables)| format!("{} on {}", right.name(), tables.join(", ")));
        let others = self.others.iter().map(|other| (*other).to_owned());
        f.write_str(&tables.chain(others).collect::<Vec<_>>().join("; "))
    }
}

/// Finds the rights that are missing. Nothing is changed; a table is locked for a moment where rights to make triggers are not
/// on all of them. One that somebody else has locked is waited for, for a second.
///
/// # Errors
///
/// [`SwitchError`]: the database does not answer.
pub(super) async fn lacking(side: &mut Side, needs: &[Need]) -> Result<Lacking, SwitchError> {
    let mut lacking = Lacking::default();
    match side.dialect() {
        Dialect::Sqlite => {}
        Dialect::Oracle => {
            let wants_triggers = needs.iter().any(|need| need.rights.contains(&Right::Trigger));
            if wants_triggers && side.texts(ORACLE_PRIVILEGES, Vec::new()).await?.is_empty() {
                lacking.others.push("CREATE TRIGGER");
            }
        }
        Dialect::Mysql => {
            side.run_text(PATIENCE).await?;
            let asked = ask_mysql(side, needs, &mut lacking).await;
            side.run_text(PATIENCE_BEFORE).await?;
            asked?;
        }
    }
    Ok(lacking)
}

async fn ask_mysql(
    side: &mut Side,
    needs: &[Need],
    lacking: &mut Lacking,
) -> Result<(), SwitchError> {
    let wants_triggers = needs.iter().any(|need| need.rights.contains(&Right::Trigger));
    let mut asks_triggers = false;
    if wants_triggers {
        match answer(side, ANYWHERE).await? {
            Some(UNTRUSTED) => {
                lacking.others.push("log_bin_trust_function_creators=1 on the server, or SUPER");
            }
            Some(number) => asks_triggers = DENIED.contains(&number),
            None => {}
        }
    }
    for Need { table, column, rights } in needs {
        let name = quoted(Dialect::Mysql, table);
        for right in rights.iter().copied() {
            if right == Right::Trigger && !asks_triggers {
                continue;
            }
            let answer = answer(side, &right.probe(&name, column)).await?;
            match answer {
                Some(number) if DENIED.contains(&number) => lacking.note(right, table),
                // Who may make no trigger hears so before the lock is waited for. Who may do the rest on some columns only does not.
                Some(LOCKED) if right != Right::Trigger => {
                    if !lacking.unasked.contains(table) {
                        lacking.unasked.push(table.clone());
                    }
                    break;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The number of the error that a statement ends with; `None`: it was done.
async fn answer(side: &mut Side, sql: &str) -> Result<Option<i32>, SwitchError> {
    match side.run_text(sql).await {
        Ok(()) => Ok(None),
        Err(SwitchError::Statement { source, .. }) => Ok(number(&source)),
        Err(error) => Err(error),
    }
}

fn number(error: &BackendError) -> Option<i32> {
    match error {
        BackendError::Query { source }
        | BackendError::NotWritable { source }
        | BackendError::Duplicate { source }
        | BackendError::Locked { source, .. } => fault::number(source),
        _ => None,
    }
}

/// What to do about it.
pub(super) fn told(side: &Side, lacking: &Lacking) -> String {
    let late = match side.dialect() {
        Dialect::Mysql => {
            ", before the gateways connect: MySQL gives a connection that is open no new rights on a whole database"
        }
        Dialect::Sqlite | Dialect::Oracle => "",
    };
    let name = side.name();
    let mut told = Vec::new();
    if !lacking.denies_nothing() {
        told.push(format!("the account of `{name}` lacks {lacking}: grant it (grants.sql){late}"));
    }
    if !lacking.unasked.is_empty() {
        told.push(format!(
            "the rights on {} of `{name}` could not be asked about, because somebody has locked it, or changes its schema",
            lacking.unasked.join(", ")
        ));
    }
    told.join("; ")
}

/// Whether the accounts may do what a mirror takes; triggers of the owner are found out about by making them. Returns what only a
/// flip will need.
///
/// # Errors
///
/// [`SwitchError::Refused`] with the rights that are missing.
pub(super) async fn may_copy(
    owner: &mut Side,
    other: &mut Side,
    pairs: &[Pair],
) -> Result<Option<Box<str>>, SwitchError> {
    let mut of_owner = Need::of_pairs(pairs, Role::Owner, &[Right::Select]);
    let mut of_mirror =
        Need::of_pairs(pairs, Role::Mirror, &[Right::Select, Right::Insert, Right::Delete]);
    for (side, needs) in [(&mut *owner, &mut of_owner), (&mut *other, &mut of_mirror)] {
        needs.extend(Need::of_own());
        let found = lacking(side, needs).await?;
        if !found.is_empty() {
            return Err(SwitchError::refused(told(side, &found)));
        }
    }
    let triggers = Need::of_pairs(pairs, Role::Mirror, &[Right::Trigger]);
    let back = Need::of_pairs(pairs, Role::Owner, &[Right::Insert, Right::Delete]);
    let mut late = Vec::new();
    for (side, needs) in [(other, triggers), (owner, back)] {
        let found = lacking(side, &needs).await?;
        if !found.is_empty() {
            late.push(told(side, &found));
        }
    }
    Ok((!late.is_empty()).then(|| format!("a flip will need more: {}", late.join("; ")).into()))
}
