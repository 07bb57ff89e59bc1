//! The cache: entries in process (L1) and in Redis (L2), and the generations that keep them true.
//!
//! Invariant: a per-principal result never stands under a global key.

mod body;

pub use body::{Body, Stored};
