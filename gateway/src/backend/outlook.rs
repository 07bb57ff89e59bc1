//! One thread's outlook on the pools: which calls would be refused for want of a connection (1301), before anything is
//! made of them.
//!
//! [`needs_connection`] says which calls come to nothing without one: those may be refused where they arrived, with the
//! answer that they would get from [`super::Dispatch`]. What is not refused there the pool's line decides on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::switch::Gates;
use super::{BackendError, Pool, Pools, Prospect};
use crate::catalog::Dialect;
use crate::snapshot::Operation;

/// Whether a call whose answer is in no cache comes to nothing without a connection to its operation's one database.
///
/// Not so of an audited one, which is written down in any case; of a read that speaks for queued writes, which may be
/// answered from the queue; and where a game has two databases it is not known here which of them it would be.
pub fn needs_connection(operation: &Operation, gates: &Gates) -> bool {
    !operation.template.audit
        && operation.status_of.is_empty()
        && operation.mirror.is_none()
        && !is_gated(gates, operation)
}

/// Whether the operation's game is on its way from one database to another, or was.
pub fn is_gated(gates: &Gates, operation: &Operation) -> bool {
    gates.named(operation.template.game.as_str()).is_some()
}

/// The pools that a thread has asked after.
#[derive(Debug, Default)]
pub struct Outlook {
    known: RefCell<Vec<Rc<Known>>>,
    /// [`Pools::version`] of `known`.
    version: Cell<u64>,
}

#[derive(Debug)]
struct Known {
    pool: Pool,
    dialect: Dialect,
    /// The thread's own: its count is shared with nobody.
    refusal: Arc<BackendError>,
}

/// A pool that has no connection to expect.
#[derive(Debug)]
pub struct Lack {
    /// What it has instead; always a refusal.
    pub prospect: Prospect,
    known: Rc<Known>,
}

impl Outlook {
    /// What is lacking for one call more of an operation; `None`: nothing, as far as is known here.
    ///
    /// Cost: no allocation but for a pool that is new, no lock.
    pub fn lack(&self, pools: &Pools, operation: &Operation) -> Option<Lack> {
        let known = self.known(pools, operation)?;
        let prospect = known.pool.prospect();
        prospect.is_refusal().then_some(Lack { prospect, known })
    }

    fn known(&self, pools: &Pools, operation: &Operation) -> Option<Rc<Known>> {
        let (name, dialect) = (&*operation.pool, operation.template.dialect);
        let version = pools.version();
        let mut known = self.known.borrow_mut();
        if self.version.replace(version) != version {
            known.clear();
        }
        let is_its = |one: &&Rc<Known>| one.dialect == dialect && one.pool.name() == name;
        if let Some(found) = known.iter().find(is_its) {
            return Some(Rc::clone(found));
        }
        let pool = pools.get(name, dialect)?;
        let refusal = Arc::new(pool.refusal());
        let new = Rc::new(Known { pool, dialect, refusal });
        known.push(Rc::clone(&new));
        Some(new)
    }
}

impl Lack {
    /// Counts a call that is refused for it. Returns what it is told.
    pub fn refuse(&self) -> Arc<BackendError> {
        self.known.pool.count_refused(self.prospect);
        Arc::clone(&self.known.refusal)
    }
}
