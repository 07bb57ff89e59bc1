//! `gateway doctor`: what the machine allows, by the table of `kernel-tuning/`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::config;
use super::output::Outcome;
use crate::config::{Config, Env};
use crate::frontend::probe_ring;
use crate::machine::{Finding, PROFILES, Profile, Question, State, needs};

/// Exit status when something should be changed.
const EXIT_CHANGE: u8 = 1;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The size of machine that is meant; default: by the CPUs that are online.
    #[arg(long, value_parser = PROFILES.map(|profile| profile.name))]
    profile: Option<String>,
    /// Ask for what this configuration needs: files for its connections, its ports.
    #[arg(long)]
    config: Option<PathBuf>,
    /// `text` for people, `json` for programs.
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// Say of every check why, for which load, at what cost; not only of those to change.
    #[arg(long)]
    explain: bool,
    /// Look at a folder that stands for `/`. The kernel is not asked then.
    #[arg(long, default_value = "/", hide_default_value = true, value_name = "DIR")]
    root: PathBuf,
    /// Only ask the kernel for a ring, for `kernel-tuning/tune`: a line for each check, its name, a tab, the answer.
    #[arg(long, hide = true)]
    probe: bool,
}

/// Examines the machine, and says what should be changed.
pub(super) fn run(args: &DoctorArgs) -> Outcome {
    let is_real = args.root == Path::new("/");
    let probed = if is_real { probe_ring().to_vec() } else { Vec::new() };
    if args.probe {
        return Outcome::ok(probed.iter().fold(String::new(), |mut text, (id, answer)| {
            let _written = writeln!(text, "{id}\t{answer}");
            text
        }));
    }
    let wanted = match args.config.as_ref().map(|file| (file, Config::load(file, &Env::process())))
    {
        None => Vec::new(),
        Some((_, Ok((config, _)))) => needs(&config),
        Some((file, Err(faults))) => return config::refused(file, &faults),
    };
    let profile = args.profile.as_deref().and_then(Profile::named);
    let profile = profile.unwrap_or_else(|| Profile::of(&args.root));
    let question =
        Question { root: &args.root, profile: &profile, wanted: &wanted, probed: &probed };
    let findings = question.examine(|_| true);
    let is_good = findings.iter().all(|finding| finding.state != State::Change);
    let stdout = match args.format.as_str() {
        "json" => to_json(&profile, &findings),
        _ => to_text(&profile, &findings, args.explain),
    };
    Outcome { stdout, status: if is_good { 0 } else { EXIT_CHANGE }, ..Outcome::default() }
}

/// What there is to say of a check.
fn texts(finding: &Finding) -> [(&'static str, &'static str); 5] {
    let check = &finding.check;
    [
        ("load", check.load),
        ("why", check.why),
        ("cost", check.cost),
        ("source", check.source),
        ("fix", check.fix),
    ]
}

fn to_json(profile: &Profile, findings: &[Finding]) -> String {
    let checks = findings.iter().map(|finding| {
        let mut told = json!({
            "id": finding.check.id,
            "state": finding.state,
            "found": finding.found,
            "wanted": finding.wanted,
        });
        for (name, text) in texts(finding) {
            if let Some(members) = told.as_object_mut() {
                members.insert(name.to_owned(), text.into());
            }
        }
        told
    });
    let checks: Vec<Value> = checks.collect();
    format!("{}\n", json!({ "profile": profile.name, "checks": checks }))
}

fn to_text(profile: &Profile, findings: &[Finding], explain: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let Finding { check, state, found, wanted } = finding;
        let found = if found.is_empty() { "-" } else { found };
        // Writing to a string does not fail.
        let _written = writeln!(text, "{:<8}{:<36}{found} ({wanted})", state.name(), check.id);
        if explain || *state == State::Change {
            for (name, words) in texts(finding).iter().filter(|(_, words)| !words.is_empty()) {
                let _written = writeln!(text, "        {name:<7} {words}");
            }
        }
    }
    let count = findings.iter().filter(|finding| finding.state == State::Change).count();
    let _written =
        writeln!(text, "profile {}: {count} of {} to change", profile.name, findings.len());
    text
}
