//! A statement looked at without being run: its columns, or its faults.

use oracle::Connection;

use super::text::{ReadAs, read_as};
use super::value::{Row, form};
use super::{Described, OracleFault};

/// The columns of a statement, which is not run.
pub(super) fn describe(connection: &Connection, text: &str) -> Result<Vec<Described>, OracleFault> {
    let null = oracle::sql_type::OracleType::Varchar2(1);
    let as_read = read_as(text);
    let (ReadAs::NoRows(sql) | ReadAs::Plan(sql)) = &as_read;
    let mut statement = connection.statement(sql).exclude_from_cache().build()?;
    for index in 1..=statement.bind_count() {
        statement.bind(index, &null)?;
    }
    if matches!(as_read, ReadAs::Plan(_)) {
        let planned = statement.execute(&[]);
        // The plan's rows are nobody's.
        connection.rollback()?;
        return Ok(planned.map(|()| Vec::new())?);
    }
    let rows = statement.query_as::<Row>(&[])?;
    let described = |column: &oracle::ColumnInfo| Described {
        name: column.name().to_owned(),
        native: column.oracle_type().to_string(),
        form: form(column),
    };
    Ok(rows.column_info().iter().map(described).collect())
}
