//! `gateway diff GAME OP name=value …`: one operation, answered by both databases of a game, side by side.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use gateway_protocol::{GameId, OpId, Value};
use serde_json::{Value as Json, json};

use super::check::lines;
use super::config::refused;
use super::output::{Outcome, chain};
use super::params::{Written, written};
use super::render::is_of;
use crate::auth::Claim;
use crate::backend::switch::verify::{
    AnswerRow, Answers, Both, Difference, OneSide, RowDifference, Verdict, answer_rows, answers,
};
use crate::backend::{BackendError, IdSource, Outcome as Answer, Supplied, row_count};
use crate::bind::{Bound, bind};
use crate::catalog::{Finding, Severity, Survey, Template, survey};
use crate::config::{Config, ConnectionConfig, Endpoint, Env};
use crate::server::CommandRuntime;

/// Exit status when the answers differ.
const EXIT_DIFFERENT: u8 = 1;
/// Exit status when they could not be compared.
const EXIT_FAILED: u8 = 2;
/// Rows that are shown to people.
const SHOWN_MAX: usize = 20;
/// Characters of a value that are shown to people.
const CHARS_SHOWN: usize = 40;

/// `gateway diff`.
#[derive(Args, Clone, Debug)]
pub(super) struct DiffArgs {
    /// The game.
    #[arg(value_parser = super::game)]
    game: GameId,
    /// The operation, `player.get`.
    #[arg(value_parser = super::operation)]
    operation: OpId,
    /// Parameters, `name=value`, a list as `[1,2]` or `1,2`; a required one that is left out takes its `sample=`. What
    /// the gateway supplies may be given: `_now=`, `_id=`, `_caller=`, `_trace=`, `_claim.sub=`.
    params: Vec<String>,
    /// The configuration file.
    #[arg(long, default_value = "config/gateway.yaml")]
    config: PathBuf,
    /// The connection to compare the game's database with; default: `games.GAME.mirror`.
    #[arg(long, value_name = "CONNECTION")]
    mirror: Option<Box<str>>,
    /// Run a write, too, on both sides; it is undone on both.
    #[arg(long)]
    dry_run: bool,
    /// Show values. They may be personal data.
    #[arg(long)]
    show_values: bool,
    /// `text` for people, `json` for programs.
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Does what the command line says.
pub(super) fn run(args: &DiffArgs) -> Outcome {
    let config = match Config::load(&args.config, &Env::process()) {
        Ok((config, _)) => config,
        Err(faults) => return refused(&args.config, &faults),
    };
    compare(args, &config)
        .unwrap_or_else(|text| Outcome::failed(EXIT_FAILED, format!("gateway diff: {text}\n")))
}

fn compare(args: &DiffArgs, config: &Config) -> Result<Outcome, String> {
    let [owner, mirror] = sides(args, config)?;
    let dialects = [owner, mirror].map(|side| (args.game.clone(), side.dialect));
    let survey = survey(&config.templates, &dialects);
    let [template, twin] = [owner, mirror].map(|side| template(&survey, args, side));
    let (template, twin) = (template?, twin?);
    if template.kind.is_write() && !args.dry_run {
        return Err(format!(
            "{} writes: with --dry-run it is done on both sides, answered and undone",
            args.operation
        ));
    }
    let (read, twin_read) = (written(template, &args.params)?, written(twin, &args.params)?);
    let given = Given::of(template, &read)?;
    let (bound, twin_bound) = (bound(template, read)?, bound(twin, twin_read)?);
    let ids = ids(config, template, &bound)?;
    let (first_id, row_ids) = ids.split_first().unwrap_or((&0, &[]));
    let both = Both {
        owner: OneSide { config: owner, template, bound: &bound },
        mirror: OneSide { config: mirror, template: twin, bound: &twin_bound },
        supplied: Supplied {
            now_micros: given.now_micros,
            id: given.id.unwrap_or(*first_id),
            row_ids,
            caller: &given.caller,
            claims: &given.claims,
            trace: &given.trace,
        },
        result_bytes_max: config.limits.result_bytes_max,
    };
    let runtime = CommandRuntime::new().map_err(|error| error.to_string())?;
    let answers = runtime.block_on(answers(&both)).map_err(|error| chain(&error))?;
    let shown = Shown { args, names: [&owner.name, &mirror.name], answers: &answers };
    let stdout = match args.format.as_str() {
        "json" => format!("{:#}\n", shown.for_programs()),
        _ => shown.for_people(),
    };
    let is_different = matches!(answers.verdict, Verdict::Different(_));
    let status = if is_different { EXIT_DIFFERENT } else { 0 };
    Ok(Outcome { stdout, stderr: String::new(), status })
}

/// The game's database and what it is compared with.
fn sides<'c>(args: &DiffArgs, config: &'c Config) -> Result<[&'c ConnectionConfig; 2], String> {
    let id = &args.game;
    let game = config.games.iter().find(|game| game.id == *id);
    let game = game.ok_or_else(|| format!("there is no game `{id}`"))?;
    let mirror = args.mirror.as_ref().or(game.mirror.as_ref()).ok_or_else(|| {
        format!("game `{id}` has no mirror: set `games.{id}.mirror`, or use --mirror")
    })?;
    if *mirror == game.database {
        return Err("both sides are one connection".to_owned());
    }
    let named = |name: &str| {
        let mut connections = config.database.connections.iter();
        let found = connections.find(|connection| *connection.name == *name);
        let found = found.ok_or_else(|| format!("there is no connection `{name}`"))?;
        match &found.endpoint {
            // Connecting would make it.
            Endpoint::File(path) if !path.exists() => {
                Err(format!("database `{name}`: no file {}", path.display()))
            }
            _ => Ok(found),
        }
    };
    Ok([named(&game.database)?, named(mirror)?])
}

