//! The states of queued writes, told to other instances through Redis.
//!
//! A record in one instance's journal is known there at once; another instance that is asked for it finds
//! its state here. Told behind the reply and forgotten once the record is applied, when the row itself
//! is in the database. Redis away: other instances do not know, which is no error.

use std::time::Duration;

use super::Cache;

/// Longest message kept with a dead record, in bytes.
const MESSAGE_BYTES_MAX: usize = 512;

/// What is known of a write that is queued, or was and could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueuedState {
    /// Durable in a journal, not yet in the database.
    Journalled {
        /// When it was accepted, in microseconds since 1970-01-01T00:00:00Z.
        since_micros: i64,
    },
    /// Given up; it stands in the dead letters.
    Dead {
        /// When it was given up.
        since_micros: i64,
        /// The code of its last failure.
        code: u16,
        /// What a client may be told of it.
        message: Box<str>,
    },
}

impl QueuedState {
    /// As Redis keeps it.
    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Journalled { since_micros } => format!("j {since_micros}"),
            Self::Dead { since_micros, code, message } => {
                let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
                let message = message.get(..end).unwrap_or_default();
                format!("d {since_micros} {code} {message}")
            }
        }
    }

    /// `None`: not one of ours.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ')?;
        if kind == "j" {
            return Some(Self::Journalled { since_micros: rest.parse().ok()? });
        }
        let mut parts = rest.splitn(3, ' ');
        let since_micros = parts.next()?.parse().ok()?;
        let code = parts.next()?.parse().ok()?;
        let message = parts.next()?.into();
        (kind == "d").then_some(Self::Dead { since_micros, code, message })
    }
}

impl<E> Cache<E> {
    /// Tells other instances about requests (by the hash of their key); `None`: nothing is to be known any
    /// more. One round trip. Without Redis, or while it is away, nothing happens.
    ///
    /// - `life`: how long what is told is kept.
    pub async fn tell_queued(&self, states: &[([u8; 16], Option<QueuedState>)], life: Duration) {
        if let Some(l2) = &self.shared.l2
            && !states.is_empty()
        {
            l2.tell_queued(states, life).await;
        }
    }

    /// What another instance told about a request.
    pub async fn queued(&self, request: &[u8; 16]) -> Option<QueuedState> {
        self.shared.l2.as_ref()?.queued(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_comes_back_as_it_was_told() {
        let journalled = QueuedState::Journalled { since_micros: 7 };
        let dead = |message: &str| QueuedState::Dead {
            since_micros: 8,
            code: 2103,
            message: message.into(),
        };
        for state in [journalled, dead("ITEM_NOT_ENOUGH"), dead("two words"), dead("")] {
            assert_eq!(QueuedState::decode(&state.encode()), Some(state));
        }
    }

    #[test]
    fn long_message_is_cut_between_characters() {
        let state =
            QueuedState::Dead { since_micros: 1, code: 1303, message: "名".repeat(300).into() };
        let Some(QueuedState::Dead { message, .. }) = QueuedState::decode(&state.encode()) else {
            panic!("not what was told")
        };
        assert_eq!(*message, "名".repeat(170));
    }

    #[test]
    fn what_nobody_told_is_nothing() {
        for text in ["", "j", "j x", "x 1 2 a", "d 1", "d 1 2", "d 1 99999 a", "d x 1 a"] {
            assert_eq!(QueuedState::decode(text), None, "{text:?}");
        }
    }
}
