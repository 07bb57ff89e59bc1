//! The table `gateway_migration`, which says what was applied to a database, and how each database keeps it.

use super::connection::{Statement, TextRow};
use super::migration::Migration;
use crate::catalog::Scalar;
use crate::config::Dialect;

const MYSQL: &str = "CREATE TABLE IF NOT EXISTS gateway_migration (\
    scope VARCHAR(64) NOT NULL, number INT NOT NULL, name VARCHAR(200) NOT NULL, \
    checksum CHAR(64) NOT NULL, applied_at DATETIME(6) NULL, PRIMARY KEY (scope, number))";
const SQLITE: &str = "CREATE TABLE IF NOT EXISTS gateway_migration (\
    scope TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, \
    checksum TEXT NOT NULL, applied_at TEXT NULL, PRIMARY KEY (scope, number))";
/// `NUMBER` is reserved there.
const ORACLE: &str = "CREATE TABLE gateway_migration (\
    scope VARCHAR2(64) NOT NULL, file_number NUMBER(9) NOT NULL, name VARCHAR2(200) NOT NULL, \
    checksum VARCHAR2(64) NOT NULL, applied_at TIMESTAMP(6) WITH TIME ZONE NULL, \
    CONSTRAINT gateway_migration_pk PRIMARY KEY (scope, file_number))";

/// What has to be so for the history to be there.
pub(super) const fn create(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mysql => MYSQL,
        Dialect::Sqlite => SQLITE,
        Dialect::Oracle => ORACLE,
    }
}

/// Counts the tables of that name: 0 or 1.
pub(super) fn count_tables(dialect: Dialect, table: &str) -> Statement<'_> {
    let (sql, name) = match dialect {
        Dialect::Mysql => (
            "SELECT COUNT(*) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = ?",
            table.into(),
        ),
        Dialect::Sqlite => {
            ("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?", table.into())
        }
        Dialect::Oracle => (
            "SELECT COUNT(*) FROM user_tables WHERE table_name = ?",
            table.to_ascii_uppercase().into(),
        ),
    };
    Statement { sql: sql.into(), binds: vec![Scalar::Str(name)] }
}

/// Reads every entry.
pub(super) fn read(dialect: Dialect) -> Statement<'static> {
    let number = number(dialect);
    Statement::plain(format!(
        "SELECT scope, {number}, name, checksum, CASE WHEN applied_at IS NULL THEN 1 ELSE 0 END \
         FROM gateway_migration ORDER BY scope, {number}"
    ))
}

/// Writes down that a file was begun.
pub(super) fn begin_file(dialect: Dialect, migration: &Migration) -> Statement<'_> {
    let number = number(dialect);
    let sql = format!(
        "INSERT INTO gateway_migration (scope, {number}, name, checksum, applied_at) \
         VALUES (?, ?, ?, ?, NULL)"
    );
    let mut binds = key(migration);
    binds.push(Scalar::Str((&*migration.name).into()));
    binds.push(Scalar::Str((&*migration.checksum).into()));
    Statement { sql: sql.into(), binds }
}

/// Writes down that it was applied.
pub(super) fn end_file(dialect: Dialect, migration: &Migration) -> Statement<'_> {
    let now = match dialect {
        Dialect::Mysql => "UTC_TIMESTAMP(6)",
        Dialect::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')",
        Dialect::Oracle => "SYSTIMESTAMP",
    };
    let number = number(dialect);
    let sql =
        format!("UPDATE gateway_migration SET applied_at = {now} WHERE scope = ? AND {number} = ?");
    Statement { sql: sql.into(), binds: key(migration) }
}

fn key(migration: &Migration) -> Vec<Scalar<'_>> {
    vec![Scalar::Str((&*migration.scope).into()), Scalar::Int(i64::from(migration.number))]
}

const fn number(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mysql | Dialect::Sqlite => "number",
        Dialect::Oracle => "file_number",
    }
}

/// What the history says of one file.
#[derive(Debug)]
pub(super) struct Entry {
    pub scope: String,
    pub number: u32,
    pub name: String,
    pub checksum: String,
    /// It was begun and not finished.
    pub dirty: bool,
}

/// An entry of what [`read`] gives.
pub(super) fn entry(row: TextRow) -> Option<Entry> {
    let mut texts = row.into_iter();
    Some(Entry {
        scope: texts.next()??,
        number: texts.next()??.parse().ok()?,
        name: texts.next()??,
        checksum: texts.next()??,
        dirty: texts.next()?? != "0",
    })
}
