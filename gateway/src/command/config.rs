//! `gateway config check FILE` and `gateway config print FILE`.

use std::fmt::Write;
use std::path::Path;

use super::output::Outcome;
use crate::config::{Config, ConfigFault, Env, Warning};
use crate::control::{LoadFaults, Loaded};
use crate::observe::Metrics;

/// Exit status when the configuration is good.
const EXIT_OK: u8 = 0;

/// Exit status when it is not: `EX_CONFIG` of `sysexits.h`.
const EXIT_CONFIG: u8 = 78;

/// Checks a file, and the templates and keys that it names: every fault, one a line, or how many games and
/// connections it has.
///
/// Blocks: reads the file, those that its secrets name, and the templates.
pub fn check(file: &Path, env: &Env) -> Outcome {
    match Config::load_to_serve(file, env) {
        Ok((config, warnings)) => {
            let faults = with_templates(&config);
            if !faults.is_empty() {
                return refusal(file, &faults);
            }
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

/// What shows only when configuration, keys and templates meet: everything that `gateway serve` would refuse.
///
/// Blocks: reads the templates.
fn with_templates(config: &Config) -> Vec<String> {
    let loaded = Loaded::assemble(config.clone(), Vec::new(), false);
    let built = loaded.and_then(|loaded| loaded.into_snapshot(1, &Metrics::new()));
    built.err().map_or_else(Vec::new, |LoadFaults(faults)| faults)
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
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    refusal(file, &faults)
}

fn refusal(file: &Path, faults: &[String]) -> Outcome {
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
    use crate::catalog::load::tests::write;

    fn env(text: impl Into<Vec<u8>>) -> Env {
        let text = text.into();
        Env {
            variable: Box::new(|_| None),
            read_file: Box::new(move |_| Ok(text.clone())),
            is_folder: Env::process().is_folder,
            cpu_count: 2,
        }
    }

    const GOOD: &str = "database: {connections: {main: {type: sqlite, path: a.db}}}
games: {game1: {database: main}}
";

    /// The end of a text: somebody may call.
    const KEY: &str = "  api_keys:
    - id: shop
      hash: sha256:00000000000000000000000000000000:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
      games: [game1]
";

    const AUDITED: &str = "-- @kind exec\n-- @param id int\n-- @allow admin\n-- @audit\n\
                           DELETE FROM t WHERE id = :id\n";

    /// Checks a text, and [`KEY`] behind it, as `g.yaml` beside a folder of one template.
    fn checked(text: &str) -> Outcome {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("sql-templates/_base/t/delete.sql", AUDITED)]);
        let folder = root.path().join("config");
        write(&folder, &[("a.db", "")]);
        let mut outcome = check(&folder.join("g.yaml"), &env(format!("{text}{KEY}")));
        let shown = folder.display().to_string() + "/";
        outcome.stdout = outcome.stdout.replace(&shown, "");
        outcome.stderr = outcome.stderr.replace(&shown, "");
        outcome
    }

    #[test]
    fn check_of_a_good_file_counts_what_it_has_and_ends_with_zero() {
        let outcome = checked(
            "database: {connections: {main: {type: sqlite, path: a.db}}}
games: {game1: {database: main}}
logging: {audit_file: audit.log}
auth:
",
        );
        let stdout = "g.yaml: good: 1 games, 1 database connections\n".to_owned();
        assert_eq!(outcome, Outcome { stdout, stderr: String::new(), status: 0 });
    }

    #[test]
    fn check_finds_what_shows_only_together_with_the_templates() {
        let outcome = checked(
            "database: {connections: {main: {type: sqlite, path: a.db}}}
games:
  game1:
    database: main
    disabled_operations: [t.insert]
logging:
  level: info
auth:
",
        );
        let stderr = "\
g.yaml: line 6: `logging.audit_file` is missing: operations with `@audit` need it: game1 t.delete
g.yaml: line 5: `games.game1.disabled_operations` names `t.insert`, which is no operation of this game
g.yaml: 2 faults
";
        assert_eq!((outcome.stderr.as_str(), outcome.status), (stderr, 78));
    }

    #[test]
    fn check_finds_a_folder_of_templates_that_is_not_there() {
        let outcome = check(Path::new("no/such/g.yaml"), &env(GOOD));
        assert_eq!(outcome.status, 78);
        assert!(outcome.stderr.contains("the folder cannot be read"), "{}", outcome.stderr);
    }

    #[test]
    fn check_finds_a_role_of_a_key_that_nothing_names() {
        let outcome = checked(
            "database: {connections: {main: {type: sqlite, path: a.db}}}
games: {game1: {database: main}}
logging: {audit_file: audit.log}
auth:
  roles:
    gm:
      inherits: [admim]
",
        );
        assert_eq!(outcome.status, 78, "{outcome:?}");
        assert!(outcome.stderr.contains("line 7: "), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("admim"), "{}", outcome.stderr);
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
