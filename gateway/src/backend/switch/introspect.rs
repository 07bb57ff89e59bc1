//! Tables, columns and primary keys from a database's own dictionary.

use super::super::connection::TextRow;
use super::error::SwitchError;
use super::side::Side;
use super::table::{Column, Form, Table, mysql_form, oracle_form, sqlite_form};
use crate::config::{Dialect, Zone};

const MYSQL_COLUMNS: &str = "SELECT c.table_name, c.column_name, c.column_type, c.is_nullable, c.extra, c.data_type, \
    c.numeric_precision, c.numeric_scale, c.datetime_precision FROM information_schema.columns c \
    JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
    WHERE c.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' \
    ORDER BY c.table_name, c.ordinal_position";
const MYSQL_KEYS: &str = "SELECT table_name, column_name FROM information_schema.key_column_usage \
    WHERE table_schema = DATABASE() AND constraint_name = 'PRIMARY' ORDER BY table_name, ordinal_position";
const SQLITE_COLUMNS: &str = "SELECT m.name, p.name, p.type, CASE p.\"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END, \
    CASE WHEN p.hidden > 1 THEN 'GENERATED' END FROM sqlite_master m JOIN pragma_table_xinfo(m.name) p \
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND p.hidden <> 1 ORDER BY m.name, p.cid";
const SQLITE_KEYS: &str = "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_xinfo(m.name) p \
    WHERE m.type = 'table' AND p.pk > 0 ORDER BY m.name, p.pk";
const ORACLE_COLUMNS: &str = "SELECT c.table_name, c.column_name, c.data_type, \
    CASE c.nullable WHEN 'N' THEN 'NO' ELSE 'YES' END, \
    CASE c.virtual_column WHEN 'YES' THEN 'GENERATED' END, c.data_type, \
    c.data_precision, c.data_scale FROM user_tab_cols c \
    JOIN user_tables t ON t.table_name = c.table_name WHERE c.hidden_column = 'NO' \
    AND t.temporary = 'N' AND t.nested = 'NO' AND t.secondary = 'N' AND t.dropped = 'NO' \
    ORDER BY c.table_name, c.column_id";
const ORACLE_KEYS: &str = "SELECT k.table_name, k.column_name FROM user_constraints p \
    JOIN user_cons_columns k ON k.constraint_name = p.constraint_name AND k.table_name = p.table_name \
    WHERE p.constraint_type = 'P' AND p.status = 'ENABLED' ORDER BY k.table_name, k.position";

/// Reads every table of the connection's database, or schema, in the order of their names.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn tables(side: &mut Side) -> Result<Vec<Table>, SwitchError> {
    let (columns, keys) = match side.dialect() {
        Dialect::Mysql => (MYSQL_COLUMNS, MYSQL_KEYS),
        Dialect::Sqlite => (SQLITE_COLUMNS, SQLITE_KEYS),
        Dialect::Oracle => (ORACLE_COLUMNS, ORACLE_KEYS),
    };
    let mut tables: Vec<Table> = Vec::new();
    for row in side.texts(columns, Vec::new()).await? {
        let Some((name, column)) = column(side.dialect(), row, side.zone()) else { continue };
        if tables.last().is_none_or(|last| *last.name != *name) {
            tables.push(Table { name: name.into(), columns: Vec::new(), key: Vec::new() });
        }
        if let (Some(table), Some(column)) = (tables.last_mut(), column) {
            table.columns.push(column);
        }
    }
    for row in side.texts(keys, Vec::new()).await? {
        let mut texts = row.into_iter();
        let (Some(name), Some(column)) = (texts.next().flatten(), texts.next().flatten()) else {
            continue;
        };
        if let Some(table) = tables.iter_mut().find(|table| *table.name == *name) {
            table.key.push(column.into());
        }
    }
    Ok(tables)
}

/// The table and the column of a row of the dictionary; no column where it is a generated one, which nobody writes.
fn column(dialect: Dialect, row: TextRow, zone: Option<&Zone>) -> Option<(String, Option<Column>)> {
    let mut texts = row.into_iter();
    let mut next = || texts.next().flatten();
    let (table, name, native, nullable) = (next()?, next()?, next()?, next()?);
    let extra = next().unwrap_or_default();
    if is_generated(&extra) {
        return Some((table, None));
    }
    let kind = next().unwrap_or_default();
    let mut number = || next().and_then(|text| text.parse().ok());
    let form = match dialect {
        Dialect::Mysql => mysql_form(&kind, &native, number(), number(), number()),
        Dialect::Sqlite => sqlite_form(&native),
        Dialect::Oracle => oracle_form(&kind, number(), number()),
    };
    let nullable = nullable == "YES";
    let is_moment = matches!(form, Form::DayOrMoment | Form::Moment { .. });
    let local = zone.filter(|_| is_moment && !native.ends_with("TIME ZONE")).cloned();
    Some((table, Some(Column { name: name.into(), native: native.into(), form, nullable, local })))
}

/// MySQL says `DEFAULT_GENERATED` of a column whose default is an expression: that one is written.
fn is_generated(extra: &str) -> bool {
    let extra = extra.to_ascii_uppercase();
    let words = ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"];
    extra == "GENERATED" || words.iter().any(|word| extra.contains(word))
}

/// Whether a column can be part of a key that is written down as text.
pub(super) const fn is_exact(form: Form) -> bool {
    !matches!(form, Form::Float | Form::Json | Form::Any | Form::Other)
}
