//! The switch of a game from one database to another: what is the same on both sides, and what is not.
//!
//! A group of tables has one owner and may have one mirror. Rows of either are read into one form
//! (`pair`, `rows`), so that a number with zeros at its end, a padded text or a moment of fewer digits is the
//! same row wherever it stands; `compare` walks both sides and finds what differs, `transfer` writes rows of one
//! to the other as they are now.
//!
//! Invariant: values of rows are binds; names of tables and columns come from the databases' own dictionaries, quoted.

mod abandon;
mod backfill;
mod canonical;
mod capture;
mod carry;
mod check;
mod compare;
mod copy;
mod cutover;
mod direction;
mod divergence;
mod drain;
mod error;
mod events;
mod flip;
mod gate;
mod gates;
mod instance;
mod introspect;
mod keep;
mod key;
mod lease;
mod lookout;
mod outbox;
mod owners;
mod ownership;
mod pair;
mod post;
mod preflight;
mod registration;
mod retire;
mod rights;
mod rows;
mod side;
mod state;
mod status;
mod steps;
mod table;
mod tasks;
#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "oracle", feature = "sqlite"))]
mod tests;
mod transfer;
pub mod verify;

pub(super) use capture::moment as moment_sql;
pub use compare::{Reconcile, Uncompared, reconcile};
pub use copy::Batch;
pub use cutover::{Flip, Flipped, flip};
pub use direction::by_rows;
pub use divergence::{ColumnDifference, DifferentRow, RefusedRow, TableReport};
pub use drain::Progress;
pub use error::SwitchError;
pub use events::{EventId, EventQuery, NoEventId, StoredEvent, read_events};
pub(super) use events::{Kept, purge_events};
pub use flip::{Recovered, recover};
pub(super) use gate::{Epoch, Owner};
pub(super) use gates::Entered;
pub use gates::{Gates, Ownership};
pub use instance::{Instance, InstanceState};
pub use keep::Copiers;
pub use lease::{Holder, Takeover};
pub(super) use outbox::KIND_EVENT as EVENT_KIND;
pub use outbox::{Depth, Refused};
pub use owners::Owners;
pub use pair::OneSided;
pub use preflight::Check;
pub use retire::{Retired, retire, retired_before};
pub use state::{Group, GroupTable, Phase, State};
pub use status::{Status, status};
pub use steps::{Mirrored, backfill, copy, flip_script, mirror, mirror_script, retry_refused};
