//! Dates and times: parts, as OCI has them, and microseconds, as PostgreSQL has them.

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Days from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;

/// A moment in parts, with the offset of its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateTime {
    /// Year, astronomical.
    pub year: i16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Nanoseconds of the second.
    pub nanos: u32,
    /// Minutes east of UTC; 0 where there is no zone.
    pub offset_minutes: i16,
}

impl DateTime {
    /// The moment that PostgreSQL sends: microseconds since 2000-01-01, told at an offset.
    pub fn from_postgres(micros: i64, offset_minutes: i16) -> Option<Self> {
        let local = micros.checked_add(i64::from(offset_minutes) * 60_000_000)?;
        let (year, month, day) = civil(local.div_euclid(DAY_MICROS) + EPOCH_DAYS);
        let rest = local.rem_euclid(DAY_MICROS);
        let seconds = rest / 1_000_000;
        let part = |number: i64| u8::try_from(number).ok();
        Some(Self {
            year: i16::try_from(year).ok()?,
            month,
            day,
            hour: part(seconds / 3600)?,
            minute: part(seconds / 60 % 60)?,
            second: part(seconds % 60)?,
            nanos: u32::try_from(rest % 1_000_000).ok()? * 1000,
            offset_minutes,
        })
    }

    /// Whether the parts name a day and a time that exist.
    pub fn is_valid(&self) -> bool {
        let days = match self.month {
            2 if is_leap(i64::from(self.year)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return false,
        };
        (1..=days).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
            && self.nanos < 1_000_000_000
            && self.year != 0
    }

    /// What PostgreSQL reads as a `timestamp`, or with the zone's offset as a `timestamptz`.
    pub fn text(&self, with_zone: bool) -> String {
        let micros = self.nanos / 1000;
        let year = if self.year < 0 { -self.year } else { self.year };
        let era = if self.year < 0 { " BC" } else { "" };
        let zone = if with_zone { offset_text(self.offset_minutes) } else { String::new() };
        format!(
            "{year:04}-{:02}-{:02} {:02}:{:02}:{:02}.{micros:06}{zone}{era}",
            self.month, self.day, self.hour, self.minute, self.second
        )
    }
}

/// `+08:00`.
pub fn offset_text(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// Minutes of `+08:00`, `-3:30`, `Z`, `UTC`; `None` for anything else.
pub fn parse_offset(text: &str) -> Option<i16> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("z") || text.is_empty() {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let minutes = hours.parse::<i16>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    (minutes <= 15 * 60).then_some(sign * minutes)
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Year, month and day of a number of days since 1970-01-01.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = u8::try_from(day_of_year - (153 * shifted + 2) / 5 + 1).unwrap_or(1);
    let month = u8::try_from(if shifted < 10 { shifted + 3 } else { shifted - 9 }).unwrap_or(1);
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_of_postgres_become_parts_and_text() {
        let moment = DateTime::from_postgres(0, 0).unwrap();
        assert_eq!(moment.text(false), "2000-01-01 00:00:00.000000");
        let moment = DateTime::from_postgres(-1, 0).unwrap();
        assert_eq!(moment.text(false), "1999-12-31 23:59:59.999999");
        let moment = DateTime::from_postgres(DAY_MICROS * 59 + 1_500, 480).unwrap();
        assert_eq!(moment.text(true), "2000-02-29 08:00:00.001500+08:00");
        assert!(moment.is_valid());
    }

    #[test]
    fn days_that_do_not_exist_are_told() {
        let day = |year, month, day| DateTime { year, month, day, ..DateTime::default() };
        assert!(day(2024, 2, 29).is_valid());
        assert!(!day(2023, 2, 29).is_valid());
        assert!(!day(2023, 13, 1).is_valid());
        assert!(!day(2023, 4, 31).is_valid());
        assert!(!day(0, 1, 1).is_valid());
        assert_eq!(day(-44, 3, 15).text(false), "0044-03-15 00:00:00.000000 BC");
    }

    #[test]
    fn offsets_are_read_and_told() {
        assert_eq!(parse_offset("+08:00"), Some(480));
        assert_eq!(parse_offset("-3:30"), Some(-210));
        assert_eq!(parse_offset("UTC"), Some(0));
        assert_eq!(parse_offset("Asia/Shanghai"), None);
        assert_eq!(parse_offset("+99:00"), None);
        assert_eq!(offset_text(-210), "-03:30");
    }
}