/// The operation in a side's dialect.
fn template<'s>(
    survey: &'s Survey,
    args: &DiffArgs,
    side: &ConnectionConfig,
) -> Result<&'s Template, String> {
    let (game, op) = (&args.game, &args.operation);
    let is_it = |one: &&Template| one.op == *op && one.dialect == side.dialect;
    let found = survey.templates().map(|one| one.template).find(is_it);
    found.ok_or_else(|| {
        let is_wrong = |one: &&Finding| one.severity == Severity::Error && is_of(one, game, op);
        let wrong: Vec<Finding> = survey.findings.iter().filter(is_wrong).cloned().collect();
        let told = format!("{game} has no good operation {op} on {}", side.dialect);
        format!("{told}\n{}", lines(&wrong)).trim_end().to_owned()
    })
}

fn bound(template: &Template, written: Written<'_>) -> Result<Bound<'static>, String> {
    let bound = bind(template, written.params).map_err(|error| error.to_string())?;
    Ok(bound.into_owned())
}

/// The request's id, and one for each row that wants one.
fn ids(config: &Config, template: &Template, bound: &Bound<'_>) -> Result<Vec<i64>, String> {
    let source = IdSource::new(config.runtime.node).ok_or("runtime.node is too high")?;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let count = 1 + row_count(template, bound, template.slots.len());
    (0..count).map(|_| source.next(now_ms).map_err(|error| error.to_string())).collect()
}

/// What the gateway would supply.
struct Given {
    now_micros: i64,
    id: Option<i64>,
    caller: String,
    trace: String,
    claims: Vec<(Box<str>, Claim)>,
}

impl Given {
    fn of(template: &Template, written: &Written<'_>) -> Result<Self, String> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let mut given = Self {
            now_micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            id: None,
            caller: "diff".to_owned(),
            trace: "diff".to_owned(),
            claims: Vec::new(),
        };
        for (name, value) in &written.supplied {
            let claim = name.strip_prefix("_claim.");
            match (*name, claim) {
                ("_now", _) => {
                    let micros = crate::catalog::parse_timestamp(value, 6);
                    given.now_micros = micros.map_err(|fault| format!("`_now`: {fault}"))?;
                }
                ("_id", _) => {
                    let id = value.parse().map_err(|fault| format!("`_id`: {fault}"))?;
                    given.id = Some(id);
                }
                ("_caller", _) => (*value).clone_into(&mut given.caller),
                ("_trace", _) => (*value).clone_into(&mut given.trace),
                (_, Some(claim)) => {
                    let number = value.parse().map(Claim::Int);
                    let value = number.unwrap_or_else(|_| Claim::Str((*value).into()));
                    given.claims.push((claim.into(), value));
                }
                _ => return Err(format!("nothing supplies `{name}` to {}", template.op)),
            }
        }
        given.claims.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(given)
    }
}

/// What is printed.
struct Shown<'s> {
    args: &'s DiffArgs,
    names: [&'s str; 2],
    answers: &'s Answers,
}

