//! Descriptors of dates and times.

use std::ffi::{c_char, c_void};

use super::answer;
use super::sessions::text;
use crate::datetime::{DateTime, parse_offset};
use crate::error::{OracleError, Status};
use crate::handles;
use crate::memory::Address;

/// `OCIDateTimeConstruct`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIDateTimeConstruct(
    _environment: *mut c_void,
    errors: *mut c_void,
    descriptor: *mut c_void,
    year: i16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    nanos: u32,
    zone: *const c_char,
    zone_len: usize,
) -> i32 {
    // SAFETY: points at `zone_len` bytes, or is null.
    let zone = unsafe { text(zone, zone_len) };
    answer(errors, || {
        let offset_minutes = parse_offset(&zone)
            .ok_or_else(|| OracleError::new(1882, "timezone region not found"))?;
        let moment = DateTime { year, month, day, hour, minute, second, nanos, offset_minutes };
        if !moment.is_valid() {
            return Err(OracleError::new(
                1841,
                "(full) year must be between -4713 and +9999, and not be 0",
            )
            .into());
        }
        handles::set_moment(descriptor as usize, moment)?;
        Ok(Status::Success)
    })
}

/// `OCIDateTimeGetDate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIDateTimeGetDate(
    _environment: *mut c_void,
    errors: *mut c_void,
    descriptor: *const c_void,
    year: *mut i16,
    month: *mut u8,
    day: *mut u8,
) -> i32 {
    // SAFETY: points at a number.
    let year = unsafe { Address::new(year) };
    // SAFETY: points at a number.
    let month = unsafe { Address::new(month) };
    // SAFETY: points at a number.
    let day = unsafe { Address::new(day) };
    answer(errors, || {
        let moment = handles::moment(descriptor as usize)?;
        year.write(moment.year);
        month.write(moment.month);
        day.write(moment.day);
        Ok(Status::Success)
    })
}

/// `OCIDateTimeGetTime`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIDateTimeGetTime(
    _environment: *mut c_void,
    errors: *mut c_void,
    descriptor: *mut c_void,
    hour: *mut u8,
    minute: *mut u8,
    second: *mut u8,
    nanos: *mut u32,
) -> i32 {
    // SAFETY: points at a number.
    let hour = unsafe { Address::new(hour) };
    // SAFETY: points at a number.
    let minute = unsafe { Address::new(minute) };
    // SAFETY: points at a number.
    let second = unsafe { Address::new(second) };
    // SAFETY: points at a number.
    let nanos = unsafe { Address::new(nanos) };
    answer(errors, || {
        let moment = handles::moment(descriptor as usize)?;
        hour.write(moment.hour);
        minute.write(moment.minute);
        second.write(moment.second);
        nanos.write(moment.nanos);
        Ok(Status::Success)
    })
}

/// `OCIDateTimeGetTimeZoneOffset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIDateTimeGetTimeZoneOffset(
    _environment: *mut c_void,
    errors: *mut c_void,
    descriptor: *const c_void,
    hours: *mut i8,
    minutes: *mut i8,
) -> i32 {
    // SAFETY: points at a number.
    let hours = unsafe { Address::new(hours) };
    // SAFETY: points at a number.
    let minutes = unsafe { Address::new(minutes) };
    answer(errors, || {
        let offset = handles::moment(descriptor as usize)?.offset_minutes;
        hours.write(i8::try_from(offset / 60).unwrap_or(0));
        minutes.write(i8::try_from(offset % 60).unwrap_or(0));
        Ok(Status::Success)
    })
}
