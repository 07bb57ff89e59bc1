//! Random orders, marks, deaths and restarts, against a model in memory. A failure tells its seed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A small generator whose numbers follow from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What must be so.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<u64, String>,
    dead: BTreeSet<u64>,
    newest: u64,
}

fn run(seed: u64, steps: u32) {
    let folder = tempfile::tempdir().unwrap();
    let config = JournalConfig { keys_max: 100_000, ..config(folder.path()) };
    let mut random = Random(seed);
    let mut model = Model::default();
    let mut journal = Driven::open(&config);
    for step in 0..steps {
        let at = format!("seed {seed}, step {step}");
        match random.below(20) {
            0..10 => {
                let key = format!("k{step}");
                let sequence = journal.keep(&key, Some(random.below(5)));
                assert!(sequence > model.newest, "{at}: {sequence} after {}", model.newest);
                model.newest = sequence;
                model.waiting.insert(sequence, key);
            }
            10..16 => {
                let some: Vec<u64> =
                    model.waiting.keys().copied().filter(|_| random.below(3) == 0).collect();
                journal.journal.applied(&some);
                model.waiting.retain(|sequence, _| !some.contains(sequence));
            }
            16 => {
                let Some(sequence) = model.waiting.keys().next().copied() else { continue };
                block_on(journal.journal.dead(&journal.record(sequence), Cause::now(2103, "x")))
                    .unwrap();
                model.waiting.remove(&sequence);
                model.dead.insert(sequence);
            }
            17 => {
                let Some(sequence) = model.dead.pop_first() else { continue };
                block_on(journal.journal.drop_dead(sequence)).unwrap();
            }
            _ => {
                journal.close();
                journal = Driven::open(&config);
                // What was applied out of order comes again, and only that.
                let lowest = model.waiting.keys().next().copied();
                for (sequence, key) in journal.waiting() {
                    let is_known = model.waiting.insert(sequence, key).is_some();
                    let is_late = lowest.is_some_and(|lowest| sequence > lowest);
                    assert!(is_known || is_late, "{at}: {sequence}");
                }
            }
        }
        let waiting: Vec<(u64, String)> = model.waiting.clone().into_iter().collect();
        assert_eq!(journal.waiting(), waiting, "{at}");
        let dead: Vec<u64> = journal.dead();
        assert_eq!(dead, model.dead.iter().copied().collect::<Vec<_>>(), "{at}");
        let backlog = journal.journal.backlog();
        assert_eq!(backlog.record_count, model.waiting.len() as u64, "{at}");
    }
    journal.close();
}

#[test]
fn journal_agrees_with_its_model_over_random_steps_and_restarts() {
    for seed in 1..=8 {
        run(seed, 120);
    }
}
