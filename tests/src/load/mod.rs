//! Load whose every effect is remembered, so that a database can be compared with it afterwards.

#![expect(clippy::unwrap_used, reason = "a harness stops its test at the first surprise")]

mod book;
mod client;
mod verify;

pub use book::{Effect, Entry, Fate, Rows, Tally};
pub use client::Client;
pub use verify::Verifier;

use crate::server::Server;

/// Has every player of the load trade: of those below a level the sample takes what they are given, and lets them give
/// nothing away, so that in the end nothing moves any more.
pub fn let_trade(server: &Server, schema: &str) {
    let (first, last) = client::PLAYERS;
    let sql = "UPDATE player SET player_level = 99 WHERE player_id BETWEEN";
    server.query(schema, &format!("{sql} {first} AND {last}"));
}
