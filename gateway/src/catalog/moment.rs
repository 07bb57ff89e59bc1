//! Dates and timestamps: text to numbers and back.
//!
//! A date is days since 1970-01-01, a timestamp microseconds since 1970-01-01T00:00:00Z, both in the
//! proleptic Gregorian calendar, years 0001 to 9999. The day arithmetic is Howard Hinnant's
//! (`days_from_civil`, `civil_from_days`): it counts in eras of 400 years from 1 March.

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// 0001-01-01 and 9999-12-31, in days.
const DAYS_MIN: i32 = -719_162;
const DAYS_MAX: i32 = 2_932_896;

/// The first and the last microsecond of those days.
const MICROS_MIN: i64 = DAYS_MIN as i64 * DAY_MICROS;
const MICROS_MAX: i64 = (DAYS_MAX as i64 + 1) * DAY_MICROS - 1;

/// Longest text: `2024-02-29T23:59:59.123456Z`.
const TEXT_BYTES_MAX: usize = 27;

/// Why a text is not a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentFault {
    /// Not of the form.
    #[error("not of the form")]
    Form,
    /// Of the form, but no such day or time, or outside the years 0001 to 9999.
    #[error("no such day or time")]
    Calendar,
    /// More digits after the second than the type has.
    #[error("more digits after the second than declared")]
    Fraction,
}

