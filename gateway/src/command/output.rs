//! What a command prints, and how it ends.

use std::io::{self, Write};
use std::process::ExitCode;

use super::check::Report;

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

/// An error with its causes, on one line; a cause that its effect tells already is not told again.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_that_is_told_already_is_not_told_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("connection: {0}")]
        struct Telling(#[source] io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("it failed")]
        struct Silent(#[source] Telling);
        let error = Silent(Telling(io::Error::other("refused")));
        assert_eq!(chain(&error), "it failed: connection: refused");
    }
}
