//! LOB locators.

use std::ffi::c_void;

use super::answer;
use crate::error::Status;
use crate::handles;
use crate::lob::Lob;
use crate::memory::Address;

/// Bytes that Oracle would read and write best at once.
const CHUNK_BYTES: u32 = 8132;

/// `OCILobCreateTemporary`. Kind 1 is a BLOB, 2 a CLOB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCILobCreateTemporary(
    _service: *mut c_void,
    errors: *mut c_void,
    locator: *mut c_void,
    _charset: u16,
    _form: u8,
    kind: u8,
    _cache: i32,
    _duration: u16,
) -> i32 {
    answer(errors, || {
        handles::with_lob(locator as usize, |lob| {
            *lob =
                Lob { is_text: kind == 2, is_temporary: true, is_set: true, content: Vec::new() };
            Ok(Status::Success)
        })
    })
}

/// `OCILobFreeTemporary`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCILobFreeTemporary(
    _service: *mut c_void,
    errors: *mut c_void,
    locator: *mut c_void,
) -> i32 {
    answer(errors, || {
        handles::with_lob(locator as usize, |lob| {
            *lob = Lob::default();
            Ok(Status::Success)
        })
    })
}

/// `OCILobIsTemporary`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCILobIsTemporary(
    _environment: *mut c_void,
    errors: *mut c_void,
    locator: *mut c_void,
    is_temporary: *mut i32,
) -> i32 {
    // SAFETY: points at an `int`.
    let is_temporary = unsafe { Address::new(is_temporary) };
    answer(errors, || {
        handles::with_lob(locator as usize, |lob| {
            is_temporary.write(i32::from(lob.is_temporary));
            Ok(Status::Success)
        })
    })
}

/// `OCILobGetLength2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCILobGetLength2(
    _service: *mut c_void,
    errors: *mut c_void,
    locator: *mut c_void,
    len: *mut u64,
) -> i32 {
    // SAFETY: points at a length.
    let len = unsafe { Address::new(len) };
    answer(errors, || {
        handles::with_lob(locator as usize, |lob| {
            len.write(lob.length()?);
            Ok(Status::Success)
        })
    })
}

/// `OCILobGetChunkSize`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCILobGetChunkSize(
    _service: *mut c_void,
    errors: *mut c_void,
    locator: *mut c_void,
    size: *mut u32,
) -> i32 {
    // SAFETY: points at a size.
    let size = unsafe { Address::new(size) };
    answer(errors, || {
        handles::find(locator)?;
        size.write(CHUNK_BYTES);
        Ok(Status::Success)
    })
}

/// `OCILobRead2`, in one piece.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCILobRead2(
    _service: *mut c_void,
    errors: *mut c_void,
    locator: *mut c_void,
    byte_count: *mut u64,
    char_count: *mut u64,
    offset: u64,
    buffer: *mut c_void,
    room: u64,
    _piece: u8,
    _context: *mut c_void,
    _callback: *mut c_void,
    _charset: u16,
    _form: u8,
) -> i32 {
    // SAFETY: points at a count.
    let byte_count = unsafe { Address::new(byte_count) };
    // SAFETY: points at a count.
    let char_count = unsafe { Address::new(char_count) };
    // SAFETY: points at `room` bytes.
    let buffer = unsafe { Address::new(buffer) };
    answer(errors, || {
        handles::with_lob(locator as usize, |lob| {
            let asked = if lob.is_text { char_count } else { byte_count };
            let amount = asked.read::<u64>().filter(|amount| *amount > 0).unwrap_or(u64::MAX);
            let (bytes, characters) =
                lob.read(offset, amount, usize::try_from(room).unwrap_or(0))?;
            buffer.write_bytes(&bytes);
            byte_count.write(u64::try_from(bytes.len()).unwrap_or(0));
            if lob.is_text {
                char_count.write(characters);
            }
            Ok(Status::Success)
        })
    })
}

/// `OCILobWrite2`, in one piece.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCILobWrite2(
    _service: *mut c_void,
    errors: *mut c_void,
    locator: *mut c_void,
    byte_count: *mut u64,
    _char_count: *mut u64,
    offset: u64,
    buffer: *mut c_void,
    _size: u64,
    _piece: u8,
    _context: *mut c_void,
    _callback: *mut c_void,
    _charset: u16,
    _form: u8,
) -> i32 {
    // SAFETY: points at a count.
    let count = unsafe { Address::new(byte_count) }.read::<u64>().unwrap_or(0);
    // SAFETY: points at that many bytes.
    let bytes = unsafe { Address::new(buffer) }.bytes(usize::try_from(count).unwrap_or(0));
    answer(errors, || {
        handles::with_lob(locator as usize, |lob| {
            lob.write(offset, &bytes)?;
            Ok(Status::Success)
        })
    })
}

/// `OCILobTrim2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCILobTrim2(
    _service: *mut c_void,
    errors: *mut c_void,
    locator: *mut c_void,
    len: u64,
) -> i32 {
    answer(errors, || {
        handles::with_lob(locator as usize, |lob| {
            lob.trim(len)?;
            Ok(Status::Success)
        })
    })
}

/// `OCILobLocatorAssign`: a copy of the value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCILobLocatorAssign(
    _service: *mut c_void,
    errors: *mut c_void,
    from: *const c_void,
    to: *mut *mut c_void,
) -> i32 {
    // SAFETY: points at a locator.
    let to = unsafe { Address::new(to) }.read::<usize>().unwrap_or(0);
    answer(errors, || {
        let copy = handles::with_lob(from as usize, |lob| Ok(lob.clone()))?;
        handles::with_lob(to, |lob| {
            *lob = copy;
            Ok(Status::Success)
        })
    })
}
