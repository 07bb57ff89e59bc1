//! A template and its bound parameters to one statement of SQL and its binds.
//!
//! Invariant: every value is a bind. What varies in the text is which of the template's own pieces it has.

use std::borrow::Cow;
use std::sync::Arc;

use super::connection::Statement;
use super::cursor;
use super::{BackendError, CursorKey};
use crate::auth::Claim;
use crate::bind::Bound;
use crate::catalog::{
    BindRef, Dialect, Keyset, KeysetColumn, Plan, Scalar, Shape, Slot, Source, StepValue, Template,
    Type,
};

/// What the gateway itself gives to a statement. One value for the whole request, so that a retry and a
/// second database see the same.
#[derive(Clone, Copy, Debug)]
pub struct Supplied<'a> {
    /// `:_now`, in microseconds since 1970-01-01T00:00:00Z. Bound in whole milliseconds, so that a column of
    /// three digits holds it exactly on every database.
    pub now_micros: i64,
    /// `:_id`, of [`super::IdSource`]: one a request.
    pub id: i64,
    /// `:_id` of statements that run once for each row: one for each row of every `rows(…)` slot, in the
    /// slots' order; see [`row_count`]. Empty where no such statement uses it.
    pub row_ids: &'a [i64],
    /// `:_caller`.
    pub caller: &'a str,
    /// `:_claim.x`, sorted by name. One that is not there is bound as NULL.
    pub claims: &'a [(Box<str>, Claim)],
    /// `:_trace`.
    pub trace: &'a str,
}

/// Rows of all `rows(…)` slots before `slot`: where that slot's ids begin in [`Supplied::row_ids`]. Of a slot
/// behind the last one: how many ids are needed.
pub fn row_count(template: &Template, bound: &Bound<'_>, slot: usize) -> usize {
    let rows = |(slot, value): (&Slot, &Scalar<'_>)| match (&slot.ty, value) {
        (Type::Rows(_), Scalar::List(rows)) => rows.len(),
        _ => 0,
    };
    template.slots.iter().zip(&bound.values).take(slot).map(rows).sum()
}

/// Renders a template for one request.
///
/// # Errors
///
/// [`BackendError::BadCursor`] when a page's cursor is not ours; [`BackendError::List`] for a list that is
/// empty where that would touch every row, or longer than the dialect takes.
pub(super) fn statement<'a>(
    template: &'a Template,
    bound: &'a Bound<'_>,
    supplied: &Supplied<'a>,
    cursor_key: &CursorKey,
) -> Result<Statement<'a>, BackendError> {
    let values = RunValues { bound, supplied: *supplied, row: None, steps: &[] };
    if let Some(fixed) = template.plan.fixed() {
        let binds = fixed.binds.iter().map(|bind| values.bind(bind)).collect();
        return Ok(Statement { sql: Arc::clone(&fixed.sql), binds });
    }
    let seek = seek(template, bound, cursor_key)?;
    render(template, &values, &seek)
}

/// The same for a template that is no page.
///
/// # Errors
///
/// [`BackendError::List`], as [`statement`].
#[cfg(feature = "mysql")]
pub(super) fn unpaged<'a>(
    template: &'a Template,
    bound: &'a Bound<'_>,
    supplied: &Supplied<'a>,
) -> Result<Statement<'a>, BackendError> {
    let values = RunValues { bound, supplied: *supplied, row: None, steps: &[] };
    if let Some(fixed) = template.plan.fixed() {
        let binds = fixed.binds.iter().map(|bind| values.bind(bind)).collect();
        return Ok(Statement { sql: Arc::clone(&fixed.sql), binds });
    }
    render(template, &values, &[])
}

fn render<'a>(
    template: &'a Template,
    values: &RunValues<'a, '_>,
    seek: &[Scalar<'static>],
) -> Result<Statement<'a>, BackendError> {
    let bound = values.bound;
    let shape = Shape::new(&template.plan, &bound.values, bound.given, !seek.is_empty());
    let rendered = template.plan.render(template.dialect, &shape)?;
    let bind = |bind: &BindRef| match bind {
        BindRef::Seek(column) => seek.get(*column).cloned().unwrap_or(Scalar::Null),
        BindRef::PageLimit => Scalar::Int(i64::from(page_count(template, bound)) + 1),
        other => values.bind(other),
    };
    let binds = rendered.binds.iter().map(bind).collect();
    Ok(Statement { sql: rendered.sql, binds })
}

/// Rows of the page that is asked for.
pub(super) fn page_count(template: &Template, bound: &Bound<'_>) -> u32 {
    let Some(page) = &template.page else { return template.row_count_max };
    match bound.values.get(page.limit_slot) {
        Some(Scalar::Int(count)) => {
            u32::try_from(*count).map_or(0, |count| count.min(page.count_max))
        }
        _ => page.default_count,
    }
}

/// The order of the page that is asked for; empty for what is no page.
pub(super) fn keyset<'t>(template: &'t Template, bound: &Bound<'_>) -> &'t [KeysetColumn] {
    let sorted = |slot: usize| match bound.values.get(slot) {
        Some(Scalar::Str(name)) => template.orders.iter().find(|order| *order.name == **name),
        _ => template.orders.first(),
    };
    match template.page.as_ref().map(|page| &page.keyset) {
        Some(Keyset::Fixed(columns)) => columns,
        Some(Keyset::Sorted { sort_slot }) => {
            sorted(*sort_slot).map_or(&[], |order| &order.columns)
        }
        None => &[],
    }
}

