//! Writing MessagePack, always in the smallest form, so equal values are equal bytes.
//!
//! A text, bytes or container longer than a length field can say is written with the largest length
//! there is; it is over four gigabytes then, and no frame that holds it can be finished.

use crate::Value;

/// Appends nil.
pub fn write_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Appends a truth value.
pub fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Appends a whole number.
pub fn write_int(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u64::try_from(value) {
        write_uint(out, value);
    } else if value >= -32 {
        out.extend_from_slice(&value.to_be_bytes()[7..]);
    } else if let Ok(value) = i8::try_from(value) {
        out.push(0xd0);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(0xd1);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(0xd2);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a whole number that is not negative.
pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    if let Ok(value) = u8::try_from(value) {
        if value < 0x80 {
            out.push(value);
        } else {
            out.extend_from_slice(&[0xcc, value]);
        }
    } else if let Ok(value) = u16::try_from(value) {
        out.push(0xcd);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = u32::try_from(value) {
        out.push(0xce);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a float: 32 bits where they say the same, else 64.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "compared with the whole right after")]
    let narrow = value as f32;
    if f64::from(narrow).to_bits() == value.to_bits() {
        out.push(0xca);
        out.extend_from_slice(&narrow.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a text.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length @ 0..=31) => out.push(0xa0 | length),
        Ok(length) => out.extend_from_slice(&[0xd9, length]),
        Err(_) => write_length(out, [0xda, 0xdb], text.len()),
    }
    out.extend_from_slice(text.as_bytes());
}

/// Appends bytes.
pub fn write_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => out.extend_from_slice(&[0xc4, length]),
        Err(_) => write_length(out, [0xc5, 0xc6], bytes.len()),
    }
    out.extend_from_slice(bytes);
}

/// Appends the head of a list; `count` values are appended next.
pub fn write_array_header(out: &mut Vec<u8>, count: usize) {
    match u8::try_from(count) {
        Ok(count @ 0..=15) => out.push(0x90 | count),
        _ => write_length(out, [0xdc, 0xdd], count),
    }
}

/// Appends the head of a map; `count` pairs of a text and a value are appended next.
pub fn write_map_header(out: &mut Vec<u8>, count: usize) {
    match u8::try_from(count) {
        Ok(count @ 0..=15) => out.push(0x80 | count),
        _ => write_length(out, [0xde, 0xdf], count),
    }
}

/// Appends any value.
pub fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => write_nil(out),
        Value::Bool(value) => write_bool(out, *value),
        Value::Int(value) => write_int(out, *value),
        Value::UInt(value) => write_uint(out, *value),
        Value::Float(value) => write_f64(out, *value),
        Value::Str(text) => write_str(out, text),
        Value::Bytes(bytes) => write_bin(out, bytes),
        Value::Array(items) => {
            write_array_header(out, items.len());
            for item in items {
                write_value(out, item);
            }
        }
        Value::Map(entries) => {
            write_map_header(out, entries.len());
            for (name, value) in entries {
                write_str(out, name);
                write_value(out, value);
            }
        }
    }
}

/// A type byte for 16 bits of length, or one for 32, and the length.
fn write_length(out: &mut Vec<u8>, [type16, type32]: [u8; 2], length: usize) {
    if let Ok(length) = u16::try_from(length) {
        out.push(type16);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(type32);
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::{Reader, Token};

    #[track_caller]
    fn check(value: &Value<'_>, head: &[u8], bytes: usize) {
        let mut out = Vec::new();
        write_value(&mut out, value);
        assert!(out.starts_with(head), "{value:?}: {:02x?}", &out[..head.len().min(out.len())]);
        assert_eq!(out.len(), bytes, "{value:?}");
        assert_eq!(&crate::msgpack::decode(&out).unwrap(), value);
    }

    #[test]
    fn integers_take_the_smallest_form_on_both_sides_of_each_limit() {
        for (value, head, bytes) in [
            (0, 0x00, 1),
            (127, 0x7f, 1),
            (128, 0xcc, 2),
            (255, 0xcc, 2),
            (256, 0xcd, 3),
            (65_535, 0xcd, 3),
            (65_536, 0xce, 5),
            (4_294_967_295, 0xce, 5),
            (4_294_967_296, 0xcf, 9),
            (i64::MAX, 0xcf, 9),
            (-1, 0xff, 1),
            (-32, 0xe0, 1),
            (-33, 0xd0, 2),
            (-128, 0xd0, 2),
            (-129, 0xd1, 3),
            (-32_768, 0xd1, 3),
            (-32_769, 0xd2, 5),
            (-2_147_483_648, 0xd2, 5),
            (-2_147_483_649, 0xd3, 9),
            (i64::MIN, 0xd3, 9),
        ] {
            check(&Value::Int(value), &[head], bytes);
        }
        check(&Value::UInt(1 << 63), &[0xcf, 0x80], 9);
    }

    #[test]
    fn integers_in_a_wide_form_read_as_the_same_number() {
        for bytes in
            [&[0xcc, 5][..], &[0xd3, 0, 0, 0, 0, 0, 0, 0, 5], &[0xcf, 0, 0, 0, 0, 0, 0, 0, 5]]
        {
            assert_eq!(Reader::new(bytes).token(), Ok(Token::Int(5)));
        }
    }

    #[test]
    fn floats_take_32_bits_only_where_nothing_is_lost() {
        check(&Value::Float(1.5), &[0xca], 5);
        check(&Value::Float(-0.0), &[0xca, 0x80], 5);
        check(&Value::Float(f64::INFINITY), &[0xca], 5);
        check(&Value::Float(0.1), &[0xcb], 9);
        check(&Value::Float(f64::MAX), &[0xcb], 9);
    }

    #[test]
    fn texts_and_bytes_take_the_smallest_form_on_both_sides_of_each_limit() {
        for (length, head, bytes) in [
            (0, 0xa0, 1),
            (31, 0xbf, 32),
            (32, 0xd9, 34),
            (255, 0xd9, 257),
            (256, 0xda, 259),
            (65_535, 0xda, 65_538),
            (65_536, 0xdb, 65_541),
        ] {
            check(&Value::Str("x".repeat(length).into()), &[head], bytes);
        }
        for (length, head, bytes) in
            [(0, 0xc4, 2), (255, 0xc4, 257), (256, 0xc5, 259), (65_536, 0xc6, 65_541)]
        {
            check(&Value::Bytes(vec![7; length].into()), &[head], bytes);
        }
    }

    #[test]
    fn containers_take_the_smallest_form_on_both_sides_of_each_limit() {
        for (count, head, bytes) in [
            (0, 0x90, 1),
            (15, 0x9f, 16),
            (16, 0xdc, 19),
            (65_535, 0xdc, 65_538),
            (65_536, 0xdd, 65_541),
        ] {
            check(&Value::Array(vec![Value::Null; count]), &[head], bytes);
        }
        for (count, head, bytes) in
            [(0, 0x80, 1), (15, 0x8f, 31), (16, 0xde, 35), (65_536, 0xdf, 131_077)]
        {
            check(&Value::Map(vec![("".into(), Value::Null); count]), &[head], bytes);
        }
    }
}
