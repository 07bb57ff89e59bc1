//! `gateway switch`: a game on its way from one database to another, step by step.

mod flip;
mod report;
mod verify;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use gateway_protocol::GameId;
use serde_json::json;

use self::flip::FlipArgs;
use self::report::{for_people, for_programs};
use self::verify::VerifyArgs;
use super::config::refused;
use super::output::{Outcome, chain};
use crate::backend::switch::{
    Group, Progress, State, SwitchError, Takeover, backfill, by_rows, copy, mirror, mirror_script,
    retire, retired_before, retry_refused, status,
};
use crate::config::{Config, ConnectionConfig, Env};
use crate::observe::{Audit, AuditRecord};
use crate::server::CommandRuntime;

/// `gateway switch`.
#[derive(Args, Clone, Debug)]
pub(super) struct SwitchArgs {
    /// The game.
    #[arg(value_parser = super::game)]
    game: GameId,
    /// The configuration file.
    #[arg(long, global = true, default_value = "config/gateway.yaml")]
    config: PathBuf,
    /// Who does this, for the state and the audit log.
    #[arg(long, global = true, env = "USER", default_value = "operator")]
    by: String,
    #[command(subcommand)]
    step: Step,
}

#[derive(Clone, Debug, Subcommand)]
enum Step {
    /// Say where the game stands.
    Status {
        /// `text` for people, `json` for programs.
        #[arg(long, default_value = "text", value_parser = ["text", "json"])]
        format: String,
    },
    /// Begin to write down what changes, by triggers on the game's database.
    Mirror {
        /// The mirror: the one of the game's two connections that is not the owner.
        connection: Box<str>,
        /// Tables, with commas between; `gateway_request` always comes along. Default: all but the gateway's own.
        #[arg(long, value_delimiter = ',')]
        tables: Vec<Box<str>>,
        /// Print the statements that make the triggers, for a DBA, and change nothing.
        #[arg(long)]
        print_sql: bool,
    },
    /// Have everything copied that did not change since; copies, too, where no gateway does.
    Backfill,
    /// Copy what waits, where no gateway does.
    Copy {
        /// Take the copying over from whoever does it.
        #[arg(long)]
        takeover: bool,
        /// Try the rows again that the mirror did not take.
        #[arg(long)]
        retry_refused: bool,
    },
    /// Give the mirror up: the triggers and what waits are removed.
    Retire {
        /// The mirror.
        connection: Box<str>,
        /// It is meant.
        #[arg(long)]
        yes: bool,
    },
    /// Have a share of the reads answered by the mirror, too, and compared; or say what came of it.
    Verify(VerifyArgs),
    /// Make the mirror the owner, and the owner its mirror, while the game runs: its calls wait for a moment.
    Flip(FlipArgs),
}

impl Step {
    const fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Mirror { .. } => "mirror",
            Self::Backfill => "backfill",
            Self::Copy { .. } => "copy",
            Self::Retire { .. } => "retire",
            Self::Verify(_) => "verify",
            Self::Flip(_) => "flip",
        }
    }

    /// The connection that it names.
    fn connection(&self) -> Option<&str> {
        match self {
            Self::Mirror { connection, .. } | Self::Retire { connection, .. } => Some(connection),
            Self::Flip(flip) => flip.to.as_deref(),
            _ => None,
        }
    }

    const fn changes(&self) -> bool {
        match self {
            Self::Status { .. } | Self::Mirror { print_sql: true, .. } => false,
            Self::Verify(verify) => verify.changes(),
            Self::Flip(flip) => !flip.print_sql,
            _ => true,
        }
    }
}

/// Does what the command line says.
pub(super) fn run(args: &SwitchArgs) -> Outcome {
    let config = match Config::load(&args.config, &Env::process()) {
        Ok((config, _)) => config,
        Err(faults) => return refused(&args.config, &faults),
    };
    if let Some(done) = retired_already(args, &config) {
        return done;
    }
    let done = prepare(args, &config).and_then(|(runtime, group)| {
        let config = &config;
        audited(args, config, group, &runtime)
    });
    done.unwrap_or_else(|text| Outcome::failed(1, format!("gateway switch: {text}\n")))
}

