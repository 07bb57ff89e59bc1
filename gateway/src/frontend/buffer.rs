//! Buffers that busy connections borrow and idle ones give back.

use std::cell::RefCell;

/// What a buffer starts with, in bytes.
pub(super) const BUFFER_BYTES: usize = 8 << 10;

/// A buffer that grew beyond this is freed, not kept.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Buffers kept on a thread; more are freed.
const KEPT_COUNT_MAX: usize = 256;

/// One thread's spare buffers.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    spare: RefCell<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// An empty buffer of at least [`BUFFER_BYTES`].
    pub(super) fn take(&self) -> Vec<u8> {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Gives a buffer back. One that never held anything costs nothing and is dropped.
    pub(super) fn put(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        let fits = (BUFFER_BYTES..=KEPT_BYTES_MAX).contains(&buffer.capacity());
        if fits && spare.len() < KEPT_COUNT_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
