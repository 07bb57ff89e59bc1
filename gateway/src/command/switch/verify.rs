//! `gateway switch GAME verify`: how many reads are compared with the mirror's, and what came of it.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::super::output::{Outcome, chain};
use crate::backend::switch::verify::{PPM, Verified, set_sample, verified, watch};
use crate::backend::switch::{Group, SwitchError};
use crate::config::parse_duration;
use crate::server::CommandRuntime;

/// Exit status when answers differed.
const EXIT_DIFFERENT: u8 = 1;
/// Mismatches that a list for people has.
const SHOWN_MAX: usize = 20;
/// Mismatches that a list for programs has.
const LISTED_MAX: usize = 1000;

/// `gateway switch GAME verify`.
#[derive(Args, Clone, Debug)]
pub(super) struct VerifyArgs {
    /// How many of the reads that reach the game's database are answered by the mirror, too, and compared: `5%`,
    /// `0.1%`; `0` ends it. Without it: say what was found.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    sample: Option<u32>,
    /// For how long: `10m`. Waits until then, and ends with 1 where answers differed. Without it: until somebody ends it.
    #[arg(long = "for", value_name = "TIME", value_parser = time, requires = "sample")]
    duration: Option<Duration>,
    /// `text` for people, `json` for programs.
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

impl VerifyArgs {
    /// Whether it begins or ends something.
    pub(super) const fn changes(&self) -> bool {
        self.sample.is_some()
    }

    /// What of it goes to the audit log.
    pub(super) fn audited(&self) -> Value {
        let seconds = self.duration.map(|duration| duration.as_secs());
        json!({ "sample_ppm": self.sample, "for_seconds": seconds })
    }
}

/// Does what the command line says.
///
/// # Errors
///
/// A sentence.
pub(super) fn run(
    args: &VerifyArgs,
    group: Group<'_>,
    runtime: &CommandRuntime,
) -> Result<Outcome, String> {
    #[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
    fn words(error: SwitchError) -> String {
        chain(&error)
    }
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    if let Some(ppm) = args.sample {
        let begun = set_sample(group, ppm, args.duration.map(ms));
        runtime.block_on(begun).map_err(words)?;
        let Some(duration) = args.duration.filter(|_| ppm > 0) else {
            return Ok(Outcome::ok(set_words(group, ppm)));
        };
        runtime.block_on(watch(group, duration, &mut tell)).map_err(words)?;
    }
    let count_max = if args.format == "json" { LISTED_MAX } else { SHOWN_MAX };
    let found = runtime.block_on(verified(group, count_max)).map_err(words)?;
    let stdout = match args.format.as_str() {
        "json" => format!("{:#}\n", for_programs(&found)),
        _ => for_people(&found),
    };
    let is_different = args.sample.is_some() && found.mismatched() > 0;
    let status = if is_different { EXIT_DIFFERENT } else { 0 };
    Ok(Outcome { stdout, stderr: String::new(), status })
}

fn set_words(group: Group<'_>, ppm: u32) -> String {
    let id = group.id;
    if ppm == 0 {
        return format!("reads of {id} are compared no more\n");
    }
    format!(
        "{} of the reads of {id} that reach its database are compared from now on by every gateway that runs. Look at \
         it: gateway switch {id} verify; end it: gateway switch {id} verify --sample 0\n",
        shown(ppm)
    )
}

/// A line about how far it is, over the one before it.
fn tell(found: &Verified, left: Duration) {
    use std::io::{IsTerminal as _, Write as _};
    let mut out = std::io::stderr().lock();
    if out.is_terminal() {
        let (compared, mismatched) = (found.compared(), found.mismatched());
        // Somebody who left hears nothing.
        let _left = write!(
            out,
            "\r\u{1b}[K{compared} answers compared, {mismatched} differed, {} s left\r",
            left.as_secs()
        );
    }
}

fn for_people(found: &Verified) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _written = write_people(&mut text, found);
    text
}

fn write_people(text: &mut String, found: &Verified) -> std::fmt::Result {
    let Some(owner) = &found.owner else {
        return writeln!(text, "nothing is compared: not everything is copied to the mirror");
    };
    match found.ppm {
        0 => writeln!(text, "no reads of `{owner}` are compared now")?,
        ppm => writeln!(text, "{} of the reads of `{owner}` are compared", shown(ppm))?,
    }
    writeln!(text, "\n{:<32} {:>12} {:>12} {:>12}", "", "compared", "different", "undecided")?;
    for one in &found.figures {
        let (compared, mismatched, undecided) = (one.compared, one.mismatched, one.undecided);
        write!(text, "{:<32} {compared:>12} {mismatched:>12} {undecided:>12}", one.operation)?;
        match &one.fault {
            Some(fault) => writeln!(text, "  not compared: {fault}")?,
            None => writeln!(text)?,
        }
    }
    if !found.mismatches.is_empty() {
        writeln!(text, "\nthe newest that differed:")?;
    }
    for one in &found.mismatches {
        let (op, params, count) = (&one.operation, &one.params, one.found_count);
        writeln!(text, "  {op} {params}: {} ({count} times)", one.fault)?;
    }
    Ok(())
}

fn for_programs(found: &Verified) -> Value {
    let operations = found.figures.iter().map(|one| {
        json!({
            "operation": one.operation, "compared": one.compared, "different": one.mismatched,
            "undecided": one.undecided, "not_compared": one.fault, "since_ms": one.since_ms,
            "last_ms": one.last_ms,
        })
    });
    let mismatches = found.mismatches.iter().map(|one| {
        json!({
            "operation": one.operation, "params": one.params, "fault": one.fault,
            "count": one.found_count, "first_ms": one.first_ms, "last_ms": one.last_ms,
        })
    });
    json!({
        "owner": found.owner,
        "sample_ppm": found.ppm,
        "compared": found.compared(),
        "different": found.mismatched(),
        "operations": operations.collect::<Vec<_>>(),
        "mismatches": mismatches.collect::<Vec<_>>(),
    })
}

/// `5%`, `0.1%`, `0`.
fn share(text: &str) -> Result<u32, String> {
    let refused = || "a share is written `5%`, `0.1%`, `0`; 100% at most".to_owned();
    let (whole, fraction) = match text.strip_suffix('%') {
        Some(percent) => percent.split_once('.').unwrap_or((percent, "")),
        None if text == "0" => (text, ""),
        None => return Err(refused()),
    };
    // Of a million: four digits behind the point.
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 3
        || fraction.len() > 4
        || !digits(whole)
        || !digits(fraction)
    {
        return Err(refused());
    }
    let ppm = format!("{whole}{fraction:0<4}").parse::<u32>();
    ppm.ok().filter(|ppm| *ppm <= PPM).ok_or_else(refused)
}

fn shown(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn time(text: &str) -> Result<Duration, String> {
    let parsed = parse_duration(text).filter(|duration| !duration.is_zero());
    parsed.ok_or_else(|| "a time is written `30s`, `10m`, `1h`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_is_read_to_a_millionth_and_nothing_above_the_whole() {
        for (text, ppm) in
            [("0", 0), ("0%", 0), ("5%", 50_000), ("0.1%", 1000), ("0.0001%", 1), ("100%", PPM)]
        {
            assert_eq!(share(text), Ok(ppm), "{text}");
        }
        for text in ["100.0001%", "101%", "5", "", "%", "-1%", "0.00001%", "1e1%", "1000%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn share_is_shown_as_it_is_written() {
        for text in ["5%", "0.1%", "0.0001%", "100%", "12.5%"] {
            assert_eq!(shown(share(text).unwrap()), text);
        }
    }
}
