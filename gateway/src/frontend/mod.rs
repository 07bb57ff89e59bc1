//! The client side: sockets, the two protocols, and the limits of a connection.
//!
//! One pinned thread a core, each with a runtime, listeners and connections of its own; the kernel
//! spreads connections over the threads (`SO_REUSEPORT`). A connection lives and dies on its thread.
//!
//! ```text
//! listener ──▶ tcp   frames  ──▶ pipeline::serve ──▶ outbox ──▶ socket
//!          └─▶ http  plain, or hyper ──▶ pipeline::serve ──▶ response
//! ```
//!
//! Invariant: nothing here blocks, and no `RefCell` borrow is held over an await. TLS, when it comes,
//! wraps the stream between `listener` and the two protocols.

mod admission;
mod buffer;
mod catch;
#[cfg(feature = "mysql")]
mod database;
#[cfg(not(feature = "mysql"))]
#[path = "no_database.rs"]
mod database;
mod http;
mod listener;
mod parking;
mod probe;
mod registry;
mod room;
mod tcp;
mod wait;
mod worker;

pub use admission::Door;
pub use listener::{Bound, BoundListeners, Claim, Sharing, bind};
pub use probe::probe_ring;
use room::Room;
use wait::wait_for;
pub use worker::{Stop, spawn};
