//! A template and its bound parameters to one statement of SQL and its binds.
//!
//! Invariant: every value is a bind. What varies in the text is which of the template's own pieces it has.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::connection::Statement;
use super::{BackendError, CursorKey};
use crate::auth::Claim;
use crate::bind::Bound;
use crate::catalog::{Direction, Keyset, KeysetColumn, Piece, Scalar, Source, Template};

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
/// [`BackendError::BadCursor`] when a page's cursor is not ours.
pub(super) fn statement<'a>(
    template: &'a Template,
    bound: &'a Bound<'_>,
    supplied: &Supplied<'a>,
    cursor_key: &CursorKey,
) -> Result<Statement<'a>, BackendError> {
    if let [Piece::Text(sql)] = &*template.plan.pieces
        && template.page.is_none()
    {
        return Ok(Statement::plain(&**sql));
    }
    let mut render = Render {
        bound,
        supplied: *supplied,
        keyset: keyset(template, bound),
        seek: seek(template, bound, cursor_key)?,
        sql: String::with_capacity(512),
        binds: Vec::with_capacity(template.slots.len() + 4),
    };
    render.pieces(&template.plan.pieces);
    if template.page.is_some() {
        render.sql.push_str("\nLIMIT ?");
        render.binds.push(Scalar::Int(i64::from(page_count(template, bound)) + 1));
    }
    Ok(Statement { sql: render.sql.into(), binds: render.binds })
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

/// A statement in the making.
struct Render<'a, 'b> {
    bound: &'a Bound<'b>,
    supplied: Supplied<'a>,
    keyset: &'a [KeysetColumn],
    /// Where the page begins; empty: at the start.
    seek: Vec<Scalar<'static>>,
    sql: String,
    binds: Vec<Scalar<'a>>,
}

impl<'a> Render<'a, '_> {
    fn pieces(&mut self, pieces: &'a [Piece]) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.sql.push_str(text),
                Piece::Bind(source) => {
                    let value = self.value(source);
                    self.bind(value);
                }
                Piece::List(slot) => self.list(*slot),
                Piece::Optional { slots, pieces } => {
                    if slots.iter().all(|slot| self.bound.is_given(*slot)) {
                        self.pieces(pieces);
                    }
                }
                Piece::Keyset => self.seek_predicate(),
                Piece::Sort => self.sort(),
            }
        }
    }

    fn bind(&mut self, value: Scalar<'a>) {
        self.sql.push('?');
        self.binds.push(value);
    }

    fn value(&self, source: &Source) -> Scalar<'a> {
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
        }
    }

    /// `?, ?, …`, padded with the last item to a power of two, so that few texts are prepared.
    fn list(&mut self, slot: usize) {
        let Some(Scalar::List(items)) = self.bound.values.get(slot) else {
            return self.sql.push_str("NULL");
        };
        let Some(last) = items.last() else { return self.sql.push_str("NULL") };
        let padding = items.len().next_power_of_two() - items.len();
        let all = items.iter().chain(std::iter::repeat_n(last, padding));
        for (index, item) in all.enumerate() {
            if index > 0 {
                self.sql.push_str(", ");
            }
            self.bind(borrowed(item));
        }
    }

    /// `AND (a < ? OR (a = ? AND b < ?))`: the expanded form, which reads only the page's index rows.
    fn seek_predicate(&mut self) {
        if self.seek.is_empty() {
            return;
        }
        let columns = self.keyset;
        let seek = std::mem::take(&mut self.seek);
        self.sql.push_str("AND (");
        for (depth, (column, value)) in columns.iter().zip(&seek).enumerate() {
            self.sql.push_str(if depth == 0 { "(" } else { " OR (" });
            for (equal, value) in columns.iter().zip(&seek).take(depth) {
                self.sql.push_str(&equal.sql);
                self.sql.push_str(" = ");
                self.bind(value.clone());
                self.sql.push_str(" AND ");
            }
            self.sql.push_str(&column.sql);
            self.sql.push_str(match column.direction {
                Direction::Asc => " > ",
                Direction::Desc => " < ",
            });
            self.bind(value.clone());
            self.sql.push(')');
        }
        self.sql.push(')');
    }

    fn sort(&mut self) {
        for (index, column) in self.keyset.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let direction = match column.direction {
                Direction::Asc => "ASC",
                Direction::Desc => "DESC",
            };
            // Writing to a String cannot fail.
            let _written = write!(self.sql, "{comma}{} {direction}", column.sql);
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
