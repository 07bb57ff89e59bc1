//! Days and moments: counts since 1970, calendar fields, and the two texts of them.
//!
//! On the wire a moment has the declared number of fraction digits; in SQLite it always has six,
//! so that texts compare as moments do. Years are 0000 to 9999 in both.

use time::{Date, Month, PrimitiveDateTime, Time};

/// Bytes of a day's text: `2024-01-31`.
pub(super) const DATE_BYTES: usize = 10;
/// Fraction digits of a moment in SQLite.
pub(super) const STORED_FRACTION: u8 = 6;

const EPOCH_JULIAN_DAY: i32 = 2_440_588;
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The day that many days after 1970-01-01; `None` outside the years 0000 to 9999.
pub(super) fn date_from_days(days: i32) -> Option<Date> {
    let date = Date::from_julian_day(days.checked_add(EPOCH_JULIAN_DAY)?).ok()?;
    (0..=9999).contains(&date.year()).then_some(date)
}

/// Days since 1970-01-01.
pub(super) const fn days_from_date(date: Date) -> i32 {
    date.to_julian_day() - EPOCH_JULIAN_DAY
}

/// The moment that many microseconds after 1970-01-01T00:00:00Z, as calendar fields in UTC;
/// `None` outside the years 0000 to 9999.
pub(super) fn moment_from_micros(micros: i64) -> Option<PrimitiveDateTime> {
    let date = date_from_days(i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?)?;
    let of_day = micros.rem_euclid(MICROS_PER_DAY);
    let seconds = u32::try_from(of_day / MICROS_PER_SECOND).ok()?;
    let fraction = u32::try_from(of_day % MICROS_PER_SECOND).ok()?;
    let field = |value: u32| u8::try_from(value).ok();
    let (hour, minute) = (field(seconds / 3600)?, field(seconds / 60 % 60)?);
    let time = Time::from_hms_micro(hour, minute, field(seconds % 60)?, fraction).ok()?;
    Some(PrimitiveDateTime::new(date, time))
}

/// Microseconds since 1970-01-01T00:00:00Z of calendar fields in UTC.
pub(super) fn micros_from_moment(moment: PrimitiveDateTime) -> i64 {
    let (hour, minute, second, micros) = moment.time().as_hms_micro();
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    i64::from(days_from_date(moment.date())) * MICROS_PER_DAY
        + seconds * MICROS_PER_SECOND
        + i64::from(micros)
}

/// Bytes of a moment's text with `fraction` digits: `2024-01-31T23:59:59.125Z`.
pub(super) const fn moment_bytes(fraction: u8) -> usize {
    let digits = if fraction > 6 { 6 } else { fraction as usize };
    20 + if digits == 0 { 0 } else { digits + 1 }
}

/// Writes a day, [`DATE_BYTES`] long. Its year is 0000 to 9999, as [`date_from_days`] gives it.
pub(super) fn write_date(out: &mut Vec<u8>, date: Date) {
    write_digits(out, date.year().unsigned_abs(), 4);
    out.push(b'-');
    write_digits(out, u8::from(date.month()).into(), 2);
    out.push(b'-');
    write_digits(out, date.day().into(), 2);
}

/// Writes a moment, [`moment_bytes`] long: RFC 3339 in UTC. Digits after the last one are cut, not
/// rounded, so that a text never names a later moment than the row holds.
pub(super) fn write_moment(out: &mut Vec<u8>, moment: PrimitiveDateTime, fraction: u8) {
    let (hour, minute, second, micros) = moment.time().as_hms_micro();
    write_date(out, moment.date());
    out.push(b'T');
    write_digits(out, hour.into(), 2);
    out.push(b':');
    write_digits(out, minute.into(), 2);
    out.push(b':');
    write_digits(out, second.into(), 2);
    let digits = fraction.min(6);
    if digits > 0 {
        out.push(b'.');
        write_digits(out, micros / 10_u32.pow(u32::from(6 - digits)), digits.into());
    }
    out.push(b'Z');
}

/// A day as SQLite stores it.
#[cfg(any(feature = "sqlite", test))]
pub(super) fn stored_date(days: i32) -> Option<String> {
    let mut text = Vec::with_capacity(DATE_BYTES);
    write_date(&mut text, date_from_days(days)?);
    String::from_utf8(text).ok()
}

/// A moment as SQLite stores it.
#[cfg(any(feature = "sqlite", test))]
pub(super) fn stored_moment(micros: i64) -> Option<String> {
    let mut text = Vec::with_capacity(moment_bytes(STORED_FRACTION));
    write_moment(&mut text, moment_from_micros(micros)?, STORED_FRACTION);
    String::from_utf8(text).ok()
}

