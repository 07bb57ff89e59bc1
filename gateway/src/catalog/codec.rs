//! A value as bytes: for what is written down (the journal) and for what is compared by hash (a request's
//! parameters). Equal values, equal bytes, on every build; never read across versions of a contract.

use std::borrow::Cow;

use super::Scalar;

/// Most items of a list, and fields of a row, that are read back: what a template can declare.
const ITEM_COUNT_MAX: usize = 65_536;
/// Deepest value: rows of fields within a list.
const DEPTH_MAX: u8 = 2;

impl Scalar<'_> {
    /// Appends the value: a tag, then its bytes, lengths before what varies. Little-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Bool(value) => out.extend([1, u8::from(*value)]),
            Self::Int(value) => put(out, 2, &value.to_le_bytes()),
            Self::Float(value) => put(out, 3, &value.to_bits().to_le_bytes()),
            Self::Decimal(text) => put_text(out, 4, text.as_bytes()),
            Self::Str(text) => put_text(out, 5, text.as_bytes()),
            Self::Bytes(bytes) => put_text(out, 6, bytes),
            Self::Date(days) => put(out, 7, &days.to_le_bytes()),
            Self::Timestamp(micros) => put(out, 8, &micros.to_le_bytes()),
            Self::Json(text) => put_text(out, 9, text.as_bytes()),
            Self::List(items) => {
                put(out, 10, &length(items.len()));
                for item in items {
                    item.encode(out);
                }
            }
        }
    }

    /// Takes a value from the start of `input`, which then begins behind it. `None`: not what
    /// [`Scalar::encode`] writes; `input` is of no use then.
    ///
    /// Texts and bytes are borrowed. Total: any input gives a value or `None`.
    pub fn decode<'i>(input: &mut &'i [u8]) -> Option<Scalar<'i>> {
        decode(input, 0)
    }
}

fn decode<'i>(input: &mut &'i [u8], depth: u8) -> Option<Scalar<'i>> {
    Some(match take::<1>(input)? {
        [0] => Scalar::Null,
        [1] => match take::<1>(input)? {
            [0] => Scalar::Bool(false),
            [1] => Scalar::Bool(true),
            _ => return None,
        },
        [2] => Scalar::Int(i64::from_le_bytes(take(input)?)),
        [3] => Scalar::Float(f64::from_bits(u64::from_le_bytes(take(input)?))),
        [4] => Scalar::Decimal(text(input)?),
        [5] => Scalar::Str(text(input)?),
        [6] => Scalar::Bytes(Cow::Borrowed(bytes(input)?)),
        [7] => Scalar::Date(i32::from_le_bytes(take(input)?)),
        [8] => Scalar::Timestamp(i64::from_le_bytes(take(input)?)),
        [9] => Scalar::Json(text(input)?),
        [10] if depth < DEPTH_MAX => {
            let count = usize::try_from(u32::from_le_bytes(take(input)?)).ok()?;
            // An item has at least its tag: a count beyond that is none of ours, and allocates nothing.
            if count > ITEM_COUNT_MAX || count > input.len() {
                return None;
            }
            let mut items = Vec::with_capacity(count);
            for _ in 0..count {
                items.push(decode(input, depth + 1)?);
            }
            Scalar::List(items)
        }
        _ => return None,
    })
}

fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    put(out, tag, &length(bytes.len()));
    out.extend_from_slice(bytes);
}

/// Frames are bounded far below 4 GiB, so every length fits.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*first)
}

fn bytes<'i>(input: &mut &'i [u8]) -> Option<&'i [u8]> {
    let length = usize::try_from(u32::from_le_bytes(take(input)?)).ok()?;
    let (first, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(first)
}

fn text<'i>(input: &mut &'i [u8]) -> Option<Cow<'i, str>> {
    std::str::from_utf8(bytes(input)?).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Scalar<'static>> {
        let row = |number| Scalar::List(vec![Scalar::Int(number), Scalar::Str("a".into())]);
        vec![
            Scalar::Null,
            Scalar::Bool(true),
            Scalar::Int(i64::MIN),
            Scalar::Float(-0.5),
            Scalar::Decimal("12.50".into()),
            Scalar::Str("名".into()),
            Scalar::Bytes((&[0_u8, 255][..]).into()),
            Scalar::Date(-1),
            Scalar::Timestamp(1_767_225_600_000_001),
            Scalar::Json("{}".into()),
            Scalar::List(vec![row(1), row(2)]),
        ]
    }

    #[test]
    fn value_comes_back_as_it_was_and_leaves_what_follows() {
        for value in samples() {
            let mut written = Vec::new();
            value.encode(&mut written);
            written.push(77);
            let mut input = &written[..];
            assert_eq!(Scalar::decode(&mut input), Some(value));
            assert_eq!(input, [77]);
        }
    }

    #[test]
    fn value_cut_at_any_byte_or_with_any_bit_flipped_is_a_value_or_none() {
        for value in samples() {
            let mut written = Vec::new();
            value.encode(&mut written);
            for end in 0..written.len() {
                assert_eq!(Scalar::decode(&mut &written[..end]), None, "{value:?} cut at {end}");
            }
            for bit in 0..written.len() * 8 {
                let mut flipped = written.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let _value_or_none = Scalar::decode(&mut &flipped[..]);
            }
        }
    }

    #[test]
    fn lists_deeper_than_rows_of_fields_are_refused() {
        let mut deep = Scalar::List(vec![Scalar::List(vec![Scalar::Int(1)])]);
        let mut written = Vec::new();
        deep.encode(&mut written);
        assert_eq!(Scalar::decode(&mut &written[..]), Some(deep.clone()));
        deep = Scalar::List(vec![deep]);
        written.clear();
        deep.encode(&mut written);
        assert_eq!(Scalar::decode(&mut &written[..]), None);
    }
}
