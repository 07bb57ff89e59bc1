//! Kills (SIGKILL) in each phase of a flip: of the command, and of each gateway.

use std::fmt;
use std::time::{Duration, Instant};

use gateway_tests::Random;

use crate::course::{Course, Told};
use crate::stage::PAUSE_MAX;

/// How long a phase is looked for before the attempt counts as missed.
const LOOK_MAX: Duration = Duration::from_secs(30);
/// How often a kill is tried that came too late.
const ATTEMPT_COUNT_MAX: u32 = 8;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Command,
    Gateway(usize),
}

/// Who is killed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    victim: Victim,
    phase: &'static str,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.victim {
            Victim::Command => write!(f, "command killed in `{}`", self.phase),
            Victim::Gateway(at) => write!(f, "gateway {} killed in `{}`", at + 1, self.phase),
        }
    }
}

impl Kill {
    /// Some of all kills, or all, in an order that the seed chooses.
    pub(crate) fn drawn(count: usize, random: &mut Random) -> Vec<Self> {
        let victims = [Victim::Command, Victim::Gateway(0), Victim::Gateway(1)];
        let phases = ["readying", "blocking", "draining", "flipped"];
        let mut all: Vec<Self> = phases
            .into_iter()
            .flat_map(|phase| victims.map(|victim| Self { victim, phase }))
            .collect();
        let mut drawn = Vec::new();
        while drawn.len() < count && !all.is_empty() {
            let at = random.below(all.len().try_into().unwrap());
            drawn.push(all.swap_remove(usize::try_from(at).unwrap()));
        }
        drawn
    }
}

impl Course<'_> {
    /// Begins a flip, kills in its phase, and waits until one side owns the game again.
    pub(crate) fn kill(&mut self, kill: Kill) -> Told {
        let mut told = Told::default();
        told.is_disturbed = kill.victim != Victim::Command;
        for attempt in 1..=ATTEMPT_COUNT_MAX {
            let before = self.stage.settled_owner();
            let Some((seen, behind)) = self.kill_once(kill, before) else { continue };
            let healing = Instant::now();
            let after = self.stage.settled_owner();
            let place = if after == before { "stayed" } else { "went on" };
            told.what = format!(
                "in `{seen}` (then `{behind}`, attempt {attempt}); the game {place}, settled after {} ms",
                healing.elapsed().as_millis()
            );
            if let Victim::Gateway(at) = kill.victim {
                self.stage.gateways[at].launch();
                self.stage.gateways[at].wait_ready();
            }
            self.ready(&mut told);
            return told;
        }
        told.violations.push(format!("`{}` was never seen", kill.phase));
        told
    }

    /// Phase in which the kill happened, and the one right behind it. `None`: it came too late.
    fn kill_once(&mut self, kill: Kill, owner: usize) -> Option<(String, String)> {
        let arguments = ["flip", "--force", "--pause-max", PAUSE_MAX, "--format", "json"];
        let mut command = self.stage.spawn_switch(&arguments);
        let begun = Instant::now();
        loop {
            let seen = self.stage.phase(owner);
            if seen == kill.phase {
                match kill.victim {
                    Victim::Command => command.kill().unwrap(),
                    Victim::Gateway(at) => self.stage.gateways[at].kill(),
                }
                let behind = self.stage.phase(owner);
                // A gateway's end is seen by the command: it ends by itself.
                command.wait().unwrap();
                return Some((seen, behind));
            }
            if command.try_wait().unwrap().is_some() || begun.elapsed() > LOOK_MAX {
                command.kill().unwrap();
                command.wait().unwrap();
                return None;
            }
        }
    }
}
