//! The client's memory: the one place that reads and writes what a client points at.
//!
//! An [`Address`] is made by an exported function from a pointer that the client passed. What OCI asks of a client
//! makes it valid: buffers of a bind or a define stay where they are, and as long as they were said to be, until
//! the statement is bound anew or released.

#![expect(unsafe_code, reason = "what a client points at is reached through its pointers")]

use std::ffi::c_void;

/// A place in the client's memory, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(usize);

/// Types that any bytes make a value of, and that have no padding.
pub trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for i8 {}
impl Plain for u16 {}
impl Plain for i16 {}
impl Plain for u32 {}
impl Plain for i32 {}
impl Plain for u64 {}
impl Plain for i64 {}
impl Plain for usize {}
impl Plain for f32 {}
impl Plain for f64 {}

impl Address {
    /// No place: reads give nothing and writes are dropped.
    pub const NONE: Self = Self(0);

    /// Takes what a client passed.
    ///
    /// # Safety
    /// The pointer is null, or points at memory that stays valid for reads and writes of what OCI says is there.
    pub unsafe fn new<T>(pointer: *const T) -> Self {
        Self(pointer as usize)
    }

    /// Whether the client passed a null pointer.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The place as a number: what a client passes where OCI takes a pointer as a value.
    pub const fn as_number(self) -> usize {
        self.0
    }

    /// The place `bytes` further on; no place stays none.
    #[must_use]
    pub const fn offset(self, bytes: usize) -> Self {
        if self.0 == 0 { self } else { Self(self.0 + bytes) }
    }

    /// Reads a value; `None` at no place.
    pub fn read<T: Plain>(self) -> Option<T> {
        if self.is_none() {
            return None;
        }
        // SAFETY: the place is valid for a `T` (see `new`), any bytes are a value of a `Plain` type, and nothing is
        // asked of its alignment.
        Some(unsafe { std::ptr::read_unaligned(self.0 as *const T) })
    }

    /// Writes a value, if there is a place.
    pub fn write<T: Plain>(self, value: T) {
        if !self.is_none() {
            // SAFETY: the place is valid for a `T` (see `new`), and nothing is asked of its alignment.
            unsafe { std::ptr::write_unaligned(self.0 as *mut T, value) };
        }
    }

    /// Copies `len` bytes out.
    pub fn bytes(self, len: usize) -> Vec<u8> {
        if self.is_none() || len == 0 {
            return Vec::new();
        }
        // SAFETY: the client says that `len` bytes are at this place (see `new`); they are copied at once.
        unsafe { std::slice::from_raw_parts(self.0 as *const u8, len) }.to_vec()
    }

    /// Copies bytes in, if there is a place.
    pub fn write_bytes(self, bytes: &[u8]) {
        if !self.is_none() {
            // SAFETY: the caller keeps to the length that the client gave (see `new`); the bytes are ours, so the
            // two do not overlap.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0 as *mut u8, bytes.len());
            };
        }
    }

    /// The place as the pointer that C takes.
    pub const fn as_pointer(self) -> *mut c_void {
        self.0 as *mut c_void
    }
}

/// `OCICallbackInBind`: context, bind, iteration, index, buffer, its length, piece, indicator.
pub type InCallback = unsafe extern "C" fn(
    *mut c_void,
    *mut c_void,
    u32,
    u32,
    *mut *mut c_void,
    *mut u32,
    *mut u8,
    *mut *mut c_void,
) -> i32;

/// `OCICallbackOutBind`: as [`InCallback`], lengths by reference, and the return code.
pub type OutCallback = unsafe extern "C" fn(
    *mut c_void,
    *mut c_void,
    u32,
    u32,
    *mut *mut c_void,
    *mut *mut u32,
    *mut u8,
    *mut *mut c_void,
    *mut *mut u16,
) -> i32;

/// `OCICallbackDefine`: context, define, row, buffer, its length, piece, indicator, return code.
pub type DefineCallback = unsafe extern "C" fn(
    *mut c_void,
    *mut c_void,
    u32,
    *mut *mut c_void,
    *mut *mut u32,
    *mut u8,
    *mut *mut c_void,
    *mut *mut u16,
) -> i32;

