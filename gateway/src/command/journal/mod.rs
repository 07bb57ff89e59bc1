//! `gateway journal`: what waits in a journal, its dead letters, and its repair.
//!
//! On the folder while no gateway runs, or through a running one's admin port. Both make the same entries, as JSON,
//! which are printed here.

mod lines;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::admin::Admin;
use super::output::{Outcome, chain};
use crate::catalog::{Survey, Template, survey};
use crate::config::{Config, Env};
use crate::control::{journal_entry, whole_journal_entry};
use crate::journal::{Damage, Entry, Offline, OpenError, now_micros};

use lines::{line, listed, shown};

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
    /// The admin port of a gateway that runs on the journal, `http://127.0.0.1:8082`.
    #[arg(long, global = true, value_name = "URL", conflicts_with = "path")]
    admin: Option<String>,
    /// The admin port's token.
    #[arg(long, global = true, env = "GATEWAY_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Who asks, for the log of the running gateway; default: the user's name.
    #[arg(long, global = true, value_name = "NAME", requires = "admin")]
    operator: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List what waits and the dead letters: sequence, state, operation, key, lane, age, size, reason.
    List {
        /// The folder of templates, which say what may be shown of a lane; a running gateway has its own.
        #[arg(long)]
        templates: Option<PathBuf>,
    },
    /// Show one of them with its parameters, those under `@mask` hidden; all hidden without templates.
    Show {
        /// Its sequence.
        sequence: u64,
        /// The folder of templates, which say what is masked; a running gateway has its own.
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
    /// Have a running gateway give up a record that waits: it becomes a dead letter, and its lane goes on.
    Bury {
        /// Its sequence.
        sequence: u64,
        /// Why, for the letter and the log.
        #[arg(long)]
        reason: String,
        /// Also where the record's database does not tell whether it was applied.
        #[arg(long)]
        force: bool,
    },
    /// Forget a dead letter.
    Drop {
        /// Its sequence.
        sequence: u64,
        /// Also a record that waits, where no gateway runs: it is then never applied.
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
    let done = match &args.admin {
        Some(url) => Admin::new(url, args.token.clone())
            .and_then(|admin| admin.by(args.operator.as_deref()))
            .and_then(|admin| online(args, &admin)),
        None => offline(args),
    };
    done.unwrap_or_else(|text| Outcome::failed(1, format!("gateway journal: {text}\n")))
}

/// Asks a running gateway.
fn online(args: &JournalArgs, admin: &Admin) -> Result<Outcome, String> {
    let text = match &args.action {
        Action::List { .. } => listed(&admin.ask("GET", "/journal?limit=1000")?),
        Action::Show { sequence, .. } => shown(&admin.ask("GET", &format!("/journal/{sequence}"))?),
        Action::Retry { sequence, force } => {
            let told = admin.ask("POST", &format!("/journal/{sequence}/retry?force={force}"))?;
            retried(*sequence, told.get("sequence").and_then(Value::as_u64).unwrap_or(0))
        }
        Action::Bury { sequence, reason, force } => {
            let reason = utf8_percent_encode(reason, NON_ALPHANUMERIC);
            let target = format!("/journal/{sequence}/bury?force={force}&reason={reason}");
            admin.ask("POST", &target)?;
            format!("record {sequence} is a dead letter\n")
        }
        Action::Drop { sequence, force: false } => {
            admin.ask("POST", &format!("/journal/{sequence}/drop"))?;
            dropped(*sequence)
        }
        Action::Drop { .. } => {
            return Err("a record that waits is dropped only while no gateway runs".into());
        }
        Action::Repair { .. } => {
            return Err("a journal that a gateway runs on is sound; stop the gateway first".into());
        }
    };
    Ok(Outcome::ok(text))
}

/// Works on the folder.
fn offline(args: &JournalArgs) -> Result<Outcome, String> {
    let (folder, admin) = folder(args)?;
    // Asked before anything is opened: opening makes a journal where there is none.
    if !is_journal(&folder) {
        return Err(format!("{}: no journal is there", folder.display()));
    }
    let done = match &args.action {
        Action::List { templates } => list(&folder, templates.as_deref()),
        Action::Show { sequence, templates } => show(&folder, *sequence, templates.as_deref()),
        Action::Retry { sequence, force } => Offline::open(&folder)
            .and_then(|journal| journal.retry(*sequence, *force))
            .map(|new| Outcome::ok(retried(*sequence, new))),
        Action::Drop { sequence, force } => Offline::open(&folder)
            .and_then(|mut journal| journal.discard(*sequence, *force))
            .map(|()| Outcome::ok(dropped(*sequence))),
        Action::Repair { cut } => repair(&folder, *cut),
        Action::Bury { .. } => {
            return Err(format!(
                "only a running gateway gives up a record: say --admin http://{admin} \
                 (where none runs, `drop --force` forgets one)"
            ));
        }
    };
    done.map_err(|error| match &error {
        OpenError::InUse { path } => {
            let path = path.display();
            match args.action.words() {
                Some(words) => format!(
                    "{path}: a gateway runs on this journal; ask it:\n  \
                     gateway journal {words} --admin http://{admin}"
                ),
                None => format!("{path}: a gateway runs on this journal; stop it first"),
            }
        }
        error => chain(error),
    })
}

impl Action {
    /// As it is typed to a running gateway; `None`: that cannot do it.
    fn words(&self) -> Option<String> {
        match self {
            Self::List { .. } => Some("list".into()),
            Self::Show { sequence, .. } => Some(format!("show {sequence}")),
            Self::Retry { sequence, force: false } => Some(format!("retry {sequence}")),
            Self::Retry { sequence, force: true } => Some(format!("retry {sequence} --force")),
            Self::Drop { sequence, force: false } => Some(format!("drop {sequence}")),
            Self::Bury { .. } | Self::Drop { force: true, .. } | Self::Repair { .. } => None,
        }
    }
}

/// Whether anything of a journal lies there; its own file may be what is damaged.
fn is_journal(folder: &Path) -> bool {
    ["journal", "position", "dead"].iter().any(|file| folder.join(file).exists())
}

/// The journal's folder, and the admin port of the gateway that may run on it.
fn folder(args: &JournalArgs) -> Result<(PathBuf, String), String> {
    if let Some(path) = &args.path {
        return Ok((path.clone(), "127.0.0.1:8082".into()));
    }
    let (config, _) = Config::load(&args.config, &Env::process()).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        format!("{} is refused; --path names a folder\n{}", args.config.display(), lines.join("\n"))
    })?;
    let admin = config.admin.address.to_string();
    let path = config.journal.path;
    let path = path.ok_or_else(|| format!("{} has no journal.path", args.config.display()))?;
    Ok((path, admin))
}

