//! What each type takes and refuses, and how values compare.

#![expect(clippy::needless_pass_by_value, reason = "values are made where they are passed")]

use super::*;
use crate::catalog::Type;

fn text(text: &str) -> Value<'_> {
    Value::Str(Cow::Borrowed(text))
}

fn words(words: &[&str]) -> Type {
    Type::Enum(words.iter().map(|word| Box::from(*word)).collect())
}

const DECIMAL: Type = Type::Decimal { precision: 6, scale: 2 };
const TIMESTAMP: Type = Type::Timestamp { fraction: 3 };

#[track_caller]
fn takes(ty: &Type, value: Value<'_>, untyped: bool, expected: Scalar<'_>) {
    assert_eq!(ty.accept(value.clone(), untyped), Ok(expected), "{ty:?} {value:?}");
}

#[track_caller]
fn wrong_type(ty: &Type, value: Value<'_>, untyped: bool) {
    let fault = ty.accept(value.clone(), untyped);
    assert!(matches!(fault, Err(ScalarFault::Type { .. })), "{ty:?} {value:?}: {fault:?}");
}

#[track_caller]
fn out_of_range(ty: &Type, value: Value<'_>) {
    let fault = ty.accept(value.clone(), false);
    assert!(matches!(fault, Err(ScalarFault::Range(_))), "{ty:?} {value:?}: {fault:?}");
}

#[test]
fn each_type_refuses_every_other_kind_of_value_and_null() {
    let list = || Value::Array(vec![Value::Array(vec![])]);
    let map = || Value::Map(vec![]);
    let bytes = || Value::Bytes(Cow::Borrowed(b"x"));
    let (int, float, bool, str) = (Value::Int(1), Value::Float(1.0), Value::Bool(true), text("?"));
    let table: [(Type, Vec<Value<'_>>); 11] = [
        (Type::Bool, vec![int.clone(), float.clone(), str.clone(), bytes(), list(), map()]),
        (Type::Int, vec![bool.clone(), float.clone(), text("1"), bytes(), list(), map()]),
        (Type::Bigint, vec![bool.clone(), float.clone(), str.clone(), bytes(), list(), map()]),
        (DECIMAL, vec![bool.clone(), float.clone(), str.clone(), bytes(), list(), map()]),
        (Type::Float, vec![bool.clone(), text("1.5"), bytes(), list(), map()]),
        (
            Type::Str { chars_max: None },
            vec![int.clone(), float.clone(), bool.clone(), bytes(), list(), map()],
        ),
        (
            Type::Bytes { bytes_max: None },
            vec![int.clone(), float.clone(), bool.clone(), str.clone(), list(), map()],
        ),
        (
            Type::Date,
            vec![int.clone(), float.clone(), bool.clone(), str.clone(), bytes(), list(), map()],
        ),
        (
            TIMESTAMP,
            vec![int.clone(), float.clone(), bool.clone(), str.clone(), bytes(), list(), map()],
        ),
        (words(&["a"]), vec![int.clone(), float.clone(), bool.clone(), bytes(), list(), map()]),
        (Type::List(Type::Int.into()), vec![int, float, bool, str, bytes(), list(), map()]),
    ];
    for (ty, values) in table {
        wrong_type(&ty, Value::Null, false);
        wrong_type(&ty, Value::Null, true);
        for value in values {
            wrong_type(&ty, value, false);
        }
    }
    wrong_type(&Type::Json, Value::Null, false);
    wrong_type(&Type::Json, text("{"), false);
}

#[test]
fn truth_values_are_booleans_and_where_untyped_their_words() {
    takes(&Type::Bool, Value::Bool(true), false, Scalar::Bool(true));
    for (word, value) in [("true", true), ("1", true), ("false", false), ("0", false)] {
        takes(&Type::Bool, text(word), true, Scalar::Bool(value));
    }
    for word in ["", "TRUE", "yes", "2"] {
        wrong_type(&Type::Bool, text(word), true);
    }
}

#[test]
fn integers_at_the_ends_of_their_type_pass_and_one_beyond_is_out_of_range() {
    for end in [i32::MIN, i32::MAX] {
        takes(&Type::Int, Value::Int(end.into()), false, Scalar::Int(end.into()));
    }
    out_of_range(&Type::Int, Value::Int(i64::from(i32::MAX) + 1));
    out_of_range(&Type::Int, Value::Int(i64::from(i32::MIN) - 1));
    out_of_range(&Type::Int, Value::UInt(u64::MAX));
    for end in [i64::MIN, i64::MAX] {
        takes(&Type::Bigint, Value::Int(end), false, Scalar::Int(end));
        takes(&Type::Bigint, text(&end.to_string()), false, Scalar::Int(end));
    }
    out_of_range(&Type::Bigint, Value::UInt(1 << 63));
    out_of_range(&Type::Bigint, text("9223372036854775808"));
    out_of_range(&Type::Bigint, text("-9223372036854775809"));
}

#[test]
fn texts_of_digits_are_integers_where_untyped_and_bigints_always() {
    takes(&Type::Int, text("-7"), true, Scalar::Int(-7));
    takes(&Type::Bigint, text("007"), false, Scalar::Int(7));
    takes(&Type::Bigint, text("-0"), false, Scalar::Int(0));
    for broken in ["", "-", "+7", "7.0", "1e3", " 7", "7 ", "0x7", "--7", "٧"] {
        wrong_type(&Type::Int, text(broken), true);
        wrong_type(&Type::Bigint, text(broken), true);
    }
    wrong_type(&Type::Bigint, Value::Float(7.0), false);
}

#[test]
fn decimals_come_from_texts_and_integers_in_one_form() {
    takes(&DECIMAL, text("7.5"), false, Scalar::Decimal("7.50".into()));
    takes(&DECIMAL, Value::Int(-7), false, Scalar::Decimal("-7.00".into()));
    takes(&DECIMAL, text("-0.00"), true, Scalar::Decimal("0.00".into()));
    takes(&DECIMAL, Value::Int(9999), false, Scalar::Decimal("9999.00".into()));
    let told = DECIMAL.accept(Value::Float(6.0), false).unwrap_err().to_string();
    assert_eq!(
        told,
        "expected decimal(6,2), got a float, which is not exact: send it as a text, \"6.00\""
    );
    out_of_range(&DECIMAL, Value::Int(10_000));
    out_of_range(&DECIMAL, Value::UInt(u64::MAX));
    out_of_range(&DECIMAL, text("0.001"));
    wrong_type(&DECIMAL, text("1e2"), false);
}

#[test]
fn floats_are_finite_and_have_one_zero() {
    takes(&Type::Float, Value::Float(1.5), false, Scalar::Float(1.5));
    takes(&Type::Float, Value::Int(3), false, Scalar::Float(3.0));
    takes(&Type::Float, text("-2.5e3"), true, Scalar::Float(-2500.0));
    let zero = Type::Float.accept(Value::Float(-0.0), false);
    assert!(matches!(zero, Ok(Scalar::Float(zero)) if zero.is_sign_positive()));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        out_of_range(&Type::Float, Value::Float(value));
    }
    for word in ["NaN", "inf", "1e400"] {
        let fault = Type::Float.accept(text(word), true);
        assert!(matches!(fault, Err(ScalarFault::Range(_))), "{word}");
    }
}

