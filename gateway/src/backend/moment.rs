//! Days and moments between the catalog's counts since 1970 and the calendar fields of drivers.

use time::{Date, PrimitiveDateTime, Time};

use crate::catalog::has_date;

const EPOCH_JULIAN_DAY: i32 = 2_440_588;
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The day that many days after 1970-01-01; `None` outside the years 0001 to 9999.
pub(super) fn date_from_days(days: i32) -> Option<Date> {
    if !has_date(days) {
        return None;
    }
    Date::from_julian_day(days + EPOCH_JULIAN_DAY).ok()
}

/// Days since 1970-01-01.
pub(super) const fn days_from_date(date: Date) -> i32 {
    date.to_julian_day() - EPOCH_JULIAN_DAY
}

/// The moment that many microseconds after 1970-01-01T00:00:00Z, as calendar fields in UTC; `None` outside
/// the years 0001 to 9999.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse_timestamp;

    #[test]
    fn moments_come_back_and_have_the_fields_of_their_text() {
        for text in [
            "0001-01-01T00:00:00.000000Z",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00.000000Z",
            "2024-02-29T12:34:56.789999Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            let micros = parse_timestamp(text, 6).expect("in the calendar");
            let moment = moment_from_micros(micros).expect("in range");
            let (hour, minute, second, fraction) = moment.time().as_hms_micro();
            let (year, month, day) = (moment.year(), u8::from(moment.month()), moment.day());
            let fields = format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"
            );
            assert_eq!(fields, text);
            assert_eq!(micros_from_moment(moment), micros);
        }
    }

    #[test]
    fn years_at_the_limits_pass_and_one_beyond_is_none() {
        let at = |text| parse_timestamp(text, 6).expect("in the calendar");
        let first = at("0001-01-01T00:00:00.000000Z");
        let last = at("9999-12-31T23:59:59.999999Z");
        assert!(moment_from_micros(first).is_some() && moment_from_micros(last).is_some());
        assert!(moment_from_micros(first - 1).is_none() && moment_from_micros(last + 1).is_none());
        assert!(moment_from_micros(i64::MIN).is_none() && moment_from_micros(i64::MAX).is_none());
        assert!(date_from_days(i32::MIN).is_none() && date_from_days(i32::MAX).is_none());
    }
}