/// Reads a day as SQLite stores it; `None` for any other form.
pub(super) fn parse_date(text: &[u8]) -> Option<Date> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let month = Month::try_from(u8::try_from(number(&[*m1, *m2])?).ok()?).ok()?;
    let day = u8::try_from(number(&[*d1, *d2])?).ok()?;
    Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()
}

/// Reads a moment as SQLite stores it; `None` for any other form.
pub(super) fn parse_moment(text: &[u8]) -> Option<PrimitiveDateTime> {
    let (date, rest) = text.split_at_checked(DATE_BYTES)?;
    let [b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'.', fraction @ .., b'Z'] = rest else {
        return None;
    };
    if fraction.len() != usize::from(STORED_FRACTION) {
        return None;
    }
    let field = |digits: [u8; 2]| u8::try_from(number(&digits)?).ok();
    let (hour, minute, second) = (field([*h1, *h2])?, field([*m1, *m2])?, field([*s1, *s2])?);
    let time = Time::from_hms_micro(hour, minute, second, number(fraction)?).ok()?;
    Some(PrimitiveDateTime::new(parse_date(date)?, time))
}

/// Writes the last `count` decimal digits of `value`.
fn write_digits(out: &mut Vec<u8>, value: u32, count: u32) {
    for place in (0..count).rev() {
        let digit = value / 10_u32.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// The number that the digits write; `None` when one of them is none.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(micros: i64, fraction: u8, expected: &str) {
        let moment = moment_from_micros(micros).expect("in range");
        let mut text = Vec::new();
        write_moment(&mut text, moment, fraction);
        assert_eq!(String::from_utf8(text).expect("ASCII"), expected);
        assert_eq!(expected.len(), moment_bytes(fraction));
        assert_eq!(micros_from_moment(moment), micros);
    }

    #[test]
    fn moment_is_cut_to_the_declared_fraction() {
        check(1_709_210_096_789_999, 6, "2024-02-29T12:34:56.789999Z");
        check(1_709_210_096_789_999, 3, "2024-02-29T12:34:56.789Z");
        check(1_709_210_096_789_999, 0, "2024-02-29T12:34:56Z");
        check(-1, 6, "1969-12-31T23:59:59.999999Z");
        check(0, 1, "1970-01-01T00:00:00.0Z");
    }

    #[test]
    fn years_at_the_limits_pass_and_one_beyond_is_none() {
        let first = micros_from_moment(parse_moment(b"0000-01-01T00:00:00.000000Z").expect("ok"));
        let last = micros_from_moment(parse_moment(b"9999-12-31T23:59:59.999999Z").expect("ok"));
        assert!(moment_from_micros(first).is_some() && moment_from_micros(last).is_some());
        assert!(moment_from_micros(first - 1).is_none() && moment_from_micros(last + 1).is_none());
        assert!(moment_from_micros(i64::MIN).is_none() && moment_from_micros(i64::MAX).is_none());
        assert!(date_from_days(i32::MIN).is_none() && date_from_days(i32::MAX).is_none());
    }

    #[test]
    fn stored_texts_sort_as_their_moments_and_read_back() {
        let moments =
            [-62_167_219_200_000_000, -1, 0, 1, 999_999, 1_000_000, 1_709_210_096_789_999];
        let texts: Vec<String> =
            moments.iter().map(|micros| stored_moment(*micros).expect("in range")).collect();
        assert!(texts.is_sorted());
        for (text, micros) in texts.iter().zip(moments) {
            assert_eq!(parse_moment(text.as_bytes()).map(micros_from_moment), Some(micros));
        }
    }

    #[test]
    fn another_form_than_the_stored_one_is_none() {
        for text in [
            "2024-02-29 12:34:56",
            "2024-02-29T12:34:56Z",
            "2024-02-29T12:34:56.789Z",
            "2024-02-29T12:34:56.789999",
            "2024-02-29T12:34:56.78999xZ",
            "2024-02-30T12:34:56.789999Z",
            "2024-02-29T24:00:00.000000Z",
            "",
        ] {
            assert!(parse_moment(text.as_bytes()).is_none(), "{text}");
        }
        for text in ["2023-02-29", "2024-2-29", "2024-02-2x", "2024-13-01", "20240229"] {
            assert!(parse_date(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!(stored_date(19_782).as_deref(), Some("2024-02-29"));
        assert_eq!(parse_date(b"2024-02-29").map(days_from_date), Some(19_782));
    }
}
