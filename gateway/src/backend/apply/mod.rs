//! Applies what the journal has accepted.

mod schedule;
