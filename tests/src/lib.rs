//! The harness of the end-to-end tests: real servers, the real binary, raw bytes.
//!
//! A test says what it needs ([`Setup`]) and gets a running [`Gateway`] on free ports of 127.0.0.1 with a
//! configuration and databases of its own. Everything that is started is stopped and removed when it is
//! dropped, also when the test fails and when the test program is killed.
//!
//! The wire is spoken here by hand ([`Wire`], [`Http`]), from `protocol.md` and not from the gateway's
//! crates, so that both sides cannot share one mistake, and so that broken bytes can be sent.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a harness stops its test at the first surprise"
)]

mod wait;
mod random;
mod keeper;
mod database;
mod server;
mod schemas;
mod lock;
mod session;
mod mariadb;
mod oracle;
mod standin;
mod redis;
mod need;
mod credential;
mod setup;
mod gateway;
mod wire;
mod http;
mod transport;
mod caller;
mod machine;
pub mod load;
pub mod sample;

pub use caller::{Caller, Outcome, Settled};
pub use credential::{
    ADMIN_KEY, Algorithm, Credential, GAME_SERVER_SECRET, GameServer, Token, api_key_hash,
};
pub use database::Database;
pub use gateway::{Gateway, Output, binary, run, run_with};
pub use http::{Http, Response};
pub use keeper::{Keeper, Signal, send_signal};
pub use lock::TableLock;
pub use machine::{Machine, PLAIN_MACHINE, Report, same_report, tuning_folder};
pub use mariadb::Mariadb;
pub use need::{is_installed, shared_mariadb, shared_redis, shared_stand_in};
pub use random::{Random, fresh_seed, seed_from_environment};
pub use redis::Redis;
pub use schemas::Schemas;
pub use server::Server;
pub use session::Session;
pub use setup::{Setup, copy_folder, no_io_uring, sql_templates};
pub use transport::{Answer, Transport, call_everywhere};
pub use wait::{LIMIT, free_address, wait_until};
pub use wire::{
    BATCH, CALL, Codec, EVENT, Frame, GOAWAY, HELLO, PING, PONG, REPLY, WELCOME, Wire, frame,
};
