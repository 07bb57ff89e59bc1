//! JSON: read by simd-json in place, written straight into a buffer.
//!
//! simd-json's first pass is a loop over the bytes, not a recursion, so input of any depth is safe to
//! hand to it; the walk over its tape is where [`DEPTH_MAX`] is kept.

mod fault;
mod writer;

use std::borrow::Cow;

use simd_json::{Node, StaticNode};

pub use writer::{
    write_base64, write_bool, write_f64, write_int, write_null, write_str, write_uint, write_value,
};

use crate::{DEPTH_MAX, PayloadError, Value};

/// Items for which a list's or map's vector is allocated before the first one is read.
const PREALLOCATED_ITEMS_MAX: usize = 32;

/// Decodes one whole value, its texts borrowed from `input`, which is unescaped in place.
///
/// Whole numbers up to [`u64::MAX`] stay whole; a number with a point or an exponent is a float.
/// A name that stands twice in a map is kept twice.
///
/// # Errors
///
/// [`PayloadError::Json`] when the bytes are not one JSON value, or hold a number outside 64 bits or a
/// text that is not UTF-8; [`PayloadError::Depth`] beyond [`DEPTH_MAX`].
pub fn decode(input: &mut [u8]) -> Result<Value<'_>, PayloadError> {
    // simd-json 0.17 takes a zero byte for the end of a number and drops what follows up to the next
    // comma; no JSON text has one.
    if input.contains(&0) {
        return Err(PayloadError::Json("a zero byte".into()));
    }
    if input.contains(&b'\\') {
        check_surrogates(input)?;
    }
    let tape = simd_json::to_tape(input)
        .map_err(|error| PayloadError::Json(fault::words(&error).into_boxed_str()))?;
    let mut nodes = tape.0.into_iter();
    let value = walk(&mut nodes, DEPTH_MAX)?;
    match nodes.len() {
        0 => Ok(value),
        _ => Err(PayloadError::Json("more than one value".into())),
    }
}

/// Refuses `\ud800` to `\udfff` that stand alone: simd-json 0.17 reads such a half character as U+0000.
fn check_surrogates(input: &[u8]) -> Result<(), PayloadError> {
    let mut rest = input;
    let mut high = false;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = rest.get(at..).unwrap_or_default();
        let unit = match escape {
            [_, b'u', b'd' | b'D', digit, ..] => digit.to_ascii_lowercase(),
            _ => b'0',
        };
        let low = matches!(unit, b'c'..=b'f');
        if low != (high && at == 0) || (high && at != 0) {
            return Err(PayloadError::Json("half of a surrogate pair".into()));
        }
        high = matches!(unit, b'8' | b'9' | b'a' | b'b');
        let bytes = if matches!(escape, [_, b'u', ..]) { 6 } else { 2 };
        rest = escape.get(bytes..).unwrap_or_default();
    }
    if high { Err(PayloadError::Json("half of a surrogate pair".into())) } else { Ok(()) }
}

fn walk<'a>(
    nodes: &mut std::vec::IntoIter<Node<'a>>,
    depth_left: usize,
) -> Result<Value<'a>, PayloadError> {
    Ok(match nodes.next().ok_or(PayloadError::Truncated)? {
        Node::String(text) => Value::Str(Cow::Borrowed(text)),
        Node::Static(scalar) => scalar_value(scalar)?,
        Node::Array { len, .. } => {
            let within = depth_left.checked_sub(1).ok_or(PayloadError::Depth)?;
            let mut items = Vec::with_capacity(len.min(PREALLOCATED_ITEMS_MAX));
            for _ in 0..len {
                items.push(walk(nodes, within)?);
            }
            Value::Array(items)
        }
        Node::Object { len, .. } => {
            let within = depth_left.checked_sub(1).ok_or(PayloadError::Depth)?;
            let mut entries = Vec::with_capacity(len.min(PREALLOCATED_ITEMS_MAX));
            for _ in 0..len {
                let Some(Node::String(name)) = nodes.next() else {
                    return Err(PayloadError::Key("something else"));
                };
                entries.push((Cow::Borrowed(name), walk(nodes, within)?));
            }
            Value::Map(entries)
        }
    })
}