#[test]
fn texts_are_counted_in_characters_and_may_not_hold_a_zero_character() {
    let ty = Type::Str { chars_max: Some(3) };
    takes(&ty, text("äöü"), false, Scalar::Str("äöü".into()));
    takes(&ty, text(""), false, Scalar::Str("".into()));
    out_of_range(&ty, text("äöüx"));
    out_of_range(&ty, text("abcd"));
    out_of_range(&ty, text("a\0"));
}

#[test]
fn bytes_come_as_bytes_or_base64_and_are_counted_decoded() {
    let ty = Type::Bytes { bytes_max: Some(3) };
    takes(
        &ty,
        Value::Bytes(Cow::Borrowed(&[1, 2, 3])),
        false,
        Scalar::Bytes(Cow::Borrowed(&[1, 2, 3])),
    );
    takes(&ty, text("AQID"), false, Scalar::Bytes(vec![1, 2, 3].into()));
    takes(&ty, text(""), true, Scalar::Bytes(vec![].into()));
    out_of_range(&ty, text("AQIDBA=="));
    out_of_range(&ty, Value::Bytes(Cow::Borrowed(&[0; 4])));
    wrong_type(&ty, text("AQI"), false);
    wrong_type(&ty, text("_-=="), false);
}

#[test]
fn moments_come_as_text_and_become_numbers() {
    takes(&Type::Date, text("1970-01-02"), false, Scalar::Date(1));
    takes(&TIMESTAMP, text("1970-01-01T01:00:00.001+01:00"), true, Scalar::Timestamp(1000));
    out_of_range(&Type::Date, text("2023-02-29"));
    out_of_range(&TIMESTAMP, text("1970-01-01T00:00:00.0001Z"));
    wrong_type(&TIMESTAMP, text("1970-01-01"), false);
}

