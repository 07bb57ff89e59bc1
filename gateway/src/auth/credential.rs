//! What a principal was made from, as far as a reload needs it to make the principal anew.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The credential behind a principal: no secret, but enough to find its key again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// None: who asks without one.
    None,
    /// A token.
    Token(Box<TokenCredential>),
    /// An API key.
    ApiKey {
        /// Its id.
        id: Box<str>,
        /// Of its stored hash.
        key: Fingerprint,
    },
    /// A game server's shared key.
    GameServer {
        /// Its id.
        key_id: Box<str>,
        /// Of its secret.
        key: Fingerprint,
    },
}

/// What a token said that a newer configuration may judge differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCredential {
    /// Of the key that verified it.
    pub key: Fingerprint,
    /// `iss`.
    pub issuer: Option<Box<str>>,
    /// `aud`; `None`: the token has none.
    pub audiences: Option<Box<[Box<str>]>>,
    /// The roles that it names; `None`: it has no roles claim, the configured default applies.
    pub role_names: Option<Box<[Box<str>]>>,
    /// `exp`, without leeway, in Unix seconds.
    pub exp: u64,
}

/// Tells keys apart without holding them: the first half of SHA-256 over a key. Never shown.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of a key.
    ///
    /// - `parts`: what makes it the key that it is, each counted with its length.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let digest: [u8; 32] = hasher.finalize().into();
        let mut half = [0; 16];
        for (to, from) in half.iter_mut().zip(digest) {
            *to = from;
        }
        Self(half)
    }

    /// Its bytes.
    pub(super) const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_tells_keys_and_their_parts_apart_and_shows_nothing() {
        let key = Fingerprint::of(&[b"ab", b"c"]);
        assert_eq!(key, Fingerprint::of(&[b"ab", b"c"]));
        assert_ne!(key, Fingerprint::of(&[b"a", b"bc"]));
        assert_eq!(format!("{key:?}"), "***");
    }
}