fn scalar_value(scalar: StaticNode) -> Result<Value<'static>, PayloadError> {
    Ok(match scalar {
        StaticNode::Null => Value::Null,
        StaticNode::Bool(value) => Value::Bool(value),
        StaticNode::I64(value) => Value::Int(value),
        StaticNode::U64(value) => i64::try_from(value).map_or(Value::UInt(value), Value::Int),
        StaticNode::F64(value) if value.is_finite() => Value::Float(value),
        StaticNode::F64(_) => return Err(PayloadError::Json("a number outside 64 bits".into())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"{"a":[1,-2,3.5e2,18446744073709551615],"text":"q\"\\\u00e9\ud83d\ude00","o":{"x":null,"x":true},"":[]}"#;

    fn read(text: &str) -> Result<Value<'static>, PayloadError> {
        read_bytes(text.as_bytes())
    }

    fn read_bytes(bytes: &[u8]) -> Result<Value<'static>, PayloadError> {
        decode(&mut bytes.to_vec()).map(Value::into_owned)
    }

    #[track_caller]
    fn refused(text: &str) {
        assert!(matches!(read(text), Err(PayloadError::Json(_))), "{text}: {:?}", read(text));
    }

    #[test]
    fn text_that_is_not_json_is_told_with_the_place_and_what_belongs_there() {
        let told = |text: &str| read(text).unwrap_err().to_string();
        let check = |text: &str, expected: &str| {
            assert_eq!(told(text), format!("not JSON: {expected}"), "{text}");
        };
        check("", "there is nothing in it");
        check(r#"{"a":1,}"#, "byte 8, `}`: a name in `\"` belongs behind a `,`");
        let name = "a name in `\"`, a `,` or a `}` belongs here";
        check("{a:1}", &format!("byte 2, `a`: {name}"));
        check("{'a':1}", &format!("byte 2, `'`: {name}"));
        check(r#"{"a" 1}"#, "byte 6, `1`: a `:` belongs behind a name");
        check(r#"{"a":1 "b":2}"#, "byte 8, `\"`: a `,` is missing before it");
        check("[1 2]", "byte 4, `2`: a `,` or a `]` belongs here");
        let number = "no number is written like this, or it does not fit into 64 bits";
        check(r#"{"a":01}"#, &format!("byte 7, `1`: {number}"));
        check(r#"{"a":Zed}"#, "byte 6, `Z`: no value is written like this: a text stands in `\"`");
        check(r#"{"a":}"#, "byte 6, `}`: a value is missing before it, or something follows it");
        check(r#"{"a":1"#, "it ends behind byte 6: a `}` or `]` is missing");
        check(r#"{"a":"\q"}"#, "`\\q` in a text: a `\\` is written `\\\\`");
        let end = "a text has no `\"` at its end, or a line break in it, which is written `\\n`";
        check("{\"a\":\"x}", end);
        check("{\"a\":\"x\ny\"}", end);
        check("\u{feff}{}", "byte 1: no value is written like this: a text stands in `\"`");
    }

    /// Whatever the parser says, no word of its own reaches a caller.
    #[test]
    fn no_fault_is_told_in_the_words_of_the_parser() {
        for length in 0..SAMPLE.len() {
            for byte in [b'}', b'"', b'x', b',', 0xff] {
                let mut bytes = SAMPLE.as_bytes().to_vec();
                bytes[length] = byte;
                if let Err(error) = read_bytes(&bytes) {
                    let told = error.to_string();
                    for word in ["Error", "Expected", "Invalid", "Syntax", "Eof", "character"] {
                        assert!(!told.contains(word), "{told}");
                    }
                }
            }
        }
    }

    #[test]
    fn values_of_every_kind_read() {
        let text = |text: &'static str| Value::Str(Cow::Borrowed(text));
        let expected = Value::Map(vec![
            (
                "a".into(),
                Value::Array(vec![
                    Value::Int(1),
                    Value::Int(-2),
                    Value::Float(350.0),
                    Value::UInt(u64::MAX),
                ]),
            ),
            ("text".into(), text("q\"\\é😀")),
            (
                "o".into(),
                Value::Map(vec![("x".into(), Value::Null), ("x".into(), Value::Bool(true))]),
            ),
            ("".into(), Value::Array(vec![])),
        ]);
        assert_eq!(read(SAMPLE), Ok(expected));
        assert_eq!(read(" null "), Ok(Value::Null));
    }

    #[test]
    fn a_name_given_twice_is_kept_twice() {
        let twice = vec![("x".into(), Value::Int(1)), ("x".into(), Value::Int(2))];
        assert_eq!(read(r#"{"x":1,"x":2}"#), Ok(Value::Map(twice)));
    }

    #[test]
    fn integers_at_the_ends_of_64_bits_stay_whole_and_one_beyond_is_refused() {
        assert_eq!(read("9223372036854775807"), Ok(Value::Int(i64::MAX)));
        assert_eq!(read("9223372036854775808"), Ok(Value::UInt(1 << 63)));
        assert_eq!(read("18446744073709551615"), Ok(Value::UInt(u64::MAX)));
        refused("18446744073709551616");
        assert_eq!(read("-9223372036854775808"), Ok(Value::Int(i64::MIN)));
        refused("-9223372036854775809");
        refused(&"9".repeat(400));
    }

    #[test]
    fn floats_at_the_end_of_64_bits_read_and_beyond_are_refused() {
        assert_eq!(read("1.7976931348623157e308"), Ok(Value::Float(f64::MAX)));
        refused("1e309");
        refused("1e999999999999");
        refused("NaN");
        assert_eq!(read("1e-400"), Ok(Value::Float(0.0)));
        assert_eq!(read("1.0"), Ok(Value::Float(1.0)));
    }

    #[test]
    fn depth_at_the_limit_passes_and_one_more_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(read(&nested(DEPTH_MAX + 1)), Err(PayloadError::Depth));
        let maps = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert!(read(&maps(DEPTH_MAX)).is_ok());
        assert_eq!(read(&maps(DEPTH_MAX + 1)), Err(PayloadError::Depth));
    }

    #[test]
    fn ten_thousand_levels_are_an_error_closed_or_not() {
        let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(read(&nested), Err(PayloadError::Depth));
        refused(&"[".repeat(10_000));
        refused(&r#"{"a":"#.repeat(10_000));
        refused(&"]".repeat(10_000));
    }

    #[test]
    fn broken_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{1:2}",
            "'a'",
            "tru",
            "nulll",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "1 2",
            "[] []",
            "\"a\nb\"",
            "\u{feff}1",
        ] {
            refused(text);
        }
        assert!(matches!(read_bytes(b"\"\xff\""), Err(PayloadError::Json(_))));
        assert!(matches!(read_bytes(b"[\"\xc3\"]"), Err(PayloadError::Json(_))));
        assert!(matches!(read_bytes(b"[1\x00]"), Err(PayloadError::Json(_))));
    }

    #[test]
    fn every_prefix_is_an_error_and_every_bit_flip_a_value_or_an_error() {
        let whole = read(SAMPLE);
        for length in 0..SAMPLE.len() {
            assert!(read_bytes(&SAMPLE.as_bytes()[..length]).is_err(), "{length}");
        }
        let mut readable = 0;
        for bit in 0..SAMPLE.len() * 8 {
            let mut bytes = SAMPLE.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let value = read_bytes(&bytes);
            readable += u32::from(value.is_ok() && value != whole);
        }
        assert!(readable > 50, "flips inside texts and numbers still read: {readable}");
    }

    /// The standard library agrees on numbers of every shape, so nothing is lost on the way in.
    #[test]
    fn numbers_read_as_the_standard_library_reads_them() {
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state =
                state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            let (digits, exponent) = (state >> (state % 60), (state >> 20) % 640);
            let exponent = i64::try_from(exponent).unwrap() - 320;
            let text = match state >> 62 {
                0 => format!("{digits}"),
                1 => format!("-{digits}.{}e{exponent}", state & 0xffff),
                2 => format!("{}.{}", digits & 0xffff, state),
                _ => format!("{}e{exponent}", digits & 0xff_ffff),
            };
            let float = text.parse::<f64>().unwrap();
            let expected = match text.parse::<u64>() {
                Ok(whole) => Some(i64::try_from(whole).map_or(Value::UInt(whole), Value::Int)),
                Err(_) => float.is_finite().then_some(Value::Float(float)),
            };
            assert_eq!(read(&text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_are_refused_and_pairs_are_one_character() {
        assert_eq!(read(r#""\ud83d\uDE00""#), Ok(Value::Str("😀".into())));
        assert_eq!(read(r#""\ud83d\uDE00\ud83d\ude00x\n""#), Ok(Value::Str("😀😀x\n".into())));
        assert_eq!(read(r#""\\ud800""#), Ok(Value::Str("\\ud800".into())));
        assert_eq!(read(r#""\u0000\ud7ff\ue000""#), Ok(Value::Str("\0\u{d7ff}\u{e000}".into())));
        for text in [
            r#""\ud800""#,
            r#""\udbff\n""#,
            r#""\udc00""#,
            r#""\udc00\ud800""#,
            r#""\ud800\ud800""#,
            r#""\ud800x\udc00""#,
            r#""\ud83d\ude00\ude00""#,
            r#"{"\uDFFF":1}"#,
            r#"["\ud800","\udc00"]"#,
        ] {
            refused(text);
        }
    }

    /// Two samples with every byte of them replaced by every byte, and removed: an independent
    /// reader takes the same ones.
    #[test]
    fn texts_with_one_byte_changed_are_json_for_both_or_for_neither() {
        // Their numbers beyond 64 bits become floats, ours are refused.
        let first = SAMPLE.replace("18446744073709551615", "17");
        let second = r#" [ true , false,null,-0.5E-2, 10,"\ud83d\ude00\n", {"k" : [ ] } ] "#;
        for sample in [first.as_str(), second] {
            for index in 0..sample.len() {
                for byte in 0..=u8::MAX {
                    let mut bytes = sample.as_bytes().to_vec();
                    bytes[index] = byte;
                    same_verdict(&bytes);
                }
                let mut bytes = sample.as_bytes().to_vec();
                bytes.remove(index);
                same_verdict(&bytes);
            }
        }
    }

    #[track_caller]
    fn same_verdict(bytes: &[u8]) {
        let theirs = serde_json::from_slice::<serde_json::Value>(bytes);
        let ours = read_bytes(bytes);
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{shown:?} {ours:?} {theirs:?}");
    }
}
