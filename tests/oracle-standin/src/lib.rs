//! A stand-in for Oracle's client library, for tests: it is not Oracle.
//!
//! Built as a `cdylib` and found under the name `libclntsh.so`, it exports the OCI functions that the driver
//! (ODPI-C, in the crate `oracle`) looks up, and answers them from a private PostgreSQL, whose dialect is made to
//! look like Oracle's by [`rewrite`]. The driver runs unmodified; the README says what is imitated and what is not.
//!
//! Way of a call: [`exports`] check the handles that the client passes ([`handles`]) and call safe code:
//! [`execute`] and [`fetch`] move values between the client's buffers ([`buffers`]) and a [`connection`].
//!
//! `unsafe` stands in two places only: the exported functions, which are called from C, and [`memory`], the one
//! place that reads and writes what the client points at. Handles are numbers that are looked up, never pointers
//! that are followed: a handle that was freed is refused, not undefined.

pub mod attributes;
pub mod bind;
pub mod block;
pub mod buffers;
pub mod connection;
pub mod datetime;
pub mod describe;
pub mod error;
pub mod execute;
pub mod exports;
pub mod fault;
pub mod fetch;
pub mod handles;
pub mod lob;
pub mod memory;
pub mod number;
pub mod plan;
pub mod rewrite;
pub mod row;
pub mod server;
pub mod session;
pub mod settings;
pub mod sqlstate;
pub mod statement;
pub mod value;
