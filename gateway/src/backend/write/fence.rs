//! The table `gateway_stream`: keeps an owner of a stream that was replaced from writing.
//!
//! The row is written first in the transaction and locked until its end, so that transactions of one stream come
//! one after the other, and none of an older owner comes after one of a newer.

use super::super::BackendError;
use super::super::connection::Statement;
use super::super::fault::Failure;
use super::transaction::Transaction;
use crate::catalog::Scalar;

const RAISE: &str = "UPDATE gateway_stream SET token = ? WHERE stream = ? AND token <= ?";
const ENTER: &str = "INSERT INTO gateway_stream (stream, token) VALUES (?, ?)";

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Fence {
    /// Which stream.
    pub stream: i64,
    /// Which owner of it: larger than those before.
    pub token: i64,
}

/// Holds the stream for the transaction; false: a newer owner has written.
pub(super) async fn hold(tx: &mut Transaction, fence: Fence) -> Result<bool, Failure> {
    let Fence { stream, token } = fence;
    let binds = vec![Scalar::Int(token), Scalar::Int(stream), Scalar::Int(token)];
    if tx.execute(&Statement { sql: RAISE.into(), binds }).await? > 0 {
        return Ok(true);
    }
    let binds = vec![Scalar::Int(stream), Scalar::Int(token)];
    match tx.execute(&Statement { sql: ENTER.into(), binds }).await {
        Ok(_) => Ok(true),
        Err(Failure::Refused(BackendError::Duplicate { .. })) => Ok(false),
        Err(failure) => Err(failure),
    }
}
