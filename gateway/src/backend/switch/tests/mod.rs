//! The switch on real databases, in both directions.

#![expect(clippy::large_futures, reason = "one future a test")]

mod answers;
mod copy;
mod flip;
mod oracle;
mod reconcile;
mod steps;
mod world;
