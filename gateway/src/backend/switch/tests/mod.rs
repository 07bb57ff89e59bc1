//! The switch on real databases, in both directions.

mod reconcile;
mod world;
