//! A page's cursor: where the next page begins, sealed.
//!
//! It holds the last row's keyset values, which the caller has seen in that row, so nothing is hidden; it is
//! authenticated, so that only values that a page really ended with come back, and only to the same
//! operation in the same order with the same parameters. Only `limit` may change from page to page.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::BackendError;
use crate::bind::Bound;
use crate::catalog::{Direction, KeysetColumn, Scalar, Template};

/// Bytes of the seal: half of the hash, 128 bits.
const SEAL_BYTES: usize = 16;

/// What a cursor is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'q, 'b> {
    /// The operation.
    pub(super) template: &'q Template,
    /// The order of its rows.
    pub(super) keyset: &'q [KeysetColumn],
    /// Its parameters.
    pub(super) bound: &'q Bound<'b>,
}

/// What cursors are sealed with; the same on every instance that serves the same callers.
#[derive(Clone)]
pub struct CursorKey(Hmac<Sha256>);

impl CursorKey {
    /// Takes a secret as the key. 32 random bytes are right; fewer than 16 are weak.
    pub fn new(secret: &[u8]) -> Self {
        Self(keyed(secret))
    }

    /// Seals the values that a page ended with.
    pub(super) fn seal(&self, asked: Asked<'_, '_>, values: &[Scalar<'_>]) -> String {
        let mut bytes = Vec::with_capacity(values.len() * 16 + SEAL_BYTES);
        for value in values {
            write(&mut bytes, value);
        }
        let seal = hash(&self.0, asked, &bytes).finalize().into_bytes();
        bytes.extend(seal.iter().take(SEAL_BYTES));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Opens a cursor that [`CursorKey::seal`] made for the same operation, order and parameters.
    ///
    /// # Errors
    ///
    /// [`BackendError::BadCursor`] for any other text.
    pub(super) fn open(
        &self,
        asked: Asked<'_, '_>,
        cursor: &str,
    ) -> Result<Vec<Scalar<'static>>, BackendError> {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(cursor) else { return Err(BackendError::BadCursor) };
        let Some((values, seal)) = bytes.split_last_chunk::<SEAL_BYTES>() else {
            return Err(BackendError::BadCursor);
        };
        let hash = hash(&self.0, asked, values);
        if hash.verify_truncated_left(seal).is_err() {
            return Err(BackendError::BadCursor);
        }
        read_all(values)
            .filter(|values| values.len() == asked.keyset.len())
            .ok_or(BackendError::BadCursor)
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(***)")
    }
}

/// Hashes what a cursor holds and what it is for; each part is preceded by its length, so that no two of
/// them run together.
fn hash(key: &Hmac<Sha256>, asked: Asked<'_, '_>, values: &[u8]) -> Hmac<Sha256> {
    let Asked { template, keyset, bound } = asked;
    let mut hash = key.clone();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(b"cursor 2");
    part(template.game.as_str().as_bytes());
    part(template.op.as_str().as_bytes());
    for column in keyset {
        part(column.sql.as_bytes());
        part(match column.direction {
            Direction::Asc => b"asc",
            Direction::Desc => b"desc",
        });
    }
    part(&filters(template, bound));
    part(values);
    hash
}

/// The parameters that say which rows there are: all but where the page begins and how long it is.
fn filters(template: &Template, bound: &Bound<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, value) in bound.values.iter().enumerate() {
        let page = template.page.as_ref();
        if page.is_some_and(|page| index == page.cursor_slot || index == page.limit_slot) {
            continue;
        }
        match value {
            Scalar::List(items) => {
                out.push(9);
                out.extend((items.len() as u64).to_be_bytes());
                for item in items {
                    write(&mut out, item);
                }
            }
            // NULL that was asked for is not the same as nothing asked.
            Scalar::Null => out.extend([0, u8::from(bound.is_given(index))]),
            value => write(&mut out, value),
        }
    }
    out
}

