//! The stand-in for Oracle, which is not Oracle: its library in the client's place, over a private PostgreSQL.
//!
//! `tests/oracle-standin/README.md` says what it imitates. Every game has a user of its name there, and every test a
//! database of its own for each, copied from one that the gateway has migrated and filled.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use oracle_standin::server::{ADMIN, PASSWORD, Postgres, library, library_folder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::keeper::{Janitor, Signal, send_signal, try_send_signal};
use crate::lock::TableLock;
use crate::session::Session;

/// A private PostgreSQL, and the library that makes it look like Oracle.
#[derive(Debug)]
pub struct StandIn {
    server: Mutex<Postgres>,
    port: u16,
    library: TempDir,
    /// Removes the folders of a server that is shared, and never dropped.
    janitor: Option<Janitor>,
}

impl StandIn {
    /// Starts a server that the test may stop and start. `None` and a word about it when none is installed.
    pub(crate) fn start() -> Option<Self> {
        crate::need::is_found(Postgres::is_installed(), "PostgreSQL").then(|| {
            let library = library().expect("the stand-in was built");
            let library = library_folder(&library).expect("a folder");
            let server = Postgres::start().expect("PostgreSQL starts");
            let port = server.address().port();
            Self { server: Mutex::new(server), port, library, janitor: None }
        })
    }

    /// Starts one that is gone with the program, as statics are not dropped.
    pub(crate) fn start_shared() -> Option<Self> {
        let mut own = Self::start()?;
        let data = own.query("postgres", "SHOW data_directory");
        let folder = Path::new(data.trim()).parent().expect("a folder of its own").to_path_buf();
        own.janitor = Some(Janitor::of(&[&folder, own.library.path()]));
        Some(own)
    }

    /// The folder for `LD_LIBRARY_PATH`.
    pub fn library_folder(&self) -> &Path {
        self.library.path()
    }

    /// Makes a database of a game, and its user where there is none: empty, to be migrated.
    pub(crate) fn create_empty(&self, game: &str) {
        self.locked(|server| server.create_database(game).expect("created"));
    }

    /// Makes a database like the one of that name which was filled.
    pub(crate) fn create_schema(&self, name: &str, game: &str) {
        self.locked(|server| {
            server.end_connections(game).expect("ended");
            let sql = format!("CREATE DATABASE \"{name}\" TEMPLATE \"{game}\"");
            server.admin("postgres", &sql).expect("created");
        });
    }

    /// Drops a database, if the server runs.
    pub(crate) fn drop_schema(&self, name: &str) {
        self.locked(|server| {
            if server.pid().is_some() {
                let sql = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
                let _dropped = server.admin("postgres", &sql);
            }
        });
    }

    /// `database.connections.<game>` of a database.
    pub(crate) fn connection(&self, name: &str, game: &str) -> Value {
        json!({
            "type": "oracle",
            "connect": format!("//127.0.0.1:{}/{name}", self.port),
            "username": game,
            "password": PASSWORD,
            "max_open_conns": 4,
        })
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Postgres) -> T) -> T {
        act(&mut self.server.lock().expect("no panic under the lock"))
    }

    /// PostgreSQL's own client, in a game's schema.
    fn client(&self, name: &str) -> Command {
        let game = name.rsplit('_').next().unwrap_or(name);
        let mut client = Command::new("psql");
        client.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--field-separator=\t",
        ]);
        client.args(["--set=ON_ERROR_STOP=1", "--host=127.0.0.1", "--username", ADMIN]);
        client.arg(format!("--port={}", self.port)).arg(format!("--dbname={name}"));
        client.env("PGOPTIONS", format!("-c search_path={game},oracle_standin,pg_catalog"));
        client.env("PGPASSWORD", PASSWORD);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        client
    }

    /// Runs SQL of PostgreSQL's and returns what it printed: a line a row, columns apart by a tab.
    pub fn query(&self, name: &str, sql: &str) -> String {
        let mut client = self.client(name);
        let output = client.arg("--command").arg(sql).output().expect("psql starts");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// As [`crate::Server::hold`].
    pub(crate) fn hold(&self, name: &str, sql: &str) -> TableLock {
        TableLock::of(self.client(name), sql)
    }

    /// As [`crate::Server::lock`].
    pub(crate) fn lock(&self, name: &str, table: &str) -> TableLock {
        self.hold(name, &format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
    }

    /// As [`crate::Server::session`].
    pub(crate) fn session(&self, name: &str) -> Session {
        Session::of(self.client(name))
    }

    /// Connections that wait for a lock now.
    pub(crate) fn waiting_count(&self, name: &str) -> usize {
        let sql = format!(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'"
        );
        self.query("postgres", &sql).trim().parse().expect("a number")
    }

    /// Ends every connection to a database: they are lost.
    pub(crate) fn end_connections(&self, name: &str) {
        self.locked(|server| server.end_connections(name).expect("ended"));
    }

    /// Kills the server at once.
    pub(crate) fn kill(&self) {
        self.locked(|server| server.stop().expect("stopped"));
    }

    /// Starts it again, with what it had on disk.
    pub(crate) fn restart(&self) {
        self.locked(|server| server.restart().expect("started"));
    }

    /// Lets it hang, or go on: every process of it.
    pub(crate) fn signal(&self, signal: Signal) {
        let postmaster = self.locked(|server| server.pid()).expect("a running server");
        send_signal(postmaster, signal);
        for pid in children_of(postmaster) {
            try_send_signal(pid, signal);
        }
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = fs::read_to_string(path).expect("a running process");
    children.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}
