//! The steps of a switch, each under load, and the accounting after each.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::load::{Client, Tally, Verifier, let_trade};
use gateway_tests::{Random, wait_until};
use serde_json::Value;

use crate::login::Logins;
use crate::stage::{PAUSE_MAX, Stage};

/// Connections that put load on each gateway.
const CLIENT_COUNT: usize = 3;
/// Game servers of each gateway that write with plain statements, each for a player of its own.
const LOGIN_COUNT: i64 = 2;
/// The first of these players.
const LOGIN_PLAYER: i64 = 1101;
/// Between two rounds of a client's calls: a pace that a copier in a debug build keeps up with.
const PACE: Duration = Duration::from_millis(60);
/// The same for a game server that writes with plain statements.
const LOGIN_PACE: Duration = Duration::from_millis(15);
/// Load before a step's command and behind it.
const BESIDE: Duration = Duration::from_millis(400);

/// What one step proved.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What the command said, or who was killed, in words.
    pub(crate) what: String,
    /// What is wrong.
    pub(crate) violations: Vec<String>,
    /// Answers of both databases that shadow reads compared.
    pub(crate) compared: u64,
    /// Those that differed, and rows that `reconcile` found and nobody planted.
    pub(crate) mismatched: u64,
    /// Rows that `reconcile` compared.
    pub(crate) rows: u64,
    /// The pause as the slowest call saw it; only of flips that nobody disturbed.
    pub(crate) pause: Option<Duration>,
    /// How long the slowest call took.
    slowest: Duration,
    tally: Tally,
    logins: u64,
    lost: u64,
    doubled: u64,
    /// Whether calls may have been refused or lost: somebody was killed.
    pub(crate) is_disturbed: bool,
}

impl Told {
    fn operations(&self) -> u64 {
        let Tally { orders, transfers, payments, unknown, refused, .. } = &self.tally;
        orders + transfers + payments + unknown + refused + self.logins
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { orders, transfers, payments, refused, unknown, repeats, .. } = &self.tally;
        write!(
            f,
            "{}; {orders} orders, {transfers} transfers, {payments} payments, {} plain calls, {repeats} repeats, \
             {refused} refused, {unknown} unknown, slowest call {} ms, lost {}, doubled {}",
            self.what,
            self.logins,
            self.slowest.as_millis(),
            self.lost,
            self.doubled
        )
    }
}

/// What all steps proved.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    operations: u64,
    compared: u64,
    mismatched: u64,
    rows: u64,
    lost: u64,
    doubled: u64,
    flips: u64,
    pause: Duration,
    /// What is wrong.
    pub(crate) violations: Vec<String>,
}

impl Sums {
    /// Adds a step.
    pub(crate) fn add(&mut self, told: Told) {
        self.operations += told.operations();
        self.compared += told.compared;
        self.mismatched += told.mismatched;
        self.rows += told.rows;
        self.lost += told.lost;
        self.doubled += told.doubled;
        self.flips += u64::from(told.pause.is_some());
        self.pause = self.pause.max(told.pause.unwrap_or_default());
        self.violations.extend(told.violations);
    }

    /// The last line.
    pub(crate) fn total(&self) -> String {
        format!(
            "total: {} operations compared with the owner's rows, {} answers and {} rows with the mirror's, {} \
             mismatches, {} lost writes, {} doubled, {} flips undisturbed, longest pause {} ms, {} violations",
            self.operations,
            self.compared,
            self.rows,
            self.mismatched,
            self.lost,
            self.doubled,
            self.flips,
            self.pause.as_millis(),
            self.violations.len()
        )
    }

    /// Whether everything was as it has to be, and something was proved.
    pub(crate) fn is_right(&self) -> bool {
        self.violations.is_empty() && self.operations > 0 && self.flips > 0
    }
}

/// A switch on its way.
#[derive(Debug)]
pub(crate) struct Course<'s> {
    pub(crate) stage: Stage<'s>,
    pub(crate) random: Random,
    clients: Vec<Client>,
    logins: Vec<Logins>,
    verifier: Verifier,
}

