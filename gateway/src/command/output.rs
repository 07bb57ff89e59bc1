//! What a command prints, and how it ends.

use std::io::{self, Write};
use std::process::ExitCode;

use super::check::Report;
pub(super) use crate::observe::chain;

/// A command's end: two texts and a status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// The exit status.
    pub status: u8,
}

impl Outcome {
    /// A good end.
    pub fn ok(stdout: impl Into<String>) -> Self {
        Self { stdout: stdout.into(), ..Self::default() }
    }

    /// A bad end.
    pub fn failed(status: u8, stderr: impl Into<String>) -> Self {
        Self { stderr: stderr.into(), status, ..Self::default() }
    }

    /// Prints it.
    pub fn print(&self) -> ExitCode {
        // A reader that left (`| head`) is no failure of ours.
        let _left = io::stdout().lock().write_all(self.stdout.as_bytes());
        let _left = io::stderr().lock().write_all(self.stderr.as_bytes());
        ExitCode::from(self.status)
    }
}

impl From<Report> for Outcome {
    fn from(report: Report) -> Self {
        Self { stdout: report.text, stderr: report.complaint, status: report.status }
    }
}
