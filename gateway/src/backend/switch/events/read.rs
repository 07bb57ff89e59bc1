//! Events are read in their order, from every database that a game has.

use super::super::super::kept::Table;
use super::super::error::SwitchError;
use super::super::outbox::KIND_EVENT;
use super::super::side::{Side, limit};
use super::super::state::text;
use super::EventId;
use super::order::{BATCH_COUNT_MAX, last_batch, order_next};
use crate::catalog::Scalar;
use crate::config::ConnectionConfig;

const COLUMNS: [&str; 7] =
    ["id", "batch", "table_name", "row_key", "operation", "data", "emitted_at"];

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct EventQuery<'c> {
    /// The game.
    pub game: &'c str,
    /// Its database.
    pub database: &'c ConnectionConfig,
    /// Its other one: events stay where they were written when the owner changes.
    pub mirror: Option<&'c ConnectionConfig>,
    /// The last one that is known.
    pub after: EventId,
    /// Most events.
    pub count_max: usize,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place.
    pub id: EventId,
    /// What it is about.
    pub topic: Box<str>,
    /// Its name.
    pub event: Box<str>,
    /// The operation that told it.
    pub operation: Box<str>,
    /// A JSON object.
    pub data: Box<str>,
    /// When it was written, in Unix milliseconds.
    pub emitted_at: i64,
}

/// Reads the events of a game behind one that is known, in their order. What is committed when it is called is given, sooner
/// or later: an event never gets a place before one that was given.
///
/// # Errors
///
/// [`SwitchError`]: also when only the mirror is not there. What it has may come first.
pub async fn read_events(query: EventQuery<'_>) -> Result<Vec<StoredEvent>, SwitchError> {
    let mut sides = Vec::with_capacity(2);
    for config in std::iter::once(query.database).chain(query.mirror) {
        sides.push(Side::open(config).await?);
    }
    let done = read_from(&mut sides, query).await;
    for side in sides {
        side.close().await;
    }
    done
}

async fn read_from(
    sides: &mut [Side],
    query: EventQuery<'_>,
) -> Result<Vec<StoredEvent>, SwitchError> {
    for side in sides.iter_mut() {
        // So many at most: who reads little does not wait for the order of all that nobody has read yet.
        for _ in 0..=query.count_max / BATCH_COUNT_MAX {
            if order_next(side, query.game).await?.is_none() {
                break;
            }
        }
    }
    // Before the rows are read: of what is in a later batch, the other side may just have got something that comes first.
    let mut last = 0;
    for side in sides.iter_mut() {
        last = last_batch(side, query.game).await?.max(last);
    }
    let mut events = Vec::new();
    for side in sides.iter_mut() {
        events.append(&mut page(side, query, last).await?);
    }
    events.sort_by_key(|event| event.id);
    events.truncate(query.count_max);
    Ok(events)
}

async fn page(
    side: &mut Side,
    query: EventQuery<'_>,
    last: i64,
) -> Result<Vec<StoredEvent>, SwitchError> {
    let after = query.after;
    // What is in no batch yet has 0.
    let first = after.batch.max(1);
    let sql = format!(
        "SELECT id, batch, table_name, row_key, operation, data, emitted_at FROM gateway_outbox \
         WHERE kind = {KIND_EVENT} AND batch >= ? AND batch <= ? AND (batch > ? OR id > ?) AND game = ? \
         ORDER BY batch, id{}",
        limit(side.dialect(), query.count_max)
    );
    let mut binds: Vec<Scalar<'_>> = [first, last, after.batch, after.id].map(Scalar::Int).to_vec();
    binds.push(text(query.game));
    let mut table = Table::new(&COLUMNS);
    side.fetch(sql, binds, &mut table).await?;
    let rows = table.finish().into_iter();
    let strange = || SwitchError::refused("gateway_outbox holds what this version does not know");
    rows.map(|row| event(row).ok_or_else(strange)).collect()
}

fn event(row: Vec<Scalar<'static>>) -> Option<StoredEvent> {
    let mut values = row.into_iter();
    let number = |value: Option<Scalar<'_>>| match value {
        Some(Scalar::Int(number)) => Some(number),
        _ => None,
    };
    let word = |value: Option<Scalar<'_>>| match value {
        Some(Scalar::Str(text)) => Some(Box::<str>::from(text)),
        _ => None,
    };
    let (id, batch) = (number(values.next())?, number(values.next())?);
    Some(StoredEvent {
        id: EventId { batch, id },
        topic: word(values.next())?,
        event: word(values.next())?,
        operation: word(values.next())?,
        data: word(values.next())?,
        emitted_at: number(values.next())?,
    })
}
