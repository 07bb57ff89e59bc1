//! Load whose every effect is remembered, so that a database can be compared with it afterwards.

#![expect(clippy::unwrap_used, reason = "a harness stops its test at the first surprise")]

mod book;
mod client;
mod verify;

pub use book::{Effect, Entry, Fate, Rows, Tally};
pub use client::Client;
pub use verify::Verifier;
