//! End-to-end tests: the real binary, real sockets, real databases.
//!
//! Every expectation here is a line of the design: the protocol, the codes, the promises of the cache. A
//! test that needs a server which is not installed says so and passes, except in CI, where it fails.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops at its first surprise"
)]

mod operations;
mod alike;
mod refusal;
mod wire;
mod tcp;
mod pipelined;
mod client;
mod http;
mod http_learned;
mod http_plain;
mod repeats;
mod auth;
mod cache;
mod reload;
mod drain;
mod parking;
mod economy;
mod events;
mod rewards;
mod faults;
mod frontend_reads;
mod admin;
mod call;
mod command;
mod diff;
mod doctor;
mod tuning;
mod order_state;
mod node;
mod stream;
mod stream_letters;
mod switch;
mod verify;
mod backlog;
mod journal;
mod letters;
mod burial;
mod torture;
mod model;
mod world;
