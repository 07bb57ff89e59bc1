//! A template and its bound parameters to one statement of SQL and its binds.
//!
//! Invariant: every value is a bind. What varies in the text is which of the template's own pieces it has.

use std::borrow::Cow;
use std::sync::Arc;

use super::connection::Statement;
use super::{BackendError, CursorKey};
use crate::auth::Claim;
use crate::bind::Bound;
use crate::catalog::{BindRef, Keyset, KeysetColumn, Scalar, Shape, Source, Template};

/// What the gateway itself gives to a statement. One value for the whole request, so that a retry and a
/// second database see the same.
#[derive(Clone, Copy, Debug)]
pub struct Supplied<'a> {
    /// `:_now`, in microseconds since 1970-01-01T00:00:00Z. Bound in whole milliseconds, so that a column of
    /// three digits holds it exactly on every database.
    pub now_micros: i64,
    /// `:_id`, of [`super::IdSource`].
    pub id: i64,
    /// `:_caller`.
    pub caller: &'a str,
    /// `:_claim.x`, sorted by name. One that is not there is bound as NULL.
    pub claims: &'a [(Box<str>, Claim)],
    /// `:_trace`.
    pub trace: &'a str,
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
    let values = Values { template, bound, supplied: *supplied };
    if let Some(fixed) = template.plan.fixed() {
        let binds = fixed.binds.iter().map(|bind| values.value(bind, &[])).collect();
        return Ok(Statement { sql: Arc::clone(&fixed.sql), binds });
    }
    let seek = seek(template, bound, cursor_key)?;
    let shape = Shape::new(&template.plan, &bound.values, bound.given, !seek.is_empty());
    let rendered = template.plan.render(template.dialect, &shape)?;
    let binds = rendered.binds.iter().map(|bind| values.value(bind, &seek)).collect();
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
        Some(Scalar::Str(cursor)) => cursor_key.open(template, keyset(template, bound), cursor),
        _ => Ok(Vec::new()),
    }
}

/// Where the values of a statement's binds come from.
struct Values<'a, 'b> {
    template: &'a Template,
    bound: &'a Bound<'b>,
    supplied: Supplied<'a>,
}

impl<'a> Values<'a, '_> {
    /// - `seek`: where the page begins; empty: at the start.
    fn value(&self, bind: &BindRef, seek: &[Scalar<'static>]) -> Scalar<'a> {
        match bind {
            BindRef::Source(source) => self.source(source),
            BindRef::ListItem { slot, index } => match self.bound.values.get(*slot) {
                Some(Scalar::List(items)) => items.get(*index).map_or(Scalar::Null, borrowed),
                _ => Scalar::Null,
            },
            BindRef::Seek(column) => seek.get(*column).cloned().unwrap_or(Scalar::Null),
            BindRef::PageLimit => Scalar::Int(i64::from(page_count(self.template, self.bound)) + 1),
        }
    }

    fn source(&self, source: &Source) -> Scalar<'a> {
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
            // Only a batch and the steps of a `tx` have these; they are rendered elsewhere.
            Source::Field { .. } | Source::Step { .. } => Scalar::Null,
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
