//! Environment, handles, descriptors, attributes and errors.

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Arc, Mutex};

use super::answer;
use crate::attributes::{self, UTF8};
use crate::connection::{Server, Service};
use crate::error::{Failure, OracleError, Status};
use crate::execute::Statement;
use crate::handles::{self, Handle, lock};
use crate::memory::Address;

/// Version that the library and the server say they are: 19.3, the long-term release of most who are left on it.
const VERSION: [i32; 5] = [19, 3, 0, 0, 0];

/// `OCIClientVersion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIClientVersion(
    major: *mut i32,
    minor: *mut i32,
    update: *mut i32,
    patch: *mut i32,
    port_update: *mut i32,
) {
    for (place, number) in [major, minor, update, patch, port_update].into_iter().zip(VERSION) {
        // SAFETY: each points at an `int`, or is null.
        unsafe { Address::new(place) }.write(number);
    }
}

/// `OCIEnvNlsCreate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIEnvNlsCreate(
    environment: *mut *mut c_void,
    _mode: u32,
    _context: *mut c_void,
    _malloc: *mut c_void,
    _realloc: *mut c_void,
    _free: *mut c_void,
    _extra: usize,
    _user_memory: *mut *mut c_void,
    charset: u16,
    ncharset: u16,
) -> i32 {
    let known = |id: u16| if id == 0 { UTF8 } else { id };
    let handle = handles::enter(vec![Handle::Environment(known(charset), known(ncharset))]);
    // SAFETY: points at a pointer.
    unsafe { Address::new(environment) }.write(handle);
    0
}

/// `OCIHandleAlloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIHandleAlloc(
    _parent: *const c_void,
    handle: *mut *mut c_void,
    kind: u32,
    _extra: usize,
    _user_memory: *mut *mut c_void,
) -> i32 {
    let made = match kind {
        1 => Handle::Environment(UTF8, UTF8),
        2 => Handle::Error(Mutex::default()),
        3 => Handle::Service(Arc::new(Service::default())),
        4 => {
            let none = Statement::new(Arc::new(Service::default()), String::new());
            Handle::Statement(Mutex::new(none))
        }
        8 => Handle::Server(Arc::new(Server::default())),
        9 => Handle::User(Mutex::default()),
        10 => Handle::Transaction,
        _ => return super::ERROR,
    };
    // SAFETY: points at a pointer.
    unsafe { Address::new(handle) }.write(handles::enter(vec![made]));
    0
}

/// `OCIHandleFree`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIHandleFree(handle: *mut c_void, _kind: u32) -> i32 {
    answer(std::ptr::null(), || {
        let freed = handles::free(handle as usize)?;
        if let Handle::Statement(statement) = &*freed {
            lock(statement).release();
        }
        if let Handle::User(user) = &*freed {
            // User and service context name each other; nothing is left of either once both are freed.
            lock(user).service = None;
        }
        Ok(Status::Success)
    })
}

fn descriptor(kind: u32, together: usize) -> Option<Handle> {
    Some(match kind {
        50 => Handle::Lob(Mutex::default()),
        54 => Handle::Rowid(Mutex::default()),
        68..=70 => Handle::Moment(Mutex::default(), together),
        _ => return None,
    })
}

/// `OCIDescriptorAlloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIDescriptorAlloc(
    _parent: *const c_void,
    descriptor_at: *mut *mut c_void,
    kind: u32,
    _extra: usize,
    _user_memory: *mut *mut c_void,
) -> i32 {
    let Some(made) = descriptor(kind, 1) else { return super::ERROR };
    // SAFETY: points at a pointer.
    unsafe { Address::new(descriptor_at) }.write(handles::enter(vec![made]));
    0
}

/// `OCIDescriptorFree`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIDescriptorFree(descriptor: *mut c_void, _kind: u32) -> i32 {
    answer(std::ptr::null(), || handles::free(descriptor as usize).map(|_| Status::Success))
}

/// `OCIArrayDescriptorAlloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIArrayDescriptorAlloc(
    _parent: *const c_void,
    descriptors: *mut *mut c_void,
    kind: u32,
    count: u32,
    _extra: usize,
    _user_memory: *mut *mut c_void,
) -> i32 {
    let count = usize::try_from(count).unwrap_or(0);
    let made: Option<Vec<Handle>> = (0..count).map(|_| descriptor(kind, count)).collect();
    let Some(made) = made else { return super::ERROR };
    let first = handles::enter(made);
    // SAFETY: points at as many pointers as were asked for.
    let places = unsafe { Address::new(descriptors) };
    for index in 0..count {
        places.offset(index * size_of::<usize>()).write(handles::nth(first, index));
    }
    0
}

/// `OCIArrayDescriptorFree`: frees those that were allocated together.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIArrayDescriptorFree(descriptors: *mut *mut c_void, _kind: u32) -> i32 {
    // SAFETY: points at the pointers that were allocated together.
    let first = unsafe { Address::new(descriptors) }.read::<usize>().unwrap_or(0);
    answer(std::ptr::null(), || {
        let count = match &*handles::find_number(first)? {
            Handle::Moment(_, together) => *together,
            _ => 1,
        };
        for index in 0..count {
            handles::free(handles::nth(first, index))?;
        }
        Ok(Status::Success)
    })
}

