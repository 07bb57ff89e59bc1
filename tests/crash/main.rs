//! The crash campaign: `crash [--rounds N] [--seed S] [--queue journal|stream]`.
//!
//! Game servers put orders, transfers and payments on a gateway with a MariaDB of its own; at a random moment
//! the gateway, the database, or both are killed (SIGKILL), started again, and asked for whatever was left
//! without an answer. Then the database is compared with what the clients remember: every acknowledged
//! effect once and as it was sent, every other at most once, items and money conserved. One line a round, a
//! last one with the sums. Exit status 1 when anything is not as it has to be; the folders are left then.
//!
//! With `--queue stream` the orders wait in a Redis (`appendonly yes`, `appendfsync always`), which dies, too.
//!
//! The seed chooses victims, moments and calls. The machine's timing is not in its hands: the same seed is
//! the same campaign, not the same interleaving.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program prints, and stops at its first surprise"
)]

mod campaign;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use gateway_tests::load::Tally;
use gateway_tests::{Redis, Server, Signal, fresh_seed, send_signal};

use crate::campaign::Campaign;

/// A round that takes longer is hung.
const ROUND_MAX: Duration = Duration::from_mins(3);

/// Violations that are printed of a round; the rest is counted.
const TOLD_MAX: usize = 20;

fn main() -> ExitCode {
    let Some(Arguments { rounds, seed, queue }) = arguments() else {
        eprintln!("usage: crash [--rounds N] [--seed S] [--queue journal|stream]");
        return ExitCode::from(2);
    };
    println!("crash campaign: {rounds} rounds, seed {seed}, orders wait in {}", queue.place());
    let Some(mut server) = Server::durable_mariadb() else { return ExitCode::SUCCESS };
    let redis = match queue {
        Queue::Journal => None,
        Queue::Stream => match Redis::start_durable() {
            Some(redis) => Some(redis),
            None => return ExitCode::SUCCESS,
        },
    };
    let (total, kept) = run(Campaign::new(&server, redis, seed), rounds, seed);
    if let Some(folder) = kept {
        server.keep_folder();
        let database = server.folder().unwrap().display();
        println!("left for inspection: {folder} (gateway), {database} (database)");
        println!(
            "again: ./tests/run crash --rounds {rounds} --seed {seed} --queue {}",
            queue.name()
        );
        return ExitCode::FAILURE;
    }
    if total.orders == 0 || total.transfers == 0 || total.payments == 0 {
        println!("nothing was acknowledged: the campaign proves nothing");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Runs the rounds and prints their lines. The sums, and where the gateway's folder was left after a failure.
fn run(mut campaign: Campaign<'_>, rounds: u64, seed: u64) -> (Tally, Option<String>) {
    let begun = Instant::now();
    let watchdog = Watchdog::start(campaign.gateway_pid(), seed);
    let mut total = Tally::default();
    let mut done = 0;
    for number in 1..=rounds {
        watchdog.pat();
        let at = Instant::now();
        let mut started = |pid| watchdog.gateway.store(pid, Ordering::Relaxed);
        let round = catch_unwind(AssertUnwindSafe(|| campaign.round(number, &mut started)));
        let Ok(round) = round else {
            total.violations.push(format!("round {number} did not come to its end"));
            break;
        };
        done += 1;
        let tally = &round.tally;
        let [up, settled, drained] = round.phases.map(|phase| phase.as_secs_f64());
        println!(
            "round {number}: killed {} (+{}), acknowledged {} orders {} transfers {} payments, {} refused, \
             {} unknown, {} repeated, backlog {}, up {up:.1} s, settled {settled:.1} s, drained {drained:.1} s, \
             lost {}, doubled {}, {:.1} s",
            round.killed,
            round.relapses,
            tally.orders,
            tally.transfers,
            tally.payments,
            tally.refused,
            tally.unknown,
            tally.repeats,
            round.backlog,
            tally.lost,
            tally.doubled,
            at.elapsed().as_secs_f64(),
        );
        for violation in tally.violations.iter().take(TOLD_MAX) {
            println!("  VIOLATION {violation}");
        }
        let is_wrong = !tally.violations.is_empty();
        total.add(round.tally);
        if is_wrong {
            break;
        }
    }
    println!(
        "total: {done} of {rounds} rounds, {} orders acknowledged, {} lost, {} doubled, {} transfers, {} payments, \
         {} repeats, {} violations, {:.0} s, seed {seed}",
        total.orders,
        total.lost,
        total.doubled,
        total.transfers,
        total.payments,
        total.repeats,
        total.violations.len(),
        begun.elapsed().as_secs_f64(),
    );
    let kept = (!total.violations.is_empty()).then(|| campaign.keep());
    (total, kept)
}

/// Where orders wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Journal,
    Stream,
}

impl Queue {
    /// As the command line has it.
    const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Stream => "stream",
        }
    }

    const fn place(self) -> &'static str {
        match self {
            Self::Journal => "the gateway's journal",
            Self::Stream => "streams of a Redis",
        }
    }
}

struct Arguments {
    rounds: u64,
    seed: u64,
    queue: Queue,
}

/// `--rounds` (3), `--seed` (another one each time) and `--queue` (journal). `None`: they are wrong.
fn arguments() -> Option<Arguments> {
    let mut all = Arguments { rounds: 3, seed: fresh_seed(), queue: Queue::Journal };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--rounds" => all.rounds = value.parse().ok()?,
            "--seed" => all.seed = value.parse().ok()?,
            "--queue" => {
                let queues = [Queue::Journal, Queue::Stream];
                all.queue = queues.into_iter().find(|queue| queue.name() == value)?;
            }
            _ => return None,
        }
    }
    Some(all)
}

/// Ends the program, and the gateway with it, when a round takes too long.
struct Watchdog {
    /// The gateway's process now.
    gateway: Arc<AtomicU32>,
    pats: SyncSender<()>,
}

impl Watchdog {
    fn start(gateway_pid: u32, seed: u64) -> Self {
        let gateway = Arc::new(AtomicU32::new(gateway_pid));
        let (pats, patted) = sync_channel(1);
        let watched = Arc::clone(&gateway);
        std::thread::spawn(move || {
            loop {
                match patted.recv_timeout(ROUND_MAX) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
            println!("VIOLATION a round took longer than {ROUND_MAX:?}, seed {seed}");
            send_signal(watched.load(Ordering::Relaxed), Signal::Kill);
            std::process::exit(1);
        });
        Self { gateway, pats }
    }

    /// A round begins.
    fn pat(&self) {
        self.pats.send(()).unwrap();
    }
}
