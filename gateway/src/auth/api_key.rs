//! API keys: `<id>.<secret>`, of which only a salted hash is configured.
//!
//! The secret is 32 random bytes in base64url, so that one SHA-256 is enough: there is nothing to
//! guess that a slow hash would protect. Keys of another length are refused, chosen ones with them.
//!
//! Invariant: a key with an unknown id costs the same work as one with a wrong secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::credential::Fingerprint;
use super::error::AuthError;
use super::fault::FaultKind;
use super::sample::SAMPLE_PREFIX;
use crate::config::Secret;

/// Length of a secret, in bytes before encoding.
const SECRET_BYTES: usize = 32;

/// Length of a secret as it stands in a key: 32 bytes in base64url without padding.
const SECRET_CHARS: usize = 43;

/// Length of the salt, in bytes.
const SALT_BYTES: usize = 16;

/// Longest id, in bytes.
const ID_BYTES_MAX: usize = 64;

/// Longest key, in bytes: id, dot, secret.
const KEY_BYTES_MAX: usize = ID_BYTES_MAX + 1 + SECRET_CHARS;

/// A stored key: SHA-256 over salt and secret (as text).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyHash {
    salt: [u8; SALT_BYTES],
    digest: [u8; 32],
}

impl KeyHash {
    /// Parses `sha256:<salt hex>:<digest hex>`.
    pub(super) fn parse(text: &str) -> Result<Self, FaultKind> {
        let hash = text.strip_prefix("sha256:").and_then(|rest| rest.split_once(':'));
        let parsed = hash.and_then(|(salt, digest)| {
            Some(Self { salt: from_hex(salt)?, digest: from_hex(digest)? })
        });
        parsed.ok_or(FaultKind::HashForm)
    }

    /// A hash that no secret has, to be compared with where an id is unknown.
    pub(super) const fn decoy() -> Self {
        Self { salt: [0; SALT_BYTES], digest: [0; 32] }
    }

    /// Whether it is the hash of a secret. Constant time in both.
    pub(super) fn verify(&self, secret: &str) -> bool {
        digest_of(&self.salt, secret).ct_eq(&self.digest).into()
    }

    /// Tells this stored key from another under the same id.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&[b"api key", &self.salt, &self.digest])
    }
}

/// Cuts a key into its id and its secret.
///
/// # Errors
///
/// [`AuthError::TooLong`] over 108 bytes, [`AuthError::Malformed`] without a dot or with a secret
/// of another length than keys have.
pub(super) fn split(key: &str) -> Result<(&str, &str), AuthError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(AuthError::TooLong { bytes: key.len(), bytes_max: KEY_BYTES_MAX });
    }
    let (id, secret) = key.split_once('.').ok_or(AuthError::Malformed { what: "API key" })?;
    if secret.len() != SECRET_CHARS {
        return Err(AuthError::Malformed { what: "API key" });
    }
    Ok((id, secret))
}

/// Checks the id of a key: 1 to 64 of `A-Z a-z 0-9 _ -`.
///
/// # Errors
///
/// [`FaultKind::KeyId`] when it is empty, too long, or has another character (a dot would end it).
pub(super) fn check_id(id: &str) -> Result<(), FaultKind> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(is_fit) {
        return Err(FaultKind::KeyId { id: id.into() });
    }
    Ok(())
}

/// A key just made: the only moment at which its secret is known.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// `<id>.<secret>`, for whoever is to use it.
    pub key: Secret,
    /// `sha256:<salt>:<digest>`, for the configuration.
    pub hash: Box<str>,
}

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NewKeyError {
    /// An id that keys cannot have.
    #[error(transparent)]
    Id(#[from] FaultKind),
    /// The system gave no random bytes.
    #[error("no random bytes from the system: {0}")]
    Random(getrandom::Error),
}

/// Makes an API key at random.
///
/// - `id`: 1 to 64 characters of `A-Z a-z 0-9 _ -`; not secret, it appears in logs.
///
/// # Errors
///
/// [`NewKeyError`] when the id is not one, or the system has no random bytes.
pub fn new_key(id: &str) -> Result<NewKey, NewKeyError> {
    check_id(id)?;
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(NewKeyError::Random)?;
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(NewKeyError::Random)?;

    Ok(made(id, &salt, &URL_SAFE_NO_PAD.encode(random)))
}

/// Makes the demo's published key: its secret is known to everybody, and `serve` refuses its id.
///
/// - `name`: the id is [`SAMPLE_PREFIX`] and this.
/// - `secret`: what is published.
pub fn sample_key(name: &str, secret: &str) -> NewKey {
    made(&format!("{SAMPLE_PREFIX}{name}"), &[0; SALT_BYTES], secret)
}

fn made(id: &str, salt: &[u8; SALT_BYTES], secret: &str) -> NewKey {
    let digest = digest_of(salt, secret);
    let hash = format!("sha256:{}:{}", to_hex(salt), to_hex(&digest));
    NewKey { key: Secret::new(format!("{id}.{secret}")), hash: hash.into() }
}

fn digest_of(salt: &[u8; SALT_BYTES], secret: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(secret).finalize().into()
}

fn to_hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
}

