//! Whether the database that a transaction writes to owns the game: asked within the transaction, first of all.
//!
//! A flip changes the row that is read here, and waits for every transaction that has read it. So nobody who has not
//! heard of a flip writes to the owner of before.

use super::super::BackendError;
use super::super::connection::Statement;
use super::super::fault::Failure;
use super::super::kept::Table;
use super::super::switch::{Epoch, Owner};
use super::transaction::Transaction;
use crate::catalog::{Dialect, Isolation, Scalar};

const READ: &str = "SELECT epoch, owner FROM gateway_switch WHERE group_name = ?";
const READ_SHARED: &str =
    "SELECT epoch, owner FROM gateway_switch WHERE group_name = ? LOCK IN SHARE MODE";
const READ_LOCKED: &str = "SELECT epoch, owner FROM gateway_switch WHERE group_name = ? FOR UPDATE";
/// No row is locked by Oracle's readers; a flip takes the table alone.
const LOCK: &str = "LOCK TABLE gateway_switch IN ROW SHARE MODE";
const COLUMNS: [&str; 2] = ["epoch", "owner"];

/// Asks the row of a game in the transaction's database, and holds it until the transaction ends.
///
/// # Errors
///
/// [`BackendError::OwnerMoved`] when it is not what `owner` says; [`Failure`] of the question.
pub(super) async fn hold(
    tx: &mut Transaction,
    game: &str,
    owner: &Owner,
    isolation: Option<Isolation>,
) -> Result<(), Failure> {
    if owner.epoch == Epoch::Unasked {
        return Ok(());
    }
    let sql = match tx.dialect() {
        // The transaction is the only one that writes.
        Dialect::Sqlite => READ,
        Dialect::Mysql => READ_SHARED,
        Dialect::Oracle => match isolation {
            // Its view may be older than the lock: only a lock of the row itself tells.
            Some(Isolation::Serializable | Isolation::RepeatableRead) => READ_LOCKED,
            Some(Isolation::ReadCommitted) | None => {
                tx.run_text(LOCK).await?;
                READ
            }
        },
    };
    let mut table = Table::new(&COLUMNS);
    let binds = vec![Scalar::Str(game.into())];
    tx.fetch(&Statement { sql: sql.into(), binds }, &mut table).await?;
    let rows = table.finish();
    let found = match rows.first().map(Vec::as_slice) {
        None => Epoch::Absent,
        Some([Scalar::Int(epoch), Scalar::Str(name)]) if **name == *owner.pool => {
            Epoch::Row(*epoch)
        }
        Some(_) => return Err(moved()),
    };
    if found == owner.epoch { Ok(()) } else { Err(moved()) }
}

fn moved() -> Failure {
    Failure::Refused(BackendError::OwnerMoved { is_unknown: false })
}
