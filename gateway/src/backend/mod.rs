//! The databases: pools of single connections, and what runs a template on them.

mod error;

pub use error::BackendError;