impl<'s> Course<'s> {
    /// With everybody who puts load on it.
    pub(crate) fn new(stage: Stage<'s>, random: &mut Random) -> Self {
        let addresses = stage.gateways.each_ref().map(gateway_tests::Gateway::tcp_address);
        let mut clients = Vec::new();
        for address in addresses {
            for index in 0..CLIENT_COUNT {
                let mut client = Client::new(address, random.split(), index == 0);
                client.pause = PACE * stage.slowness();
                clients.push(client);
            }
        }
        let logins = (0..2 * LOGIN_COUNT).map(|index| {
            let own = usize::from(index % 2 == 1);
            let pace = LOGIN_PACE * stage.slowness();
            Logins::new(LOGIN_PLAYER + index, (addresses[own], addresses[1 - own]), pace)
        });
        let logins = logins.collect();
        let (server, schema) = stage.side(0);
        let_trade(server, &schema);
        let verifier = Verifier::new(server, schema);
        let random = random.split();
        Self { stage, random, clients, logins, verifier }
    }

    /// Leaves everything where it is; where that is.
    pub(crate) fn keep(&mut self) -> String {
        self.stage.keep()
    }

    /// One step with load beside it, and the accounting.
    ///
    /// - `act`: what is done in the middle.
    pub(crate) fn step(&mut self, number: usize, act: impl FnOnce(&mut Self) -> Told) -> Told {
        let prefix = format!("S{number:03}-");
        for (index, client) in self.clients.iter_mut().enumerate() {
            client.begin(format!("{prefix}{index}"));
        }
        self.logins.iter_mut().for_each(Logins::begin);
        let before: u64 = self.logins.iter().map(|logins| logins.count).sum();
        let (mut clients, mut logins) =
            (std::mem::take(&mut self.clients), std::mem::take(&mut self.logins));
        let stop = AtomicBool::new(false);
        let mut told = std::thread::scope(|scope| {
            let stop = &stop;
            let guard = StopOnDrop(stop);
            for client in &mut clients {
                scope.spawn(move || client.load(stop));
            }
            for logins in &mut logins {
                scope.spawn(move || logins.load(stop));
            }
            pass(BESIDE);
            let told = act(self);
            pass(BESIDE);
            drop(guard);
            told
        });
        (self.clients, self.logins) = (clients, logins);
        let after: u64 = self.logins.iter().map(|logins| logins.count).sum();
        told.logins = after - before;
        self.account(&prefix, &mut told);
        told
    }

    /// Compares the database that owns the game with what the clients remember.
    fn account(&mut self, prefix: &str, told: &mut Told) {
        if told.is_disturbed {
            std::thread::scope(|scope| {
                for client in &mut self.clients {
                    scope.spawn(|| client.settle());
                }
            });
        }
        self.stage.wait_applied();
        let at = self.stage.settled_owner();
        let (server, schema) = self.stage.side(at);
        self.verifier.look_at(schema);
        let entries = self.clients.iter().flat_map(|client| &client.entries);
        told.tally = self.verifier.judge(server, prefix, entries);
        for client in &mut self.clients {
            told.slowest = told.slowest.max(client.slowest);
            let (count, words) = std::mem::take(&mut client.put_off);
            if !told.is_disturbed && count > 0 {
                told.violations.push(format!("{count} calls were put off: {words:?}"));
            }
            told.tally.add(std::mem::take(&mut client.tally));
        }
        let versions = self.stage.versions(at);
        for logins in &mut self.logins {
            told.slowest = told.slowest.max(logins.slowest);
            let (lost, doubled) = logins.judge(versions[&logins.player]);
            told.lost += lost;
            told.doubled += doubled;
            told.violations.append(&mut logins.violations);
            if !told.is_disturbed {
                told.violations.append(&mut logins.put_off);
            }
        }
        told.lost += told.tally.lost;
        told.doubled += told.tally.doubled;
        told.violations.extend(std::mem::take(&mut told.tally.violations));
        if told.pause.is_some() {
            told.pause = Some(told.slowest);
        }
    }

