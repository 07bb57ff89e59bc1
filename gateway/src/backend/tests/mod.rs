//! Tests of the backend that need a database: SQLite files always, MariaDB where there is one.

mod apply;
mod denied;
mod ledger;
mod migrate;
#[cfg(feature = "oracle")]
mod oracle;
mod outage;
mod pool;
mod prospect;
mod run;
mod stream;
mod types;
mod write;
