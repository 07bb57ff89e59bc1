//! Load generator for the gateway's TCP protocol, and the bare echo server that it is compared with.
//!
//! `run.sh` beside the crate starts everything, pins it, and prints one table; this binary is one
//! measurement. Closed loop: each connection keeps a fixed number of calls in flight.

mod by_hand;
mod cpu;
mod disk;
mod echo;
mod load;
mod message;
mod report;
mod timer;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

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
    /// Run `gold.transfer`'s statements without a gateway, and print the same figures of this process.
    ByHand(ByHandArgs),
    /// Measure how fast a disk makes groups durable, by the way they are written.
    Disk(DiskArgs),
    /// Put load on a server and print rate, latency and the server's CPU time per request.
    Load(LoadArgs),
}

/// The journal's disk.
#[derive(Clone, Debug, clap::Args)]
struct DiskArgs {
    /// A folder on the disk in question.
    #[arg(long, default_value = ".")]
    folder: std::path::PathBuf,
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
    /// The server's process, for its CPU time.
    #[arg(long)]
    pid: Option<u32>,
    /// What to send: `echo` (64 bytes back and forth), `call` (an operation), `order` and `transfer` (each with a
    /// key of its own), `idle` (nothing).
    #[arg(long, default_value = "call")]
    mode: message::Mode,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
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
    /// API key of the hello.
    #[arg(long, env = "GATEWAY_API_KEY", default_value = "")]
    api_key: String,
    /// Game.
    #[arg(long, default_value = "game1")]
    game: String,
    /// Operation.
    #[arg(long, default_value = "player.get")]
    operation: String,
    /// The parameter that varies.
    #[arg(long, default_value = "player_id")]
    param: String,
    /// Its smallest value.
    #[arg(long, default_value_t = 1001)]
    first: i64,
    /// How many values it takes.
    #[arg(long, default_value_t = 1000)]
    count: i64,
    /// Name of the measurement in the output.
    #[arg(long, default_value = "")]
    label: String,
    /// Print JSON instead of one line of text.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    match Line::parse().command {
        Command::Echo { address } => echo::serve(address)?,
        Command::ByHand(args) => {
            let report = by_hand::run(&args)?;
            report.print_line("by hand, one sqlx connection each")?;
        }
        Command::Disk(args) => disk::run(&args.folder, args.groups, &args.sizes)?,
        Command::Load(args) => {
            let seconds = Duration::from_secs(args.seconds);
            anyhow::ensure!(args.connections > 0 && args.pipeline > 0, "at least one of each");
            let report = load::run(&args, Duration::from_secs(args.warm_up), seconds)?;
            report.print(&args)?;
            if report.errors > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
