//! A private MariaDB server, or the server that `MYSQL_TEST_DSN` names.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::keeper::{Keeper, Signal, send_signal};
use crate::lock::TableLock;
use crate::session::Session;
use crate::wait::{free_address, wait_until};

/// User and password of the private server.
const USER: &str = "gateway";
const PASSWORD: &str = "only-for-tests";

/// A MySQL-compatible server.
#[derive(Debug)]
pub struct Mariadb {
    address: SocketAddr,
    user: String,
    password: String,
    folder: Option<PathBuf>,
    process: Mutex<Option<Keeper>>,
    /// Removes the folder of a server that is stopped and started again.
    owned: Option<TempDir>,
    /// `innodb_flush_log_at_trx_commit`: 1 syncs at every commit.
    flush_at_commit: u8,
}

impl Mariadb {
    /// Starts a server that the test may stop and start. `None` and a word about it when none is installed.
    pub fn start() -> Option<Self> {
        Self::start_private(2)
    }

    /// Like [`Mariadb::start`], and what it committed is on the disk: as a game's own database would be.
    pub fn start_durable() -> Option<Self> {
        Self::start_private(1)
    }

    fn start_private(flush_at_commit: u8) -> Option<Self> {
        crate::need::is_installed("mariadbd").then(|| {
            let owned = TempDir::new().expect("a temporary folder");
            let mut server = Self { flush_at_commit, ..Self::install(owned.path()) };
            server.run(None);
            server.owned = Some(owned);
            server.create_user();
            server
        })
    }

    /// The server for every test of the program: never stopped, gone with the program.
    pub(crate) fn start_shared() -> Option<Self> {
        if let Ok(dsn) = std::env::var("MYSQL_TEST_DSN") {
            return Some(Self::from_dsn(&dsn));
        }
        crate::need::is_installed("mariadbd").then(|| {
            let folder = TempDir::new().expect("a temporary folder").keep();
            let server = Self::install(&folder);
            server.run(Some(&folder));
            server.create_user();
            server
        })
    }

    /// Takes `mysql://user:password@host:port/` apart.
    fn from_dsn(dsn: &str) -> Self {
        let parts = || {
            let rest = dsn.strip_prefix("mysql://")?;
            let (account, place) = rest.rsplit_once('@')?;
            let (user, password) = account.split_once(':')?;
            let address = place.split('/').next()?.parse().ok()?;
            Some((user.to_owned(), password.to_owned(), address))
        };
        let (user, password, address) =
            parts().expect("MYSQL_TEST_DSN is mysql://user:password@127.0.0.1:port/");
        Self {
            address,
            user,
            password,
            folder: None,
            process: Mutex::new(None),
            owned: None,
            flush_at_commit: 2,
        }
    }

    fn install(folder: &Path) -> Self {
        // A server that starts removes what others have left in its folder of temporary tables, and what others
        // are using: never a folder that is shared.
        fs::create_dir(folder.join("tmp")).expect("made");
        let output = Command::new("mariadb-install-db")
            .env("TMPDIR", folder.join("tmp"))
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", folder.join("data").display()))
            .output()
            .expect("mariadb-install-db starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self {
            address: free_address(),
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            folder: Some(folder.to_path_buf()),
            process: Mutex::new(None),
            owned: None,
            flush_at_commit: 2,
        }
    }

    fn run(&self, removed_after: Option<&Path>) {
        let folder = self.folder.clone().expect("a private server");
        let text = |key: &str, name: &str| format!("--{key}={}", folder.join(name).display());
        let port = format!("--port={}", self.address.port());
        let (datadir, socket) = (text("datadir", "data"), text("socket", "socket"));
        let tmpdir = text("tmpdir", "tmp");
        let pid_file = text("pid-file", "pid");
        let mut command = vec!["mariadbd", "--no-defaults", &datadir, &socket, &pid_file, &port];
        command.extend([&tmpdir, "--bind-address=127.0.0.1", "--skip-name-resolve", "--user=root"]);
        let flush = format!("--innodb-flush-log-at-trx-commit={}", self.flush_at_commit);
        command.extend(["--innodb-buffer-pool-size=64M", &flush, "--max-connections=400"]);
        let process = Keeper::spawn(&folder.join("log"), removed_after, &command);
        *self.process.lock().expect("no panic under the lock") = Some(process);
        wait_until("MariaDB accepts connections", || {
            let mut ping = self.as_root("SELECT 1");
            ping.output().ok()?.status.success().then_some(())
        });
    }

    fn create_user(&self) {
        let sql = format!(
            "CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO '{USER}'@'%'"
        );
        assert!(self.as_root(&sql).status().expect("mariadb starts").success());
    }

    fn as_root(&self, sql: &str) -> Command {
        let mut client = Command::new("mariadb");
        let socket = self.folder.as_ref().expect("a private server").join("socket");
        client.args(["--no-defaults", "-uroot", "-e", sql]).arg("-S").arg(socket);
        client.stdout(Stdio::piped()).stderr(Stdio::piped());
        client
    }

