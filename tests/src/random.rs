//! Random numbers that a seed repeats on every machine.

use std::time::{SystemTime, UNIX_EPOCH};

/// A generator: `SplitMix64`. Not for secrets.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The generator of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Another generator, whose numbers this one's do not tell: one a client, one a round.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self { state: self.next() }
    }

    /// Any number.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from `first` to `last`, both possible.
    pub fn between(&mut self, first: i64, last: i64) -> i64 {
        let count = last.abs_diff(first) + 1;
        first + i64::try_from(self.below(count)).expect("a small range")
    }

    /// True in `percent` of a hundred cases.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'t, T>(&mut self, among: &'t [T]) -> &'t T {
        let index = self.below(among.len().try_into().expect("64 bits"));
        &among[usize::try_from(index).expect("below the length")]
    }
}

/// The seed that the environment names, else another one each time. It is printed: that is how a failure is
/// repeated.
pub fn seed_from_environment(variable: &str) -> u64 {
    let seed = match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => fresh_seed(),
    };
    eprintln!("{variable}={seed} repeats this");
    seed
}

/// Another seed each time, short enough to be typed.
pub fn fresh_seed() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Random::new(u64::from(elapsed.subsec_nanos()) ^ elapsed.as_secs()).below(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_repeats_its_numbers_and_another_seed_gives_others() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [(); 8].map(|()| random.next())
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn number_of_a_range_reaches_both_ends_and_never_more() {
        let mut random = Random::new(1);
        let drawn: std::collections::BTreeSet<_> =
            (0..200).map(|_| random.between(-2, 2)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
    }
}
