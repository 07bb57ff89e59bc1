//! Events of writes (`@emit`): their order, who reads them, how long they are kept.
//!
//! A write puts its events into `gateway_outbox`, in its own transaction. The numbers that they get there say nothing of
//! when they are committed: a reader that went by them would pass over the event of a transaction that took longer than a
//! later one. So what is committed gets a second number, `batch`, by whoever reads: one batch after the other, under the
//! lock of the game's row of `gateway_event_batch`. An event is handed out by its batch, and in it by its number.
//!
//! Invariant: when a batch can be seen, every event of it and of those before it can be, in both databases of a game:
//! a flip puts all events of the old owner in order while nobody writes, and the new owner's batches go on behind those.

mod order;
mod purge;
mod read;

use std::fmt;
use std::str::FromStr;

pub(super) use order::{carry_batches, order_all, order_backlog};
pub(in crate::backend) use purge::{Kept, purge_events};
pub use read::{EventQuery, StoredEvent, read_events};

/// Where an event stands among those of its game.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// Its batch.
    pub batch: i64,
    /// Its number in the outbox.
    pub id: i64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.batch, self.id)
    }
}

/// Not what [`EventId`] is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no event is named so: want two numbers, as in 12-3456")]
pub struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let number = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_plain).ok_or(NoEventId)
        };
        let (batch, id) = text.split_once('-').ok_or(NoEventId)?;
        Ok(Self { batch: number(batch)?, id: number(id)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_of_an_event_is_read_as_it_is_written_and_nothing_else_is() {
        for (batch, id) in [(0, 0), (12, 3456), (i64::MAX, i64::MAX)] {
            let place = EventId { batch, id };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "-", "1", "1-", "-1", "1-2-3", "1--2", "+1-2", "1-9223372036854775808"] {
            assert_eq!(text.parse::<EventId>(), Err(NoEventId), "{text}");
        }
        assert!(EventId { batch: 2, id: 1 } > EventId { batch: 1, id: 9 });
    }
}
