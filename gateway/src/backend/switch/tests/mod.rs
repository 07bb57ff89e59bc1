//! The switch on real databases, in both directions.

#![expect(clippy::large_futures, reason = "one future a test")]

mod answers;
mod copy;
mod cutover;
mod events;
mod flip;
mod former;
mod gateway;
mod letters;
mod oracle;
mod owners;
mod reconcile;
mod rights;
mod shadow;
mod steps;
mod uncopied;
mod world;
