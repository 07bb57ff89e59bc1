//! Two gateways with one game, its two databases, and the commands that an operator gives.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use gateway_tests::{
    Gateway, Output, Redis, Schemas, Server, Session, Setup, binary, run_with, sample, wait_until,
};
use serde_json::{Value, json};

use crate::plant::{NOTE_ROWS, NOTES};

/// The longest pause that a flip may take here.
pub(crate) const PAUSE_MAX: &str = "3s";

/// How long a call may wait: longer than a pause and what a gateway waits behind it before it heals.
const DEADLINE: &str = "30s";

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage<'s> {
    /// The gateways.
    pub(crate) gateways: [Gateway<'s>; 2],
    server: &'s Server,
    mirror: &'s Schemas<'s>,
    /// Questions to the database that the configuration names first, and to the other.
    sessions: [Session; 2],
}

impl<'s> Stage<'s> {
    /// Starts both gateways; nothing is mirrored yet.
    pub(crate) fn start(server: &'s Server, mirror: &'s Schemas<'s>, redis: &Redis) -> Self {
        let common = |setup: Setup<'s>| {
            setup
                .set("/logging/requests", json!("errors"))
                .set("/games/game1/deadline", json!(DEADLINE))
                .set("/database/connections/mirror/max_open_conns", json!(12))
                .set("/database/connections/game1/max_open_conns", json!(12))
        };
        let one = common(Setup::on(server).redis(redis).mirrored_on(mirror));
        let own = one.schemas().unwrap().name(sample::GAME);
        if has_notes(mirror) {
            server.query(&own, &format!("{NOTES}; {NOTE_ROWS}"));
            server.query(&mirror.name(sample::GAME), NOTES);
        }
        let one = one.start();
        let two = common(Setup::beside(&one).mirrored_on(mirror)).start();
        let other = mirror.name(sample::GAME);
        let sessions = [server.session(&own), mirror.server().session(&other)];
        Self { gateways: [one, two], server, mirror, sessions }
    }

    /// Whether both sides have texts that may be NULL or ''.
    pub(crate) fn has_notes(&self) -> bool {
        has_notes(self.mirror)
    }

    /// Leaves the folders of both where they are; which those are.
    pub(crate) fn keep(&mut self) -> String {
        let folders = self.gateways.iter_mut().map(|it| it.keep_folder().display().to_string());
        folders.collect::<Vec<_>>().join(" and ")
    }

    fn config(&self) -> String {
        self.gateways[0].folder().join("gateway.yaml").display().to_string()
    }

    /// Runs `gateway switch game1 …`.
    pub(crate) fn switch(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        let mut line = vec!["switch", sample::GAME];
        line.extend(arguments);
        line.extend(["--config", &config, "--by", "tests"]);
        run_with(self.mirror.server().library_folder(), &line)
    }

    /// Starts it, to be killed.
    pub(crate) fn spawn_switch(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(binary());
        if let Some(folder) = self.mirror.server().library_folder() {
            command.env("LD_LIBRARY_PATH", folder);
        }
        command.args(["switch", sample::GAME]).args(arguments);
        command.args(["--config", &self.config(), "--by", "tests"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// What `status` says.
    pub(crate) fn status(&self) -> Value {
        let told = self.switch(&["status", "--format", "json"]).succeeded();
        serde_json::from_str(&told).unwrap()
    }

    /// Runs `gateway reconcile game1` to its end: its exit status and report.
    pub(crate) fn reconcile(&self, more: &[&str]) -> (Option<i32>, Value) {
        let config = self.config();
        let mut line = vec!["reconcile", sample::GAME, "--config", &config, "--format", "json"];
        line.extend(more);
        let output = run_with(self.mirror.server().library_folder(), &line);
        let report = serde_json::from_str(&output.stdout);
        (output.status, report.unwrap_or_else(|_| json!(output.text())))
    }

    /// Which of both connections owns the game, by the rows: 0 for the one that the configuration names first. `None`:
    /// a flip is on its way.
    pub(crate) fn owner(&mut self) -> Option<usize> {
        let rows: Vec<(String, String)> = (0..2).map(|at| self.row(at)).collect();
        let flips = ["readying", "blocking", "draining", "flipped"];
        if rows.iter().any(|(_, phase)| flips.contains(&&**phase)) {
            return None;
        }
        let owning = rows.iter().zip(["game1", "mirror"]).map(|((owner, _), name)| owner == name);
        match owning.collect::<Vec<_>>()[..] {
            [true, false] => Some(0),
            [false, true] => Some(1),
            _ => None,
        }
    }

    /// Owner and phase in the row of one side; empty where there is none.
    fn row(&mut self, at: usize) -> (String, String) {
        let sql = "SELECT COALESCE(MAX(owner), ''), COALESCE(MAX(phase), '') FROM gateway_switch \
                   WHERE group_name = 'game1'";
        let row = self.sessions[at].ask(sql);
        let (owner, phase) = row.split_once('\t').unwrap();
        (owner.to_owned(), phase.to_owned())
    }

    /// The phase in the row of one side.
    pub(crate) fn phase(&mut self, at: usize) -> String {
        self.row(at).1
    }

    /// Waits until one side owns the game and no flip is on its way: which one.
    pub(crate) fn settled_owner(&mut self) -> usize {
        wait_until("no flip is on its way", || self.owner())
    }

    /// Server and schema of one side.
    pub(crate) fn side(&self, at: usize) -> (&'s Server, String) {
        match at {
            0 => (self.server, self.gateways[0].schemas().unwrap().name(sample::GAME)),
            _ => (self.mirror.server(), self.mirror.name(sample::GAME)),
        }
    }

    /// Waits until both journals are applied.
    pub(crate) fn wait_applied(&self) {
        for gateway in &self.gateways {
            sample::wait_applied(gateway);
        }
    }

    /// The players' versions on one side.
    pub(crate) fn versions(&self, at: usize) -> BTreeMap<i64, i64> {
        let (server, schema) = self.side(at);
        let text = server.query(&schema, "SELECT player_id, version FROM player");
        let pair = |line: &str| {
            let (player, version) = line.split_once('\t').unwrap();
            (player.parse().unwrap(), version.parse().unwrap())
        };
        text.lines().map(pair).collect()
    }
}

/// On an Oracle '' is NULL.
const fn has_notes(mirror: &Schemas<'_>) -> bool {
    matches!(mirror.server(), Server::Mariadb(_))
}
