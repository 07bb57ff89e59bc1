//! The subcommands of the binary, one file each. This file reads the command line and nothing else.

mod admin;
mod call;
pub mod check;
pub mod config;
mod demo;
mod diff;
mod doctor;
mod events;
mod examine;
mod journal;
pub mod key;
pub mod migrate;
mod output;
mod params;
mod reconcile;
pub mod render;
mod seed;
mod serve;
mod switch;
mod variables;
pub mod which;

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand};
use gateway_protocol::{GameId, OpId};

use crate::backend::MigrateMode;
use crate::config::{Config, Dialect, Env};
use crate::control::{game_dialects, mirrored_games};
use crate::server::CommandRuntime;
use output::{Outcome, chain};

/// Exit status of a configuration or template that is wrong (`EX_CONFIG` of sysexits).
pub const EXIT_CONFIG: u8 = 78;

/// The data gateway between game servers, web sites and their databases.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, about, arg_required_else_help = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, as the configuration file says. SIGHUP reloads, SIGTERM drains and ends.
    Serve(ConfigFile),
    /// Serve the sample games, or your own templates, on SQLite in a temporary folder.
    Demo(demo::DemoArgs),
    /// Bring the databases' schemas up to date.
    Migrate(MigrateArgs),
    /// Check templates: everything that is wrong, with file, line, rule and fix.
    Check(CheckArgs),
    /// Show from which file and line each part of an operation comes.
    Which(OperationArgs),
    /// Print an operation's SQL with values in it, to paste into an SQL editor.
    Render(RenderArgs),
    /// Call an operation over TCP, as a game server does. Exit status: 0 answered, 1 answered an error, 2 could not ask.
    Call(call::CallArgs),
    /// Look at the machine: limits, kernel settings, `io_uring`, network cards; what should be changed, and why.
    Doctor(doctor::DoctorArgs),
    /// Check or print a configuration.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Compare the rows of a game's database with those of its mirror: what is missing, extra, different.
    Reconcile(reconcile::ReconcileArgs),
    /// List what the writes of a game have told of (`@emit`), in its order.
    Events(events::EventsArgs),
    /// Have one operation answered by a game's database and by its mirror: both answers, and what differs.
    Diff(diff::DiffArgs),
    /// Move a game from one database to another, step by step.
    Switch(switch::SwitchArgs),
    /// Look after a journal: what waits, dead letters, repair.
    Journal(journal::JournalArgs),
    /// Make keys.
    Key(key::KeyCommand),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "config/gateway.yaml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct MigrateArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// Show what would be applied, and apply nothing.
    #[arg(long)]
    dry_run: bool,
    /// Then fill the sample schema with this many players (refused where there are any).
    #[arg(long, value_name = "PLAYERS")]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The folder of templates.
    #[arg(long, default_value = "sql-templates")]
    templates: PathBuf,
    /// Games and dialects to check, `game1=mysql`; default: every game folder, on MySQL and SQLite, and on Oracle
    /// where a file is written for it.
    #[arg(long = "game", value_name = "GAME=DIALECT")]
    games: Vec<String>,
    /// Check for the games and dialects of this configuration instead.
    #[arg(long, conflicts_with_all = ["games"])]
    config: Option<PathBuf>,
    /// Also prepare and explain every statement on the configuration's databases.
    #[arg(long, requires = "config")]
    database: bool,
    /// `text` for people, `json` for programs.
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

#[derive(Debug, Args)]
struct OperationArgs {
    /// The game.
    #[arg(value_parser = game)]
    game: GameId,
    /// The operation, `player.get`.
    #[arg(value_parser = operation)]
    operation: OpId,
    /// The dialect.
    #[arg(long, default_value = "mysql", value_parser = dialect)]
    dialect: Dialect,
    /// The folder of templates.
    #[arg(long, default_value = "sql-templates")]
    templates: PathBuf,
}

#[derive(Debug, Args)]
struct RenderArgs {
    #[command(flatten)]
    operation: OperationArgs,
    /// Parameters, `name=value`, a list as `[1,2]` or `1,2`; a required one that is left out takes its `sample=`.
    params: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// List every fault of a configuration file.
    Check {
        /// The file.
        #[arg(default_value = "config/gateway.yaml")]
        file: PathBuf,
    },
    /// Print the configuration in effect, defaults included, secrets hidden.
    Print {
        /// The file.
        #[arg(default_value = "config/gateway.yaml")]
        file: PathBuf,
    },
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    match Line::parse().command {
        Command::Serve(file) => serve::serve(file.config).print(),
        Command::Demo(args) => demo::run(&args).print(),
        Command::Migrate(args) => migrate_command(&args).print(),
        Command::Check(args) => check_command(&args).print(),
        Command::Which(args) => {
            let OperationArgs { game, operation, dialect, templates } = &args;
            Outcome::from(which::which(templates, game, operation, *dialect)).print()
        }
        Command::Render(args) => render_command(&args).print(),
        Command::Call(args) => call::run(&args).print(),
        Command::Doctor(args) => doctor::run(&args).print(),
        Command::Config { action } => {
            let outcome = match action {
                ConfigAction::Check { file } => config::check(&file, &Env::process()),
                ConfigAction::Print { file } => config::print(&file, &Env::process()),
            };
            outcome.print()
        }
        Command::Reconcile(args) => reconcile::run(&args).print(),
        Command::Events(args) => events::run(&args).print(),
        Command::Diff(args) => diff::run(&args).print(),
        Command::Switch(args) => switch::run(&args).print(),
        Command::Journal(args) => journal::run(&args).print(),
        Command::Key(key) => match key.run(&mut io::stdout(), &mut io::stderr()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => Outcome::failed(1, format!("gateway key: {}\n", chain(&error))).print(),
        },
    }
}

