//! The functions that the driver looks up by name, thin: each checks what it was passed and calls safe code.
//!
//! Their prototypes are those that ODPI-C declares in `dpiOci.c`, which are Oracle's. What is not exported is not
//! imitated: the driver reports it by name (DPI-1049).

#![expect(unsafe_code, reason = "these functions are called from C, by name")]
#![expect(clippy::missing_safety_doc, reason = "the module says what holds for all of them")]

pub mod environment;
pub mod lobs;
pub mod moments;
pub mod numbers;
pub mod sessions;
pub mod statements;
pub mod threads;

use std::ffi::c_void;

use crate::error::{Failure, Outcome};
use crate::handles;

/// `OCI_ERROR`.
const ERROR: i32 = -1;

/// `OCI_INVALID_HANDLE`.
const INVALID_HANDLE: i32 = -2;

/// Runs safe code and tells C how it went: the error goes into the error handle.
fn answer(errors: *const c_void, run: impl FnOnce() -> Outcome) -> i32 {
    match run() {
        Ok(status) => status.number(),
        Err(Failure::InvalidHandle) => INVALID_HANDLE,
        Err(Failure::Oracle(error)) => {
            handles::with_error(errors, |state| state.error = Some(error));
            ERROR
        }
    }
}
