//! The databases: pools of single connections, and what runs a template on them.

mod apply;
mod call;
mod cell;
mod compound;
mod connection;
mod cursor;
mod dictionary;
#[cfg(feature = "mysql")]
pub mod direct;
mod encode;
mod dispatch;
mod error;
mod explain;
mod fault;
mod fetch;
mod fold;
mod history;
mod id;
mod intake;
mod kept;
mod migrate;
mod migration;
#[cfg(any(feature = "mysql", feature = "oracle"))]
mod moment;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "oracle")]
mod oracle;
mod outlook;
mod params;
mod pool;
mod pools;
mod procedure;
mod purger;
mod queued;
mod run;
mod script;
mod seed;
mod sink;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "oracle", feature = "sqlite"))]
mod standin;
mod statement;
mod supply;
pub mod switch;
#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
pub(crate) mod testing;
#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
mod tests;
#[cfg(feature = "mysql")]
mod upsert;
mod write;

pub use apply::{Applier, Keeper};
pub use cursor::CursorKey;
pub use dispatch::{Asker, DirectReads, Dispatch, Fetched, Job, NonceClaim, RefusedAttempt, Run};
pub use error::{BackendError, Current, Details};
pub use explain::{Examiner, ExplainFinding, SCAN_ROWS_MAX};
pub use fetch::{Asked, Fetcher, FetcherParts};
pub use id::{IdSource, IdSourceError};
pub use migrate::{MigrateError, MigrateMode, MigrationState, MigrationStep, migrate};
pub use migration::{Migration, MigrationFault, own_migrations, read_migrations, read_schema};
#[cfg(feature = "oracle")]
pub use oracle::break_off;
pub use outlook::{Lack, Outlook, is_gated, needs_connection};
pub use pool::{EventSink, Pool, PoolStats, Prospect};
pub use pools::{Farewell, Pools};
pub use purger::{EventFigures, KeptEvents, Purger};
pub use run::{Limits, Outcome, run};
pub use script::ScriptFault;
pub use seed::{SeedError, seed};
/// A driver's own failure, as commands report it.
pub use sqlx::Error as DriverError;
pub use statement::{Supplied, row_count};
pub use write::{RunningKeys, Write, Written, needs_transaction, write};
