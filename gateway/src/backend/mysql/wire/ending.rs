//! How an answer ends: with a refusal, without rows, behind its rows.

use super::super::super::fault::Failure;
use super::Unfit;
use super::fault::ServerFault;
use super::fields::Fields;

const IN_TRANSACTION: u16 = 1;
const MORE_RESULTS: u16 = 8;

/// What a refusal means.
pub(super) fn refusal(packet: &[u8]) -> Failure {
    match ServerFault::read(packet) {
        Ok(fault) => sqlx::Error::from(fault).into(),
        Err(unfit) => unfit.into(),
    }
}

/// Reads the end of an answer without rows.
pub(super) fn ended(packet: &[u8]) -> Result<(), Unfit> {
    let mut fields = Fields::new(packet);
    let (_ok, _affected, _id) = (fields.u8(), fields.number(), fields.number());
    free(fields.u16())
}

/// Reads the end of a result's rows.
pub(super) fn result_ended(packet: &[u8], ends_once: bool) -> Result<(), Unfit> {
    if ends_once {
        return ended(packet);
    }
    let mut fields = Fields::new(packet);
    let (_end, _warnings) = (fields.u8(), fields.u16());
    free(fields.u16())
}

/// Whether the connection is free again.
const fn free(status: Option<u16>) -> Result<(), Unfit> {
    match status {
        None => Err(Unfit::OutOfStep("an end that is not understood")),
        Some(status) if status & MORE_RESULTS != 0 => Err(Unfit::NotHad("more than one result")),
        Some(status) if status & IN_TRANSACTION != 0 => {
            Err(Unfit::OutOfStep("a transaction that is open"))
        }
        Some(_) => Ok(()),
    }
}
