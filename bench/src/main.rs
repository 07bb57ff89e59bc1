//! Load generator for the gateway, and comparisons with what else there is.
//!
//! `compare` starts everything, pins it, and tells what it found; `load` is one measurement of it.

mod by_hand;
mod compare;
mod comparison;
mod connection;
mod cpu;
mod disk;
mod echo;
mod failure;
mod gate;
mod html;
mod load;
mod machine;
mod measured;
mod message;
mod open_files;
mod outcome;
mod report;
mod scenario;
mod servers;
mod settings;
mod table;
mod timer;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::outcome::Outcome;

/// Measures the gateway.
#[derive(Debug, Parser)]
#[command(name = "gateway-bench", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a bare monoio echo of 64-byte messages: the floor that the gateway is measured against.
    Echo {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:18200")]
        address: SocketAddr,
    },
    /// Put a scenario's load on every server that it names, in alternating rounds, and compare them.
    Compare(CompareArgs),
    /// Compare again, and fail where a side has become more expensive than a baseline allows.
    Gate(GateArgs),
    /// Run `gold.transfer`'s statements without a gateway, and print the same figures of this process.
    ByHand(ByHandArgs),
    /// Measure how fast a disk makes groups durable, by the way they are written.
    Disk(DiskArgs),
    /// Put load on a server and print rate, latency and the server's CPU time per request.
    Load(Box<LoadArgs>),
}

/// What to compare.
#[derive(Clone, Debug, clap::Args)]
struct CompareArgs {
    /// A file of `bench/scenarios`, without its ending; `all`: one after the other, but for those that say `by_name_only`.
    #[arg(long, default_value = "all")]
    scenario: String,
    /// Rounds; each measures every side once.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Write the figures there, as JSON: an object, or with `all` a list of them.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write a report there that a browser shows; with `all` one beside the other, the scenario's name before the ending.
    #[arg(long)]
    html: Option<PathBuf>,
    /// The folder `bench` of the repository.
    #[arg(long, default_value = "bench")]
    folder: PathBuf,
}

/// What to compare with.
#[derive(Clone, Debug, clap::Args)]
struct GateArgs {
    /// The baseline's file.
    #[arg(default_value = "bench/baseline.json")]
    baseline: PathBuf,
    /// Rounds; each measures every side once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// The folder `bench` of the repository.
    #[arg(long, default_value = "bench")]
    folder: PathBuf,
}

/// The journal's disk.
#[derive(Clone, Debug, clap::Args)]
struct DiskArgs {
    /// A folder on the disk in question.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Groups written in each way.
    #[arg(long, default_value_t = 2000)]
    groups: u64,
    /// Bytes of a group, multiples of 4096.
    #[arg(long = "bytes", default_values_t = [4096, 32_768, 131_072])]
    sizes: Vec<usize>,
}

/// The transfer without a gateway.
#[derive(Clone, Debug, clap::Args)]
struct ByHandArgs {
    /// MySQL or MariaDB.
    #[arg(long)]
    address: SocketAddr,
    /// Its user.
    #[arg(long, default_value = "gw")]
    username: String,
    /// The user's password.
    #[arg(long, env = "BENCH_DB_PASSWORD", default_value = "gwpass", hide_env_values = true)]
    password: String,
    /// Its database.
    #[arg(long, default_value = "game1")]
    database: String,
    /// Connections, each with one transaction at a time.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Seconds that count.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Smallest player.
    #[arg(long, default_value_t = 1)]
    first: i64,
    /// How many players.
    #[arg(long, default_value_t = 100_000)]
    count: i64,
    /// What request ids begin with.
    #[arg(long, default_value = "hand")]
    prefix: String,
}

