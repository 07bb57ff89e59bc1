//! The protocol of MySQL and MariaDB, for the plain reads of frontend threads.
//!
//! No socket here: [`Session`] makes the bytes to send and takes in those that were received, so that whoever owns the
//! socket does the waiting. [`open`] logs in, on the backend's runtime; a frontend's thread does the rest on its own ring
//! (`frontend/database`). sqlx stays for everything else: this knows prepared statements with one result, and logins by
//! `mysql_native_password` and the short way of `caching_sha2_password`, in the clear.
//!
//! Invariant: whatever a server sends, it ends in a result or in an error, never in a panic; what is kept grows with what has
//! arrived, not with what is announced. After an error that is not the server's own refusal nothing more is asked on the connection,
//! and the read goes the other driver's way.

mod bind;
mod column;
mod ending;
mod fault;
mod fields;
mod login;
mod open;
mod packet;
mod row;
mod session;
mod statements;
#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;

pub(in crate::backend) use fault::ServerFault;
pub(in crate::backend) use open::{Opened, open};
pub(in crate::backend) use session::Query;
pub use session::{Session, Step};

use super::super::fault::Failure;

/// What a server sent, or was to be sent, that is not taken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Unfit {
    /// It is no answer to what was asked: the connection is not to be trusted.
    OutOfStep(&'static str),
    /// It is none that is had here, and would be so again.
    NotHad(&'static str),
}

impl From<Unfit> for sqlx::Error {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::OutOfStep(what) => Self::Protocol(what.into()),
            Unfit::NotHad(what) => Self::InvalidArgument(what.into()),
        }
    }
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        Self::Lost(unfit.into())
    }
}
