//! A row's primary key: as values, and as one text that means the same on both sides.

use std::fmt::Write as _;

use super::pair::{Pair, PairColumn};
use crate::catalog::{
    Scalar, Type, canonical_decimal, format_date, format_timestamp, parse_date, parse_timestamp,
};

/// A key's values, in the order of the key's columns.
pub(super) type Key = Vec<Scalar<'static>>;

/// Writes a key as a JSON array of texts: what the outbox holds, and what reports show.
pub(super) fn key_text(key: &[Scalar<'_>]) -> String {
    let texts: Vec<String> = key.iter().map(value_text).collect();
    serde_json::Value::from(texts).to_string()
}

/// Reads what [`key_text`], or a trigger, wrote.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn parse_key(pair: &Pair, text: &str) -> Result<Key, Box<str>> {
    let texts: Vec<String> =
        serde_json::from_str(text).map_err(|error| format!("not a list of texts: {error}"))?;
    if texts.len() != pair.key.len() {
        return Err(format!("{} values for {} columns", texts.len(), pair.key.len()).into());
    }
    pair.key_columns().zip(&texts).map(|(column, text)| parse_value(column, text)).collect()
}

/// Reads one value of a key.
///
/// # Errors
///
/// What is wrong with it; never the value.
pub(super) fn parse_value(column: &PairColumn, text: &str) -> Result<Scalar<'static>, Box<str>> {
    let parsed = match &column.ty {
        Type::Bigint => text.parse().ok().map(Scalar::Int),
        Type::Decimal { precision, scale } => decimal(text, *precision, *scale),
        Type::Str { .. } => Some(Scalar::Str(own_text(column, text).to_owned().into())),
        Type::Bytes { .. } => bytes(text).map(|bytes| Scalar::Bytes(bytes.into())),
        Type::Date => parse_date(text).ok().map(Scalar::Date),
        Type::Timestamp { fraction } => {
            moment(column, text).map(|micros| Scalar::Timestamp(cut(micros, *fraction)))
        }
        _ => None,
    };
    let fault = || format!("column `{}` is no {}", column.name, column.ty.as_written()).into();
    parsed.ok_or_else(fault)
}

/// Oracle's triggers write `.5`.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<Scalar<'static>> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let zero = if digits.starts_with('.') { "0" } else { "" };
    let text = canonical_decimal(format!("{sign}{zero}{digits}").into(), precision, scale).ok()?;
    Some(Scalar::Decimal(text.into_owned().into()))
}

/// Without a zone it is what the owner's clocks show: its triggers write it so.
fn moment(column: &PairColumn, text: &str) -> Option<i64> {
    if let Ok(micros) = parse_timestamp(text, 6) {
        return Some(micros);
    }
    let local = parse_timestamp(&format!("{text}Z"), 6).ok()?;
    column.local.as_ref()?.moment(local)
}

/// A moment without the digits that one side does not have.
pub(super) const fn cut(micros: i64, fraction: u8) -> i64 {
    let unit = 10_i64.pow(6_u32.saturating_sub(fraction as u32));
    micros - micros.rem_euclid(unit)
}

/// A text without the blanks that are none of it.
pub(super) fn own_text<'t>(column: &PairColumn, text: &'t str) -> &'t str {
    if column.padded { text.trim_end_matches(' ') } else { text }
}

fn value_text(value: &Scalar<'_>) -> String {
    match value {
        Scalar::Int(value) => value.to_string(),
        Scalar::Decimal(text) | Scalar::Str(text) => text.clone().into_owned(),
        Scalar::Bytes(bytes) => bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _written = write!(text, "{byte:02X}");
            text
        }),
        Scalar::Date(days) => format_date(*days).as_str().to_owned(),
        Scalar::Timestamp(micros) => format_timestamp(*micros, 6).as_str().to_owned(),
        // No key has them: `introspect::is_exact`.
        Scalar::Null | Scalar::Bool(_) | Scalar::Float(_) | Scalar::Json(_) | Scalar::List(_) => {
            String::new()
        }
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(ty: Type, padded: bool) -> PairColumn {
        let (empty_is_null, null_as_empty, local) = (false, false, None);
        PairColumn { name: "k".into(), ty, padded, empty_is_null, null_as_empty, local }
    }

    #[test]
    fn key_that_a_trigger_of_oracle_wrote_is_read_in_the_connections_zone() {
        let mut moment = column(Type::Timestamp { fraction: 6 }, false);
        let utc = Scalar::Timestamp(1_709_210_096_789_999);
        assert_eq!(parse_value(&moment, "2024-02-29T12:34:56.789999Z"), Ok(utc.clone()));
        assert!(parse_value(&moment, "2024-02-29T20:34:56.789999").is_err(), "of no zone");
        moment.local = crate::config::Zone::parse("Asia/Shanghai");
        assert_eq!(parse_value(&moment, "2024-02-29T20:34:56.789999"), Ok(utc.clone()));
        assert_eq!(parse_value(&moment, "2024-02-29T12:34:56.789999Z"), Ok(utc));
        let money = column(Type::Decimal { precision: 20, scale: 2 }, false);
        for (written, value) in [(".5", "0.50"), ("-.25", "-0.25"), ("7", "7.00")] {
            assert_eq!(parse_value(&money, written), Ok(Scalar::Decimal(value.into())));
        }
        assert!(parse_value(&money, "1,5").is_err() && parse_value(&money, ".").is_err());
    }

    #[test]
    fn value_of_each_type_comes_back_from_its_text() {
        for (ty, value) in [
            (Type::Bigint, Scalar::Int(-7)),
            (Type::Decimal { precision: 20, scale: 2 }, Scalar::Decimal("12.50".into())),
            (Type::Str { chars_max: None }, Scalar::Str("a\"b\\ é\u{1}".into())),
            (Type::Bytes { bytes_max: None }, Scalar::Bytes(vec![0, 255, 16].into())),
            (Type::Date, Scalar::Date(20_000)),
            (Type::Timestamp { fraction: 6 }, Scalar::Timestamp(1_709_210_096_789_999)),
        ] {
            let text = key_text(std::slice::from_ref(&value));
            let texts: Vec<String> = serde_json::from_str(&text).expect("a list");
            assert_eq!(parse_value(&column(ty, false), &texts[0]), Ok(value));
        }
    }

    #[test]
    fn text_of_another_form_is_refused_and_not_repeated() {
        for (ty, text) in [
            (Type::Bigint, "secret"),
            (Type::Bytes { bytes_max: None }, "0g"),
            (Type::Bytes { bytes_max: None }, "abc"),
            (Type::Date, "secret"),
            (Type::Decimal { precision: 5, scale: 0 }, "1.5"),
            (Type::Float, "1.5"),
        ] {
            let fault = parse_value(&column(ty, false), text).expect_err("another form");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn digits_and_blanks_that_one_side_lacks_are_cut() {
        let moment = column(Type::Timestamp { fraction: 3 }, false);
        let value = parse_value(&moment, "1969-12-31T23:59:59.999999Z");
        assert_eq!(value, Ok(Scalar::Timestamp(-1000)));
        let padded = column(Type::Str { chars_max: None }, true);
        assert_eq!(parse_value(&padded, "USD  "), Ok(Scalar::Str("USD".into())));
    }
}
