//! A Redis of a test's own that keeps what it acknowledges.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Client;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a free port of 127.0.0.1 with `appendonly yes` and `appendfsync always`; gone when dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl RedisServer {
    /// Starts one. `None`, and a word, where none is installed; a failure where `CI` is set.
    pub(crate) async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = port.expect("a free port").port();
        let Ok(child) = spawn(folder.path(), port) else {
            assert!(std::env::var_os("CI").is_none(), "redis-server is not installed");
            println!("SKIPPED: redis-server is not installed");
            return None;
        };
        let mut server = Self { folder, port, child };
        server.answers().await;
        Some(server)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Kills it, as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Starts it again on its port, with what it kept.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.folder.path(), self.port).expect("it is installed");
        self.answers().await;
    }

    /// Runs one command.
    pub(crate) async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = Client::open(self.url()).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("it answers");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut connection).await.expect("a good command")
    }

    async fn answers(&mut self) {
        let client = Client::open(self.url()).expect("an address");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return;
            }
            assert!(self.child.try_wait().expect("ours").is_none(), "redis-server ended");
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

fn spawn(folder: &Path, port: u16) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(["--maxmemory-policy", "noeviction", "--dir"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
