//! Writing JSON: compact, shortest numbers, bytes as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Value;

/// What a byte of a text becomes: 0 itself, `u` six characters, else a backslash and that letter.
static ESCAPES: [u8; 256] = escapes();

const fn escapes() -> [u8; 256] {
    let mut table = [0_u8; 256];
    let mut byte = 0;
    while byte < 0x20 {
        #[expect(clippy::indexing_slicing, reason = "a constant, below 32 of 256")]
        {
            table[byte] = b'u';
        }
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[0x22] = b'"';
    table[0x5c] = b'\\';
    table
}

/// Appends null.
pub fn write_null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

/// Appends a truth value.
pub fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Appends a whole number.
pub fn write_int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a whole number that is not negative.
pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a float, with the fewest digits that read back as it. JSON has no infinities and no NaN:
/// they are null.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        write_null(out);
    }
}

/// Appends a text in quotes. What needs no escape is copied in runs.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(run) = rest.iter().position(|byte| escape(*byte) != 0) {
        let (plain, special) = rest.split_at(run);
        out.extend_from_slice(plain);
        let Some((byte, behind)) = special.split_first() else { break };
        match escape(*byte) {
            b'u' => {
                let digit =
                    |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
                let (high, low) = (digit(byte >> 4), digit(byte & 0x0f));
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(byte: u8) -> u8 {
    ESCAPES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Appends bytes as base64 (RFC 4648 section 4, padded), in quotes.
pub fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, b'=');
    if let Some(place) = out.get_mut(start..) {
        let written = STANDARD.encode_slice(bytes, place);
        debug_assert_eq!(written.ok(), Some(out.len() - start), "four characters for three bytes");
    }
    out.push(b'"');
}

/// Appends any value.
pub fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => write_null(out),
        Value::Bool(value) => write_bool(out, *value),
        Value::Int(value) => write_int(out, *value),
        Value::UInt(value) => write_uint(out, *value),
        Value::Float(value) => write_f64(out, *value),
        Value::Str(text) => write_str(out, text),
        Value::Bytes(bytes) => write_base64(out, bytes),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            for (index, (name, value)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_str(out, name);
                out.push(b':');
                write_value(out, value);
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value<'_>) -> String {
        let mut out = Vec::new();
        write_value(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_reads_back_with_an_independent_reader() {
        for end in [0x80_u32, 0x800, 0x2100] {
            let text: String = (0..end).filter_map(char::from_u32).collect();
            let json = written(&Value::Str(text.as_str().into()));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn escapes_are_the_short_ones_where_json_has_them() {
        let json = written(&Value::Str("\"\\/\u{8}\t\n\u{c}\r\u{0}\u{1f} \u{7f}é".into()));
        assert_eq!(json, "\"\\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001f \u{7f}é\"");
        assert_eq!(written(&Value::Str("".into())), "\"\"");
    }

    #[test]
    fn numbers_are_shortest_and_what_json_lacks_is_null() {
        for (value, json) in [
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::UInt(u64::MAX), "18446744073709551615"),
            (Value::Float(0.1), "0.1"),
            (Value::Float(1.0), "1.0"),
            (Value::Float(1e300), "1e300"),
            (Value::Float(f64::NAN), "null"),
            (Value::Float(f64::NEG_INFINITY), "null"),
        ] {
            assert_eq!(written(&value), json);
        }
    }

    #[test]
    fn bytes_are_padded_base64() {
        for (bytes, json) in
            [(&b""[..], "\"\""), (b"f", "\"Zg==\""), (b"fo", "\"Zm8=\""), (b"foo", "\"Zm9v\"")]
        {
            assert_eq!(written(&Value::Bytes(bytes.into())), json);
        }
    }

    #[test]
    fn containers_are_compact_and_keep_their_order() {
        let value = Value::Map(vec![
            ("b".into(), Value::Array(vec![Value::Null, Value::Bool(true), Value::Bool(false)])),
            ("a".into(), Value::Map(vec![])),
        ]);
        assert_eq!(written(&value), r#"{"b":[null,true,false],"a":{}}"#);
    }
}