#[test]
fn json_is_text_that_is_json_or_any_value_written_as_it() {
    takes(&Type::Json, text(r#"{"a": 1}"#), false, Scalar::Json(r#"{"a": 1}"#.into()));
    let value = Value::Map(vec![("a".into(), Value::Array(vec![Value::Null, Value::Bool(true)]))]);
    takes(&Type::Json, value, false, Scalar::Json(r#"{"a":[null,true]}"#.into()));
    takes(&Type::Json, Value::Int(5), false, Scalar::Json("5".into()));
    out_of_range(&Type::Json, Value::Array(vec![Value::Float(f64::NAN)]));
    for broken in ["", "{", "hello", "{'a':1}", "1 2"] {
        wrong_type(&Type::Json, text(broken), true);
    }
}

#[test]
fn enums_take_their_words_and_no_other() {
    let ty = words(&["newest", "level"]);
    takes(&ty, text("level"), false, Scalar::Str("level".into()));
    out_of_range(&ty, text("Level"));
    out_of_range(&ty, text(""));
    assert_eq!(ty.accept(text("x"), false).unwrap_err().to_string(), "not one of newest, level");
}

#[test]
fn lists_take_lists_and_where_untyped_one_value_as_a_list_of_one() {
    let ty = Type::List(Type::Int.into());
    let two = Scalar::List(vec![Scalar::Int(1), Scalar::Int(2)]);
    takes(&ty, Value::Array(vec![Value::Int(1), Value::Int(2)]), false, two.clone());
    takes(&ty, Value::Array(vec![text("1"), text("2")]), true, two);
    takes(&ty, text("1"), true, Scalar::List(vec![Scalar::Int(1)]));
    takes(&ty, Value::Array(vec![]), false, Scalar::List(vec![]));
    wrong_type(&ty, Value::Array(vec![Value::Null]), false);
    let fault = ty.accept(Value::Array(vec![Value::Int(1), text("x")]), false).unwrap_err();
    assert_eq!(fault.to_string(), "expected int, got a string as item 2");
    let fault = ty.accept(Value::Array(vec![Value::Int(1 << 40)]), false).unwrap_err();
    assert_eq!(fault.to_string(), "item 1: not within -2147483648 to 2147483647");
}

#[test]
fn header_texts_parse_as_their_type_and_lists_at_commas() {
    assert_eq!(Type::Int.parse("20"), Ok(Scalar::Int(20)));
    assert_eq!(Type::Bool.parse("true"), Ok(Scalar::Bool(true)));
    let list = Type::List(Type::Int.into());
    assert_eq!(list.parse("1, 2"), Ok(Scalar::List(vec![Scalar::Int(1), Scalar::Int(2)])));
    assert_eq!(list.parse(" "), Ok(Scalar::List(vec![])));
    assert!(list.parse("1,").is_err());
    assert!(Type::Int.parse("x").is_err());
}

#[test]
fn faults_name_the_type_as_written_and_never_the_value() {
    for (ty, written) in [
        (DECIMAL, "decimal(6,2)"),
        (TIMESTAMP, "timestamp(3)"),
        (Type::Str { chars_max: Some(8) }, "string(8)"),
        (Type::Bytes { bytes_max: None }, "bytes"),
        (words(&["a", "b"]), "enum(a,b)"),
        (Type::List(Type::Bigint.into()), "list(bigint)"),
    ] {
        assert_eq!(ty.as_written(), written);
        let fault = ty.accept(Value::Map(vec![("s3cret".into(), Value::Null)]), false).unwrap_err();
        assert_eq!(fault.to_string(), format!("expected {written}, got a map"));
    }
    assert!(
        !Type::Bigint.accept(text("s3cret"), false).unwrap_err().to_string().contains("s3cret")
    );
}

#[test]
fn values_compare_within_their_type_and_null_compares_with_nothing() {
    use Ordering::{Equal, Greater, Less};
    let decimal = |text: &'static str| Scalar::Decimal(text.into());
    for (left, right, expected) in [
        (Scalar::Int(-1), Scalar::Int(1), Some(Less)),
        (Scalar::Bool(true), Scalar::Bool(false), Some(Greater)),
        (Scalar::Float(1.5), Scalar::Float(1.5), Some(Equal)),
        (decimal("9.50"), decimal("10.00"), Some(Less)),
        (Scalar::Int(10), decimal("9.50"), Some(Greater)),
        (decimal("10.00"), Scalar::Int(10), Some(Equal)),
        (Scalar::Str("a".into()), Scalar::Str("b".into()), Some(Less)),
        (Scalar::Bytes(vec![2].into()), Scalar::Bytes(vec![1, 9].into()), Some(Greater)),
        (Scalar::Date(1), Scalar::Date(2), Some(Less)),
        (Scalar::Timestamp(1), Scalar::Timestamp(1), Some(Equal)),
        (Scalar::Null, Scalar::Null, None),
        (Scalar::Int(1), Scalar::Null, None),
        (Scalar::Int(1), Scalar::Str("1".into()), None),
        (Scalar::Date(1), Scalar::Timestamp(1), None),
    ] {
        assert_eq!(left.compare(&right), expected, "{left:?} {right:?}");
        assert_eq!(right.compare(&left), expected.map(Ordering::reverse));
    }
}

#[test]
fn tag_texts_are_one_for_each_value() {
    for (value, expected) in [
        (Scalar::Null, "null"),
        (Scalar::Bool(true), "true"),
        (Scalar::Int(i64::MIN), "-9223372036854775808"),
        (Scalar::Float(0.1), "0.1"),
        (Scalar::Decimal("1.50".into()), "1.50"),
        (Scalar::Str("a b".into()), "a b"),
        (Scalar::Bytes(vec![0, 0xaf].into()), "00af"),
        (Scalar::Date(0), "1970-01-01"),
        (Scalar::Timestamp(1), "1970-01-01T00:00:00.000001Z"),
        (Scalar::Json("{}".into()), "{}"),
        (Scalar::List(vec![Scalar::Int(1), Scalar::Int(2)]), "1,2"),
    ] {
        let mut out = String::from("x:");
        value.tag_text(&mut out);
        assert_eq!(out, format!("x:{expected}"));
    }
}
