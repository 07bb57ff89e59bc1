//! Events of a write (`@emit`): rows of the table `gateway_outbox`, in the transaction of what they tell of.
//!
//! A row is one event: its topic in `table_name`, its name in `row_key`, its data as a JSON object. `backend/switch/events`
//! gives them their order and reads them.

use std::time::SystemTime;

use gateway_protocol::msgpack;

use super::super::connection::Statement;
use super::super::fault::Failure;
use super::super::fold::{FOLD_COUNT_MAX, lengths};
use super::super::statement::RunValues;
use super::super::switch::{EVENT_KIND, moment_sql};
use super::super::{BackendError, cell, kept};
use super::transaction::Transaction;
use crate::catalog::{
    Dialect, Emitted, EmittedField, EmittedValue, Form, Kind, Scalar, Template, Type,
    msgpack_to_json,
};

/// Binds of a row.
const BIND_COUNT: usize = 6;
/// Most bytes of data in one statement, but for a row that is larger alone.
const BYTES_MAX: usize = 256 << 10;

/// A row to be written.
#[derive(Debug)]
struct Row<'t> {
    emitted: &'t Emitted,
    data: String,
}

/// Writes the events of runs that have changed something.
///
/// # Errors
///
/// [`Failure`]: the transaction is to be rolled back.
pub(super) async fn put(
    tx: &mut Transaction,
    template: &Template,
    runs: &[RunValues<'_, '_>],
) -> Result<(), Failure> {
    let events = &template.write.events;
    if events.is_empty() || runs.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::with_capacity(events.len() * runs.len());
    for run in runs {
        for emitted in events {
            let data = data(template, emitted, run).map_err(Failure::Refused)?;
            rows.push(Row { emitted, data });
        }
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let mut left = &rows[..];
    while !left.is_empty() {
        let (these, rest) = left.split_at_checked(fitting(left)).unwrap_or((left, &[]));
        left = rest;
        insert(tx, template, these, now_ms).await?;
    }
    Ok(())
}

/// How many of the rows go together: one at least.
fn fitting(rows: &[Row<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&Row<'_>| {
        bytes += row.data.len();
        bytes <= BYTES_MAX
    };
    rows.iter().take(FOLD_COUNT_MAX).take_while(fits).count().max(1)
}

async fn insert(
    tx: &mut Transaction,
    template: &Template,
    rows: &[Row<'_>],
    now_ms: i64,
) -> Result<(), Failure> {
    let dialect = template.dialect;
    let tuple = format!("({EVENT_KIND}, ?, ?, ?, ?, ?, ?, {})", moment_sql(dialect));
    let mut left = rows;
    for length in lengths(rows.len(), BIND_COUNT, dialect) {
        let (these, rest) = left.split_at_checked(length).unwrap_or((left, &[]));
        left = rest;
        let mut sql = String::from(
            "INSERT INTO gateway_outbox \
             (kind, table_name, row_key, game, operation, data, emitted_at, created_at) VALUES ",
        );
        sql.push_str(&tuple);
        let binds = these.iter().flat_map(|row| binds(template, row, now_ms)).collect();
        if dialect == Dialect::Oracle {
            let statement = Statement { sql: sql.into(), binds };
            let outcomes = tx.execute_array(&statement, these.len()).await?;
            outcomes.into_iter().collect::<Result<Vec<u64>, _>>().map_err(Failure::Refused)?;
        } else {
            for _ in 1..these.len() {
                sql.extend([",", &tuple]);
            }
            tx.execute(&Statement { sql: sql.into(), binds }).await?;
        }
    }
    Ok(())
}

fn binds<'r>(template: &'r Template, row: &'r Row<'_>, now_ms: i64) -> [Scalar<'r>; BIND_COUNT] {
    [
        Scalar::Str((&*row.emitted.topic).into()),
        Scalar::Str((&*row.emitted.event).into()),
        Scalar::Str(template.game.as_str().into()),
        Scalar::Str(template.op.as_str().into()),
        Scalar::Str(row.data.as_str().into()),
        Scalar::Int(now_ms),
    ]
}

/// What an event carries, as a JSON object: every value as a reply would have it.
fn data(
    template: &Template,
    emitted: &Emitted,
    run: &RunValues<'_, '_>,
) -> Result<String, BackendError> {
    let mut packed = Vec::with_capacity(128);
    msgpack::write_map_header(&mut packed, emitted.fields.len());
    for field in &emitted.fields {
        msgpack::write_str(&mut packed, &field.name);
        let written = member(&mut packed, template, field, run);
        written.map_err(|fault| BackendError::Column { column: field.name.clone(), fault })?;
    }
    let form = Form { kind: Kind::One, columns: &[], returns: &[], outputs: &[] };
    let mut json = Vec::with_capacity(packed.len() * 2);
    let written = msgpack_to_json(form, &packed, &mut json).ok();
    let text = written.and_then(|()| String::from_utf8(json).ok());
    text.ok_or_else(|| BackendError::Supply("an event's data cannot be written".into()))
}

fn member(
    out: &mut Vec<u8>,
    template: &Template,
    field: &EmittedField,
    run: &RunValues<'_, '_>,
) -> Result<(), Box<str>> {
    let slot = match field.value {
        EmittedValue::Id => {
            msgpack::write_int(out, run.supplied.id);
            return Ok(());
        }
        EmittedValue::Slot(slot) => slot,
    };
    let Some(ty) = template.slots.get(slot).map(|slot| &slot.ty) else {
        msgpack::write_nil(out);
        return Ok(());
    };
    match (ty, run.row) {
        (Type::Rows(_), Some(row)) if template.write.batch_slot == Some(slot) => {
            value(out, ty, row, true)
        }
        _ => value(out, ty, run.bound.values.get(slot).unwrap_or(&Scalar::Null), false),
    }
}

/// - `is_row`: it is one row of its type, not a list of them.
fn value(out: &mut Vec<u8>, ty: &Type, scalar: &Scalar<'_>, is_row: bool) -> Result<(), Box<str>> {
    match (ty, scalar) {
        (Type::Rows(fields), Scalar::List(values)) if is_row => {
            msgpack::write_map_header(out, fields.len());
            for (index, field) in fields.iter().enumerate() {
                msgpack::write_str(out, &field.name);
                value(out, &field.ty, values.get(index).unwrap_or(&Scalar::Null), false)?;
            }
            Ok(())
        }
        (Type::Rows(_), Scalar::List(rows)) => {
            msgpack::write_array_header(out, rows.len());
            rows.iter().try_for_each(|row| value(out, ty, row, true))
        }
        (Type::List(ty), Scalar::List(items)) => {
            msgpack::write_array_header(out, items.len());
            items.iter().try_for_each(|item| value(out, ty, item, false))
        }
        _ => cell::write(out, ty, false, kept::cell(scalar)),
    }
}
