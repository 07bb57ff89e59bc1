//! What writes answer, as MessagePack, and which answers are known before the write has run.

use gateway_protocol::msgpack;

use super::super::statement::Left;
use super::super::{BackendError, cell, encode, kept};
use super::batch::RowOutcome;
use super::effect::Params;
use crate::catalog::{Comparison, Kind, Output, ReturnedValue, Scalar, StepValue};

/// The answer of an `exec`.
pub(super) fn affected(params: &Params<'_, '_>, count: u64) -> Vec<u8> {
    let id = params.template.uses_id().then_some(params.supplied.id);
    encode::outcome(count, id)
}

/// The answer of an `exec` that returns values: those of its row, NULL where there was none.
///
/// # Errors
///
/// [`BackendError::Column`] for a value that does not have its declared form.
pub(super) fn left(params: &Params<'_, '_>, left: &Left) -> Result<Vec<u8>, BackendError> {
    let template = params.template;
    let id = template.uses_id().then_some(params.supplied.id);
    let mut body = Vec::with_capacity(64);
    let members = 1 + usize::from(id.is_some()) + template.outputs.len();
    msgpack::write_map_header(&mut body, members);
    msgpack::write_str(&mut body, "affected");
    msgpack::write_uint(&mut body, left.affected);
    if let Some(id) = id {
        msgpack::write_str(&mut body, "id");
        msgpack::write_int(&mut body, id);
    }
    for (index, output) in template.outputs.iter().enumerate() {
        let Output::Value(column) = output else { continue };
        let value = left.value(StepValue::Column(index));
        msgpack::write_str(&mut body, &column.name);
        let written = cell::write(&mut body, &column.ty, column.empty_as_null, kept::cell(&value));
        written.map_err(|fault| BackendError::Column { column: column.name.clone(), fault })?;
    }
    Ok(body)
}

/// The answer, where nothing that the write finds can change it: then the key row is written whole at once.
pub(super) fn predicted(params: &Params<'_, '_>) -> Option<Vec<u8>> {
    let write = &params.template.write;
    match params.template.kind {
        Kind::Exec if params.template.outputs.is_empty() => {
            let guard = write.guard.as_ref()?;
            (guard.comparison == Comparison::Eq).then(|| affected(params, guard.count))
        }
        Kind::Tx => {
            let is_known = write.returns.iter().all(|one| one.value == ReturnedValue::Id);
            is_known.then(|| returned(params, &[]).ok()).flatten()
        }
        _ => None,
    }
}

/// The answer of a `tx`: what `@return` names.
///
/// # Errors
///
/// [`BackendError::Column`] for a value that does not have its declared form.
pub(super) fn returned(params: &Params<'_, '_>, lefts: &[Left]) -> Result<Vec<u8>, BackendError> {
    let template = params.template;
    let mut body = Vec::with_capacity(64);
    msgpack::write_map_header(&mut body, template.write.returns.len());
    for member in &template.write.returns {
        msgpack::write_str(&mut body, &member.name);
        let value = match member.value {
            ReturnedValue::Id => Scalar::Int(params.supplied.id),
            ReturnedValue::Step { step, value } => {
                lefts.get(step).map_or(absent(value), |left| left.value(value))
            }
        };
        let column = member.column.and_then(|index| template.columns.get(index));
        let value = kept::cell(&value);
        let written = match (column, value) {
            (Some(column), value) => {
                cell::write(&mut body, &column.ty, column.empty_as_null, value)
            }
            (None, cell::Cell::Int(count)) => {
                msgpack::write_int(&mut body, count);
                Ok(())
            }
            (None, _) => Err("a column without a @result".into()),
        };
        written.map_err(|fault| BackendError::Column { column: member.name.clone(), fault })?;
    }
    Ok(body)
}

const fn absent(value: StepValue) -> Scalar<'static> {
    match value {
        StepValue::Affected => Scalar::Int(0),
        StepValue::Column(_) => Scalar::Null,
    }
}

/// The answer of a `batch`: the sum, and each row's outcome in order.
///
/// - `ids`: of each row, where the template gives rows ids of their own; else empty.
pub(super) fn batch(affected: u64, outcomes: &[RowOutcome], ids: &[i64]) -> Vec<u8> {
    let mut body = Vec::with_capacity(32 + outcomes.len() * 12);
    msgpack::write_map_header(&mut body, 2);
    msgpack::write_str(&mut body, "affected");
    msgpack::write_uint(&mut body, affected);
    msgpack::write_str(&mut body, "rows");
    msgpack::write_array_header(&mut body, outcomes.len());
    for (index, outcome) in outcomes.iter().enumerate() {
        let id = ids.get(index);
        match outcome {
            Ok(count) => {
                msgpack::write_map_header(&mut body, if id.is_some() { 2 } else { 1 });
                msgpack::write_str(&mut body, "affected");
                msgpack::write_uint(&mut body, *count);
                if let Some(id) = id {
                    msgpack::write_str(&mut body, "id");
                    msgpack::write_int(&mut body, *id);
                }
            }
            Err(error) => {
                msgpack::write_map_header(&mut body, 2);
                msgpack::write_str(&mut body, "code");
                msgpack::write_uint(&mut body, error.code().into());
                msgpack::write_str(&mut body, "message");
                msgpack::write_str(&mut body, &error.client_message());
            }
        }
    }
    body
}

/// What the repeat of a journalled request is told: the same as the first.
pub(super) fn journalled(params: &Params<'_, '_>) -> Vec<u8> {
    let slot = params.template.write.idempotent.as_ref().map(|idempotent| idempotent.key_slot);
    let key = slot.and_then(|slot| params.bound.values.get(slot));
    let mut body = Vec::with_capacity(64);
    msgpack::write_map_header(&mut body, 2);
    msgpack::write_str(&mut body, "state");
    msgpack::write_str(&mut body, "journalled");
    msgpack::write_str(&mut body, "key");
    match key {
        Some(Scalar::Int(key)) => msgpack::write_int(&mut body, *key),
        Some(Scalar::Str(key)) => msgpack::write_str(&mut body, key),
        _ => msgpack::write_nil(&mut body),
    }
    body
}
