//! Page cursors: where the next page begins, sealed so that a client can neither read a meaning into
//! them nor make one of its own.
//!
//! A cursor is URL-safe base64 over version, tag and values. The tag is HMAC-SHA-256, cut to 16 bytes,
//! over a context (what query, with which parameters) and the values: a cursor of one query does not
//! open in another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::Scalar;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
/// Longest cursor that is looked at, in characters.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most values in a cursor.
const VALUE_COUNT_MAX: usize = 16;

/// The secret that seals cursors. All instances of a gateway must have the same.
#[derive(Clone)]
pub struct CursorKey {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(..)")
    }
}

impl CursorKey {
    /// Takes a secret of any length; 32 random bytes are best.
    pub fn new(secret: &[u8]) -> Self {
        // HMAC hashes a key longer than its block; shorter ones are padded. So every length is a key.
        let mut block = [0_u8; 64];
        let digest: [u8; 32];
        let key = if secret.len() > block.len() {
            digest = <Sha256 as sha2::Digest>::digest(secret).into();
            &digest[..]
        } else {
            secret
        };
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        Self { mac: <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block.into()) }
    }

    /// Seals the values of a row's keyset columns.
    ///
    /// - `context`: a hash over the operation, its version, its order and its parameters.
    pub fn seal(&self, context: &[u8], values: &[Scalar<'_>]) -> String {
        let mut payload = Vec::with_capacity(64);
        for value in values {
            put(&mut payload, value);
        }
        let mut bytes = Vec::with_capacity(1 + TAG_BYTES + payload.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.tag(context, &payload));
        bytes.extend_from_slice(&payload);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Opens a cursor; `None` when it was not sealed with this key in this context (code 2015).
    pub fn open(&self, context: &[u8], text: &str) -> Option<Vec<Scalar<'static>>> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (tag, mut payload) = rest.split_at_checked(TAG_BYTES)?;
        if *version != VERSION || !bool::from(self.tag(context, payload).ct_eq(tag)) {
            return None;
        }
        let mut values = Vec::new();
        while !payload.is_empty() {
            if values.len() == VALUE_COUNT_MAX {
                return None;
            }
            values.push(take(&mut payload)?);
        }
        Some(values)
    }

    fn tag(&self, context: &[u8], payload: &[u8]) -> [u8; TAG_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(&[VERSION]);
        mac.update(&(context.len() as u64).to_be_bytes());
        mac.update(context);
        mac.update(payload);
        let whole = mac.finalize().into_bytes();
        let mut tag = [0; TAG_BYTES];
        for (to, from) in tag.iter_mut().zip(whole) {
            *to = from;
        }
        tag
    }
}

fn put(bytes: &mut Vec<u8>, value: &Scalar<'_>) {
    let mut text = |kind: u8, text: &[u8]| {
        bytes.push(kind);
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text);
    };
    match value {
        // A list is never a column's value; it stands for nothing, as NULL does.
        Scalar::Null | Scalar::List(_) => bytes.push(0),
        Scalar::Bool(value) => bytes.extend_from_slice(&[1, u8::from(*value)]),
        Scalar::Int(value) => number(bytes, 2, value.to_be_bytes()),
        Scalar::Float(value) => number(bytes, 3, value.to_be_bytes()),
        Scalar::Date(days) => number(bytes, 4, i64::from(*days).to_be_bytes()),
        Scalar::Timestamp(micros) => number(bytes, 5, micros.to_be_bytes()),
        Scalar::Decimal(value) => text(6, value.as_bytes()),
        Scalar::Str(value) => text(7, value.as_bytes()),
        Scalar::Bytes(value) => text(8, value),
        Scalar::Json(value) => text(9, value.as_bytes()),
    }
}

fn number(bytes: &mut Vec<u8>, kind: u8, value: [u8; 8]) {
    bytes.push(kind);
    bytes.extend_from_slice(&value);
}

/// Reads one value from the front; `None` when the bytes are none.
fn take(bytes: &mut &[u8]) -> Option<Scalar<'static>> {
    let (kind, rest) = bytes.split_first()?;
    *bytes = rest;
    let kind = *kind;
    Some(match kind {
        0 => Scalar::Null,
        1 => {
            let (value, rest) = bytes.split_first()?;
            *bytes = rest;
            Scalar::Bool(*value != 0)
        }
        2 => Scalar::Int(i64::from_be_bytes(eight(bytes)?)),
        3 => Scalar::Float(f64::from_be_bytes(eight(bytes)?)),
        4 => Scalar::Date(i64::from_be_bytes(eight(bytes)?).try_into().ok()?),
        5 => Scalar::Timestamp(i64::from_be_bytes(eight(bytes)?)),
        6..=9 => {
            let length = usize::try_from(u64::from_be_bytes(eight(bytes)?)).ok()?;
            let (head, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            if kind == 8 {
                return Some(Scalar::Bytes(head.to_vec().into()));
            }
            let text = String::from_utf8(head.to_vec()).ok()?.into();
            match kind {
                6 => Scalar::Decimal(text),
                7 => Scalar::Str(text),
                _ => Scalar::Json(text),
            }
        }
        _ => return None,
    })
}

fn eight(bytes: &mut &[u8]) -> Option<[u8; 8]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<Scalar<'static>> {
        vec![
            Scalar::Null,
            Scalar::Bool(true),
            Scalar::Int(i64::MIN),
            Scalar::Float(-0.5),
            Scalar::Date(-1),
            Scalar::Timestamp(1_700_000_000_123_456),
            Scalar::Decimal("-1.50".into()),
            Scalar::Str("é'".into()),
            Scalar::Bytes(vec![0, 255].into()),
            Scalar::Json("{}".into()),
        ]
    }

    #[test]
    fn cursor_opens_where_it_was_sealed_and_nowhere_else() {
        let key = CursorKey::new(b"secret");
        let text = key.seal(b"context", &values());
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(key.open(b"context", &text), Some(values()));
        assert_eq!(key.open(b"context2", &text), None);
        assert_eq!(CursorKey::new(b"secret2").open(b"context", &text), None);
    }

    #[test]
    fn secrets_of_every_length_are_keys_of_their_own() {
        let sealed: Vec<_> = [&b""[..], b"a", &[7; 64], &[7; 65]]
            .iter()
            .map(|secret| CursorKey::new(secret).seal(b"", &values()))
            .collect();
        for (index, text) in sealed.iter().enumerate() {
            assert!(!sealed[..index].contains(text));
        }
    }

    #[test]
    fn every_prefix_and_every_bit_flip_is_refused() {
        let key = CursorKey::new(b"secret");
        let text = key.seal(b"context", &values());
        for end in 0..text.len() {
            assert_eq!(key.open(b"context", text.get(..end).unwrap()), None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(b"context", &URL_SAFE_NO_PAD.encode(flipped)), None);
        }
        assert_eq!(key.open(b"context", "not base64!"), None);
    }

    #[test]
    fn values_are_decoded_without_a_panic_from_any_bytes() {
        let mut whole = Vec::new();
        for value in values() {
            put(&mut whole, &value);
        }
        for end in 0..whole.len() {
            let mut rest = &whole[..end];
            while take(&mut rest).is_some() {}
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut rest = &flipped[..];
            while take(&mut rest).is_some() {}
        }
    }
}
