//! MessagePack: the subset that the protocol uses, without extension types.
//!
//! Invariant: reading allocates nothing but the vectors of lists and maps, and those grow with what has
//! been read, not with what a header announces.

mod reader;
mod writer;

pub use reader::{Entries, Reader, Token};
pub use writer::{
    write_array_header, write_bin, write_bool, write_f64, write_int, write_map_header, write_nil,
    write_str, write_uint, write_value,
};

use crate::{PayloadError, Value};

/// Decodes one whole value, borrowed from `input`.
///
/// # Errors
///
/// [`PayloadError`] when the bytes are not one value, are deeper than [`DEPTH_MAX`](crate::DEPTH_MAX),
/// have a map key that is not text, an extension type or broken UTF-8, or when something follows.
pub fn decode(input: &[u8]) -> Result<Value<'_>, PayloadError> {
    let mut reader = Reader::new(input);
    let value = reader.value()?;
    reader.finish()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::DEPTH_MAX;

    /// A value with every variant in it.
    fn everything() -> Value<'static> {
        let text = |text: &str| Value::Str(Cow::Owned(text.to_owned()));
        Value::Map(vec![
            ("null".into(), Value::Null),
            ("bool".into(), Value::Array(vec![Value::Bool(false), Value::Bool(true)])),
            ("int".into(), Value::Array(vec![Value::Int(i64::MIN), Value::Int(-1)])),
            ("uint".into(), Value::UInt(u64::MAX)),
            ("float".into(), Value::Float(1.5)),
            ("str".into(), Value::Array(vec![text(""), text("é"), text(&"x".repeat(300))])),
            ("bytes".into(), Value::Bytes(Cow::Borrowed(&[0, 255]))),
            ("".into(), Value::Map(vec![("a".into(), Value::Null), ("a".into(), Value::Null)])),
        ])
    }

    fn encoded(value: &Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        write_value(&mut out, value);
        out
    }

    #[test]
    fn every_variant_reads_back_as_it_was_written() {
        assert_eq!(decode(&encoded(&everything())), Ok(everything()));
    }

    #[test]
    fn every_prefix_is_truncated_and_every_bit_flip_is_a_value_or_an_error() {
        let bytes = encoded(&everything());
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), Err(PayloadError::Truncated), "{length}");
        }
        let mut readable = 0;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let value = decode(&flipped);
            assert_ne!(value, Ok(everything()), "bit {bit}");
            readable += u32::from(value.is_ok());
            let mut reader = Reader::new(&flipped);
            if value.is_ok() {
                assert_eq!(reader.skip().and_then(|()| reader.finish()), Ok(()), "bit {bit}");
            }
        }
        assert!(readable > 100, "flips inside texts and numbers still read: {readable}");
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        assert_eq!(decode(&[0xc0, 0xc0, 0xc0]), Err(PayloadError::Trailing { bytes: 2 }));
    }

    #[test]
    fn depth_at_the_limit_passes_and_one_more_is_refused() {
        let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(decode(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(decode(&nested(DEPTH_MAX + 1)), Err(PayloadError::Depth));
        assert_eq!(decode(&nested(1_000_000)), Err(PayloadError::Depth));
        let maps = |depth: usize| [[0x81, 0xa0].repeat(depth), vec![0xc0]].concat();
        assert!(decode(&maps(DEPTH_MAX)).is_ok());
        assert_eq!(decode(&maps(DEPTH_MAX + 1)), Err(PayloadError::Depth));
    }

    #[test]
    fn announced_lengths_beyond_the_input_are_truncated_at_once() {
        for head in [0xdd_u8, 0xdf, 0xdb, 0xc6] {
            let bytes = [head, 0xff, 0xff, 0xff, 0xff, 0xc0];
            assert_eq!(decode(&bytes), Err(PayloadError::Truncated), "{head:#x}");
            assert_eq!(Reader::new(&bytes).skip(), Err(PayloadError::Truncated), "{head:#x}");
        }
    }

    #[test]
    fn extension_types_and_the_unused_byte_are_refused() {
        for head in [0xc1_u8, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8] {
            let bytes = [vec![head], vec![1; 20]].concat();
            assert_eq!(decode(&bytes), Err(PayloadError::TypeByte(head)));
            assert_eq!(Reader::new(&bytes).skip(), Err(PayloadError::TypeByte(head)));
        }
    }

    #[test]
    fn keys_that_are_no_text_and_texts_that_are_no_utf8_are_refused() {
        assert_eq!(decode(&[0x81, 0x01, 0xc0]), Err(PayloadError::Key("an integer")));
        assert_eq!(decode(&[0x81, 0xc0, 0xc0]), Err(PayloadError::Key("null")));
        assert!(matches!(decode(&[0xa1, 0xff]), Err(PayloadError::Utf8(_))));
    }

    #[test]
    fn entries_stream_and_end_with_the_first_fault() {
        let bytes = encoded(&everything());
        let mut reader = Reader::new(&bytes);
        let entries = Entries::last(&mut reader).unwrap();
        let Value::Map(expected) = everything() else { unreachable!() };
        assert_eq!(entries.collect::<Result<Vec<_>, _>>(), Ok(expected));

        let trailing = [0x81, 0xa1, b'a', 0xc0, 0xc0];
        let mut entries = Entries::last(&mut Reader::new(&trailing)).unwrap();
        assert_eq!(entries.next(), Some(Ok((Cow::Borrowed("a"), Value::Null))));
        assert_eq!(entries.next(), Some(Err(PayloadError::Trailing { bytes: 1 })));
        assert_eq!(entries.next(), None);

        let broken = [0x82, 0x01, 0xc0, 0xa1, b'a', 0xc0];
        let mut entries = Entries::last(&mut Reader::new(&broken)).unwrap();
        assert_eq!(entries.next(), Some(Err(PayloadError::Key("an integer"))));
        assert_eq!(entries.next(), None);
    }
}
