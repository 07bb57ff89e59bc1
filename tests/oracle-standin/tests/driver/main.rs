//! The unmodified driver, crate `oracle`, over the stand-in for Oracle's client library.
//!
//! This is not Oracle: what these tests show is that the driver and the stand-in understand each other.

#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod basics;
mod place;
