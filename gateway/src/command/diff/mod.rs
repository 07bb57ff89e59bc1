//! `gateway diff GAME OP name=value …`: one operation, answered by both databases of a game, side by side.

mod shown;

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use gateway_protocol::{GameId, OpId};

use self::shown::Shown;
use super::check::lines;
use super::config::refused;
use super::output::{Outcome, chain};
use super::params::{Written, written};
use super::render::is_of;
use crate::auth::Claim;
use crate::backend::switch::verify::{Both, OneSide, Verdict, answers};
use crate::backend::{IdSource, Supplied, row_count};
use crate::bind::{Bound, bind};
use crate::catalog::{Finding, Severity, Survey, Template, survey};
use crate::config::{Config, ConnectionConfig, Endpoint, Env};
use crate::server::CommandRuntime;

/// Exit status when the answers differ.
const EXIT_DIFFERENT: u8 = 1;
/// Exit status when they could not be compared.
const EXIT_FAILED: u8 = 2;

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
        let found = config.database.connection(name);
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
        let told = survey.absence(game, op, side.dialect);
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