fn migrate_command(args: &MigrateArgs) -> Outcome {
    let config = match Config::load(&args.file.config, &Env::process()) {
        Ok((config, _)) => config,
        Err(faults) => return config::refused(&args.file.config, &faults),
    };
    let runtime = match CommandRuntime::new() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::failed(1, format!("gateway migrate: {error}\n")),
    };
    let mode = if args.dry_run { MigrateMode::Status } else { MigrateMode::Apply };
    let migrated = runtime.block_on(migrate::run(&config, None, mode));
    let mut text = String::new();
    match migrated {
        Ok(databases) => {
            for database in databases {
                for step in database.steps {
                    // Writing to a string does not fail.
                    let _written = writeln!(text, "{}: {step}", database.connection);
                }
            }
        }
        Err(error) => {
            return Outcome::failed(1, format!("gateway migrate: {}\n", chain(&error)));
        }
    }
    if let Some(players) = args.seed.filter(|_| !args.dry_run) {
        match runtime.block_on(seed::run(&config, players)) {
            Ok(()) => {
                let _written = writeln!(text, "seeded {players} players");
            }
            Err(error) => {
                let stderr = format!("gateway migrate --seed: {error}\n");
                return Outcome { stdout: text, stderr, status: 1 };
            }
        }
    }
    Outcome::ok(text)
}

fn game(text: &str) -> Result<GameId, String> {
    GameId::new(text).map_err(|error| error.to_string())
}

fn operation(text: &str) -> Result<OpId, String> {
    OpId::new(text).map_err(|error| error.to_string())
}

fn dialect(text: &str) -> Result<Dialect, String> {
    Dialect::from_name(text).ok_or_else(|| "one of oracle, mysql, sqlite".to_owned())
}

/// `game1=mysql`, or `game1` for MySQL and SQLite.
fn named_dialects(text: &str) -> Result<Vec<(GameId, Dialect)>, String> {
    if let Some((name, of)) = text.split_once('=') {
        return Ok(vec![(game(name)?, dialect(of)?)]);
    }
    let id = game(text)?;
    Ok(vec![(id.clone(), Dialect::Mysql), (id, Dialect::Sqlite)])
}

fn check_command(args: &CheckArgs) -> Outcome {
    let format = match args.format.as_str() {
        "json" => check::Format::Json,
        _ => check::Format::People,
    };
    let mut games = Vec::new();
    for text in &args.games {
        match named_dialects(text) {
            Ok(pairs) => games.extend(pairs),
            Err(fault) => {
                return Outcome::failed(check::EXIT_USAGE, format!("--game {text}: {fault}\n"));
            }
        }
    }
    let Some(file) = &args.config else {
        if args.templates.is_dir()
            && let Some(refused) =
                check::unknown_game(&args.templates, games.iter().map(|(id, _)| id))
        {
            return refused.into();
        }
        return check::check(&args.templates, (&games, &[]), format, Vec::new()).into();
    };
    let config = match Config::load(file, &Env::process()) {
        Ok((config, _)) => config,
        Err(faults) => return config::refused(file, &faults),
    };
    let mut more = Vec::new();
    if args.database {
        let runtime = CommandRuntime::new().map_err(|error| error.to_string());
        let examined = runtime
            .and_then(|runtime| runtime.block_on(examine::examine(&config.templates, &config)));
        match examined {
            Ok(findings) => more = findings,
            Err(text) => {
                return Outcome::failed(check::EXIT_USAGE, format!("gateway check: {text}\n"));
            }
        }
    }
    let mirrors = mirrored_games(&config);
    games = game_dialects(&config);
    check::check(&config.templates, (&games, &mirrors), format, more).into()
}

fn render_command(args: &RenderArgs) -> Outcome {
    let OperationArgs { game, operation, dialect, templates } = &args.operation;
    let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    let call = render::Call {
        game,
        op: operation,
        dialect: *dialect,
        params: &args.params,
        now_micros: i64::try_from(micros).unwrap_or(i64::MAX),
    };
    render::render(templates, &call).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::load::tests::{READ, write};

    #[test]
    fn check_of_a_game_that_is_not_there_ends_with_2() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/x.sql", READ), ("game1/y.sql", READ)]);
        let checked = |name: &str| {
            check_command(&CheckArgs {
                templates: root.path().to_path_buf(),
                games: vec![name.to_owned()],
                config: None,
                database: false,
                format: "text".into(),
            })
        };
        assert_eq!(checked("game1=sqlite").status, check::EXIT_OK);
        let refused = checked("nosuch=sqlite");
        assert_eq!((refused.status, &*refused.stdout), (check::EXIT_USAGE, ""));
        assert!(refused.stderr.starts_with("nosuch: no game has that folder"), "{refused:?}");
    }
}