/// The keyed hash. A key of any length is taken: a long one is hashed, a short one padded (RFC 2104).
fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(secret) {
        Ok(hash) => hash,
        // Not reached: this hash refuses no length. A key of zeros would still only refuse cursors.
        Err(_) => Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()),
    }
}

fn write(out: &mut Vec<u8>, value: &Scalar<'_>) {
    match value {
        Scalar::Null | Scalar::List(_) => out.push(0),
        Scalar::Bool(value) => out.extend([1, u8::from(*value)]),
        Scalar::Int(value) => write_fixed(out, 2, &value.to_be_bytes()),
        Scalar::Float(value) => write_fixed(out, 3, &value.to_bits().to_be_bytes()),
        Scalar::Decimal(text) => write_long(out, 4, text.as_bytes()),
        Scalar::Str(text) | Scalar::Json(text) => write_long(out, 5, text.as_bytes()),
        Scalar::Bytes(bytes) => write_long(out, 6, bytes),
        Scalar::Date(days) => write_fixed(out, 7, &days.to_be_bytes()),
        Scalar::Timestamp(micros) => write_fixed(out, 8, &micros.to_be_bytes()),
    }
}

fn write_fixed(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn write_long(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    // A value of a row is bounded by the reply, which is bounded far below 4 GiB.
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn read_all(mut bytes: &[u8]) -> Option<Vec<Scalar<'static>>> {
    let mut values = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        bytes = rest;
        values.push(match kind {
            0 => Scalar::Null,
            1 => Scalar::Bool(take::<1>(&mut bytes)? == [1]),
            2 => Scalar::Int(i64::from_be_bytes(take(&mut bytes)?)),
            3 => Scalar::Float(f64::from_bits(u64::from_be_bytes(take(&mut bytes)?))),
            4 => Scalar::Decimal(Cow::Owned(take_text(&mut bytes)?)),
            5 => Scalar::Str(Cow::Owned(take_text(&mut bytes)?)),
            6 => Scalar::Bytes(Cow::Owned(take_long(&mut bytes)?.to_vec())),
            7 => Scalar::Date(i32::from_be_bytes(take(&mut bytes)?)),
            8 => Scalar::Timestamp(i64::from_be_bytes(take(&mut bytes)?)),
            _ => return None,
        });
    }
    Some(values)
}

fn take<const BYTES: usize>(bytes: &mut &[u8]) -> Option<[u8; BYTES]> {
    let (taken, rest) = bytes.split_first_chunk::<BYTES>()?;
    *bytes = rest;
    Some(*taken)
}

fn take_long<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = u32::from_be_bytes(take(bytes)?);
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_long(bytes)?.to_vec()).ok()
}

#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
mod tests {
    use super::super::testing::{keyset, template};
    use super::*;
    use crate::catalog::{Dialect, Keyset, Kind, Page};
    use gateway_protocol::OpId;

