//! A Redis of a test's own, for whatever speaks to one.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::time::{Duration, Instant, sleep};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Keeps what it acknowledges.
const DURABLE: [&str; 6] =
    ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"];
/// Keeps what it is told to save.
const FORGETFUL: [&str; 2] = ["--appendonly", "no"];

/// A private server on a free port of 127.0.0.1; gone when dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    folder: TempDir,
    port: u16,
    settings: &'static [&'static str],
    child: Child,
}

impl RedisServer {
    /// Starts one that forgets with its process, as a cache may. `None`, and a word, where none is installed; a
    /// failure where `CI` is set.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_as(&FORGETFUL).await
    }

    /// Starts one that keeps what it acknowledges.
    pub(crate) async fn start_durable() -> Option<Self> {
        Self::start_as(&DURABLE).await
    }

    async fn start_as(settings: &'static [&'static str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let Ok(child) = spawn(folder.path(), port, settings) else {
            assert!(std::env::var_os("CI").is_none(), "redis-server is not installed");
            println!("skipped: redis-server is not installed");
            return None;
        };
        let mut server = Self { folder, port, settings, child };
        server.answers().await;
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A connection to look at it and to break it.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Runs one command.
    pub(crate) async fn run(&self, words: &[&str]) -> redis::Value {
        self.ask(words).await
    }

    /// Runs one command whose answer is of this type.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut self.connection().await).await.unwrap()
    }

    /// Kills it, as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its port, with what was saved in its folder.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.folder.path(), self.port, self.settings).unwrap();
        self.answers().await;
    }

    /// Stops it without closing a connection: it hangs.
    pub(crate) fn hang(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    async fn answers(&mut self) {
        let client = redis::Client::open(self.url()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "redis-server ended");
            assert!(Instant::now() < deadline, "redis-server does not answer");
            sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may be dead already; then there is nothing to kill.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

fn spawn(folder: &Path, port: u16, settings: &[&str]) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(settings)
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
