//! The databases: pools of single connections, and what runs a template on them.

mod cell;
mod decimal;
mod encode;
mod error;
mod moment;
mod pack;

pub use error::BackendError;