fn retried(sequence: u64, new: u64) -> String {
    format!("record {sequence} waits again, as {new}\n")
}

fn dropped(sequence: u64) -> String {
    format!("record {sequence} is dropped\n")
}

fn list(folder: &Path, templates: Option<&Path>) -> Result<Outcome, OpenError> {
    let journal = Offline::open(folder)?;
    let (mut text, now) = (String::new(), now_micros());
    let known = templates.map(known);
    journal.each(|entry| {
        let template = known.as_ref().and_then(|known| template_of(known, &entry));
        line(&mut text, &journal_entry(&entry, template, now));
    })?;
    if let Some((segment, offset)) = &journal.opened.torn {
        let place = segment.display();
        let _written = writeln!(text, "{place}: a torn tail at byte {offset}: never acknowledged");
    }
    Ok(Outcome::ok(text))
}

fn show(folder: &Path, sequence: u64, templates: Option<&Path>) -> Result<Outcome, OpenError> {
    let entry = Offline::open(folder)?.find(sequence)?;
    let known = templates.map(known);
    let template = known.as_ref().and_then(|known| template_of(known, &entry));
    let mut text = shown(&whole_journal_entry(&entry, template, now_micros()));
    if template.is_none() {
        text.push_str("values are shown where --templates has the operation under this contract\n");
    }
    Ok(Outcome::ok(text))
}

/// The templates of every game that has a folder, for every dialect.
fn known(folder: &Path) -> Survey {
    survey(folder, &[])
}

/// The template of a record's own contract.
fn template_of<'k>(known: &'k Survey, entry: &Entry) -> Option<&'k Template> {
    let payload = &entry.draft.payload;
    let is_it = |template: &Template| {
        *template.game.as_str() == *payload.game
            && *template.op.as_str() == *payload.op
            && template.contract == payload.contract
    };
    known.templates().map(|one| one.template).find(|template| is_it(template))
}

fn repair(folder: &Path, cut: bool) -> Result<Outcome, OpenError> {
    let found = Damage::repair(folder, cut)?;
    let mut text = String::new();
    for place in &found.places {
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
    for file in &found.files {
        let verb = if cut { "made again" } else { "damaged" };
        let _written = writeln!(text, "{}: {verb}: {}", file.path.display(), file.what);
    }
    if found == Damage::default() {
        return Ok(Outcome::ok("no damage\n"));
    }
    if cut {
        if !found.places.is_empty() {
            text.push_str("what was cut lies beside its segment, in files named `.damaged-…`\n");
        }
        return Ok(Outcome::ok(text));
    }
    if found.places.is_empty() {
        text.push_str(
            "First look for a good copy of the file (a snapshot, the disk's mirror).\nWithout one, \
             `gateway journal repair --cut` makes it again as said.\n",
        );
        return Ok(Outcome { stdout: text, stderr: String::new(), status: EXIT_DAMAGED });
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
        for line in ["list", "show 1", "retry 1 --force", "drop 1"] {
            let outcome = run_line(folder.path(), line);
            let typed = format!("gateway journal {line} --admin http://127.0.0.1:8082");
            assert!(outcome.stderr.contains(&typed), "{line}: {outcome:?}");
        }
        for line in ["repair --cut", "drop 1 --force"] {
            let outcome = run_line(folder.path(), line);
            assert!(outcome.stderr.contains("stop it first"), "{line}: {outcome:?}");
        }
        drop(held);
        assert_eq!(run_line(folder.path(), "list"), Outcome::ok(""));
        assert_eq!(run_line(folder.path(), "repair"), Outcome::ok("no damage\n"));
        assert!(run_line(folder.path(), "show 1").stderr.contains("no record 1"));
    }
}
