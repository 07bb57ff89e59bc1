//! `gateway config check FILE` and `gateway config print FILE`.

use std::fmt::Write;
use std::path::Path;

use crate::config::{Config, ConfigFault, Env, Warning};

/// Exit status when the configuration is good.
const EXIT_OK: u8 = 0;

/// Exit status when it is not: `EX_CONFIG` of `sysexits.h`.
const EXIT_CONFIG: u8 = 78;

/// What a command prints and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For standard output; ends with a newline.
    pub stdout: String,
    /// For standard error; empty, or ends with a newline.
    pub stderr: String,
    /// Exit status: 0, or 78 with faults.
    pub status: u8,
}

/// Checks a file: every fault, one a line, or how many games and connections it has.
///
/// Blocks: reads the file and those that its secrets name.
pub fn check(file: &Path, env: &Env) -> Outcome {
    match Config::load(file, env) {
        Ok((config, warnings)) => {
            let stdout = format!(
                "{}: good: {} games, {} database connections\n",
                file.display(),
                config.games.len(),
                config.database.connections.len(),
            );
            Outcome { stdout, stderr: warning_lines(file, &warnings), status: EXIT_OK }
        }
        Err(faults) => refused(file, &faults),
    }
}

/// Prints the whole configuration in effect as YAML, defaults included, secrets as `***`.
///
/// Blocks: reads the file and those that its secrets name.
pub fn print(file: &Path, env: &Env) -> Outcome {
    match Config::load(file, env) {
        Ok((config, warnings)) => Outcome {
            stdout: config.print(),
            stderr: warning_lines(file, &warnings),
            status: EXIT_OK,
        },
        Err(faults) => refused(file, &faults),
    }
}

/// A file's faults as lines, and the status that goes with them.
pub fn refused(file: &Path, faults: &[ConfigFault]) -> Outcome {
    let mut stderr = String::new();
    for fault in faults {
        line(&mut stderr, &format!("{}: {fault}", file.display()));
    }
    let noun = if faults.len() == 1 { "fault" } else { "faults" };
    line(&mut stderr, &format!("{}: {} {noun}", file.display(), faults.len()));
    Outcome { stdout: String::new(), stderr, status: EXIT_CONFIG }
}

/// A file's warnings as lines.
pub fn warning_lines(file: &Path, warnings: &[Warning]) -> String {
    let mut text = String::new();
    for warning in warnings {
        line(&mut text, &format!("{}: warning: {warning}", file.display()));
    }
    text
}

fn line(out: &mut String, text: &str) {
    let written = writeln!(out, "{text}");
    debug_assert!(written.is_ok(), "writing to a `String` cannot fail");
}
