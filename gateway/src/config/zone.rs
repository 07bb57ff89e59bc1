//! A time zone, by name or by its distance from UTC.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// The zone of the moments in columns that say none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// As written, and as a database is told: `+08:00`, `Asia/Shanghai`.
    name: Box<str>,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// Always as many seconds ahead of UTC.
    Fixed(i32),
    /// By the tables of the time zone database, which this binary carries.
    Named(TimeZone),
}

const MICROS_PER_SECOND: i64 = 1_000_000;

impl Zone {
    /// Reads `UTC`, `+08:00` or a name such as `Asia/Shanghai`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rule) = if text.eq_ignore_ascii_case("UTC") {
            ("+00:00", Rule::Fixed(0))
        } else if text.starts_with(['+', '-']) {
            (text, Rule::Fixed(offset_seconds(text)?))
        } else {
            // A name goes into a statement of the session's set-up.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
            let named = text.chars().all(plain).then(|| TimeZone::get(text).ok())??;
            (text, Rule::Named(named))
        };
        Some(Self { name: name.into(), rule })
    }

    /// Its name, for a database: `+00:00`, `Asia/Shanghai`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What clocks of the zone show at a moment, counted like the moment itself, in microseconds.
    ///
    /// `None` outside the years that the calendar has.
    pub fn local(&self, micros: i64) -> Option<i64> {
        let seconds = match &self.rule {
            Rule::Fixed(seconds) => *seconds,
            Rule::Named(zone) => {
                zone.to_offset(Timestamp::from_microsecond(micros).ok()?).seconds()
            }
        };
        micros.checked_add(i64::from(seconds) * MICROS_PER_SECOND)
    }

    /// The moment at which clocks of the zone show that. Where they show it twice it is the first time, where
    /// they pass it over it is as if they had not been set yet.
    ///
    /// `None` as for [`Zone::local`].
    pub fn moment(&self, local: i64) -> Option<i64> {
        match &self.rule {
            Rule::Fixed(seconds) => local.checked_sub(i64::from(*seconds) * MICROS_PER_SECOND),
            Rule::Named(zone) => {
                let shown = Offset::UTC.to_datetime(Timestamp::from_microsecond(local).ok()?);
                let moment = zone.to_ambiguous_timestamp(shown).compatible().ok()?;
                Some(moment.as_microsecond())
            }
        }
    }
}

/// Seconds of `+08:00`: a sign, hours up to 14, minutes.
fn offset_seconds(text: &str) -> Option<i32> {
    const MINUTES_MAX: i32 = 14 * 60;
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let field = |digits: &str, max: i32| {
        let two_digits = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        two_digits.then(|| digits.parse::<i32>().ok()).flatten().filter(|value| *value <= max)
    };
    let minutes = field(hours, 14)? * 60 + field(minutes, 59)?;
    let sign = if text.starts_with('-') { -1 } else { 1 };
    (minutes <= MINUTES_MAX).then_some(sign * minutes * 60)
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: "+00:00".into(), rule: Rule::Fixed(0) }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * MICROS_PER_SECOND;
    /// 2024-01-01T00:00:00Z.
    const NEW_YEAR: i64 = 1_704_067_200 * MICROS_PER_SECOND;

    #[track_caller]
    fn check(zone: &str, micros: i64, ahead: i64) {
        let zone = Zone::parse(zone).expect("a zone");
        let local = zone.local(micros).expect("in the calendar");
        assert_eq!((local - micros, zone.moment(local)), (ahead, Some(micros)), "{zone}");
    }

    #[test]
    fn clocks_of_a_zone_and_moments_lead_to_each_other() {
        check("UTC", NEW_YEAR, 0);
        check("+08:00", NEW_YEAR, 8 * HOUR);
        check("-03:30", NEW_YEAR + 1, -3 * HOUR - HOUR / 2);
        check("Asia/Shanghai", NEW_YEAR, 8 * HOUR);
        // China had summer time from 1986 to 1991: 1988-07-01T00:00:00Z.
        check("Asia/Shanghai", 583_718_400 * MICROS_PER_SECOND, 9 * HOUR);
        check("America/New_York", NEW_YEAR, -5 * HOUR);
    }

    #[test]
    fn what_a_clock_shows_twice_is_the_first_time_and_what_it_skips_is_read_as_before() {
        let zone = Zone::parse("Europe/Berlin").expect("a zone");
        // 2024-10-27 02:30 is 00:30Z and 01:30Z; 2024-03-31 02:30 does not exist.
        let (twice, never) = (1_729_996_200 * MICROS_PER_SECOND, 1_711_852_200 * MICROS_PER_SECOND);
        assert_eq!(zone.moment(twice), Some(twice - 2 * HOUR));
        assert_eq!(zone.moment(never), Some(never - HOUR));
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for text in ["", "+8:00", "+08", "+0800", "+15:00", "+08:60", "Asia/Nowhere", "x' y"] {
            assert_eq!(Zone::parse(text), None, "{text}");
        }
        assert_eq!(Zone::parse("utc"), Some(Zone::default()));
    }

    #[test]
    fn moments_outside_the_calendar_are_none() {
        let zone = Zone::parse("Asia/Shanghai").expect("a zone");
        assert_eq!((zone.local(i64::MAX), zone.moment(i64::MIN)), (None, None));
        assert_eq!(Zone::parse("+01:00").expect("a zone").local(i64::MAX), None);
    }
}
