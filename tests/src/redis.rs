//! A private Redis server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tempfile::TempDir;

use crate::keeper::{Keeper, Signal, send_signal};
use crate::wait::{free_address, wait_until};

/// A Redis server without persistence, so that a restart is an empty one; or one that keeps what it says.
#[derive(Debug)]
pub struct Redis {
    is_durable: bool,
    address: SocketAddr,
    process: Option<Keeper>,
    folder: Option<TempDir>,
}

impl Redis {
    /// Starts a server that the test may stop and start. `None` and a word about it when none is installed.
    pub fn start() -> Option<Self> {
        Self::start_own(false)
    }

    /// The same, syncing its file before every answer, and starting again with what is in it.
    pub fn start_durable() -> Option<Self> {
        Self::start_own(true)
    }

    fn start_own(is_durable: bool) -> Option<Self> {
        crate::need::is_installed("redis-server").then(|| {
            let folder = Some(TempDir::new().expect("a temporary folder"));
            let address = free_address();
            let mut server = Self { is_durable, address, process: None, folder };
            server.restart();
            server
        })
    }

    /// The server for every test of the program: never stopped, gone with the program.
    pub(crate) fn start_shared() -> Option<Self> {
        crate::need::is_installed("redis-server").then(|| {
            let folder = TempDir::new().expect("a temporary folder").keep();
            let address = free_address();
            let mut server = Self { is_durable: false, address, process: None, folder: None };
            server.run(&folder, true);
            server
        })
    }

    fn run(&mut self, folder: &std::path::Path, removed_after: bool) {
        let port = self.address.port().to_string();
        let dir = folder.display().to_string();
        let command = [
            "redis-server",
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            if self.is_durable { "yes" } else { "no" },
            "--appendfsync",
            "always",
            "--dir",
            &dir,
            "--daemonize",
            "no",
        ];
        let removed = removed_after.then_some(folder);
        self.process = Some(Keeper::spawn(&folder.join("log"), removed, &command));
        wait_until("Redis answers", || (self.command("PING")? == "+PONG").then_some(()));
    }

    /// `cache.redis.url`.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Runs one inline command; its first line. `None` when the server does not answer.
    pub fn command(&self, line: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n") {
            stream.read_exact(&mut byte).ok()?;
            answer.extend(byte);
        }
        Some(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// Kills the server at once; what it held is lost.
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Starts it again on the same port: empty, unless it is durable.
    pub fn restart(&mut self) {
        self.kill();
        let folder = self.folder.as_ref().expect("a private server").path().to_path_buf();
        self.run(&folder, false);
    }

    /// Lets it hang, or go on.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.process.as_ref().expect("a running server").pid(), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_that_is_killed_answers_nothing_and_comes_back_empty() {
        let Some(mut server) = Redis::start() else { return };
        assert_eq!(server.command("SET key value").as_deref(), Some("+OK"));
        server.kill();
        assert_eq!(server.command("PING"), None);
        server.restart();
        assert_eq!(server.command("EXISTS key").as_deref(), Some(":0"));
    }
}