    /// The game gets a mirror: each command is killed once on its way, and repeated.
    pub(crate) fn prepare(&mut self) -> Told {
        let mut told = Told::default();
        for step in [&["mirror", "mirror"][..], &["backfill"]] {
            let mut child = self.stage.spawn_switch(step);
            pass(Duration::from_millis(self.random.below(400)));
            child.kill().unwrap();
            child.wait().unwrap();
            wait_until(&format!("`{step:?}` is done"), || {
                (self.stage.switch(step).status == Some(0)).then_some(())
            });
        }
        told.what = "mirror and backfill, each killed once and repeated".into();
        self.ready(&mut told);
        told
    }

    /// Does what an operator does before a flip, until nothing is held against it.
    pub(crate) fn ready(&mut self, told: &mut Told) {
        let (status, report) = self.stage.reconcile(&[]);
        if status != Some(0) {
            told.violations.push(format!("reconcile: {report}"));
        }
        told.mismatched += report["divergences"].as_u64().unwrap_or(0);
        let tables = report["tables"].as_array().cloned().unwrap_or_default();
        told.rows += tables.iter().filter_map(|table| table["rows"].as_u64()).sum::<u64>();
        self.stage.switch(&["verify", "--sample", "100%"]).succeeded();
        let faults = |status: &Value| -> Vec<String> {
            let checks = status["checks"].as_array().cloned().unwrap_or_default();
            let held = checks.into_iter().filter(|check| !check["fault"].is_null());
            held.map(|check| check.to_string()).collect()
        };
        let begun = Instant::now();
        let last = wait_until("nothing is held against a flip", || {
            let found = faults(&self.stage.status());
            let is_over = begun.elapsed() > Duration::from_secs(50);
            (found.is_empty() || is_over).then_some(found)
        });
        told.violations.extend(last);
        // Its exit status is 1 where answers differed.
        let said = self.stage.switch(&["verify", "--format", "json"]);
        let said: Value = serde_json::from_str(&said.stdout).unwrap();
        told.compared += said["compared"].as_u64().unwrap_or(0);
        let different = said["different"].as_u64().unwrap_or(0);
        told.mismatched += different;
        if different > 0 {
            told.violations.push(format!("answers differ: {}", said["mismatches"]));
        }
    }

    /// The game goes to the other side, and everything is made ready for the next time.
    pub(crate) fn flip(&mut self) -> Told {
        let before = self.stage.settled_owner();
        // Rows wait for a moment now and then: what is held against a flip passes.
        let output = wait_until("a flip is not refused", || {
            let line = ["flip", "--pause-max", PAUSE_MAX, "--format", "json"];
            let output = self.stage.switch(&line);
            let passes = ["lag:", "rows come faster than they are copied"];
            let is_held = passes.iter().any(|it| output.stderr.contains(it));
            (output.status == Some(0) || !is_held).then_some(output)
        });
        let said: Value = serde_json::from_str(&output.succeeded()).unwrap();
        let after = self.stage.settled_owner();
        let mut told = Told { pause: Some(Duration::ZERO), ..Told::default() };
        if after == before {
            told.violations.push(format!("it did not flip: {said}"));
        }
        let gateways = said["gateways"].as_array().cloned().unwrap_or_default();
        let pauses: Vec<String> = gateways.iter().map(|it| it["pause_ms"].to_string()).collect();
        if pauses.len() != 2 {
            told.violations.push(format!("two gateways run: {said}"));
        }
        told.what = format!(
            "now on `{}`, pause {} ms as the command saw it, {} ms as the gateways did",
            said["owner"].as_str().unwrap_or_default(),
            said["pause_ms"],
            pauses.join(" and ")
        );
        self.ready(&mut told);
        told
    }
}

/// Ends the load, also when the step fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets time pass: load beside a step, or the moment of a kill.
#[expect(clippy::disallowed_methods, reason = "nothing waits for a state here")]
pub(crate) fn pass(moment: Duration) {
    std::thread::sleep(moment);
}
