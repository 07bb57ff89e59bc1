//! Durations, sizes and addresses as an operator writes them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Units of a duration with their milliseconds, longest first.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of a size with their bytes, largest first.
const BYTE_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `30s`, `500ms`, `10m`, `1h`, `2d`; a number without a unit is refused.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let (_, unit_ms) = DURATION_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// Writes a duration so that [`duration`] reads it back; whole milliseconds.
pub(super) fn show_duration(duration: &Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    largest(ms, &DURATION_UNITS)
}

/// Reads `256MiB`, `64KiB`, `12B` or plain bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return Some(number);
    }
    let (_, unit_bytes) = BYTE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(unit_bytes)
}

/// Writes a size so that [`bytes`] reads it back.
pub(super) fn show_bytes(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { largest(bytes, &BYTE_UNITS) }
}

/// Reads `127.0.0.1:8080`, `[::1]:8080`, or `:8080` for every IPv4 interface. Names are not looked up.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix(':') {
        Some(port) => {
            let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
        }
        None => text.parse().ok(),
    }
}

/// Splits `12MiB` into number and unit; `None` without a number.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

/// Writes a number in the largest unit that divides it.
fn largest(number: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, size)| number.is_multiple_of(*size))
        .map_or_else(|| number.to_string(), |(name, size)| format!("{}{name}", number / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_come_back_as_written() {
        for text in ["30s", "500ms", "10m", "1h", "2d", "0s", "90s"] {
            let read = duration(text).expect(text);
            assert_eq!(show_duration(&read), text);
        }
        assert_eq!(show_duration(&duration("60000ms").unwrap()), "1m");
        for broken in ["30", "s", "", "1.5s", "-1s", "30 s", "1w", "5 apples", "1hour"] {
            assert_eq!(duration(broken), None, "{broken}");
        }
        assert_eq!(duration("213503982334d"), Some(Duration::from_hours(213_503_982_334 * 24)));
        assert_eq!(duration("213503982335d"), None);
    }

    #[test]
    fn sizes_take_binary_units_only() {
        assert_eq!(bytes("256MiB"), Some(256 << 20));
        assert_eq!(bytes("1048576"), Some(1 << 20));
        assert_eq!(bytes("12B"), Some(12));
        for broken in ["", "MiB", "1MB", "1 MiB", "-1", "1.5GiB", "16777216TiB"] {
            assert_eq!(bytes(broken), None, "{broken}");
        }
        for text in ["1MiB", "1536B", "3KiB", "0B"] {
            assert_eq!(show_bytes(bytes(text).unwrap()), text);
        }
    }

    #[test]
    fn address_without_a_host_is_every_interface_and_names_are_refused() {
        assert_eq!(address(":8080"), Some("0.0.0.0:8080".parse().unwrap()));
        assert_eq!(address("[::1]:1"), Some("[::1]:1".parse().unwrap()));
        assert_eq!(address(":65535"), Some("0.0.0.0:65535".parse().unwrap()));
        for broken in [":65536", ":", "8080", "localhost:8080", ":+80", "1.2.3.4", "::1:80"] {
            assert_eq!(address(broken), None, "{broken}");
        }
    }
}