/// A date or timestamp as text, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct MomentText {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl MomentText {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
    }

    const fn new() -> Self {
        Self { bytes: [b'0'; TEXT_BYTES_MAX], length: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// Appends `value` in `width` digits, the last ones when there are more.
    fn digits(&mut self, mut value: u32, width: usize) {
        let Some(place) = self.bytes.get_mut(self.length..self.length + width) else { return };
        for byte in place.iter_mut().rev() {
            *byte = b'0' + (value % 10).to_le_bytes()[0];
            value /= 10;
        }
        self.length += width;
    }

    fn date(&mut self, days: i32) {
        let (year, month, day) = civil_from_days(days);
        self.digits(year.unsigned_abs(), 4);
        self.push(b'-');
        self.digits(month, 2);
        self.push(b'-');
        self.digits(day, 2);
    }
}

/// Whether a day is of the years 0001 to 9999.
pub const fn has_date(days: i32) -> bool {
    DAYS_MIN <= days && days <= DAYS_MAX
}

/// Whether a moment is of the years 0001 to 9999, in UTC.
pub const fn has_timestamp(micros: i64) -> bool {
    MICROS_MIN <= micros && micros <= MICROS_MAX
}

/// Writes a date: `2024-02-29`. Outside the years 0001 to 9999 the nearest of them is written.
pub fn format_date(days: i32) -> MomentText {
    let mut text = MomentText::new();
    text.date(days.clamp(DAYS_MIN, DAYS_MAX));
    text
}

/// Writes a timestamp in UTC: `2024-02-29T23:59:59.123Z`.
///
/// - `micros`: outside the years 0001 to 9999 the nearest moment is written.
/// - `fraction`: digits after the second, 0 to 6; the rest is cut off, never rounded up, so a moment is
///   not told to be later than it was.
pub fn format_timestamp(micros: i64, fraction: u8) -> MomentText {
    let micros = micros.clamp(MICROS_MIN, MICROS_MAX);
    let days = i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or_default();
    let of_day = micros.rem_euclid(DAY_MICROS);
    let seconds = u32::try_from(of_day / 1_000_000).unwrap_or_default();

    let mut text = MomentText::new();
    text.date(days);
    text.push(b'T');
    text.digits(seconds / 3600, 2);
    text.push(b':');
    text.digits(seconds / 60 % 60, 2);
    text.push(b':');
    text.digits(seconds % 60, 2);
    let fraction = fraction.min(6);
    if fraction > 0 {
        let micros = u32::try_from(of_day % 1_000_000).unwrap_or_default();
        text.push(b'.');
        text.digits(micros / 10_u32.pow(u32::from(6 - fraction)), usize::from(fraction));
    }
    text.push(b'Z');
    text
}

/// Reads `YYYY-MM-DD`.
///
/// # Errors
///
/// [`MomentFault::Form`], or [`MomentFault::Calendar`] for 30 February.
pub fn parse_date(text: &str) -> Result<i32, MomentFault> {
    let mut rest = text.as_bytes();
    let days = take_date(&mut rest)?;
    if rest.is_empty() { Ok(days) } else { Err(MomentFault::Form) }
}

/// Reads an RFC 3339 timestamp with any offset, into UTC.
///
/// - `fraction`: most digits after the second, 0 to 6; zeros beyond them are no digits.
///
/// # Errors
///
/// [`MomentFault`]. A leap second is refused: neither database keeps one.
pub fn parse_timestamp(text: &str, fraction: u8) -> Result<i64, MomentFault> {
    let mut rest = text.as_bytes();
    let days = take_date(&mut rest)?;
    let separator = take(&mut rest)?;
    if !separator.eq_ignore_ascii_case(&b'T') {
        return Err(MomentFault::Form);
    }
    let hour = take_number(&mut rest, 2)?;
    expect(&mut rest, b':')?;
    let minute = take_number(&mut rest, 2)?;
    expect(&mut rest, b':')?;
    let second = take_number(&mut rest, 2)?;
    let micros = take_fraction(&mut rest, fraction)?;
    let offset_minutes = take_offset(&mut rest)?;
    if !rest.is_empty() {
        return Err(MomentFault::Form);
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err(MomentFault::Calendar);
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second) - offset_minutes * 60;
    let moment = i64::from(days) * DAY_MICROS + seconds * 1_000_000 + micros;
    if has_timestamp(moment) { Ok(moment) } else { Err(MomentFault::Calendar) }
}

fn take(rest: &mut &[u8]) -> Result<u8, MomentFault> {
    let (first, behind) = rest.split_first().ok_or(MomentFault::Form)?;
    *rest = behind;
    Ok(*first)
}

fn expect(rest: &mut &[u8], byte: u8) -> Result<(), MomentFault> {
    if take(rest)? == byte { Ok(()) } else { Err(MomentFault::Form) }
}

fn take_digit(rest: &mut &[u8]) -> Result<u32, MomentFault> {
    match take(rest)? {
        digit @ b'0'..=b'9' => Ok(u32::from(digit - b'0')),
        _ => Err(MomentFault::Form),
    }
}

fn take_number(rest: &mut &[u8], width: usize) -> Result<u32, MomentFault> {
    let mut number = 0;
    for _ in 0..width {
        number = number * 10 + take_digit(rest)?;
    }
    Ok(number)
}

fn take_date(rest: &mut &[u8]) -> Result<i32, MomentFault> {
    let year = take_number(rest, 4)?;
    expect(rest, b'-')?;
    let month = take_number(rest, 2)?;
    expect(rest, b'-')?;
    let day = take_number(rest, 2)?;
    if year == 0 || day == 0 || day > days_of_month(year, month) {
        return Err(MomentFault::Calendar);
    }
    Ok(days_from_civil(year, month, day))
}

/// `.123` in microseconds; 0 where there is none.
fn take_fraction(rest: &mut &[u8], fraction: u8) -> Result<i64, MomentFault> {
    if rest.first() != Some(&b'.') {
        return Ok(0);
    }
    take(rest)?;
    let mut micros = i64::from(take_digit(rest)?) * 100_000;
    let (mut place, mut significant) = (10_000, u8::from(micros != 0));
    let mut count = 1_u8;
    while rest.first().is_some_and(u8::is_ascii_digit) {
        let digit = i64::from(take_digit(rest)?);
        count = count.saturating_add(1);
        if digit != 0 {
            significant = count;
        }
        micros += digit * place;
        place /= 10;
    }
    if significant > fraction { Err(MomentFault::Fraction) } else { Ok(micros) }
}

/// `Z` or `+02:00`, in minutes east.
fn take_offset(rest: &mut &[u8]) -> Result<i64, MomentFault> {
    let sign = match take(rest)? {
        b'Z' | b'z' => return Ok(0),
        b'+' => 1,
        b'-' => -1,
        _ => return Err(MomentFault::Form),
    };
    let hours = take_number(rest, 2)?;
    expect(rest, b':')?;
    let minutes = take_number(rest, 2)?;
    if hours > 23 || minutes > 59 {
        return Err(MomentFault::Calendar);
    }
    Ok(sign * i64::from(hours * 60 + minutes))
}

const fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days of a month; 0 of a month that does not exist.
const fn days_of_month(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 0,
    }
}

/// - `year`: 1 to 9999; `month`, `day`: checked.
fn days_from_civil(year: u32, month: u32, day: u32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era).unwrap_or_default() - 719_468
}

