//! Servers, sessions and transactions.

use std::ffi::{c_char, c_void};
use std::sync::atomic::Ordering;

use super::answer;
use crate::error::{Failure, OracleError, Status};
use crate::handles::{self, Handle, lock};
use crate::memory::Address;

/// What the server says it is.
const BANNER: &str = "Stand-in for Oracle Database 19c, for tests: PostgreSQL underneath";

/// 19.3.0.0.0, packed as servers from 18 on do.
const VERSION: u32 = 19 << 24 | 3 << 16;

/// The text of a pointer and a length.
///
/// # Safety
/// The pointer is null, or points at that many bytes.
pub(super) unsafe fn text(pointer: *const c_char, len: usize) -> String {
    // SAFETY: as this function's own.
    let address = unsafe { Address::new(pointer) };
    String::from_utf8_lossy(&address.bytes(len)).into_owned()
}

/// `OCIServerAttach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIServerAttach(
    server: *mut c_void,
    errors: *mut c_void,
    connect_string: *const c_char,
    len: i32,
    _mode: u32,
) -> i32 {
    // SAFETY: points at `len` bytes.
    let connect_string = unsafe { text(connect_string, usize::try_from(len).unwrap_or(0)) };
    answer(errors, || {
        handles::server(server)?.attach(&connect_string)?;
        Ok(Status::Success)
    })
}

/// `OCIServerDetach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIServerDetach(
    server: *mut c_void,
    errors: *mut c_void,
    _mode: u32,
) -> i32 {
    answer(errors, || {
        lock(&handles::server(server)?.target).take();
        Ok(Status::Success)
    })
}

/// `OCISessionBegin`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCISessionBegin(
    service: *mut c_void,
    errors: *mut c_void,
    user: *mut c_void,
    _credentials: u32,
    _mode: u32,
) -> i32 {
    answer(errors, || {
        let service = handles::service(service)?;
        let found = handles::find(user)?;
        let Handle::User(user) = &*found else { return Err(Failure::InvalidHandle) };
        let user = lock(user).clone();
        let server = *lock(&service.server);
        let found = handles::find_number(server)?;
        let Handle::Server(server) = &*found else { return Err(Failure::InvalidHandle) };
        let target = lock(&server.target).clone();
        let target = target.ok_or_else(|| {
            OracleError::new(24327, "need explicit attach before authenticating a user")
        })?;
        service.begin(&target, &user)?;
        server.is_lost.store(false, Ordering::Relaxed);
        Ok(Status::Success)
    })
}

/// `OCISessionEnd`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCISessionEnd(
    service: *mut c_void,
    errors: *mut c_void,
    _user: *mut c_void,
    _mode: u32,
) -> i32 {
    answer(errors, || {
        handles::service(service)?.end();
        Ok(Status::Success)
    })
}

/// `OCIServerRelease2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIServerRelease2(
    handle: *mut c_void,
    errors: *mut c_void,
    banner: *mut c_char,
    size: u32,
    _kind: u8,
    version: *mut u32,
    _mode: u32,
) -> i32 {
    // SAFETY: points at `size` bytes.
    let banner = unsafe { Address::new(banner) };
    // SAFETY: points at a number.
    let version = unsafe { Address::new(version) };
    answer(errors, || {
        handles::find(handle)?;
        let len = BANNER.len().min(usize::try_from(size).unwrap_or(0).saturating_sub(1));
        if size > 0 {
            banner.write_bytes(BANNER.get(..len).unwrap_or_default().as_bytes());
            banner.offset(len).write(0_u8);
        }
        version.write(VERSION);
        Ok(Status::Success)
    })
}

/// `OCIPing`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIPing(service: *mut c_void, errors: *mut c_void, _mode: u32) -> i32 {
    answer(errors, || {
        handles::service(service)?.call(|session| Ok(session.ping()?))?;
        Ok(Status::Success)
    })
}

/// `OCIBreak`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIBreak(service: *mut c_void, errors: *mut c_void) -> i32 {
    answer(errors, || {
        handles::service(service)?.cancel()?;
        Ok(Status::Success)
    })
}

/// `OCITransCommit`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCITransCommit(
    service: *mut c_void,
    errors: *mut c_void,
    _flags: u32,
) -> i32 {
    answer(errors, || {
        handles::service(service)?.call(|session| Ok(session.commit()?))?;
        Ok(Status::Success)
    })
}

/// `OCITransRollback`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCITransRollback(
    service: *mut c_void,
    errors: *mut c_void,
    _flags: u32,
) -> i32 {
    answer(errors, || {
        handles::service(service)?.call(|session| Ok(session.rollback()?))?;
        Ok(Status::Success)
    })
}
