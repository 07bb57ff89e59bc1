//! How long the answers of one batch may be together.

use crate::error::Error;

/// The bytes that are left. Taken before a body is copied, so that a short batch of long cached answers holds no more
/// memory than one long answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    bytes_max: u32,
    taken: usize,
}

impl Room {
    /// - `bytes_max`: from `limits.result_bytes_max`.
    pub(super) const fn new(bytes_max: u32) -> Self {
        Self { bytes_max, taken: 0 }
    }

    /// Takes room for a body of `bytes`.
    ///
    /// # Errors
    ///
    /// 2024 when there is not so much left; a shorter one may still fit.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Error> {
        let bytes_max = self.bytes_max as usize;
        let taken = self.taken.saturating_add(bytes);
        if taken > bytes_max {
            return Err(Error::batch_too_large(bytes_max));
        }
        self.taken = taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_taken_up_to_the_limit_and_what_is_refused_takes_nothing() {
        let mut room = Room::new(10);
        let codes =
            [4, 7, 6, 1, usize::MAX, 0].map(|bytes| room.take(bytes).map_err(|error| error.code()));
        assert_eq!(codes, [Ok(()), Err(2024), Ok(()), Err(2024), Err(2024), Ok(())]);
    }
}
