//! `gateway journal`: what waits in a journal that no gateway runs on, its dead letters, and its repair.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gateway_protocol::{GameId, OpId};

use super::output::{Outcome, chain};
use crate::catalog::{Scalar, Template, survey};
use crate::config::{Config, Dialect, Env};
use crate::journal::{Entry, Offline, OpenError};

/// Exit status when a journal is damaged, and was not repaired.
const EXIT_DAMAGED: u8 = 1;

/// `gateway journal`.
#[derive(Args, Clone, Debug)]
pub(super) struct JournalArgs {
    /// The journal's folder; default: `journal.path` of the configuration.
    #[arg(long, global = true)]
    path: Option<PathBuf>,
    /// The configuration file.
    #[arg(long, global = true, default_value = "config/gateway.yaml")]
    config: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List what waits and the dead letters: sequence, state, operation, key, lane, age, size, reason.
    List,
    /// Show one of them with its parameters, those under `@mask` hidden; all hidden without templates.
    Show {
        /// Its sequence.
        sequence: u64,
        /// The folder of templates, which say what is masked.
        #[arg(long)]
        templates: Option<PathBuf>,
    },
    /// Have a dead letter applied again, as a new record.
    Retry {
        /// Its sequence.
        sequence: u64,
        /// Also behind later records of its lane.
        #[arg(long)]
        force: bool,
    },
    /// Forget a dead letter.
    Drop {
        /// Its sequence.
        sequence: u64,
        /// Also a record that waits: it is then never applied.
        #[arg(long)]
        force: bool,
    },
    /// Find damage that keeps a gateway from starting.
    Repair {
        /// Take it out: what stood there is lost, a copy is kept beside its segment.
        #[arg(long)]
        cut: bool,
    },
}

/// Does what the command line says.
pub(super) fn run(args: &JournalArgs) -> Outcome {
    let folder = match folder(args) {
        Ok(folder) => folder,
        Err(text) => return Outcome::failed(1, format!("gateway journal: {text}\n")),
    };
    // Asked before anything is opened: opening makes a journal where there is none.
    if !folder.join("journal").exists() {
        let text = format!("gateway journal: {}: no journal is there\n", folder.display());
        return Outcome::failed(1, text);
    }
    let done = match &args.action {
        Action::List => list(&folder),
        Action::Show { sequence, templates } => show(&folder, *sequence, templates.as_deref()),
        Action::Retry { sequence, force } => Offline::open(&folder)
            .and_then(|journal| journal.retry(*sequence, *force))
            .map(|new| Outcome::ok(format!("record {sequence} waits again, as {new}\n"))),
        Action::Drop { sequence, force } => Offline::open(&folder)
            .and_then(|mut journal| journal.discard(*sequence, *force))
            .map(|()| Outcome::ok(format!("record {sequence} is dropped\n"))),
        Action::Repair { cut } => repair(&folder, *cut),
    };
    done.unwrap_or_else(|error| Outcome::failed(1, format!("gateway journal: {}\n", chain(&error))))
}

fn folder(args: &JournalArgs) -> Result<PathBuf, String> {
    if let Some(path) = &args.path {
        return Ok(path.clone());
    }
    let (config, _) = Config::load(&args.config, &Env::process()).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        format!("{} is refused; --path names a folder\n{}", args.config.display(), lines.join("\n"))
    })?;
    config.journal.path.ok_or_else(|| format!("{} has no journal.path", args.config.display()))
}

fn list(folder: &Path) -> Result<Outcome, OpenError> {
    let journal = Offline::open(folder)?;
    let mut text = String::new();
    journal.each(|entry| line(&mut text, &entry, now_micros()))?;
    if let Some((segment, offset)) = &journal.opened.torn {
        let place = segment.display();
        let _written = writeln!(text, "{place}: a torn tail at byte {offset}: never acknowledged");
    }
    Ok(Outcome::ok(text))
}

fn now_micros() -> i64 {
    let micros = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    i64::try_from(micros).unwrap_or(i64::MAX)
}

fn line(text: &mut String, entry: &Entry, now_micros: i64) {
    let payload = &entry.draft.payload;
    let lane = entry.draft.lane.map_or_else(|| "-".into(), |lane| format!("{:016x}", lane.0));
    let age = now_micros.saturating_sub(payload.now_micros).max(0) / 1_000_000;
    let (state, why) = match &entry.dead {
        None => ("journalled", String::new()),
        Some((code, message, _)) => ("dead", format!("  {code} {message}")),
    };
    // Writing to a string does not fail.
    let _written = writeln!(
        text,
        "{:>10}  {state:<10}  {} {}  key={:?}  lane={lane}  age={age}s  {} bytes{why}",
        entry.sequence,
        payload.game,
        payload.op,
        payload.key_text,
        entry.draft.encode().len(),
    );
}

