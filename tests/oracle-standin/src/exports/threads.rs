//! Values of a thread: the driver keeps its errors there.

use std::ffi::c_void;

use crate::memory::Address;

/// Frees a thread's value at its end.
type Destructor = unsafe extern "C" fn(*mut c_void);

/// `OCIThreadProcessInit`: nothing to prepare.
#[unsafe(no_mangle)]
pub const unsafe extern "C" fn OCIThreadProcessInit() {}

/// `OCIThreadKeyInit`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIThreadKeyInit(
    _environment: *mut c_void,
    _errors: *mut c_void,
    key: *mut *mut c_void,
    destructor: Option<Destructor>,
) -> i32 {
    let mut made: libc::pthread_key_t = 0;
    // SAFETY: `made` is valid for a key; the destructor is C's own.
    let failed = unsafe { libc::pthread_key_create(&raw mut made, destructor) } != 0;
    if failed {
        return super::ERROR;
    }
    // One more than the key, so that none is null.
    let number = usize::try_from(made).map_or(0, |made| made + 1);
    // SAFETY: points at a pointer.
    unsafe { Address::new(key) }.write(number);
    0
}

fn key_of(key: *mut c_void) -> Option<libc::pthread_key_t> {
    (key as usize).checked_sub(1).and_then(|key| libc::pthread_key_t::try_from(key).ok())
}

/// `OCIThreadKeyGet`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIThreadKeyGet(
    _environment: *mut c_void,
    _errors: *mut c_void,
    key: *mut c_void,
    value: *mut *mut c_void,
) -> i32 {
    let Some(key) = key_of(key) else { return super::INVALID_HANDLE };
    // SAFETY: a key that was made above.
    let own = unsafe { libc::pthread_getspecific(key) };
    // SAFETY: points at a pointer.
    unsafe { Address::new(value) }.write(own as usize);
    0
}

/// `OCIThreadKeySet`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIThreadKeySet(
    _environment: *mut c_void,
    _errors: *mut c_void,
    key: *mut c_void,
    value: *mut c_void,
) -> i32 {
    let Some(key) = key_of(key) else { return super::INVALID_HANDLE };
    // SAFETY: a key that was made above; the value is the client's own.
    unsafe { libc::pthread_setspecific(key, value) }
}

/// `OCIThreadKeyDestroy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIThreadKeyDestroy(
    _environment: *mut c_void,
    _errors: *mut c_void,
    key: *mut *mut c_void,
) -> i32 {
    // SAFETY: points at a key that was made above.
    let number = unsafe { Address::new(key) }.read::<usize>().unwrap_or(0);
    let Some(key) = key_of(number as *mut c_void) else { return super::INVALID_HANDLE };
    // SAFETY: a key that was made above.
    unsafe { libc::pthread_key_delete(key) }
}
