//! The servers of a comparison, started by `bench/serve.sh`, and ended with this process.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context as _;

use crate::scenario::Server;

/// A server that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// Its processes.
    pub(crate) pids: Vec<u32>,
}

/// Everything that `serve.sh` told.
#[derive(Debug)]
pub(crate) struct Servers {
    script: Child,
    /// Ends the script when it is closed.
    input: Option<ChildStdin>,
    pub(crate) running: BTreeMap<Server, Running>,
    /// What cannot be compared, and why.
    pub(crate) absent: BTreeMap<Server, String>,
    /// The gateway's API key and a token; empty where it does not run.
    pub(crate) key: String,
    pub(crate) token: String,
}

impl Servers {
    /// Starts servers, and returns when all of them answer.
    ///
    /// - `folder`: `bench`.
    /// - `own`: this program, for the echo.
    /// - `gateways`: processes of the gateway.
    pub(crate) fn start(
        folder: &Path,
        own: &Path,
        wanted: &[Server],
        gateways: u32,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("bash");
        command.arg(folder.join("serve.sh")).args(wanted.iter().map(|server| server.name()));
        command.env("GATEWAYS", gateways.to_string());
        command.env("BENCH", own).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().context("bench/serve.sh")?;
        let input = script.stdin.take();
        let output = script.stdout.take().context("no output of bench/serve.sh")?;
        let mut servers = Self {
            script,
            input,
            running: BTreeMap::new(),
            absent: BTreeMap::new(),
            key: String::new(),
            token: String::new(),
        };
        for line in BufReader::new(output).lines() {
            if !servers.take(&line?)? {
                return Ok(servers);
            }
        }
        anyhow::bail!("bench/serve.sh ended before its servers were ready")
    }

    /// Takes a line in; false: it was the last one.
    fn take(&mut self, line: &str) -> anyhow::Result<bool> {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        match word() {
            "ready" => return Ok(false),
            "key" => self.key = word().into(),
            "token" => self.token = word().into(),
            "absent" => {
                let server = Server::of(word())?;
                self.absent.insert(server, word().into());
            }
            "server" => {
                let server = Server::of(word())?;
                let (pids, address) = word().split_once(' ').context("a server without address")?;
                let pids = pids.split(',').map(str::parse).collect::<Result<_, _>>()?;
                let running = Running { pids, address: address.parse()? };
                self.running.insert(server, running);
            }
            _ => {}
        }
        Ok(true)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.input.take());
        // It waits for what it started.
        let _ended = self.script.wait().is_ok();
    }
}