/// The end of a repeated `retire` of a game that is configured without a mirror; `None`: of anything else.
fn retired_already(args: &SwitchArgs, config: &Config) -> Option<Outcome> {
    let Step::Retire { connection, .. } = &args.step else { return None };
    let game = config.games.iter().find(|game| game.id == args.game && game.mirror.is_none())?;
    let owner = config.database.connection(&game.database).filter(|it| it.name != *connection)?;
    let runtime = CommandRuntime::new().ok()?;
    let before = runtime.block_on(retired_before(game.id.as_str(), owner)).ok()??;
    let text = already(game.id.as_str(), connection, &before);
    Some(Outcome::ok(format!("{text}; nothing is left to do\n")))
}

fn already(id: &str, mirror: &str, before: &State) -> String {
    let State { owner, changed_at, changed_by, .. } = before;
    format!(
        "`{mirror}` is no mirror of {id} already: `{owner}` is alone since {changed_at}, by {changed_by}"
    )
}

/// The game's databases, in the places that their own rows give them.
fn prepare<'c>(
    args: &'c SwitchArgs,
    config: &'c Config,
) -> Result<(CommandRuntime, Group<'c>), String> {
    let group = configured(args, config)?;
    let runtime = CommandRuntime::new().map_err(|error| error.to_string())?;
    let group = runtime.block_on(by_rows(group)).map_err(words)?;
    if let Step::Mirror { connection, .. } | Step::Retire { connection, .. } = &args.step
        && *connection != group.mirror.name
    {
        let (id, owner) = (group.id, &group.owner.name);
        return Err(format!(
            "`{connection}` is not the mirror of {id}: it is the owner (`{owner}`)"
        ));
    }
    Ok((runtime, group))
}

/// The game's databases, as the configuration and the command line name them.
fn configured<'c>(args: &'c SwitchArgs, config: &'c Config) -> Result<Group<'c>, String> {
    let id = args.game.as_str();
    let game = config.games.iter().find(|game| game.id == args.game);
    let game = game.ok_or_else(|| format!("there is no game `{id}`"))?;
    let mirror = game.mirror.as_ref().ok_or_else(|| {
        format!("game `{id}` has no mirror in the configuration: set `games.{id}.mirror` first")
    })?;
    if let Some(connection) = args.step.connection()
        && *connection != **mirror
        && *connection != *game.database
    {
        return Err(format!(
            "`games.{id}` has the connections `{}` and `{mirror}`, not `{connection}`",
            game.database
        ));
    }
    if let Step::Retire { connection, yes: false } = &args.step {
        return Err(format!(
            "without the mirror there is no way to `{connection}` but `mirror` and `backfill` again, and rows that \
             wait are not copied: say --yes if that is meant"
        ));
    }
    let named = |name: &str| -> Result<&ConnectionConfig, String> {
        let found = config.database.connection(name);
        found.ok_or_else(|| format!("there is no connection `{name}`"))
    };
    Ok(Group { id, owner: named(&game.database)?, mirror: named(mirror)? })
}

/// Does the step between two records of the audit log, where there is one. A gateway that runs holds that file, so
/// commands have one of their own beside it.
fn audited(
    args: &SwitchArgs,
    config: &Config,
    group: Group<'_>,
    runtime: &CommandRuntime,
) -> Result<Outcome, String> {
    let audit = match &config.logging.audit_file {
        Some(path) if args.step.changes() => {
            let mut path = path.clone().into_os_string();
            path.push(".commands");
            Some(Audit::open(path.as_ref()).map_err(|error| chain(&error))?)
        }
        _ => None,
    };
    let record = |params: &str, code: u16| match &audit {
        Some(audit) => {
            let record = AuditRecord {
                time: SystemTime::now(),
                trace: &format!("command-{}", std::process::id()),
                peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                caller: &args.by,
                game: group.id,
                operation: &format!("switch.{}", args.step.name()),
                template: 0,
                params,
                code,
            };
            audit.append(&record).map(drop).map_err(|error| chain(&error))
        }
        None => Ok(()),
    };
    let (owner, mirror) = (&group.owner.name, &group.mirror.name);
    let sides = match &args.step {
        Step::Flip(flip) => flip.audited(owner, mirror),
        Step::Verify(verify) => {
            json!({ "owner": owner, "mirror": mirror, "verify": verify.audited() })
        }
        _ => json!({ "owner": owner, "mirror": mirror }),
    };
    record(&json!({ "begin": sides }).to_string(), 0)?;
    let done = step(args, group, runtime);
    let code = done.as_ref().map_or(1099, |_| 0);
    record(&json!({ "end": sides }).to_string(), code)?;
    done
}