/// One measurement.
#[derive(Clone, Debug, clap::Args)]
struct LoadArgs {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// The server's processes, for their CPU time and memory.
    #[arg(long = "pid", value_delimiter = ',')]
    pids: Vec<u32>,
    /// What to send: `echo` (64 bytes back and forth), `call` (an operation), `order` and `transfer` (each with a
    /// key of its own), `login` (a connection, a HELLO and eight calls, over and over), `idle` (nothing),
    /// `idle-http` (a GET, then nothing), `http` (GET of a path, or POST of a body), `redis` (GET of a key).
    #[arg(long, default_value = "call")]
    mode: message::Mode,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How many of them send anything; the others log in and are silent. 0: all.
    #[arg(long, default_value_t = 0)]
    active: usize,
    /// The address that connections come from: each has some 28,000 ports. Unset: the system chooses.
    #[arg(long)]
    source: Option<std::net::IpAddr>,
    /// Print a line when all connections stand, and begin when one is read from standard input.
    #[arg(long)]
    wait: bool,
    /// Calls in flight on each connection.
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Calls a second over all connections, sent at their own times whether or not earlier ones are answered;
    /// latency counts from those times. 0: each connection keeps `pipeline` calls in flight.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// What order numbers and request ids begin with: another one for each run against the same tables.
    #[arg(long, default_value = "bench")]
    prefix: String,
    /// Which connection this is; part of its numbers.
    #[arg(skip)]
    connection: u32,
    /// Seconds that count.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Seconds before those.
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Seconds over which the connections are opened, evenly. 0: as fast as they are accepted.
    #[arg(long, default_value_t = 0)]
    ramp: u32,
    /// Seconds after which a call without an answer is given up, and its connection with it.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// API key of the hello.
    #[arg(long, env = "GATEWAY_API_KEY", default_value = "")]
    api_key: String,
    /// Game.
    #[arg(long, default_value = "game1")]
    game: String,
    /// Operation; several with their weights are mixed: `player.get=80,player.read=20`.
    #[arg(long, default_value = "player.get")]
    operation: message::Mix,
    /// Calls in each frame of `call`: above 1 they are sent as batches, and each of them counts.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// The parameter that varies.
    #[arg(long, default_value = "player_id")]
    param: String,
    /// Its smallest value.
    #[arg(long, default_value_t = 1001)]
    first: i64,
    /// How many values it takes.
    #[arg(long, default_value_t = 1000)]
    count: i64,
    /// Path of `http`, key of `redis`; `{}` is where the value stands that varies.
    #[arg(long, default_value = "")]
    path: String,
    /// Body of `http`, which is a POST then; `{}` is where the value stands that varies, `{n}` a text that no other request of this
    /// `--prefix` has.
    #[arg(long, default_value = "")]
    body: String,
    /// Bearer token of `http`.
    #[arg(long, env = "GATEWAY_BENCH_TOKEN", default_value = "", hide_env_values = true)]
    token: String,
    /// Name of the measurement in the output.
    #[arg(long, default_value = "")]
    label: String,
    /// Print JSON instead of one line of text.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let line = Line::parse();
    let files_max = open_files::raise();
    match line.command {
        Command::Echo { address } => echo::serve(address)?,
        Command::Compare(args) => return compare(&args),
        Command::Gate(args) => return gate::run(&args),
        Command::ByHand(args) => {
            let report = by_hand::run(&args)?;
            report.print_line("by hand, one sqlx connection each")?;
        }
        Command::Disk(args) => disk::run(&args.folder, args.groups, &args.sizes)?,
        Command::Load(args) => {
            let seconds = Duration::from_secs(args.seconds);
            let is_some = args.connections > 0 && args.pipeline > 0 && args.batch > 0;
            anyhow::ensure!(
                is_some,
                "at least one connection, one call in flight and one in a batch"
            );
            let paced = if args.rate > 0 { load::active(&args) } else { 0 };
            let wanted = open_files::wanted(args.connections as u64, paced as u64);
            open_files::ensure(wanted, files_max)?;
            let report = load::run(&args, Duration::from_secs(args.warm_up), seconds)?;
            report.print(&args)?;
            if report.error_count() > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares one scenario or all of them. Status 1: one could not be compared; what was measured is kept.
#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn compare(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let own = own_path()?;
    build_gateway()?;
    let is_all = args.scenario == "all";
    let names = if is_all {
        scenario::Scenario::all(&args.folder.join("scenarios"))?
    } else {
        vec![args.scenario.clone()]
    };
    let mut found = Vec::new();
    for name in names {
        let plan = compare::Plan {
            folder: args.folder.clone(),
            own: own.clone(),
            scenario: name.clone(),
            rounds: args.rounds,
            seconds: args.seconds,
            sweeps: true,
        };
        let outcome = Outcome::of(&name, compare::run(&plan));
        println!("== {name}\n{}", outcome.table()?);
        if let Some(path) = &args.html {
            let path = if is_all { beside(path, &name) } else { path.clone() };
            std::fs::write(path, html::page(&outcome)?)?;
        }
        found.push(outcome);
        // After each: whoever ends this before the last one keeps those before.
        if let Some(path) = &args.json {
            let text = match &found[..] {
                [one] if !is_all => serde_json::to_string_pretty(one)?,
                all => serde_json::to_string_pretty(all)?,
            };
            std::fs::write(path, text + "\n")?;
        }
    }
    let is_whole = found.iter().all(|outcome| matches!(outcome, Outcome::Compared(_)));
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// This program. Asked for before [`build_gateway`], which may put another file in its place.
fn own_path() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// `report.html` and `cached-read`: `report.cached-read.html`.
fn beside(path: &Path, name: &str) -> PathBuf {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_extension(format!("{name}.{extension}"))
}

/// Whether the gateway that is measured is what stands in the folder.
fn is_built_here() -> bool {
    std::env::var_os("GATEWAY").is_none()
}

/// Builds the gateway, where `GATEWAY` does not name a binary: what is measured is what stands in the folder.
///
/// Together with this program, because cargo makes libraries anew for every choice of packages that asks other
/// features of them: alone it would be built once more, beside what `cargo build --release -p gateway -p gateway-bench` left.
fn build_gateway() -> anyhow::Result<()> {
    if !is_built_here() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo)
        .args(["build", "--release", "--locked", "-p", "gateway", "-p", "gateway-bench"])
        .status()?;
    anyhow::ensure!(built.success(), "the gateway was not built");
    Ok(())
}