fn show(folder: &Path, sequence: u64, templates: Option<&Path>) -> Result<Outcome, OpenError> {
    let entry = Offline::open(folder)?.find(sequence)?;
    let payload = &entry.draft.payload;
    let mut text = String::new();
    line(&mut text, &entry, now_micros());
    let _written = writeln!(
        text,
        "caller   {}\ntrace    {}\ntemplate {:016x}, contract {:016x}",
        payload.caller, payload.trace, payload.version, payload.contract
    );
    let found = templates
        .and_then(|templates| slots(templates, &payload.game, &payload.op, payload.contract));
    for (index, value) in payload.bound.values.iter().enumerate() {
        let slot = found.as_ref().and_then(|slots| slots.get(index));
        let (name, shown) = match slot {
            Some((name, false)) => (name.clone(), tag_text(value)),
            Some((name, true)) => (name.clone(), "***".to_owned()),
            None => (format!("#{index}"), "***".to_owned()),
        };
        let _written = writeln!(text, "{name} = {shown}");
    }
    if found.is_none() {
        text.push_str("values are shown where --templates has the operation under this contract\n");
    }
    Ok(Outcome::ok(text))
}

fn tag_text(value: &Scalar<'_>) -> String {
    let mut text = String::new();
    value.tag_text(&mut text);
    text
}

/// Name of each slot, and whether it is masked. `None`: no template of that contract.
fn slots(folder: &Path, game: &str, op: &str, contract: u64) -> Option<Vec<(String, bool)>> {
    let (game, op) = (GameId::new(game).ok()?, OpId::new(op).ok()?);
    let games: Vec<_> =
        [Dialect::Mysql, Dialect::Sqlite].into_iter().map(|it| (game.clone(), it)).collect();
    let survey = survey(folder, &games);
    let is_it = |template: &Template| template.op == op && template.contract == contract;
    let found = survey.templates().find(|one| is_it(one.template))?;
    let masked = &found.template.masked;
    let slots = found.template.slots.iter().enumerate();
    Some(slots.map(|(index, slot)| (slot.name.to_string(), masked.contains(&index))).collect())
}

fn repair(folder: &Path, cut: bool) -> Result<Outcome, OpenError> {
    let found = Offline::repair(folder, cut)?;
    let mut text = String::new();
    for place in &found {
        let (first, next) = place.lost;
        let verb = if cut { "cut out" } else { "damaged" };
        let _written = writeln!(
            text,
            "{}: {verb}: {} bytes at {}, records {first} to {}",
            place.path.display(),
            place.bytes,
            place.offset,
            next.saturating_sub(1),
        );
    }
    if found.is_empty() {
        return Ok(Outcome::ok("no damage in any segment\n"));
    }
    if cut {
        text.push_str("what was cut lies beside its segment, in files named `.damaged-…`\n");
        return Ok(Outcome::ok(text));
    }
    text.push_str(
        "Acknowledged orders stood there. First look for a good copy of the file (a snapshot, the disk's \
         mirror).\nWithout one, `gateway journal repair --cut` gives them up, and keeps all others.\n",
    );
    Ok(Outcome { stdout: text, stderr: String::new(), status: EXIT_DAMAGED })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: JournalArgs,
    }

    fn run_line(folder: &Path, line: &str) -> Outcome {
        let path = folder.display().to_string();
        let words = ["journal", "--path", &path].into_iter().chain(line.split(' '));
        run(&Cli::try_parse_from(words).unwrap().args)
    }

    #[test]
    fn folder_without_a_journal_is_refused_and_stays_without() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = run_line(folder.path(), "list");
        assert_eq!(outcome.status, 1);
        assert!(outcome.stderr.contains("no journal is there"), "{}", outcome.stderr);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn journal_of_another_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let held = Offline::open(folder.path()).unwrap();
        for line in ["list", "show 1", "retry 1", "drop 1", "repair --cut"] {
            let outcome = run_line(folder.path(), line);
            assert!(outcome.stderr.contains("admin port"), "{line}: {outcome:?}");
        }
        drop(held);
        assert_eq!(run_line(folder.path(), "list"), Outcome::ok(""));
        assert_eq!(run_line(folder.path(), "repair"), Outcome::ok("no damage in any segment\n"));
        assert!(run_line(folder.path(), "show 1").stderr.contains("no record 1"));
    }
}