    fn values() -> Vec<Scalar<'static>> {
        vec![
            Scalar::Timestamp(1_709_210_096_789_999),
            Scalar::Str("é".into()),
            Scalar::Null,
            Scalar::Decimal("1.50".into()),
            Scalar::Bytes(vec![0, 255].into()),
            Scalar::Date(-1),
            Scalar::Bool(true),
            Scalar::Float(-0.5),
            Scalar::Int(i64::MIN),
        ]
    }

    fn asked<'q, 'b>(
        template: &'q Template,
        keyset: &'q [KeysetColumn],
        bound: &'q Bound<'b>,
    ) -> Asked<'q, 'b> {
        Asked { template, keyset, bound }
    }

    /// Two filters, then cursor and limit.
    fn bound(filters: [Scalar<'static>; 2], limit: i64) -> Bound<'static> {
        let [first, second] = filters;
        let values = [first, second, Scalar::Str("a cursor".into()), Scalar::Int(limit)];
        Bound { values: values.into_iter().collect(), given: 0b1101 }
    }

    #[test]
    fn cursor_of_other_filters_is_refused_and_one_of_another_length_is_not() {
        let key = CursorKey::new(&[7; 32]);
        let mut template = template(Dialect::Sqlite, Kind::Page);
        let columns = keyset(9);
        let page = Page {
            keyset: Keyset::Fixed(columns.clone()),
            default_count: 5,
            count_max: 10,
            cursor_slot: 2,
            limit_slot: 3,
        };
        template.page = Some(page);
        let list = |items: &[i64]| Scalar::List(items.iter().map(|it| Scalar::Int(*it)).collect());
        let first = bound([Scalar::Int(1), list(&[1, 2])], 5);
        let cursor = key.seal(asked(&template, &columns, &first), &values());
        let opens =
            |bound: &Bound<'_>| key.open(asked(&template, &columns, bound), &cursor).is_ok();
        assert!(opens(&bound([Scalar::Int(1), list(&[1, 2])], 9)), "another limit");
        assert!(!opens(&bound([Scalar::Int(2), list(&[1, 2])], 5)), "another value");
        assert!(!opens(&bound([Scalar::Int(1), list(&[1])], 5)), "a shorter list");
        assert!(!opens(&bound([Scalar::Int(1), Scalar::Null], 5)), "no list");
        let not_given = bound([Scalar::Null, Scalar::Null], 5);
        let cursor = key.seal(asked(&template, &columns, &not_given), &values());
        let null = Bound { given: 0b1111, ..not_given.clone() };
        assert!(key.open(asked(&template, &columns, &not_given), &cursor).is_ok());
        assert!(key.open(asked(&template, &columns, &null), &cursor).is_err(), "NULL asked for");
    }

    #[test]
    fn cursor_opens_to_what_was_sealed() {
        let (key, template) = (CursorKey::new(&[7; 32]), template(Dialect::Sqlite, Kind::Page));
        let (keyset, none) = (keyset(9), Bound::default());
        let cursor = key.seal(asked(&template, &keyset, &none), &values());
        assert_eq!(key.open(asked(&template, &keyset, &none), &cursor).expect("ours"), values());
    }

    #[test]
    fn cursor_of_another_key_operation_or_order_is_refused() {
        let (key, template) = (CursorKey::new(&[7; 32]), template(Dialect::Sqlite, Kind::Page));
        let (mut keyset, none) = (keyset(9), Bound::default());
        let cursor = key.seal(asked(&template, &keyset, &none), &values());
        assert!(CursorKey::new(&[8; 32]).open(asked(&template, &keyset, &none), &cursor).is_err());
        let mut other = template.clone();
        other.op = OpId::new("another.operation").expect("a name");
        assert!(key.open(asked(&other, &keyset, &none), &cursor).is_err());
        keyset[0].direction = Direction::Desc;
        assert!(key.open(asked(&template, &keyset, &none), &cursor).is_err());
    }

    #[test]
    fn every_prefix_and_every_bit_flip_of_a_cursor_is_refused() {
        let (key, template) = (CursorKey::new(&[7; 32]), template(Dialect::Sqlite, Kind::Page));
        let (keyset, none) = (keyset(9), Bound::default());
        let cursor = key.seal(asked(&template, &keyset, &none), &values());
        for (length, _) in cursor.char_indices() {
            let (prefix, _) = cursor.split_at(length);
            assert!(key.open(asked(&template, &keyset, &none), prefix).is_err(), "{length}");
        }
        let sealed = URL_SAFE_NO_PAD.decode(&cursor).expect("base64");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flipped = URL_SAFE_NO_PAD.encode(flipped);
            assert!(key.open(asked(&template, &keyset, &none), &flipped).is_err(), "{bit}");
        }
    }

    #[test]
    fn reader_of_values_ends_on_any_bytes() {
        let mut bytes = Vec::new();
        for value in values() {
            write(&mut bytes, &value);
        }
        for length in 0..bytes.len() {
            for bit in 0..8 {
                let mut broken = bytes[..=length].to_vec();
                broken[length] ^= 1 << bit;
                drop(read_all(&broken));
            }
        }
        assert_eq!(read_all(&bytes), Some(values()));
    }
}
