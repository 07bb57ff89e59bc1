//! Whether a value will do.

use std::cmp::Ordering;
use std::path::Path;

use super::read::{Seen, words};
use super::{How, State};

/// Judges what was found.
///
/// - `value`: what the table or the profile names.
/// - `root`: where the kernel's range of ports is read, for [`How::Covers`].
pub(super) fn judge(how: How, value: &str, seen: &Seen, root: &Path) -> State {
    let have: Vec<&str> = seen.text.split(' ').collect();
    let want: Vec<&str> = value.split(' ').collect();
    let mut pairs = have.iter().zip(&want);
    let is_good = match how {
        How::AtLeast | How::AtMost
            if have.len() < want.len() || !pairs.clone().all(|(have, _)| is_number(have)) =>
        {
            return State::Unknown;
        }
        How::AtLeast => !pairs.any(|(have, want)| less(have, want)),
        How::AtMost => !pairs.any(|(have, want)| less(want, have)),
        How::OneOf => have.iter().all(|word| want.contains(word)),
        How::Covers => covers(&seen.text, value, root),
        How::Unset => seen.text == "none",
        How::Spread => seen.is_spread,
    };
    if is_good { State::Ok } else { State::Change }
}

/// Whether it is a number, or none because there is no limit.
pub(super) fn is_number(text: &str) -> bool {
    let is_endless = matches!(text, "unlimited" | "max");
    is_endless || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a number is less than another; what is unlimited is less than nothing.
pub(super) fn less(one: &str, other: &str) -> bool {
    let is_endless = |text: &str| matches!(text, "unlimited" | "max");
    if is_endless(one) || is_endless(other) {
        return !is_endless(one);
    }
    // The kernel writes no zeros in front; some of its numbers have more than 64 bits.
    one.len().cmp(&other.len()).then_with(|| one.cmp(other)) == Ordering::Less
}

/// `8080-8082`, or one number.
pub(super) fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// Whether every port that could be given away is reserved.
fn covers(reserved: &str, wanted: &str, root: &Path) -> bool {
    let within = |port: u32, list: &str| {
        list.split(',').filter_map(range).any(|(first, last)| (first..=last).contains(&port))
    };
    let given = words(&root.join("proc/sys/net/ipv4/ip_local_port_range")).unwrap_or_default();
    let given = given.replacen(' ', "-", 1);
    let mut ports = wanted.split(',').filter_map(range).flat_map(|(first, last)| first..=last);
    ports.all(|port| within(port, reserved) || !within(port, &given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(how: How, value: &str, found: &str, expected: State) {
        let seen = Seen { text: found.into(), is_spread: false };
        assert_eq!(judge(how, value, &seen, Path::new("/nonexistent")), expected, "{found}");
    }

    #[test]
    fn numbers_at_the_limit_are_good_and_one_beyond_is_not() {
        check(How::AtLeast, "4096", "4096", State::Ok);
        check(How::AtLeast, "4096", "4095", State::Change);
        check(How::AtLeast, "4096", "9223372036854775807999", State::Ok);
        check(How::AtLeast, "4096", "max", State::Ok);
        check(How::AtLeast, "4096", "unlimited", State::Ok);
        check(How::AtMost, "10", "10", State::Ok);
        check(How::AtMost, "10", "9", State::Ok);
        check(How::AtMost, "10", "11", State::Change);
        check(How::AtMost, "10", "max", State::Change);
    }

    #[test]
    fn each_number_of_several_counts_and_what_is_no_number_cannot_be_told() {
        check(How::AtLeast, "1 2 3", "1 2 3", State::Ok);
        check(How::AtLeast, "1 2 3", "9 9 2", State::Change);
        check(How::AtMost, "4 5", "4 6", State::Change);
        check(How::AtLeast, "1 2 3", "0 2", State::Unknown);
        check(How::AtMost, "1 2 3", "9 2 x", State::Unknown);
        check(How::AtLeast, "1", "-1", State::Unknown);
    }

    #[test]
    fn every_word_must_be_one_of_those_wanted() {
        check(How::OneOf, "madvise never", "never", State::Ok);
        check(How::OneOf, "performance", "performance powersave", State::Change);
        check(How::Unset, "", "none", State::Ok);
        check(How::Unset, "", "/etc/sysctl.conf", State::Change);
    }

    #[test]
    fn ports_must_be_reserved_only_where_they_could_be_given_away() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/sys/net/ipv4");
        std::fs::create_dir_all(&folder).unwrap();
        for (range, reserved, expected) in [
            ("32768\t60999", "none", true),
            ("1024\t65535", "none", false),
            ("1024\t65535", "8080-8082", true),
            ("1024\t65535", "80,8080-8081", false),
            ("1024\t8081", "8080,8081", true),
        ] {
            std::fs::write(folder.join("ip_local_port_range"), range).unwrap();
            assert_eq!(covers(reserved, "8080-8082", root.path()), expected, "{range} {reserved}");
        }
    }
}
