//! The subcommands of the binary, one file each. This file reads the command line and nothing else.

mod call;
//pub mod check;
pub mod config;
mod demo;
pub mod key;
pub mod migrate;
mod output;
//pub mod render;
mod seed;
mod serve;
//pub mod which;

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::backend::MigrateMode;
use crate::config::{Config, Env};
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
    /// Call an operation over TCP, as a game server does.
    Call(call::CallArgs),
    /// Check or print a configuration.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
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
        Command::Call(args) => call::run(&args).print(),
        Command::Config { action } => {
            let outcome = match action {
                ConfigAction::Check { file } => config::check(&file, &Env::process()),
                ConfigAction::Print { file } => config::print(&file, &Env::process()),
            };
            outcome.print()
        }
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
