//! How many lines a second the failures of requests get.
//!
//! A refusal costs its client nothing and the gateway little, but for its line in the log: under overload, or
//! before clients that try credentials, lines would cost more than the answers that are still given.

use std::cell::RefCell;

use super::{Event, EventKind, emit};

/// A kind of line that tells of a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The request's own.
    Request,
    /// Why it failed, where that is the gateway's or the database's fault.
    Cause,
}

/// The lines that one thread has written in the second under way, by kind and code.
///
/// A code that is rare keeps its lines beside one that floods. Not shared between threads.
#[derive(Debug, Default)]
pub struct Ration {
    // Few codes fail within a second: a search from the front is shorter than a hash.
    spent: RefCell<Vec<Spent>>,
}

#[derive(Debug)]
struct Spent {
    line: Line,
    code: u16,
    count: u32,
}

impl Line {
    /// The `event` of such a line.
    const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Cause => EventKind::RequestFailed.name(),
        }
    }
}

impl Ration {
    /// Whether a line may be written; it is counted either way.
    ///
    /// - `max`: lines of a kind and code in a second.
    pub fn spend(&self, line: Line, code: u16, max: u32) -> bool {
        let mut spent = self.spent.borrow_mut();
        if let Some(spent) = spent.iter_mut().find(|spent| (spent.line, spent.code) == (line, code))
        {
            spent.count = spent.count.saturating_add(1);
            return spent.count <= max;
        }
        spent.push(Spent { line, code, count: 1 });
        max > 0
    }

    /// Begins the next second, and tells how many lines the last one went without.
    ///
    /// - `max`: as at [`Ration::spend`].
    pub fn renew(&self, max: u32) {
        // Taken out first: what tells of it must find the ration free.
        let mut ended = self.spent.take();
        for Spent { line, code, count } in &ended {
            if let Some(count) = count.checked_sub(max).filter(|count| *count > 0) {
                emit(&Event::LinesLeftOut { lines: line.name(), code: *code, count });
            }
        }
        ended.clear();
        self.spent.replace(ended);
    }
}

#[cfg(test)]
mod tests {
    use crate::observe::log::tests::capture;

    use super::*;

    #[test]
    fn so_many_lines_of_a_code_are_written_in_a_second_and_the_others_codes_keep_theirs() {
        let ration = Ration::default();
        let written = (0..1000).filter(|_| ration.spend(Line::Request, 1301, 3)).count();
        assert_eq!(written, 3);
        assert!(ration.spend(Line::Cause, 1301, 3));
        assert!(ration.spend(Line::Request, 1303, 3));
    }

    #[test]
    fn a_second_that_left_lines_out_tells_how_many_of_what_and_the_next_has_its_own() {
        let ration = Ration::default();
        let lines = capture(|| {
            for _ in 0..10 {
                let _told = ration.spend(Line::Request, 1301, 3);
                let _told = ration.spend(Line::Cause, 1301, 3);
            }
            for _ in 0..3 {
                assert!(ration.spend(Line::Request, 1303, 3));
            }
            ration.renew(3);
            ration.renew(3);
        });
        let told: Vec<_> =
            lines.iter().map(|line| (&line["lines"], &line["code"], &line["count"])).collect();
        assert_eq!(
            told,
            [
                (&"request".into(), &1301.into(), &7.into()),
                (&"request_failed".into(), &1301.into(), &7.into())
            ]
        );
        assert_eq!(
            (&lines[0]["event"], &lines[0]["level"]),
            (&"lines_left_out".into(), &"WARN".into())
        );
        assert!(ration.spend(Line::Request, 1301, 3));
    }
}
