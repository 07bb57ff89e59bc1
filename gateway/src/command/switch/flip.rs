//! `gateway switch GAME flip`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::super::output::chain;
use crate::backend::switch::{
    Check, Flip, Flipped, Group, Instance, InstanceState, flip, flip_script,
};
use crate::config::parse_duration;
use crate::server::CommandRuntime;

/// Shortest and longest `--pause-max`.
const PAUSE_MAX: [Duration; 2] = [Duration::from_millis(100), Duration::from_mins(1)];

/// `gateway switch GAME flip`.
#[derive(Args, Clone, Debug)]
pub(super) struct FlipArgs {
    /// The connection that is to be the owner; default: the one that is not. With it a repeat does nothing twice.
    pub(super) to: Option<Box<str>>,
    /// Go on in spite of what `status` holds against it. What that was is audited.
    #[arg(long)]
    force: bool,
    /// Tables of the owner that nobody copies and that are left behind, with commas between. Audited.
    #[arg(long, value_delimiter = ',')]
    without: Vec<Box<str>>,
    /// How long the game's calls may wait: with a unit, from `100ms` to `1m`. What takes longer changes nothing.
    #[arg(long, default_value = "5s", value_parser = pause_max)]
    pause_max: Duration,
    /// Print the triggers that are made on the mirror, for a DBA who wants to see them before, and change nothing.
    #[arg(long)]
    pub(super) print_sql: bool,
    /// `text` for people, `json` for programs.
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

impl FlipArgs {
    /// What the audit log says of it.
    pub(super) fn audited(&self, owner: &str, mirror: &str) -> Value {
        let Self { force, without, .. } = self;
        json!({ "owner": owner, "mirror": mirror, "force": force, "without": without })
    }
}

fn pause_max(text: &str) -> Result<Duration, String> {
    let [least, most] = PAUSE_MAX;
    let found = parse_duration(text).filter(|found| (least..=most).contains(found));
    found.ok_or_else(|| "not a time from 100ms to 1m, with its unit".to_owned())
}

/// Flips, and tells what there was.
pub(super) fn run(
    args: &FlipArgs,
    group: Group<'_>,
    runtime: &CommandRuntime,
    (name, by): (&str, &str),
) -> Result<String, String> {
    if args.print_sql {
        return runtime.block_on(flip_script(group)).map_err(|error| chain(&error));
    }
    let FlipArgs { ref without, force: is_forced, pause_max, .. } = *args;
    let plan = Flip { group, to: args.to.as_deref(), without, is_forced, pause_max, by, name };
    let done = runtime.block_on(flip(&plan, &mut tell)).map_err(|error| chain(&error))?;
    Ok(if args.format == "json" { for_programs(&done) } else { for_people(group.id, &done) })
}

/// A line about the phase that begins.
fn tell(phase: &str) {
    use std::io::Write as _;
    // Somebody who left hears nothing.
    let _left = writeln!(std::io::stderr().lock(), "{phase}");
}

fn for_people(game: &str, done: &Flipped) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _written = write_people(&mut text, game, done);
    text
}

fn write_people(text: &mut String, game: &str, done: &Flipped) -> std::fmt::Result {
    for Check { name, fault } in &done.overridden {
        writeln!(text, "forced: {name}: {}", fault.as_deref().unwrap_or_default())?;
    }
    let (owner, mirror) = (&done.owner, &done.mirror);
    writeln!(text, "{game} is on `{owner}` (epoch {}), and `{mirror}` is its mirror", done.epoch)?;
    if let Some(pause) = done.pause {
        writeln!(text, "pause: {} ms, from the command to the new owner", pause.as_millis())?;
    }
    for Instance { name, state, pause_ms, fault, .. } in &done.instances {
        match (state, fault) {
            (InstanceState::Unfit, Some(fault)) => {
                writeln!(text, "  {name}: did not go along: {fault}")?;
            }
            _ => writeln!(text, "  {name}: {}, its last pause {pause_ms} ms", state.name())?,
        }
    }
    if let Some(left) = &done.left {
        writeln!(text, "note: {left}")?;
    }
    writeln!(text, "Next: gateway reconcile {game}")
}

fn for_programs(done: &Flipped) -> String {
    let instances = done.instances.iter().map(super::report::instance);
    let overridden = done.overridden.iter().map(super::report::check);
    let text = json!({
        "owner": done.owner,
        "mirror": done.mirror,
        "epoch": done.epoch,
        "pause_ms": done.pause.map(|pause| pause.as_millis()),
        "overridden": overridden.collect::<Vec<_>>(),
        "gateways": instances.collect::<Vec<_>>(),
        "left": done.left,
    });
    format!("{text:#}\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: FlipArgs,
    }

    #[test]
    fn what_is_forced_and_left_behind_is_audited() {
        for (line, force, without) in [
            ("flip", false, json!([])),
            ("flip one --without guild", false, json!(["guild"])),
            ("flip --force --without guild,raid", true, json!(["guild", "raid"])),
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let told = json!({ "owner": "a", "mirror": "b", "force": force, "without": without });
            assert_eq!(cli.args.audited("a", "b"), told, "{line}");
        }
    }

    #[test]
    fn pause_max_is_from_a_tenth_of_a_second_to_a_minute() {
        let millis = |text| pause_max(text).ok().map(|found| found.as_millis());
        for (text, found) in [
            ("100ms", Some(100)),
            ("99ms", None),
            ("1m", Some(60_000)),
            ("60001ms", None),
            ("5", None),
        ] {
            assert_eq!(millis(text), found, "{text}");
        }
    }
}
