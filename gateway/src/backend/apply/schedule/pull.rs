//! Single records: taken out for an operator, and asked after.

use std::hash::Hash;
use std::time::Instant;

use super::{Gathering, Schedule, Unit, Waiting};
use crate::identity::Lane;

/// What taking a record out came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::apply) enum Pulled {
    /// It is out.
    Taken,
    /// It is in a running batch.
    Running,
    /// It does not wait here.
    Unknown,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::apply) enum Stands {
    /// In a running batch.
    Running,
    /// It is tried again at this time.
    Later(Instant),
    /// Behind this one of its lane.
    Behind(u64),
    /// It may be in the next batch.
    Ready,
}

impl<G: Clone + Eq + Hash> Schedule<G> {
    /// Takes a record out of those that wait, as if it were a batch of its own: [`Schedule::settle`] says what became
    /// of it. Meanwhile its lane waits.
    pub(in crate::backend::apply) fn pull(&mut self, sequence: u64, lane: Option<Lane>) -> Pulled {
        if self.running.contains_key(&sequence) {
            return Pulled::Running;
        }
        let found = match lane {
            None => self.loose.remove(&sequence),
            Some(lane) => self.lanes.get_mut(&lane).and_then(|state| {
                let at = state.waiting.binary_search_by_key(&sequence, |it| it.sequence).ok()?;
                state.running_count += 1;
                state.is_placed = false;
                state.waiting.remove(at)
            }),
        };
        let Some(record) = found else { return Pulled::Unknown };
        let unit = lane.map_or(Unit::Record(sequence), Unit::Lane);
        self.later.retain(|_, own| *own != unit);
        if let Some(group) = self.groups.get_mut(&record.group) {
            group.waiting_count -= 1;
        }
        // Where the lane is another operation's turn, it stands in that one's queue.
        self.groups.values_mut().for_each(|group| group.ready.retain(|own| *own != unit));
        self.waiting_count -= 1;
        self.running.insert(sequence, record);
        Pulled::Taken
    }

    /// Takes in a record that was not read yet, as [`Schedule::pull`] has it.
    pub(in crate::backend::apply) fn push_pulled(
        &mut self,
        record: Waiting<G>,
        gathering: Gathering,
    ) {
        let (sequence, lane) = (record.sequence, record.lane);
        self.push(record, gathering);
        self.pull(sequence, lane);
    }

    /// Where a record stands.
    pub(in crate::backend::apply) fn standing(
        &self,
        sequence: u64,
        lane: Option<Lane>,
    ) -> Option<Stands> {
        if self.running.contains_key(&sequence) {
            return Some(Stands::Running);
        }
        let Some(lane) = lane else {
            self.loose.get(&sequence)?;
            let later = self.later.iter().find(|(_, unit)| **unit == Unit::Record(sequence));
            return Some(later.map_or(Stands::Ready, |((at, _), _)| Stands::Later(*at)));
        };
        let state = self.lanes.get(&lane)?;
        let at = state.waiting.binary_search_by_key(&sequence, |it| it.sequence).ok()?;
        let running = self.running.values().filter(|it| it.lane == Some(lane));
        let first =
            running.map(|it| it.sequence).chain(state.waiting.front().map(|it| it.sequence));
        Some(match (at, state.not_before, first.min()) {
            (0, Some(at), _) if state.running_count == 0 => Stands::Later(at),
            (_, _, Some(first)) if first < sequence => Stands::Behind(first),
            _ => Stands::Ready,
        })
    }
}
