//! The two databases of a game with a mirror. Which of them owns it is for the backend to know, at each moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::catalog::Template;

/// An operation on its game's mirror.
#[derive(Clone, Debug)]
pub struct Mirrored {
    /// The connection's name in the configuration.
    pub pool: Box<str>,
    /// The contract, with the mirror's SQL.
    pub template: Arc<Template>,
}

/// Which of a game's two databases, as the configuration names them: neither word says who owns the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// `games.<id>.database`.
    Database,
    /// `games.<id>.mirror`.
    Mirror,
}

impl Which {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Database => Self::Mirror,
            Self::Mirror => Self::Database,
        }
    }
}

/// An operation on one of its game's databases.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'o> {
    /// On which of them.
    pub which: Which,
    /// The connection's name in the configuration.
    pub pool: &'o str,
    /// Contract and SQL.
    pub template: &'o Arc<Template>,
}

/// The epoch of a game's owner, as far as this process knows: a part of cache keys. Read at each look-up, written when
/// the owner changes, by whoever lets requests to it.
#[derive(Clone, Debug, Default)]
pub struct OwnerEpoch(Arc<AtomicU32>);

impl OwnerEpoch {
    /// What it is now.
    pub fn read(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it, when calls are let to the new owner: who reads the new one reads there.
    pub fn set(&self, epoch: u32) {
        self.0.store(epoch, Ordering::Relaxed);
    }
}
