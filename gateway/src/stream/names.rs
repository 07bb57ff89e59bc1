//! The keys in Redis, all of one namespace.

use crate::identity::Lane;

/// Names keys.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) namespace: Box<str>,
}

impl Names {
    /// How many streams a game has, fixed by its first order.
    pub(super) fn count(&self, game: &str) -> String {
        format!("{}:streams:{game}", self.namespace)
    }

    /// The living instances that apply a game's orders.
    pub(super) fn instances(&self, game: &str) -> String {
        format!("{}:i:{game}", self.namespace)
    }

    /// One of a game's streams. What belongs to it has this name with an ending.
    pub(super) fn stream(&self, game: &str, index: u32) -> String {
        format!("{}:s:{game}:{index}", self.namespace)
    }

    /// What is known of a request: hash of parameters, number, state.
    pub(super) fn request(&self, request: &[u8; 16]) -> String {
        format!("{}:k:{:032x}", self.namespace, u128::from_be_bytes(*request))
    }

    /// The newest number that a lane was given, and the newest that is settled.
    pub(super) fn lane(&self, Lane(lane): Lane) -> String {
        format!("{}:l:{lane:016x}", self.namespace)
    }
}

/// The last number that was given in a stream.
pub(super) fn counter(stream: &str) -> String {
    format!("{stream}:n")
}

/// Who owns a stream: its lease.
pub(super) fn owner(stream: &str) -> String {
    format!("{stream}:owner")
}

/// The token of a stream's last owner.
pub(super) fn token(stream: &str) -> String {
    format!("{stream}:token")
}

/// A stream's dead letters.
pub(super) fn dead(stream: &str) -> String {
    format!("{stream}:dead")
}