    /// The command line client, connected as the gateway is.
    fn client(&self, schema: &str) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--unbuffered"]);
        client.arg(format!("-h{}", self.address.ip()));
        client.arg(format!("-P{}", self.address.port()));
        client.arg(format!("-u{}", self.user)).arg(format!("-p{}", self.password));
        if !schema.is_empty() {
            client.arg(schema);
        }
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        client
    }

    /// Runs SQL and returns what it printed: a line a row, columns apart by a tab.
    pub fn query(&self, schema: &str, sql: &str) -> String {
        self.answer(schema, sql).unwrap_or_else(|told| panic!("{sql}: {told}"))
    }

    /// As [`Self::query`], or what the server says against it.
    fn answer(&self, schema: &str, sql: &str) -> Result<String, String> {
        let mut child = self.client(schema).spawn().expect("mariadb starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(sql.as_bytes()).expect("the client reads");
        drop(stdin);
        let output = child.wait_with_output().expect("the client ends");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8(output.stdout).expect("UTF-8"))
    }

    /// Locks a table against every other connection until the lock is dropped.
    pub fn lock(&self, schema: &str, table: &str) -> TableLock {
        self.hold(schema, &format!("LOCK TABLES {table} WRITE"))
    }

    /// Runs SQL on a connection of its own and keeps that until what is returned is dropped: a transaction that
    /// is begun in it is open so long, and never happened then.
    pub fn hold(&self, schema: &str, sql: &str) -> TableLock {
        TableLock::of(self.client(schema), sql)
    }

    /// As [`crate::Server::session`].
    pub(crate) fn session(&self, schema: &str) -> Session {
        Session::of(self.client(schema))
    }

    /// Connections that wait for a table's lock now.
    pub fn waiting_count(&self, schema: &str) -> usize {
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.processlist p LEFT JOIN information_schema.innodb_trx t \
             ON t.trx_mysql_thread_id = p.id WHERE p.db = '{schema}' \
             AND (p.state LIKE 'Waiting for table%' OR t.trx_state = 'LOCK WAIT')"
        );
        self.query("", &sql).trim().parse().expect("a number")
    }

    /// Ends every connection to a schema: they are lost.
    pub fn end_connections(&self, schema: &str) {
        let ids = format!("SELECT id FROM information_schema.processlist WHERE db = '{schema}'");
        for id in self.query("", &ids).lines() {
            let done = self.answer("", &format!("KILL CONNECTION {id}"));
            // One that ended by itself since then is no error.
            assert!(
                done.as_ref().map_or_else(|told| told.contains("ERROR 1094"), String::is_empty),
                "{done:?}"
            );
        }
    }

    /// Kills the server at once.
    pub fn kill(&self) {
        let process = self.process.lock().expect("no panic under the lock").take();
        drop(process);
    }

    /// Starts it again, with what it had on disk.
    pub fn restart(&self) {
        self.kill();
        self.run(None);
    }

    /// Its folder: tables and log. `None`: it is not ours.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Leaves its folder where it is, for whoever looks into a failure.
    pub fn keep_folder(&mut self) {
        if let Some(owned) = &mut self.owned {
            owned.disable_cleanup(true);
        }
    }

    /// Lets it hang, or go on.
    pub fn signal(&self, signal: Signal) {
        let process = self.process.lock().expect("no panic under the lock");
        send_signal(process.as_ref().expect("a running private server").pid(), signal);
    }

    /// Makes an empty schema.
    pub(crate) fn create_schema(&self, name: &str) {
        self.query("", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
    }

    /// Drops a schema, if the server runs.
    pub(crate) fn drop_schema(&self, name: &str) {
        // A test that stopped its own server has nothing left to drop.
        let stopped = self.process.lock().is_ok_and(|process| process.is_none());
        if self.folder.is_some() && stopped {
            return;
        }
        // A failing test may leave the server hanging: nothing here may hang or fail on top of it.
        let drop_it = format!("DROP DATABASE IF EXISTS {name}");
        let mut client = self.client("");
        client.args(["--connect-timeout=5", "-e", &drop_it]);
        let _dropped = client.output();
    }

    /// `database.connections.<game>` of a schema.
    pub(crate) fn connection(&self, schema: &str) -> Value {
        json!({
            "type": "mysql",
            "host": self.address.ip().to_string(),
            "port": self.address.port(),
            "username": self.user,
            "password": self.password,
            "database": schema,
            "max_open_conns": 4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_killed_and_restarted_keeps_its_rows_and_a_lock_makes_others_wait() {
        let Some(server) = Mariadb::start() else { return };
        let name = "game1".to_owned();
        server.create_schema(&name);
        server.query(&name, "CREATE TABLE t (a INT); INSERT INTO t VALUES (7)");
        server.restart();
        assert_eq!(server.query(&name, "SELECT a FROM t").trim(), "7");

        let lock = server.lock(&name, "t");
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| server.query(&name, "SELECT a FROM t"));
            wait_until("the reader waits", || (server.waiting_count(&name) == 1).then_some(()));
            drop(lock);
            assert_eq!(reader.join().unwrap().trim(), "7");
        });
    }
}
