//! The subcommands of the binary, one file each. This file reads the command line and nothing else.

//mod call;
//pub mod check;
pub mod config;
//mod demo;
pub mod key;
//pub mod migrate;
mod output;
//pub mod render;
//mod seed;
mod serve;
//pub mod which;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Dialect;

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
    /// Call an operation over TCP, as a game server does.
    Call(call::CallArgs),
    /// Check or print a configuration.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Make keys.
    Key {
        #[command(subcommand)]
        action: KeyAction,
    },
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
    /// Games and dialects to check, `game1=mysql`; default: every game folder on every dialect.
    #[arg(long = "game", value_name = "GAME=DIALECT")]
    games: Vec<String>,
    /// Check for the games, dialects and roles of this configuration instead.
    #[arg(long, conflicts_with_all = ["games"])]
    config: Option<PathBuf>,
    /// Also prepare and explain every statement on the configuration's databases.
    #[arg(long, requires = "config")]
    database: bool,
    /// `text` for people, `json` for programs.
    #[arg(long, default_value = "text")]
    format: check::Format,
}

#[derive(Debug, Args)]
struct OperationArgs {
    /// The game.
    game: String,
    /// The operation, `player.get`.
    operation: String,
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
    /// Parameters, `name=value`; the others take their samples.
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

#[derive(Debug, Subcommand)]
enum KeyAction {
    /// Make an API key: the key itself, once, and its entry for the configuration.
    New {
        /// The key's id: what logs call its holder.
        id: String,
        /// Its roles.
        #[arg(long, value_delimiter = ',')]
        roles: Vec<String>,
        /// Its games.
        #[arg(long, value_delimiter = ',')]
        games: Vec<String>,
    },
}

fn dialect(text: &str) -> Result<Dialect, String> {
    Dialect::from_name(text).ok_or_else(|| "one of oracle, mysql, sqlite".to_owned())
}