/// `OCIAttrGet`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIAttrGet(
    handle: *const c_void,
    _kind: u32,
    value: *mut c_void,
    size: *mut u32,
    attribute: u32,
    errors: *mut c_void,
) -> i32 {
    // SAFETY: points at memory for the attribute.
    let value = unsafe { Address::new(value) };
    // SAFETY: points at a length, or is null.
    let size = unsafe { Address::new(size) };
    answer(errors, || attributes::get(handle, attribute, value, size))
}

/// `OCIAttrSet`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIAttrSet(
    handle: *mut c_void,
    _kind: u32,
    value: *mut c_void,
    size: u32,
    attribute: u32,
    errors: *mut c_void,
) -> i32 {
    // SAFETY: points at the attribute, or is a handle, which is never followed.
    let value = unsafe { Address::new(value) };
    answer(errors, || attributes::set(handle, attribute, value, size))
}

/// `OCIParamGet`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIParamGet(
    handle: *const c_void,
    _kind: u32,
    errors: *mut c_void,
    parameter: *mut *mut c_void,
    position: u32,
) -> i32 {
    // SAFETY: points at a pointer.
    let parameter = unsafe { Address::new(parameter) };
    answer(errors, || attributes::parameter(handle, parameter, position))
}

/// `OCIErrorGet`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIErrorGet(
    handle: *mut c_void,
    record: u32,
    _state: *mut c_char,
    code: *mut i32,
    text: *mut c_char,
    size: u32,
    _kind: u32,
) -> i32 {
    // SAFETY: points at an `int`, or is null.
    let code = unsafe { Address::new(code) };
    // SAFETY: points at `size` bytes.
    let text = unsafe { Address::new(text) };
    answer(std::ptr::null(), || {
        let found = handles::find(handle)?;
        let error = match &*found {
            Handle::Error(state) => lock(state).error.clone(),
            Handle::Environment(..) => {
                Some(OracleError::new(1804, "failure to initialize timezone information"))
            }
            _ => return Err(Failure::InvalidHandle),
        };
        let Some(error) = error.filter(|_| record == 1) else { return Ok(Status::NoData) };
        code.write(error.code);
        let room = usize::try_from(size).unwrap_or(0).saturating_sub(1);
        let mut end = room.min(error.message.len());
        while !error.message.is_char_boundary(end) {
            end -= 1;
        }
        text.write_bytes(error.message.get(..end).unwrap_or_default().as_bytes());
        text.offset(end).write(0_u8);
        Ok(Status::Success)
    })
}

/// `OCINlsNumericInfoGet`: bytes that a character has at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCINlsNumericInfoGet(
    _environment: *mut c_void,
    _errors: *mut c_void,
    value: *mut i32,
    _item: u16,
) -> i32 {
    // SAFETY: points at an `int`.
    unsafe { Address::new(value) }.write(4_i32);
    0
}

/// `OCINlsEnvironmentVariableGet`: the character sets of the environment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCINlsEnvironmentVariableGet(
    value: *mut c_void,
    _size: usize,
    _item: u16,
    _charset: u16,
    used: *mut usize,
) -> i32 {
    // SAFETY: points at an id of a character set.
    unsafe { Address::new(value) }.write(UTF8);
    // SAFETY: points at a length.
    unsafe { Address::new(used) }.write(size_of::<u16>());
    0
}

/// `OCINlsCharSetNameToId`: UTF-8 under its names; 0 for any other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCINlsCharSetNameToId(
    _environment: *mut c_void,
    name: *const c_char,
) -> u16 {
    if name.is_null() {
        return 0;
    }
    // SAFETY: a text that ends with a zero.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().to_uppercase();
    if matches!(name.as_str(), "AL32UTF8" | "UTF8" | "UTF-8") { UTF8 } else { 0 }
}

/// `OCINlsCharSetIdToName`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCINlsCharSetIdToName(
    _environment: *mut c_void,
    text: *mut c_char,
    size: usize,
    id: u16,
) -> i32 {
    let name = b"AL32UTF8\0";
    if id != UTF8 || size < name.len() {
        return super::ERROR;
    }
    // SAFETY: points at `size` bytes.
    unsafe { Address::new(text) }.write_bytes(name);
    0
}

/// `OCINlsNameMap`: the name that IANA has for a character set of Oracle's, and back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCINlsNameMap(
    _environment: *mut c_void,
    text: *mut c_char,
    size: usize,
    _name: *const c_char,
    flag: u32,
) -> i32 {
    let name: &[u8] = if flag == 1 { b"UTF-8\0" } else { b"AL32UTF8\0" };
    if size < name.len() {
        return super::ERROR;
    }
    // SAFETY: points at `size` bytes.
    unsafe { Address::new(text) }.write_bytes(name);
    0
}
