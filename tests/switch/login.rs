//! A game server that writes with plain statements, without keys: each acknowledged one counts, once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Caller, Outcome, sample};
use serde_json::json;

use crate::course::pass;

/// A player of the sample whose order nobody writes; each third one after that has one, too.
const UNTOUCHED_PLAYER: i64 = 1207;

/// Between two rounds of calls: a pace that a copier in a debug build keeps up with.
const PACE: Duration = Duration::from_millis(15);

/// One player, whom nobody else writes.
#[derive(Debug)]
pub(crate) struct Logins {
    /// The player.
    pub(crate) player: i64,
    /// Its version in the database before the first login.
    first: i64,
    /// Logins that were acknowledged.
    pub(crate) acknowledged: i64,
    /// Logins of which nobody knows.
    unknown: i64,
    /// How long the slowest call took, since it was last asked.
    pub(crate) slowest: Duration,
    /// Calls that were refused or lost, since it was last asked.
    pub(crate) put_off: Vec<String>,
    /// What was read and cannot be.
    pub(crate) violations: Vec<String>,
    /// Calls that were answered.
    pub(crate) count: u64,
    /// The version that the other gateway told last.
    seen: i64,
    own: Caller,
    other: Caller,
}

impl Logins {
    /// A game server of one gateway that reads at the other one, too.
    pub(crate) fn new(player: i64, own: SocketAddr, other: SocketAddr) -> Self {
        let caller = |address| Caller::new(address, sample::GAME);
        let (mut own, other) = (caller(own), caller(other));
        let first = version(&own.call("player.get", &json!({ "player_id": player }))).unwrap();
        Self {
            player,
            first,
            acknowledged: 0,
            unknown: 0,
            slowest: Duration::ZERO,
            put_off: Vec::new(),
            violations: Vec::new(),
            count: 0,
            seen: first,
            own,
            other,
        }
    }

    /// Forgets what it was asked for.
    pub(crate) fn begin(&mut self) {
        self.slowest = Duration::ZERO;
        self.put_off.clear();
        self.violations.clear();
    }

    /// Calls until it is told to stop.
    pub(crate) fn load(&mut self, stop: &AtomicBool) {
        let params = json!({ "player_id": self.player });
        while !stop.load(Ordering::Relaxed) {
            pass(PACE);
            // It was killed, and comes back.
            if self.own.connect().is_none() {
                continue;
            }
            let begun = Instant::now();
            let outcome = self.own.call("player.record_login", &params);
            self.slowest = self.slowest.max(begun.elapsed());
            match &outcome {
                Outcome::Done { .. } => self.acknowledged += 1,
                Outcome::Unknown => self.unknown += 1,
                Outcome::Refused { .. } => {}
            }
            self.note(&outcome);
            let begun = Instant::now();
            let outcome = self.own.call("player.get", &params);
            self.slowest = self.slowest.max(begun.elapsed());
            self.note(&outcome);
            if let Some(version) = version(&outcome) {
                self.compare("its own gateway", version, self.first + self.acknowledged);
            }
            // Reads that no cache answers, of rows that nobody writes: what shadow reads compare.
            let order_no = format!("SO{}-0001", UNTOUCHED_PLAYER + 3 * (self.acknowledged % 30));
            let outcome = self.own.call("order.get", &json!({ "order_no": order_no }));
            self.note(&outcome);
            if self.acknowledged % 3 == 0 && self.other.connect().is_some() {
                let outcome = self.other.call("player.get", &params);
                self.note(&outcome);
                if let Some(version) = version(&outcome) {
                    self.compare("the other gateway", version, self.seen);
                    self.seen = version;
                }
            }
        }
    }

    fn note(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done { .. } => self.count += 1,
            other => self.put_off.push(format!("player {}: {other:?}", self.player)),
        }
    }

    fn compare(&mut self, told_by: &str, version: i64, least: i64) {
        let most = self.first + self.acknowledged + self.unknown;
        if !(least..=most).contains(&version) {
            let player = self.player;
            self.violations.push(format!(
                "player {player}: {told_by} told version {version}, from {least} to {most} is possible"
            ));
        }
    }

    /// How many acknowledged logins are not in the database, and how many are there that nobody sent.
    pub(crate) fn judge(&mut self, version: i64) -> (u64, u64) {
        let logins = version - self.first;
        let lost = (self.acknowledged - logins).max(0).unsigned_abs();
        let doubled = (logins - self.acknowledged - self.unknown).max(0).unsigned_abs();
        if lost + doubled > 0 {
            self.violations.push(format!(
                "player {}: {logins} logins in the database, {} acknowledged, {} unknown",
                self.player, self.acknowledged, self.unknown
            ));
        }
        (lost, doubled)
    }
}

fn version(outcome: &Outcome) -> Option<i64> {
    let Outcome::Done { body, .. } = outcome else { return None };
    let version = &body["version"];
    version.as_i64().or_else(|| version.as_str()?.parse().ok())
}
