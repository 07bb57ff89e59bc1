//! The data gateway: game servers and web sites on one side, databases on the other.
//!
//! A request names a game and an operation. The operation is a template: an SQL text with a contract
//! in its comments, in a file that DBAs own. The gateway checks who asks, binds the parameters,
//! and answers from its cache or from the database. `pipeline/mod.rs` shows that way top to bottom; the
//! modules stand here in the order in which a request meets them.

pub mod frontend;
pub mod pipeline;
pub mod worker;
pub mod auth;
pub mod catalog;
pub mod bind;
pub mod identity;
pub mod cache;
pub mod journal;
pub mod stream;
pub mod backend;
pub mod error;
pub mod reply;
pub mod snapshot;
pub mod queue;
pub mod control;
pub mod observe;
pub mod config;
pub mod machine;
pub mod server;
pub mod command;