fn step(args: &SwitchArgs, group: Group<'_>, runtime: &CommandRuntime) -> Result<Outcome, String> {
    let name = format!("gateway switch, by {}, process {}", args.by, std::process::id());
    let mut told = |progress: &Progress| tell(progress);
    let text = match &args.step {
        Step::Status { format } => {
            let status = runtime.block_on(status(group)).map_err(words)?;
            if format == "json" { for_programs(&status) } else { for_people(&status) }
        }
        Step::Mirror { tables, print_sql: true, .. } => {
            runtime.block_on(mirror_script(group, tables)).map_err(words)?
        }
        Step::Mirror { tables, .. } => {
            let done = runtime.block_on(mirror(group, tables, &args.by)).map_err(words)?;
            let mut text = String::new();
            for remark in &done.remarks {
                let _written = writeln!(text, "note: {remark}");
            }
            let (count, triggers) = (done.tables.len(), done.trigger_count);
            let _written = writeln!(
                text,
                "what changes in {count} tables of `{}` is written down ({triggers} triggers made); a gateway of the game \
                 copies it. Next: gateway switch {} backfill",
                group.owner.name, group.id
            );
            text
        }
        Step::Backfill => {
            let done = backfill(group, (&name, &args.by), &mut told);
            let done = runtime.block_on(done).map_err(words)?;
            format!(
                "{} rows were put into the outbox, and all that waited is copied{}. Next: gateway reconcile {}\n",
                done.touched,
                refused_words(&done),
                group.id
            )
        }
        Step::Copy { takeover, retry_refused: again } => {
            if *again {
                runtime.block_on(retry_refused(group)).map_err(words)?;
            }
            let takeover = if *takeover { Takeover::Now } else { Takeover::WhenSilent };
            let done = runtime.block_on(copy(group, &name, takeover, &mut told)).map_err(words)?;
            format!("{} rows copied{}\n", done.copied, refused_words(&done))
        }
        Step::Retire { .. } => {
            let retired = runtime.block_on(retire(group, &args.by)).map_err(words)?;
            let mut text = match &retired.before {
                Some(before) => already(group.id, &group.mirror.name, before),
                None => format!("`{}` is no mirror of {} any more", group.mirror.name, group.id),
            };
            let _written = writeln!(
                text,
                ". Next: in every gateway's configuration set `games.{}.database` to `{}`, take `mirror` out, and reload",
                group.id, group.owner.name
            );
            for gateway in retired.naming {
                let _written = writeln!(text, "  still has it in its configuration: {gateway}");
            }
            text
        }
        Step::Flip(flip) => flip::run(flip, group, runtime, (&name, &args.by))?,
        Step::Verify(verify) => return verify::run(verify, group, runtime),
    };
    Ok(Outcome::ok(text))
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn words(error: SwitchError) -> String {
    chain(&error)
}

fn refused_words(progress: &Progress) -> String {
    match progress.refused {
        0 => String::new(),
        count => format!(", but {count} that the mirror does not take (status shows them)"),
    }
}

/// A line about how far it is, over the one before it.
fn tell(progress: &Progress) {
    use std::io::{IsTerminal as _, Write as _};
    let mut out = std::io::stderr().lock();
    if !out.is_terminal() {
        return;
    }
    let copier = progress.copier.as_deref().map_or(String::new(), |name| format!(", by {name}"));
    let table = if progress.table.is_empty() { "copying" } else { &progress.table };
    // Somebody who left hears nothing.
    let _left = write!(
        out,
        "\r\u{1b}[K{table}: {} put in, {} copied{copier}, {} wait\r",
        progress.touched, progress.copied, progress.waiting
    );
}
