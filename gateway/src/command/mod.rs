//! The subcommands of the binary.

pub mod check;
pub mod render;
pub mod which;
