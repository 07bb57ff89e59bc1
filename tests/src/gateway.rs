//! The gateway's binary: as a running server, and as a command.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::credential::Credential;
use crate::http::{Http, Response};
use crate::keeper::{Signal, send_signal};
use crate::mariadb::Schemas;
use crate::setup::{at, write_file};
use crate::wait::wait_until;
use crate::wire::{Codec, Wire};

/// The binary: `GATEWAY_BIN`, else the one that cargo built beside this program, or above its `deps`.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("GATEWAY_BIN") {
        return path.into();
    }
    let program = std::env::current_exe().expect("this program's path");
    let mut folders = program.ancestors().skip(1).take(2).map(|folder| folder.join("gateway"));
    let found = folders.find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("no gateway beside {}: cargo build -p gateway", program.display())
    })
}

/// What a command printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Its standard output.
    ///
    /// # Panics
    ///
    /// When it ended with another status than 0.
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.status, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard output and error.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a subcommand to its end.
pub fn run(arguments: &[&str]) -> Output {
    let output = Command::new(binary())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    Output {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running `gateway serve`, with everything that belongs to it.
#[derive(Debug)]
pub struct Gateway<'a> {
    /// The configuration that it was started with; a reload may have another.
    pub config: Value,
    process: Child,
    folder: TempDir,
    schemas: Option<Schemas<'a>>,
    limits: String,
}

impl<'a> Gateway<'a> {
    pub(crate) fn start(
        config: Value,
        folder: TempDir,
        schemas: Option<Schemas<'a>>,
        limits: String,
    ) -> Self {
        let process = spawn(folder.path(), &limits);
        let mut gateway = Self { config, process, folder, schemas, limits };
        gateway.wait_ready();
        gateway
    }

    /// Kills it at once (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill().expect("a child");
        self.process.wait().expect("a child");
    }

    /// Starts it again, with its folder, its ports and the configuration file as it is; does not wait.
    ///
    /// # Panics
    ///
    /// When it still runs.
    pub fn launch(&mut self) {
        assert!(!self.is_running(), "the gateway still runs");
        self.process = spawn(self.folder.path(), &self.limits);
    }

    /// Starts it again and returns when it is ready.
    pub fn restart(&mut self) {
        self.launch();
        self.wait_ready();
    }

    /// Leaves its folder where it is, for whoever looks into a failure.
    pub fn keep_folder(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }

    /// Waits until it serves.
    ///
    /// # Panics
    ///
    /// When it ends instead, or takes too long.
    pub fn wait_ready(&mut self) {
        wait_until("the gateway is ready", || {
            if let Some(status) = self.process.try_wait().expect("a child") {
                panic!("the gateway ended with {status}:\n{}", self.log());
            }
            let mut http = Http::try_connect(self.admin_address())?;
            (http.get("/readyz", "").status == 200).then_some(())
        });
    }

    fn address(&self, pointer: &str) -> SocketAddr {
        let text = self.config.pointer(pointer).and_then(Value::as_str).expect("an address");
        text.parse().expect("an address")
    }

    /// Where game servers connect.
    pub fn tcp_address(&self) -> SocketAddr {
        self.address("/server/tcp/address")
    }

    /// Where web clients connect.
    pub fn http_address(&self) -> SocketAddr {
        self.address("/server/http/address")
    }

    /// Where operators connect.
    pub fn admin_address(&self) -> SocketAddr {
        self.address("/admin/address")
    }

    /// A TCP connection before its HELLO.
    pub fn tcp(&self) -> Wire {
        Wire::connect(self.tcp_address())
    }

    /// A TCP connection of a game server of `game`.
    pub fn game_server(&self, game: &str) -> Wire {
        let mut wire = self.tcp();
        wire.hello_game_server(game);
        wire
    }

    /// A TCP connection with a credential, for `game`.
    pub fn connect(&self, game: &str, credential: &Credential, codec: Codec) -> Wire {
        let mut wire = self.tcp();
        wire.codec = codec;
        wire.hello(game, credential);
        wire
    }

    /// An HTTP connection.
    pub fn http(&self) -> Http {
        Http::connect(self.http_address())
    }

    /// One GET on the operators' port.
    pub fn admin(&self, path: &str) -> Response {
        Http::connect(self.admin_address()).get(path, "")
    }

    /// One metric's value: the sum over its lines that contain all of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.admin("/metrics").text();
        let fits = |line: &&str| {
            let head = line.strip_prefix(name);
            head.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|it| it.parse::<f64>().ok());
        text.lines().filter(fits).filter_map(value).sum()
    }

    /// Memory that its process holds, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that its process ever held, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("its line");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Waits for its end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        wait_until("the gateway ends", || self.process.try_wait().expect("a child"))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("a child").is_none()
    }

    /// What it printed so far: its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("gateway.log")).expect("a log")
    }

    /// Its folder: configuration, SQLite files, audit log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The schemas that it works on, when they are on a server.
    pub const fn schemas(&self) -> Option<&Schemas<'a>> {
        self.schemas.as_ref()
    }

    /// Changes the configuration file; the gateway is not told.
    pub fn write_config(&mut self, pointer: &str, value: Value) {
        *at(&mut self.config, pointer) = value;
        let text = serde_json::to_string_pretty(&self.config).expect("JSON");
        write_file(&self.folder.path().join("gateway.yaml"), &text);
    }

    /// Writes a file of its own copy of the templates; the gateway is not told.
    pub fn write_template(&self, path: &str, text: &str) {
        write_file(&self.folder.path().join("templates").join(path), text);
    }

    /// Runs SQL on one game's database behind the gateway's back.
    pub fn sql(&self, game: &str, sql: &str) {
        match &self.schemas {
            Some(schemas) => {
                schemas.server().query(&schemas.name(game), sql);
            }
            None => {
                crate::setup::sqlite_script(&self.folder.path().join(format!("{game}.db")), sql);
            }
        }
    }
}

/// Starts the binary on a folder's configuration; its log grows from one start to the next.
///
/// - `limits`: what the shell does before.
fn spawn(folder: &Path, limits: &str) -> Child {
    let path = folder.join("gateway.log");
    let log = fs::File::options().create(true).append(true).open(path).expect("a log");
    let mut command = Command::new(binary());
    if !limits.is_empty() {
        let script = format!("{limits} exec \"$@\"");
        command = Command::new("sh");
        command.args(["-c", &script, "limited"]).arg(binary());
    }
    command
        .args(["serve", "--config"])
        .arg(folder.join("gateway.yaml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("the binary starts")
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        // It may have ended already: by the test, or by itself.
        let _ended = self.process.kill();
        let _status = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway's log\n{}---", self.log());
        }
    }
}
