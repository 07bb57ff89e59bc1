//! To come.

mod key;

pub use key::{KeyCommand, KeyCommandError};
