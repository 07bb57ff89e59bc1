//! `gateway config check FILE` and `gateway config print FILE`.

use std::fmt::Write;
use std::path::Path;

use super::output::Outcome;
use crate::config::{Config, ConfigFault, Env, Warning};

/// Exit status when the configuration is good.
const EXIT_OK: u8 = 0;

/// Exit status when it is not: `EX_CONFIG` of `sysexits.h`.
const EXIT_CONFIG: u8 = 78;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn env(text: &'static str) -> Env {
        Env {
            variable: Box::new(|_| None),
            read_file: Box::new(move |_| Ok(text.as_bytes().to_vec())),
            cpu_count: 2,
        }
    }

    const GOOD: &str = "database: {connections: {main: {type: sqlite, path: a.db}}}
games: {game1: {database: main}}
";

    #[test]
    fn check_of_a_good_file_counts_what_it_has_and_ends_with_zero() {
        let outcome = check(Path::new("g.yaml"), &env(GOOD));
        let stdout = "g.yaml: good: 1 games, 1 database connections\n".to_owned();
        assert_eq!(outcome, Outcome { stdout, stderr: String::new(), status: 0 });
    }

    #[test]
    fn check_of_a_faulty_file_lists_every_fault_and_ends_with_78() {
        let outcome = check(Path::new("g.yaml"), &env("runtime: {pin: 1}\ncolor: red\n"));
        let stderr = "\
g.yaml: line 1: `runtime.pin` is \"1\", but has to be true or false
g.yaml: line 2: `color` is not a key here
g.yaml: 2 faults
";
        assert_eq!((outcome.stderr.as_str(), outcome.status), (stderr, 78));
        assert_eq!(outcome.stdout, "");
    }

    #[test]
    fn print_shows_defaults_and_hides_secrets_that_it_warns_of() {
        let outcome = print(Path::new("g.yaml"), &env("admin: {token: literal-secret-text}\n"));
        assert_eq!(outcome.status, 0);
        assert!(outcome.stdout.contains("  token: \"***\"\n"), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("    heartbeat: 15s\n"), "{}", outcome.stdout);
        assert!(outcome.stderr.starts_with("g.yaml: warning: line 1: `admin.token` is a secret"));
        assert!(!format!("{outcome:?}").contains("literal-secret-text"));
    }
}
