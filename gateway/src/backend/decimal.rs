//! Decimal numbers as text: the one form that the wire and SQLite have.
//!
//! Canonical: an optional `-`, no leading zeros but one before the point, exactly `scale` digits
//! after it, no `-` before a zero.

/// A number's text in canonical form; `None` when it is none, has digits other than zero beyond
/// `scale`, or more than `precision - scale` digits before the point.
pub(super) fn canonical(text: &str, precision: u8, scale: u8) -> Option<String> {
    let (negative, whole, fraction) = parts(text)?;
    let kept = fraction.trim_end_matches('0');
    let scale = usize::from(scale);
    if kept.len() > scale || whole.len() + scale > usize::from(precision) {
        return None;
    }
    let mut out = String::with_capacity(usize::from(precision) + 3);
    if negative && !(whole.is_empty() && kept.is_empty()) {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        out.push('.');
        out.push_str(kept);
        out.extend(std::iter::repeat_n('0', scale - kept.len()));
    }
    Some(out)
}

/// A number's text as an integer; `None` when it has a fraction or does not fit in 64 bits.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, whole, fraction) = parts(text)?;
    if fraction.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let magnitude: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// Sign, digits before the point without leading zeros, digits after it.
fn parts(text: &str) -> Option<(bool, &str, &str)> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let empty = whole.is_empty() && fraction.is_empty();
    (!empty && all_digits(whole) && all_digits(fraction))
        .then(|| (negative, whole.trim_start_matches('0'), fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_canonical_form() {
        for (text, expected) in [
            ("12.5", Some("12.50")),
            ("0012.500", Some("12.50")),
            (".5", Some("0.50")),
            ("-0.00", Some("0.00")),
            ("-0.01", Some("-0.01")),
            ("9999.99", Some("9999.99")),
            ("10000.00", None),
            ("12.505", None),
            ("1e3", None),
            ("+1", None),
            ("", None),
            ("-", None),
            (".", None),
            ("1.2.3", None),
        ] {
            assert_eq!(canonical(text, 6, 2).as_deref(), expected, "{text}");
        }
        assert_eq!(canonical("7.0", 3, 0).as_deref(), Some("7"));
    }

    #[test]
    fn integers_fit_at_the_limits_and_one_beyond_does_not() {
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer("-9223372036854775808.000"), Some(i64::MIN));
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("1.5"), None);
        assert_eq!(integer(&"9".repeat(60)), None);
    }
}