impl Shown<'_> {
    fn sides(&self) -> [&Result<Answer, BackendError>; 2] {
        [&self.answers.owner, &self.answers.mirror]
    }

    fn rows(&self) -> [Vec<AnswerRow>; 2] {
        self.sides().map(|side| match side {
            Ok(answer) => answer_rows(&answer.stored),
            Err(_) => Vec::new(),
        })
    }

    /// Which rows stand beside each other, and the columns that differ: those that differ, or else all.
    fn pairs(&self, counts: [usize; 2]) -> Vec<RowDifference> {
        if let Verdict::Different(difference) = &self.answers.verdict
            && !difference.rows.is_empty()
        {
            return difference.rows.clone();
        }
        let count = counts.into_iter().max().unwrap_or(0);
        let place = |at: usize, count: usize| (at < count).then_some(at);
        let pair = |at: usize| RowDifference {
            places: counts.map(|count| place(at, count)),
            columns: Vec::new(),
        };
        (0..count).map(pair).collect()
    }

    fn for_people(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = self.write_people(&mut text);
        text
    }

    fn write_people(&self, text: &mut String) -> std::fmt::Result {
        let [owner, mirror] = self.names;
        let rows = self.rows();
        let [one, other] = [rows[0].len(), rows[1].len()];
        writeln!(text, "{} {}: {}", self.args.game, self.args.operation, self.verdict())?;
        if let Some(doubt) = &self.answers.doubt {
            writeln!(text, "note: a difference need not be one of the rows: {doubt}")?;
        }
        for (side, name) in self.sides().iter().zip(self.names) {
            if let Err(error) = side {
                writeln!(text, "{name}: {} {}", error.code(), chain(error))?;
            }
        }
        writeln!(text, "rows: {one} on {owner}, {other} on {mirror}")?;
        let pairs = self.pairs([one, other]);
        for pair in pairs.iter().take(SHOWN_MAX) {
            let row = |side: usize| {
                let place = pair.places.get(side).copied().flatten()?;
                rows.get(side)?.get(place)
            };
            self.write_row(text, (row(0), row(1)), pair)?;
        }
        let more = pairs.len().saturating_sub(SHOWN_MAX);
        if more > 0 {
            writeln!(text, "and {more} more (--format json has all)")?;
        }
        Ok(())
    }

    /// A row of both sides: a line for each column, with a star where it differs.
    fn write_row(
        &self,
        text: &mut String,
        (one, other): (Option<&AnswerRow>, Option<&AnswerRow>),
        RowDifference { places, columns }: &RowDifference,
    ) -> std::fmt::Result {
        let [owner, mirror] = self.names;
        let head = |place: Option<usize>, name: &str| match place {
            Some(place) => format!("{name}, row {}", place + 1),
            None => format!("{name}: no such row"),
        };
        let heads = [head(places[0], owner), head(places[1], mirror)];
        writeln!(text, "\n  {:<24} {:<CHARS_SHOWN$} {}", "", heads[0], heads[1])?;
        let Some(names) = one.or(other) else { return Ok(()) };
        for (name, _) in names {
            let cell = |row: Option<&AnswerRow>| {
                let value = row.and_then(|row| row.iter().find(|(own, _)| own == name));
                value.map_or(String::new(), |(_, value)| self.value(value))
            };
            let star = if columns.contains(name) { '*' } else { ' ' };
            writeln!(text, "{star} {name:<24} {:<CHARS_SHOWN$} {}", cell(one), cell(other))?;
        }
        Ok(())
    }

    fn value(&self, value: &Value<'_>) -> String {
        if !self.args.show_values {
            return described(value);
        }
        let whole = match value {
            Value::Str(text) => format!("{text:?}"),
            other => as_json(other).to_string(),
        };
        let mut cut: String = whole.chars().take(CHARS_SHOWN).collect();
        if cut.len() < whole.len() {
            cut.pop();
            cut.push('…');
        }
        cut
    }

    fn verdict(&self) -> String {
        match &self.answers.verdict {
            Verdict::Same => "the same".to_owned(),
            Verdict::Alike => {
                "the same rows (in other bytes, or in an order that is not asked for)".to_owned()
            }
            Verdict::Different(difference) => difference.told(),
        }
    }

    fn for_programs(&self) -> Json {
        let rows = self.rows();
        let side = |at: usize| {
            let answer = self.sides().get(at).copied();
            let error = answer.and_then(|side| side.as_ref().err());
            let rows = rows.get(at).map_or(&[][..], Vec::as_slice);
            let shown =
                self.args.show_values.then(|| rows.iter().map(row_json).collect::<Vec<_>>());
            json!({
                "connection": self.names.get(at),
                "rows": rows.len(),
                "code": error.map(BackendError::code),
                "error": error.map(ToString::to_string),
                "values": shown,
            })
        };
        let verdict = match &self.answers.verdict {
            Verdict::Same => "same",
            Verdict::Alike => "alike",
            Verdict::Different(_) => "different",
        };
        let different = match &self.answers.verdict {
            Verdict::Different(difference) => differences(difference),
            _ => Vec::new(),
        };
        json!({
            "game": self.args.game.as_str(),
            "operation": self.args.operation.as_str(),
            "verdict": verdict,
            "told": self.verdict(),
            "doubt": self.answers.doubt,
            "owner": side(0),
            "mirror": side(1),
            "different": different,
        })
    }
}

fn differences(difference: &Difference) -> Vec<Json> {
    let rows = difference.rows.iter();
    rows.map(|row| {
        json!({ "owner_row": row.places[0], "mirror_row": row.places[1], "columns": row.columns })
    })
    .collect()
}

/// What a value is, without it.
fn described(value: &Value<'_>) -> String {
    match value {
        Value::Str(text) if text.is_empty() => "''".to_owned(),
        Value::Str(text) => format!("text of {}", text.chars().count()),
        Value::Bytes(bytes) => format!("bytes, {}", bytes.len()),
        other => other.kind().to_owned(),
    }
}

fn row_json(row: &AnswerRow) -> Json {
    row.iter().map(|(name, value)| (name.to_string(), as_json(value))).collect()
}

fn as_json(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::UInt(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Str(text) => json!(text),
        Value::Bytes(bytes) => {
            let mut text = String::with_capacity(bytes.len() * 2);
            for byte in bytes.iter() {
                // Writing to a string does not fail.
                let _written = write!(text, "{byte:02x}");
            }
            json!(text)
        }
        Value::Array(items) => items.iter().map(as_json).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(name, value)| (name.to_string(), as_json(value))).collect()
        }
    }
}
