//! How long those in line wait: long in a burst, short when the line is there to stay.
//!
//! A burst is worth waiting for: it passes, and everybody is served. When more is asked for than the database can do, and
//! goes on being asked for, waiting serves nobody: the line only grows until `acquire_waiting_max` ends it, and whoever is
//! served has stood through all of it. So a line in which the first has waited for more than `acquire_standing_timeout`,
//! again and again for `acquire_standing_after`, is a standing one; in a standing line whoever has waited that long is refused (1301) when
//! a connection comes back, which goes to the first who has not. The same holds the other way: one
//! moment without a late one does not end it.
//!
//! Where connections come back less often than `acquire_standing_after`, a line is never taken for one: too little is seen of it.
//!
//! Source: K. Nichols, V. Jacobson, "Controlling Queue Delay", ACM Queue 10 (5), 2012, whose state machine drops one by
//! one for packets of flows that slow down; requests do not, so here all late ones go at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::wait::Waiter;
use crate::config::Standing;

/// What is known of the line's waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Patience {
    /// Whether the line is a standing one.
    is_short: bool,
    /// Since when what is seen says that it should be the other way.
    doubted_since: Option<Instant>,
    /// When something was last seen.
    seen_at: Option<Instant>,
}

impl Patience {
    /// Takes those out of the line who have waited too long for a standing one. The connection that came back always
    /// finds somebody.
    pub(super) fn take_late(
        &mut self,
        line: &mut VecDeque<Waiter>,
        standing: Standing,
        now: Instant,
    ) -> Vec<Waiter> {
        let is_late = |waiter: &Waiter| waiter.since + standing.timeout < now;
        let first_is_late = line.front().is_some_and(is_late);
        if !self.observe(first_is_late, standing.after, now) {
            return Vec::new();
        }
        let mut late = Vec::new();
        while line.len() > 1 && line.front().is_some_and(|first| is_late(first) && !first.stays) {
            late.extend(line.pop_front());
        }
        late
    }

    /// Whether the line was a standing one when a connection last came back.
    pub(super) const fn is_short(&self) -> bool {
        self.is_short
    }

    /// Somebody comes to the line: what was seen long ago says nothing of it.
    pub(super) fn forget_old(&mut self, after: Duration, now: Instant) {
        if self.seen_at.is_none_or(|seen| seen + after <= now) {
            *self = Self::default();
        }
    }

    /// Takes in that a connection came back. Returns whether those who have waited too long are to go.
    ///
    /// - `is_late`: the first in line has waited for longer than a standing line lets; nobody in line is never late.
    /// - `after`: how long things must be seen one way to be taken so.
    fn observe(&mut self, is_late: bool, after: Duration, now: Instant) -> bool {
        self.forget_old(after, now);
        self.seen_at = Some(now);
        if is_late == self.is_short {
            self.doubted_since = None;
        } else {
            let since = *self.doubted_since.get_or_insert(now);
            if since + after <= now {
                (self.is_short, self.doubted_since) = (is_late, None);
            }
        }
        self.is_short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_millis(500);
    const STEP: Duration = Duration::from_millis(10);
    const ALMOST: Duration = Duration::from_millis(490);

    /// Sees the same again and again for that long, and returns what was said last.
    fn see(patience: &mut Patience, is_late: bool, now: &mut Instant, time: Duration) -> bool {
        let until = *now + time;
        let mut said = false;
        while *now <= until {
            said = patience.observe(is_late, AFTER, *now);
            *now += STEP;
        }
        said
    }

    #[test]
    fn line_is_a_standing_one_only_after_it_was_late_all_that_time() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        assert!(!see(&mut patience, true, &mut now, ALMOST));
        assert!(see(&mut patience, true, &mut now, Duration::ZERO));
    }

    #[test]
    fn line_that_nothing_was_seen_of_for_that_time_is_no_standing_one_for_who_comes() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        assert!(see(&mut patience, true, &mut now, AFTER));
        // What was seen last was seen one step ago.
        for (later, is_known) in [(ALMOST.saturating_sub(STEP), true), (ALMOST, false)] {
            patience.forget_old(AFTER, now + later);
            assert_eq!(patience.is_short(), is_known);
        }
    }

    #[test]
    fn one_who_was_in_time_begins_the_count_anew() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        assert!(!see(&mut patience, true, &mut now, ALMOST));
        assert!(!see(&mut patience, false, &mut now, Duration::ZERO));
        assert!(!see(&mut patience, true, &mut now, ALMOST));
    }

    #[test]
    fn standing_line_ends_only_after_nobody_was_late_all_that_time() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        assert!(see(&mut patience, true, &mut now, AFTER));
        assert!(see(&mut patience, false, &mut now, ALMOST));
        assert!(see(&mut patience, true, &mut now, Duration::ZERO));
        assert!(see(&mut patience, false, &mut now, ALMOST));
        assert!(!see(&mut patience, false, &mut now, Duration::ZERO));
    }

    #[test]
    fn after_a_time_of_which_nothing_is_known_the_line_is_taken_for_a_burst() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        assert!(see(&mut patience, true, &mut now, AFTER));
        now += AFTER;
        assert!(!see(&mut patience, true, &mut now, ALMOST));
        // Nor does a late one before that time count.
        now += AFTER;
        assert!(!see(&mut patience, true, &mut now, Duration::ZERO));
    }
}