fn seek(
    template: &Template,
    bound: &Bound<'_>,
    cursor_key: &CursorKey,
) -> Result<Vec<Scalar<'static>>, BackendError> {
    let cursor = template.page.as_ref().and_then(|page| bound.values.get(page.cursor_slot));
    match cursor {
        Some(Scalar::Str(cursor)) => {
            let asked = cursor::Asked { template, keyset: keyset(template, bound), bound };
            cursor_key.open(asked, cursor)
        }
        _ => Ok(Vec::new()),
    }
}

/// Renders a write, or a step of one, for one run.
///
/// # Errors
///
/// [`BackendError::List`], as [`statement`].
pub(super) fn write_statement<'a>(
    plan: &Plan,
    dialect: Dialect,
    values: &RunValues<'a, '_>,
) -> Result<Statement<'a>, BackendError> {
    let rendered = if let Some(fixed) = plan.fixed() {
        fixed.clone()
    } else {
        let shape = Shape::new(plan, &values.bound.values, values.bound.given, false);
        plan.render(dialect, &shape)?
    };
    let binds = rendered.binds.iter().map(|bind| values.bind(bind)).collect();
    Ok(Statement { sql: rendered.sql, binds })
}

/// What a step has left for later ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Left {
    /// Rows matched; of a read, rows read.
    pub affected: u64,
    /// The first row's values, one for each of the step's columns; none where there was no row.
    pub columns: Vec<Scalar<'static>>,
}

impl Left {
    /// A value; NULL where there was no row.
    pub(super) fn value(&self, value: StepValue) -> Scalar<'_> {
        match value {
            StepValue::Affected => Scalar::Int(i64::try_from(self.affected).unwrap_or(i64::MAX)),
            StepValue::Column(index) => self.columns.get(index).map_or(Scalar::Null, borrowed),
        }
    }
}

/// Where the values of one run's binds come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunValues<'a, 'b> {
    /// The request's parameters.
    pub bound: &'a Bound<'b>,
    /// What the gateway supplies; its id is that of the run.
    pub supplied: Supplied<'a>,
    /// The current row of a `rows(…)` slot: a list of its fields.
    pub row: Option<&'a Scalar<'b>>,
    /// What the steps before this one have left.
    pub steps: &'a [Left],
}

impl<'a> RunValues<'a, '_> {
    fn bind(&self, bind: &BindRef) -> Scalar<'a> {
        match bind {
            BindRef::Source(source) => self.source(source),
            BindRef::ListItem { slot, index } => match self.bound.values.get(*slot) {
                Some(Scalar::List(items)) => items.get(*index).map_or(Scalar::Null, borrowed),
                _ => Scalar::Null,
            },
            // Of pages, which are no writes.
            BindRef::Seek(_) | BindRef::PageLimit => Scalar::Null,
        }
    }

    /// The value of a source.
    pub(super) fn source(&self, source: &Source) -> Scalar<'a> {
        match source {
            Source::Slot(slot) => self.bound.values.get(*slot).map_or(Scalar::Null, borrowed),
            Source::Now => {
                let micros = self.supplied.now_micros;
                Scalar::Timestamp(micros - micros.rem_euclid(1000))
            }
            Source::Id => Scalar::Int(self.supplied.id),
            Source::Caller => Scalar::Str(Cow::Borrowed(self.supplied.caller)),
            Source::Claim(name) => claim(self.supplied.claims, name),
            Source::Trace => Scalar::Str(Cow::Borrowed(self.supplied.trace)),
            Source::Field { field, .. } => match self.row {
                Some(Scalar::List(fields)) => fields.get(*field).map_or(Scalar::Null, borrowed),
                _ => Scalar::Null,
            },
            // Nothing goes in.
            Source::Out(_) => Scalar::Null,
            Source::Step { step, value } => {
                self.steps.get(*step).map_or(Scalar::Null, |left| left.value(*value))
            }
        }
    }
}

/// The same value without copying its text.
fn borrowed<'v>(value: &'v Scalar<'_>) -> Scalar<'v> {
    match value {
        Scalar::Decimal(text) => Scalar::Decimal(Cow::Borrowed(text)),
        Scalar::Str(text) => Scalar::Str(Cow::Borrowed(text)),
        Scalar::Json(text) => Scalar::Json(Cow::Borrowed(text)),
        Scalar::Bytes(bytes) => Scalar::Bytes(Cow::Borrowed(bytes)),
        Scalar::List(items) => Scalar::List(items.iter().map(borrowed).collect()),
        Scalar::Null => Scalar::Null,
        Scalar::Bool(value) => Scalar::Bool(*value),
        Scalar::Int(value) => Scalar::Int(*value),
        Scalar::Float(value) => Scalar::Float(*value),
        Scalar::Date(days) => Scalar::Date(*days),
        Scalar::Timestamp(micros) => Scalar::Timestamp(*micros),
    }
}

fn claim<'a>(claims: &'a [(Box<str>, Claim)], name: &str) -> Scalar<'a> {
    let found = claims.binary_search_by(|(other, _)| (**other).cmp(name));
    match found.ok().and_then(|index| claims.get(index)).map(|(_, claim)| claim) {
        Some(Claim::Str(text)) => Scalar::Str(Cow::Borrowed(text)),
        Some(Claim::Int(value)) => Scalar::Int(*value),
        Some(Claim::Bool(value)) => Scalar::Bool(*value),
        None => Scalar::Null,
    }
}
