//! A switch under load: `switch [--flips N] [--kills N|all] [--seed S] [--mirror mysql|oracle]`.
//!
//! Two gateways (the real binary) have one game on a MariaDB with a mirror: a second database of it, or what stands in
//! for Oracle. Game servers write through both all the time (transfers and payments with keys, orders through the
//! journal, plain statements) and read what they wrote, while the game goes `mirror`, `backfill`, `reconcile`, `flip`,
//! flips back, and forward again. After each step the database that owns the game then is compared with what the clients
//! remember: no call may have been refused, no acknowledged write be missing, no key be there twice, items and money
//! be conserved. Then the command and each gateway are killed (SIGKILL) in each phase of a flip, with the same accounting,
//! and rows are changed behind everybody's back, which `reconcile` has to find, exactly those.
//!
//! One line a step, a last one with the sums. Exit status 1 when anything is not as it has to be; the folders are left
//! then. The seed chooses calls and moments. The machine's timing is not in its hands.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program prints, and stops at its first surprise"
)]

mod course;
mod kill;
mod login;
mod plant;
mod stage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use gateway_tests::{Random, Redis, Schemas, Server, fresh_seed, shared_mariadb, shared_stand_in};

use crate::course::{Course, Sums, Told};
use crate::kill::Kill;
use crate::stage::Stage;

/// Violations that are printed of a step; the rest is counted.
const TOLD_MAX: usize = 20;

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else {
        eprintln!("usage: switch [--flips N] [--kills N|all] [--seed S] [--mirror mysql|oracle]");
        return ExitCode::from(2);
    };
    let Arguments { flips, seed, mirror, .. } = arguments;
    println!("switch under load: {flips} flips, seed {seed}, the mirror is {}", mirror.place());
    let Some(server) = shared_mariadb() else { return ExitCode::SUCCESS };
    let other = match mirror {
        Mirror::Mysql => Some(server),
        Mirror::Oracle => shared_stand_in(),
    };
    let (Some(other), Some(redis)) = (other, Redis::start()) else { return ExitCode::SUCCESS };
    if run(&arguments, (server, other), &redis) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs everything and prints its lines. Whether all was as it has to be.
fn run(arguments: &Arguments, (server, other): (&Server, &Server), redis: &Redis) -> bool {
    let begun = Instant::now();
    let mut random = Random::new(arguments.seed);
    let mirror = Schemas::new(other, &["game1"]);
    let stage = Stage::start(server, &mirror, redis);
    let mut course = Course::new(stage, &mut random);
    let mut sums = Sums::default();
    let mut steps = vec![Step::Prepare];
    steps.extend((1..=arguments.flips).map(Step::Flip));
    steps.extend(Kill::drawn(arguments.kills, &mut random).into_iter().map(Step::Kill));
    steps.push(Step::Plant);
    for (number, step) in steps.into_iter().enumerate() {
        let (at, name) = (Instant::now(), step.to_string());
        let done = catch_unwind(AssertUnwindSafe(|| course.step(number, |it| step.run(it))));
        let Ok(done) = done else {
            sums.violations.push(format!("`{name}` did not come to its end"));
            break;
        };
        println!("{name}: {done}, {:.1} s", at.elapsed().as_secs_f64());
        for violation in done.violations.iter().take(TOLD_MAX) {
            println!("  VIOLATION {violation}");
        }
        sums.add(done);
    }
    println!("{}, {:.0} s, seed {}", sums.total(), begun.elapsed().as_secs_f64(), arguments.seed);
    if !sums.is_right() {
        println!("left for inspection: {}", course.keep());
        println!("again: ./tests/run switch {arguments}");
    }
    sums.is_right()
}

/// What is done while the load goes on.
#[derive(Clone, Copy, Debug)]
enum Step {
    Prepare,
    Flip(usize),
    Kill(Kill),
    Plant,
}

impl Step {
    fn run(self, course: &mut Course<'_>) -> Told {
        match self {
            Self::Prepare => course.prepare(),
            Self::Flip(_) => course.flip(),
            Self::Kill(kill) => course.kill(kill),
            Self::Plant => course.plant(),
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prepare => f.write_str("mirror and backfill"),
            Self::Flip(number) => write!(f, "flip {number}"),
            Self::Kill(kill) => kill.fmt(f),
            Self::Plant => f.write_str("planted divergences"),
        }
    }
}

/// Where the mirror is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mirror {
    Mysql,
    Oracle,
}

impl Mirror {
    const fn name(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Oracle => "oracle",
        }
    }

    const fn place(self) -> &'static str {
        match self {
            Self::Mysql => "a second database of the same MariaDB",
            Self::Oracle => "what stands in for Oracle",
        }
    }
}

struct Arguments {
    flips: usize,
    /// How many kills; more than there are: all.
    kills: usize,
    seed: u64,
    mirror: Mirror,
}

impl std::fmt::Display for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { flips, kills, seed, mirror } = self;
        write!(f, "--flips {flips} --kills ")?;
        match *kills {
            usize::MAX => f.write_str("all")?,
            count => write!(f, "{count}")?,
        }
        write!(f, " --seed {seed} --mirror {}", mirror.name())
    }
}

impl Arguments {
    /// `--flips` (3), `--kills` (3), `--seed` (another one each time), `--mirror` (mysql). `None`: they are wrong.
    fn parse() -> Option<Self> {
        let mut all = Self { flips: 3, kills: 3, seed: fresh_seed(), mirror: Mirror::Mysql };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--flips" => all.flips = value.parse().ok()?,
                "--kills" if value == "all" => all.kills = usize::MAX,
                "--kills" => all.kills = value.parse().ok()?,
                "--seed" => all.seed = value.parse().ok()?,
                "--mirror" => {
                    let mirrors = [Mirror::Mysql, Mirror::Oracle];
                    all.mirror = mirrors.into_iter().find(|mirror| mirror.name() == value)?;
                }
                _ => return None,
            }
        }
        Some(all)
    }
}