/// `None` unless `text` is exactly `N` bytes in hexadecimal, of either case.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_key_verifies_against_its_own_hash_and_no_other() {
        let (one, two) = (new_key("web").unwrap(), new_key("web").unwrap());
        let (id, secret) = split(one.key.expose()).unwrap();
        assert_eq!((id, secret.len()), ("web", SECRET_CHARS));
        assert!(KeyHash::parse(&one.hash).unwrap().verify(secret));
        assert!(!KeyHash::parse(&two.hash).unwrap().verify(secret));
        assert!(!one.hash.contains(secret));
    }

    #[test]
    fn hash_is_sha256_over_salt_and_secret_text() {
        // (head -c 16 /dev/zero; printf abc) | sha256sum
        let digest = "277e7ff6d232b9763f4a66e8d05d210da32dac9c6dbce1026ad4cc98acb5fefe";
        let hash = KeyHash::parse(&format!("sha256:{}:{digest}", "00".repeat(16)));
        assert!(hash.unwrap().verify("abc"));
    }

    #[test]
    fn secret_with_one_bit_changed_is_refused_at_every_place() {
        let new = new_key("web").unwrap();
        let hash = KeyHash::parse(&new.hash).unwrap();
        let (_, secret) = split(new.key.expose()).unwrap();
        for place in 0..secret.len() {
            let mut bytes = secret.as_bytes().to_vec();
            bytes[place] ^= 1;
            assert!(!hash.verify(std::str::from_utf8(&bytes).unwrap()), "{place}");
        }
    }

    #[test]
    fn decoy_is_met_by_no_secret_of_a_known_key() {
        let new = new_key("web").unwrap();
        let (_, secret) = split(new.key.expose()).unwrap();
        assert!(!KeyHash::decoy().verify(secret));
        assert!(!KeyHash::decoy().verify(""));
    }

    #[test]
    fn key_is_cut_at_its_dot_and_refused_in_any_other_form() {
        let secret = "s".repeat(SECRET_CHARS);
        assert_eq!(split(&format!("a.{secret}")), Ok(("a", &*secret)));
        let malformed = Err(AuthError::Malformed { what: "API key" });
        for broken in
            [String::new(), secret.clone(), format!("a.{secret}s"), format!("a.b.{secret}")]
        {
            assert_eq!(split(&broken), malformed, "{broken}");
        }
        let longest = format!("{}.{secret}", "a".repeat(ID_BYTES_MAX));
        assert!(split(&longest).is_ok());
        let refused = AuthError::TooLong { bytes: 109, bytes_max: 108 };
        assert_eq!(split(&format!("a{longest}")), Err(refused));
    }

    #[test]
    fn hash_of_another_form_is_refused() {
        let good = format!("sha256:{}:{}", "0a".repeat(16), "Fb".repeat(32));
        assert!(KeyHash::parse(&good).is_ok());
        let broken = [
            good.replace("sha256", "sha512"),
            good.replace("sha256:", ""),
            good.replacen("0a", "0g", 1),
            good.replacen("0a", "", 1),
            format!("{good}00"),
            format!("{good}:"),
            good.replacen("0a", "é", 1),
        ];
        for text in broken {
            assert_eq!(KeyHash::parse(&text), Err(FaultKind::HashForm), "{text}");
        }
    }

    #[test]
    fn id_at_the_limit_passes_and_what_would_break_the_form_is_refused() {
        assert!(check_id(&"a".repeat(64)).is_ok());
        assert!(check_id("Web_1-x").is_ok());
        for broken in ["", "a.b", "a b", "é", &"a".repeat(65)] {
            assert!(check_id(broken).is_err(), "{broken}");
            assert!(new_key(broken).is_err(), "{broken}");
        }
    }
}
