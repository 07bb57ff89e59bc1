//! `decimal(p,s)` as text: one text for each number, so that equal numbers are equal cache keys.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Why a text is not a decimal of the declared digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalFault {
    /// Not `-`, digits, a point, digits.
    Form,
    /// More digits before the point than the type has.
    Whole,
    /// More digits after the point than the type has, zeros at the end not counted.
    Fraction,
}

/// A decimal in its parts.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point, no zeros in front.
    whole: &'a str,
    /// Digits after the point.
    fraction: &'a str,
}

impl<'a> Parts<'a> {
    /// `None` when the text is not `-?digits[.digits]`.
    fn of(text: &'a str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        Some(Self { negative, whole: whole.trim_start_matches('0'), fraction })
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.bytes().all(|byte| byte == b'0')
    }
}

/// Brings a text into its one form: as many digits after the point as the scale, no zeros in front, no
/// `-` before zero. Allocates only when the text is not in that form yet.
pub(crate) fn canonical(
    text: Cow<'_, str>,
    precision: u8,
    scale: u8,
) -> Result<Cow<'_, str>, DecimalFault> {
    let parts = Parts::of(&text).ok_or(DecimalFault::Form)?;
    let scale = usize::from(scale);
    if parts.whole.len() > usize::from(precision).saturating_sub(scale) {
        return Err(DecimalFault::Whole);
    }
    let (kept, cut) = parts.fraction.split_at_checked(scale).unwrap_or((parts.fraction, ""));
    if cut.bytes().any(|digit| digit != b'0') {
        return Err(DecimalFault::Fraction);
    }
    let negative = parts.negative && !parts.is_zero();
    let whole = if parts.whole.is_empty() { "0" } else { parts.whole };
    let length = usize::from(negative) + whole.len() + if scale > 0 { 1 + scale } else { 0 };
    // Every difference from the one form changes the length, but for a `-` before zero in place of
    // a missing digit, which the fraction's length shows.
    if text.len() == length && kept.len() == scale && negative == parts.negative {
        return Ok(text);
    }
    let mut out = String::with_capacity(length);
    if negative {
        out.push('-');
    }
    out.push_str(whole);
    if scale > 0 {
        out.push('.');
        out.push_str(kept);
        out.extend(std::iter::repeat_n('0', scale - kept.len()));
    }
    Ok(Cow::Owned(out))
}

/// Compares two numbers, of any scale; `None` when one is not a decimal.
pub(super) fn compare(left: &str, right: &str) -> Option<Ordering> {
    let (left, right) = (Parts::of(left)?, Parts::of(right)?);
    let left_negative = left.negative && !left.is_zero();
    let right_negative = right.negative && !right.is_zero();
    let size = left.whole.len().cmp(&right.whole.len()).then_with(|| {
        let fractions = [left.fraction, right.fraction].map(|digits| digits.trim_end_matches('0'));
        left.whole.cmp(right.whole).then_with(|| fractions[0].cmp(fractions[1]))
    });
    Some(match (left_negative, right_negative) {
        (false, false) => size,
        (true, true) => size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, (precision, scale): (u8, u8), expected: Result<&str, DecimalFault>) {
        let found = canonical(Cow::Borrowed(text), precision, scale);
        assert_eq!(found.as_deref(), expected.as_ref().map(|text| *text), "{text}");
        if let Ok(found) = found {
            assert_eq!(
                matches!(found, Cow::Borrowed(_)),
                found == text,
                "{text}: one copy at most"
            );
            assert!(
                matches!(canonical(found.clone(), precision, scale), Ok(again) if again == found)
            );
        }
    }

    #[test]
    fn numbers_take_their_one_form() {
        for (text, form) in [
            ("12.30", "12.30"),
            ("12.3", "12.30"),
            ("12", "12.00"),
            ("012.3", "12.30"),
            ("0.5", "0.50"),
            ("00.50", "0.50"),
            ("-0.50", "-0.50"),
            ("-0", "0.00"),
            ("-0.00", "0.00"),
            ("-00.0", "0.00"),
            ("-00.000", "0.00"),
            ("0", "0.00"),
            ("12.3000", "12.30"),
            ("-7", "-7.00"),
        ] {
            check(text, (6, 2), Ok(form));
        }
        check("7", (3, 0), Ok("7"));
        check("7.0", (3, 0), Ok("7"));
        check("-0", (3, 0), Ok("0"));
        check("0.12", (2, 2), Ok("0.12"));
    }

    #[test]
    fn digits_at_the_limit_pass_and_one_more_is_refused() {
        check("9999.99", (6, 2), Ok("9999.99"));
        check("10000.00", (6, 2), Err(DecimalFault::Whole));
        check("09999.99", (6, 2), Ok("9999.99"));
        check("9.999", (6, 2), Err(DecimalFault::Fraction));
        check("1", (2, 2), Err(DecimalFault::Whole));
        let widest = format!("{}.{}", "9".repeat(28), "9".repeat(10));
        check(&widest, (38, 10), Ok(&widest));
    }

    #[test]
    fn texts_of_another_form_are_refused() {
        for text in [
            "", "-", ".", ".5", "5.", "+5", "1e3", "1 ", " 1", "1,5", "--1", "1.2.3", "0x1", "NaN",
            "١",
        ] {
            check(text, (6, 2), Err(DecimalFault::Form));
        }
    }

    #[test]
    fn comparison_is_by_number_and_not_by_text() {
        let ascending = [
            "-100", "-99.5", "-2", "-1.10", "-1.01", "0", "0.01", "0.1", "2", "10", "99.99",
            "100.0",
        ];
        for (low, left) in ascending.iter().enumerate() {
            for (high, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), Some(low.cmp(&high)), "{left} {right}");
            }
        }
        assert_eq!(compare("1.50", "01.5"), Some(Ordering::Equal));
        assert_eq!(compare("-0.0", "0"), Some(Ordering::Equal));
        assert_eq!(compare("1", "x"), None);
    }
}
