//! A child process that cannot outlive the test program, and signals to processes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Runs a command and waits for the end of its standard input, which is a pipe that the test program
/// holds: however that program ends, the pipe closes, the command is killed, and its folder removed.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
log=$1 folder=$2
shift 2
"$@" >>"$log" 2>&1 </dev/null &
pid=$!
echo "$pid"
read -r _
kill -KILL "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
[ -z "$folder" ] || rm -rf "$folder"
"#;

/// A process that ends with its keeper, and the keeper with the test program.
#[derive(Debug)]
pub struct Keeper {
    shell: Child,
    pid: u32,
}

impl Keeper {
    /// Starts `command`.
    ///
    /// - `log`: takes its output.
    /// - `folder`: removed after its end.
    pub fn spawn(log: &Path, folder: Option<&Path>, command: &[&str]) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "keeper"])
            .arg(log)
            .arg(folder.unwrap_or_else(|| Path::new("")))
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let stdout = shell.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("the keeper tells the pid");
        Self { shell, pid: line.trim().parse().expect("a pid") }
    }

    /// The process that is kept.
    pub const fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().expect("the keeper ends");
    }
}

/// Removes folders when the test program has ended, however it ends.
const JANITOR: &str = r#"
trap '' INT TERM HUP
read -r _
for _ in 1 2 3 4 5; do
    rm -rf "$@" 2>/dev/null && break
    sleep 1
done
"#;

/// What removes the folders of something that is never dropped.
#[derive(Debug)]
pub(crate) struct Janitor {
    _shell: Child,
}

impl Janitor {
    /// Has folders removed when this program is gone.
    pub(crate) fn of(folders: &[&Path]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", JANITOR, "janitor"]).args(folders).stdin(Stdio::piped());
        Self { _shell: command.spawn().expect("sh starts") }
    }
}

/// A signal that tests send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the gateway reloads.
    Reload,
    /// SIGTERM: the gateway drains.
    Drain,
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it hangs.
    Stop,
    /// SIGCONT: it goes on.
    Continue,
}

/// Sends a signal to one process, by its pid.
pub fn send_signal(pid: u32, signal: Signal) {
    assert!(try_send_signal(pid, signal), "{signal:?} to {pid}");
}

/// Sends a signal to a process that may have ended meanwhile; whether it was there.
pub(crate) fn try_send_signal(pid: u32, signal: Signal) -> bool {
    let name = match signal {
        Signal::Reload => "HUP",
        Signal::Drain => "TERM",
        Signal::Kill => "KILL",
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    };
    let script = format!("kill -{name} {pid}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).status().expect("sh starts").success()
}