/// - `days`: within the years 0001 to 9999. Returns year, month, day.
fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097).unsigned_abs());
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = i32::try_from(year_of_era).unwrap_or_default() + era * 400 + i32::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_calendar_reads_back_and_agrees_with_the_time_crate() {
        let mut date = time::Date::from_calendar_date(1, time::Month::January, 1).unwrap();
        for days in DAYS_MIN..=DAYS_MAX {
            let text = format_date(days);
            assert_eq!(parse_date(text.as_str()), Ok(days), "{}", text.as_str());
            if days % 97 == 0 {
                let expected =
                    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day());
                assert_eq!(text.as_str(), expected);
            }
            date = date.next_day().unwrap_or(date);
        }
        assert_eq!(format_date(DAYS_MIN).as_str(), "0001-01-01");
        assert_eq!(format_date(DAYS_MAX).as_str(), "9999-12-31");
        assert_eq!(format_date(i32::MAX).as_str(), "9999-12-31");
        assert_eq!(format_date(i32::MIN).as_str(), "0001-01-01");
        assert_eq!(parse_date("1970-01-01"), Ok(0));
    }

    #[test]
    fn days_that_do_not_exist_are_refused_and_their_neighbours_are_not() {
        for (good, bad) in [
            ("2024-02-29", "2024-02-30"),
            ("2023-02-28", "2023-02-29"),
            ("2000-02-29", "1900-02-29"),
            ("2024-04-30", "2024-04-31"),
            ("2024-12-31", "2024-13-01"),
            ("2024-01-01", "2024-01-00"),
            ("0001-01-01", "0000-12-31"),
        ] {
            assert!(parse_date(good).is_ok(), "{good}");
            assert_eq!(parse_date(bad), Err(MomentFault::Calendar), "{bad}");
        }
    }

    #[test]
    fn dates_of_another_form_are_refused() {
        for text in [
            "",
            "2024",
            "2024-1-01",
            "2024-01-1",
            "24-01-01",
            "2024/01/01",
            "2024-01-01 ",
            "+024-01-01",
            "-024-01-01",
            "2024-01-01T00:00:00Z",
            "٢٠٢٤-01-01",
        ] {
            assert_eq!(parse_date(text), Err(MomentFault::Form), "{text}");
        }
    }

    #[test]
    fn timestamps_with_any_offset_become_utc() {
        for (text, utc) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
            ("2024-02-29t23:59:59.5z", "2024-02-29T23:59:59.500000Z"),
            ("2024-03-01T01:30:00+02:00", "2024-02-29T23:30:00.000000Z"),
            ("2024-02-29T18:00:00-06:30", "2024-03-01T00:30:00.000000Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00-00:00", "0001-01-01T00:00:00.000000Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            let micros = parse_timestamp(text, 6).unwrap();
            assert_eq!(format_timestamp(micros, 6).as_str(), utc, "{text}");
        }
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.000001Z", 6), Ok(1));
        assert_eq!(parse_timestamp("1969-12-31T23:59:59.999999Z", 6), Ok(-1));
    }

    #[test]
    fn fraction_at_the_declared_digits_reads_and_one_more_is_refused_unless_zero() {
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.123Z", 3), Ok(123_000));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.1234Z", 3), Err(MomentFault::Fraction));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.1230000000Z", 3), Ok(123_000));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.0Z", 0), Ok(0));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.1Z", 0), Err(MomentFault::Fraction));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.0000001Z", 6), Err(MomentFault::Fraction));
    }

    #[test]
    fn times_that_do_not_exist_or_leave_the_calendar_are_refused() {
        for text in [
            "2024-01-01T24:00:00Z",
            "2024-01-01T23:60:00Z",
            "2024-01-01T23:59:60Z",
            "2024-02-30T00:00:00Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+00:60",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(parse_timestamp(text, 6), Err(MomentFault::Calendar), "{text}");
        }
    }

    #[test]
    fn timestamps_of_another_form_are_refused() {
        for text in [
            "",
            "2024-01-01",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00,5Z",
            "2024-01-01T00:00:00+0200",
            "2024-01-01T00:00:00Z ",
            "2024-01-01T00:00:00Zx",
            "2024-01-01T0:00:00Z",
            "1700000000",
        ] {
            assert_eq!(parse_timestamp(text, 6), Err(MomentFault::Form), "{text}");
        }
    }

    #[test]
    fn written_fraction_is_cut_and_never_rounded_up() {
        for (fraction, text) in [
            (0, "1969-12-31T23:59:59Z"),
            (1, "1969-12-31T23:59:59.9Z"),
            (3, "1969-12-31T23:59:59.999Z"),
            (6, "1969-12-31T23:59:59.999999Z"),
            (9, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(format_timestamp(-1, fraction).as_str(), text);
        }
        assert_eq!(format_timestamp(i64::MAX, 3).as_str(), "9999-12-31T23:59:59.999Z");
        assert_eq!(format_timestamp(i64::MIN, 0).as_str(), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn every_prefix_of_a_timestamp_is_refused() {
        let text = "2024-03-01T01:30:00.25+02:00";
        assert!(parse_timestamp(text, 6).is_ok());
        for length in 0..text.len() {
            assert!(parse_timestamp(text.get(..length).unwrap(), 6).is_err(), "{length}");
        }
    }
}
