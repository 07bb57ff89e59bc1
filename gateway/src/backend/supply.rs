//! What the gateway itself gives to one request: the moment, ids, and what is known of the caller.

use std::time::SystemTime;

use super::dispatch::Asker;
use super::{BackendError, IdSource, Supplied, row_count};
use crate::bind::Bound;
use crate::catalog::Template;

/// The moment, and the ids that a template asks for: for the whole request, however often it is tried.
#[derive(Debug)]
pub struct Ids {
    now_micros: i64,
    id: i64,
    of_rows: Vec<i64>,
}

impl Ids {
    /// Takes what a template asks for.
    ///
    /// # Errors
    ///
    /// [`BackendError::Supply`] while the clock is wrong.
    pub(super) fn take(
        source: &IdSource,
        template: &Template,
        bound: &Bound<'_>,
    ) -> Result<Self, BackendError> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let next = || {
            let id = source.next(now_ms);
            id.map_err(|error| BackendError::Supply(error.to_string()))
        };
        // Asked for only where one is used: while the clock is wrong everything else goes on.
        let id = if template.uses_id() { next()? } else { 0 };
        let count = if template.uses_row_ids() {
            row_count(template, bound, template.slots.len())
        } else {
            0
        };
        let of_rows = (0..count).map(|_| next()).collect::<Result<_, _>>()?;
        let now_micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        Ok(Self { now_micros, id, of_rows })
    }

    /// The same, with who asks.
    pub(super) fn supplied<'s>(&'s self, asker: &'s Asker) -> Supplied<'s> {
        Supplied {
            now_micros: self.now_micros,
            id: self.id,
            row_ids: &self.of_rows,
            caller: &asker.principal.caller,
            claims: &asker.principal.claims,
            trace: &asker.trace,
        }
    }
}
