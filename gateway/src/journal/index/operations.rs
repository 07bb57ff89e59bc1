//! Which operations records were taken for, and which of them the snapshot in effect can apply.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::journal::payload::Asked;
use crate::journal::state::{PendingContract, Served};

/// An operation under one contract.
#[derive(Debug)]
struct Operation {
    game: Box<str>,
    op: Box<str>,
    contract: u64,
    /// Records that wait and dead letters.
    count: u64,
    /// How long its keys are remembered; `None`: the snapshot in effect has another contract, or none.
    ttl: Option<Duration>,
}

impl Operation {
    fn is(&self, game: &str, op: &str) -> bool {
        *self.op == *op && *self.game == *game
    }
}

/// Every operation that was heard of since the start, by a number of its own.
#[derive(Debug, Default)]
pub(super) struct Operations {
    known: Vec<Operation>,
    by_contract: HashMap<u64, SmallVec<[u32; 1]>, RandomState>,
    /// Dead letters, by game.
    dead: HashMap<Box<str>, u64, RandomState>,
    /// Whether a snapshot has told what it serves; before that everything is taken.
    is_told: bool,
}

impl Operations {
    fn get(&self, number: u32) -> Option<&Operation> {
        self.known.get(number as usize)
    }

    /// The number of a record's operation.
    pub(super) fn number(&mut self, asked: Asked<'_>) -> u32 {
        let Asked { game, op, contract } = asked;
        if let Some(numbers) = self.by_contract.get(&contract) {
            let is_it = |number: &&u32| self.get(**number).is_some_and(|own| own.is(game, op));
            if let Some(number) = numbers.iter().find(is_it) {
                return *number;
            }
        }
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let (game, op) = (game.into(), op.into());
        self.known.push(Operation { game, op, contract, count: 0, ttl: None });
        self.by_contract.entry(contract).or_default().push(number);
        number
    }

    /// Whether the snapshot in effect can apply records of an operation.
    pub(super) fn serves(&self, number: u32) -> bool {
        !self.is_told || self.ttl(number).is_some()
    }

    /// How long an operation's keys are remembered, where that is known.
    pub(super) fn ttl(&self, number: u32) -> Option<Duration> {
        self.get(number)?.ttl
    }

    /// A record of it waits, or does not any more.
    pub(super) fn count(&mut self, number: u32, more: bool) {
        if let Some(own) = self.known.get_mut(number as usize) {
            own.count = if more { own.count + 1 } else { own.count.saturating_sub(1) };
        }
    }

    /// There is a dead letter of it, or it is gone.
    pub(super) fn count_dead(&mut self, number: u32, more: bool) {
        let Some(own) = self.known.get(number as usize) else { return };
        match self.dead.get_mut(&*own.game) {
            Some(count) => *count = if more { *count + 1 } else { count.saturating_sub(1) },
            None if more => drop(self.dead.insert(own.game.clone(), 1)),
            None => {}
        }
    }

    /// Dead letters of a game.
    pub(super) fn dead_of(&self, game: &str) -> u64 {
        self.dead.get(game).copied().unwrap_or(0)
    }

    /// Takes what a snapshot serves, if that can apply everything that waits.
    ///
    /// # Errors
    ///
    /// What it could not apply; what was served before stays in effect then.
    pub(super) fn serve(&mut self, served: &[Served]) -> Result<(), Vec<PendingContract>> {
        let mut ttls = HashMap::<u32, Duration, RandomState>::default();
        for one in served {
            let asked = Asked { game: &one.game, op: &one.op, contract: one.contract };
            ttls.insert(self.number(asked), one.ttl);
        }
        let mut left = self.waiting();
        left.retain(|(number, _)| !ttls.contains_key(number));
        if !left.is_empty() {
            return Err(left.into_iter().map(|(_, pending)| pending).collect());
        }
        for (number, own) in (0..).zip(&mut self.known) {
            own.ttl = ttls.get(&number).copied();
        }
        self.is_told = true;
        Ok(())
    }

    /// Under which contracts records wait.
    pub(super) fn contracts(&self) -> Vec<PendingContract> {
        self.waiting().into_iter().map(|(_, pending)| pending).collect()
    }

    fn waiting(&self) -> Vec<(u32, PendingContract)> {
        let numbered = (0..).zip(&self.known).filter(|(_, own)| own.count > 0);
        let pending = numbered.map(|(number, own)| {
            let (game, op) = (own.game.clone(), own.op.clone());
            (number, PendingContract { game, op, contract: own.contract, count: own.count })
        });
        pending.collect()
    }
}
