//! Nonces of game servers' hellos: each is good once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Cache, L2Error, l1};

/// Most nonces remembered in process. Beyond that hellos are refused, not believed.
const NONCE_COUNT_MAX: usize = 65_536;
/// Longest nonce remembered, in bytes.
const NONCE_BYTES_MAX: usize = 128;

/// Why it cannot be told whether a nonce was used before.
#[derive(Debug, thiserror::Error)]
pub enum NonceError {
    /// Longer than 128 bytes.
    #[error("a nonce has at most {NONCE_BYTES_MAX} bytes")]
    TooLong,
    /// Too many are remembered.
    #[error("{NONCE_COUNT_MAX} nonces are remembered already")]
    Full,
    /// Another instance may have seen it, and Redis does not answer.
    #[error("redis does not answer")]
    Redis(#[source] L2Error),
}

/// Those that this instance has seen.
#[derive(Debug, Default)]
pub(super) struct Nonces(Mutex<HashMap<Box<[u8]>, u64>>);

impl<E> Cache<E> {
    /// Takes a nonce: true the first time on any instance, false after, until `ttl` is over.
    ///
    /// # Errors
    ///
    /// [`NonceError`] when that cannot be told. With [`NonceError::Redis`] the nonce is new to this
    /// instance and taken here; only other instances were not asked.
    pub async fn claim_nonce(&self, nonce: &[u8], ttl: Duration) -> Result<bool, NonceError> {
        if nonce.len() > NONCE_BYTES_MAX {
            return Err(NonceError::TooLong);
        }
        if !self.shared.nonces.claim(nonce, self.now_ms(), l1::millis(ttl))? {
            return Ok(false);
        }
        match &self.shared.l2 {
            Some(l2) => l2.claim_nonce(nonce, ttl).await.map_err(NonceError::Redis),
            None => Ok(true),
        }
    }
}

impl Nonces {
    fn claim(&self, nonce: &[u8], now_ms: u64, ttl_ms: u64) -> Result<bool, NonceError> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(nonce).is_some_and(|until_ms| now_ms < *until_ms) {
            return Ok(false);
        }
        if seen.len() >= NONCE_COUNT_MAX {
            seen.retain(|_, until_ms| now_ms < *until_ms);
            if seen.len() >= NONCE_COUNT_MAX {
                return Err(NonceError::Full);
            }
        }
        seen.insert(nonce.into(), now_ms.saturating_add(ttl_ms));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonce_is_good_once_until_its_ttl_is_over() {
        let nonces = Nonces::default();
        assert!(nonces.claim(b"a", 0, 10).unwrap());
        assert!(!nonces.claim(b"a", 9, 10).unwrap());
        assert!(nonces.claim(b"a", 10, 10).unwrap());
        assert!(nonces.claim(b"b", 10, 10).unwrap());
    }

    #[test]
    fn full_memory_refuses_until_something_expires() {
        let nonces = Nonces::default();
        for number in 0..NONCE_COUNT_MAX as u64 {
            assert!(nonces.claim(&number.to_be_bytes(), 0, 10).unwrap());
        }
        assert!(matches!(nonces.claim(b"one more", 9, 10), Err(NonceError::Full)));
        assert!(nonces.claim(b"one more", 10, 10).unwrap());
    }
}
