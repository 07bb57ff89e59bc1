//! Conversions of `OCINumber`.

use std::ffi::c_void;

use super::answer;
use crate::error::{Failure, OracleError, Outcome, Status};
use crate::memory::Address;
use crate::number;

/// `OCI_NUMBER_SIGNED`.
const SIGNED: u32 = 2;

fn overflow() -> Failure {
    OracleError::new(22053, "overflow error").into()
}

fn write_number(place: Address, text: &str) -> Outcome {
    place.write_bytes(&number::encode(text).ok_or_else(overflow)?);
    Ok(Status::Success)
}

fn read_number(place: Address) -> Result<String, Failure> {
    number::decode(&place.bytes(number::NUMBER_BYTES)).ok_or_else(overflow)
}

/// `OCINumberFromInt`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCINumberFromInt(
    errors: *mut c_void,
    integer: *const c_void,
    size: u32,
    sign: u32,
    number: *mut c_void,
) -> i32 {
    // SAFETY: points at an integer of `size` bytes.
    let integer = unsafe { Address::new(integer) };
    // SAFETY: points at an `OCINumber`.
    let number = unsafe { Address::new(number) };
    answer(errors, || {
        let text = match (size, sign) {
            (8, SIGNED) => integer.read::<i64>().map(|integer| integer.to_string()),
            (8, _) => integer.read::<u64>().map(|integer| integer.to_string()),
            (4, SIGNED) => integer.read::<i32>().map(|integer| integer.to_string()),
            (4, _) => integer.read::<u32>().map(|integer| integer.to_string()),
            _ => None,
        };
        write_number(number, &text.ok_or_else(overflow)?)
    })
}

/// `OCINumberFromReal`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCINumberFromReal(
    errors: *mut c_void,
    real: *const c_void,
    size: u32,
    number: *mut c_void,
) -> i32 {
    // SAFETY: points at a `double` or a `float`.
    let real = unsafe { Address::new(real) };
    // SAFETY: points at an `OCINumber`.
    let number = unsafe { Address::new(number) };
    answer(errors, || {
        let real = if size == 4 { real.read::<f32>().map(f64::from) } else { real.read::<f64>() };
        let real = real.filter(|real| real.is_finite()).ok_or_else(overflow)?;
        // Debug's form has an exponent where the digits alone would be too many.
        write_number(number, &format!("{real:?}"))
    })
}

/// `OCINumberToInt`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCINumberToInt(
    errors: *mut c_void,
    number: *const c_void,
    size: u32,
    sign: u32,
    integer: *mut c_void,
) -> i32 {
    // SAFETY: points at an `OCINumber`.
    let number = unsafe { Address::new(number) };
    // SAFETY: points at an integer of `size` bytes.
    let integer = unsafe { Address::new(integer) };
    answer(errors, || {
        let text = read_number(number)?;
        let whole = text.split('.').next().unwrap_or_default();
        let bytes = if sign == SIGNED {
            whole.parse::<i64>().map(i64::to_le_bytes)
        } else {
            whole.parse::<u64>().map(u64::to_le_bytes)
        };
        let bytes = bytes.map_err(|_too_large| overflow())?;
        let size = usize::try_from(size).unwrap_or(8).min(8);
        integer.write_bytes(bytes.get(..size).unwrap_or_default());
        Ok(Status::Success)
    })
}

/// `OCINumberToReal`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCINumberToReal(
    errors: *mut c_void,
    number: *const c_void,
    size: u32,
    real: *mut c_void,
) -> i32 {
    // SAFETY: points at an `OCINumber`.
    let number = unsafe { Address::new(number) };
    // SAFETY: points at a `double` or a `float`.
    let real = unsafe { Address::new(real) };
    answer(errors, || {
        let text = read_number(number)?;
        if size == 4 {
            real.write(text.parse::<f32>().map_err(|_too_large| overflow())?);
        } else {
            real.write(text.parse::<f64>().map_err(|_too_large| overflow())?);
        }
        Ok(Status::Success)
    })
}