/// What a callback gave: where a value is, or goes.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// The value's bytes.
    pub buffer: Address,
    /// Length of the value, or room for it.
    pub len: u32,
    /// Where the length is to be written.
    pub len_at: Address,
    /// Where the indicator is.
    pub indicator: Address,
    /// Where the return code goes.
    pub code: Address,
}

/// What a client answers to a callback that went well.
const CONTINUE: i32 = -24200;

/// Asks the client where the value of a bind is. `None`: it refused.
pub fn call_in(
    callback: InCallback,
    context: Address,
    bind: usize,
    iteration: u32,
) -> Option<Slot> {
    let mut buffer = std::ptr::null_mut();
    let mut indicator = std::ptr::null_mut();
    let mut len = 0;
    let mut piece = 0;
    // SAFETY: the function and its context were registered together by the client for this bind.
    let status = unsafe {
        callback(
            context.as_pointer(),
            bind as *mut c_void,
            iteration,
            0,
            &raw mut buffer,
            &raw mut len,
            &raw mut piece,
            &raw mut indicator,
        )
    };
    (status == CONTINUE).then_some(Slot {
        buffer: Address(buffer as usize),
        len,
        len_at: Address::NONE,
        indicator: Address(indicator as usize),
        code: Address::NONE,
    })
}

/// Asks the client where a value that comes back goes. `None`: it refused.
pub fn call_out(
    callback: OutCallback,
    context: Address,
    bind: usize,
    at: (u32, u32, u8),
) -> Option<Slot> {
    let (iteration, index, mut piece) = at;
    let mut buffer = std::ptr::null_mut();
    let mut indicator = std::ptr::null_mut();
    let mut room = 0_u32;
    let mut len_at = &raw mut room;
    let mut code = std::ptr::null_mut();
    // SAFETY: the function and its context were registered together by the client for this bind.
    let status = unsafe {
        callback(
            context.as_pointer(),
            bind as *mut c_void,
            iteration,
            index,
            &raw mut buffer,
            &raw mut len_at,
            &raw mut piece,
            &raw mut indicator,
            &raw mut code,
        )
    };
    let own = std::ptr::eq(len_at, &raw const room);
    let len_at = if own { Address::NONE } else { Address(len_at as usize) };
    (status == CONTINUE).then(|| Slot {
        buffer: Address(buffer as usize),
        len: len_at.read().unwrap_or(room),
        len_at,
        indicator: Address(indicator as usize),
        code: Address(code as usize),
    })
}

/// Asks the client where a piece of a fetched value goes. `None`: it refused.
pub fn call_define(
    callback: DefineCallback,
    context: Address,
    define: usize,
    row: u32,
) -> Option<Slot> {
    let mut buffer = std::ptr::null_mut();
    let mut indicator = std::ptr::null_mut();
    let mut len_at = std::ptr::null_mut();
    let mut code = std::ptr::null_mut();
    let mut piece = 0;
    // SAFETY: the function and its context were registered together by the client for this define.
    let status = unsafe {
        callback(
            context.as_pointer(),
            define as *mut c_void,
            row,
            &raw mut buffer,
            &raw mut len_at,
            &raw mut piece,
            &raw mut indicator,
            &raw mut code,
        )
    };
    let len_at = Address(len_at as usize);
    (status == CONTINUE).then(|| Slot {
        buffer: Address(buffer as usize),
        len: len_at.read().unwrap_or(0),
        len_at,
        indicator: Address(indicator as usize),
        code: Address(code as usize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_written_wherever_they_stand_and_no_place_is_left_alone() {
        let mut memory = [0_u8; 12];
        // SAFETY: the array outlives the address.
        let address = unsafe { Address::new(memory.as_mut_ptr()) };
        address.offset(1).write(0x0102_0304_u32);
        assert_eq!(address.offset(1).read::<u32>(), Some(0x0102_0304));
        address.offset(5).write_bytes(b"abc");
        assert_eq!(address.offset(5).bytes(3), b"abc");
        assert_eq!(Address::NONE.offset(8).read::<u64>(), None);
        Address::NONE.write(1_u8);
        assert!(Address::NONE.bytes(4).is_empty());
    }
}
