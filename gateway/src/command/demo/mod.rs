//! `gateway demo`: everything at work, with no server and nothing left behind.
//!
//! SQLite files in a temporary folder take the place of the databases, and keys that only a demo accepts
//! take the place of secrets. What is served are the templates of a folder: the sample games', or a
//! DBA's or game developer's own.

mod commands;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::{Outcome, chain};
use super::{seed, serve};
use crate::auth::{SAMPLE_PREFIX, sample_key};
use crate::backend::MigrateMode;
use crate::catalog::survey;
use crate::config::{Config, Dialect, Env};
use crate::control::Origin;
use crate::server::{Addresses, CommandRuntime, Plan};
use commands::{Offer, commands, offers};

/// `gateway demo`.
#[derive(Args, Clone, Debug)]
pub(super) struct DemoArgs {
    /// The folder of templates.
    #[arg(long, default_value = "sql-templates")]
    templates: PathBuf,
    /// Players in the sample rows.
    #[arg(long, default_value_t = 1000)]
    players: u64,
    /// Where game servers connect.
    #[arg(long, default_value = "127.0.0.1:8080")]
    tcp: SocketAddr,
    /// Where web clients connect.
    #[arg(long, default_value = "127.0.0.1:8081")]
    http: SocketAddr,
    /// The operators' port.
    #[arg(long, default_value = "127.0.0.1:8082")]
    admin: SocketAddr,
    /// Frontend threads; 0: one for each CPU.
    #[arg(long, default_value_t = 0)]
    frontend_threads: usize,
}

/// What the demo's API key ends in; everybody knows it.
const KEY_SECRET: &str = "try-it-here-everybody-knows-this-key-123456";

/// Signs the demo's player tokens; everybody knows it.
const TOKEN_SECRET: &str = "demo-only-signing-secret-of-no-worth";

/// How long the printed player token is good for, in seconds.
const TOKEN_SECONDS: u64 = 24 * 3600;

/// The player that the printed commands ask for: the first of the seed.
const PLAYER: u64 = 1001;

/// Serves the demo until told to stop.
pub(super) fn run(args: &DemoArgs) -> Outcome {
    let prepared = CommandRuntime::new()
        .and_then(|runtime| runtime.until_told_to_stop(prepare(args)))
        .unwrap_or_else(|error| Some(Err(error.to_string())));
    match prepared {
        Some(Ok((plan, folder, games))) => {
            let offers = games.first().map_or_else(Vec::new, |game| offers(&args.templates, game));
            let print = |addresses| print_commands(&addresses, &games, &offers);
            let outcome = serve::run(plan, print);
            drop(folder);
            outcome
        }
        Some(Err(text)) => Outcome::failed(1, format!("{text}\n")),
        // Told to stop before it served: the folder is gone with the future.
        None => Outcome::default(),
    }
}

type Prepared = (Plan, tempfile::TempDir, Vec<String>);

/// Writes the configuration, migrates and seeds.
async fn prepare(args: &DemoArgs) -> Result<Prepared, String> {
    let templates = std::path::absolute(&args.templates).map_err(|error| error.to_string())?;
    let games = games(&templates)?;
    let folder = tempfile::Builder::new().prefix("gateway-demo-").tempdir();
    let folder = folder.map_err(|error| format!("no temporary folder: {error}"))?;
    let text = configuration(args, &templates, folder.path(), &games);
    let (config, _) = Config::parse(&text, folder.path(), &Env::process()).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        format!("the demo's own configuration is refused:\n{}", lines.join("\n"))
    })?;
    let migrated = super::migrate::run(&config, None, MigrateMode::Apply).await;
    migrated.map_err(|error| chain(&error))?;
    seed::run(&config, args.players).await?;
    let base = folder.path().to_path_buf();
    Ok((Plan { origin: Origin::Text { text, base }, samples_allowed: true }, folder, games))
}

/// The games: every folder of the templates but the shared one.
fn games(templates: &Path) -> Result<Vec<String>, String> {
    let unreadable = |error| {
        format!(
            "{}: {error}\nrun it where `sql-templates` is, or name your folder: --templates DIR",
            templates.display()
        )
    };
    let mut games = Vec::new();
    for entry in std::fs::read_dir(templates).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with(['_', '.']) {
            games.push(name);
        }
    }
    if games.is_empty() {
        return Err(format!("{}: no game has a folder there", templates.display()));
    }
    games.sort();
    Ok(games)
}

/// The roles that the templates name, so that the demo's key has them all.
fn roles(templates: &Path, games: &[String]) -> Vec<String> {
    let ids = games.iter().filter_map(|game| gateway_protocol::GameId::new(game).ok());
    let pairs: Vec<_> = ids.map(|id| (id, Dialect::Sqlite)).collect();
    let surveyed = survey(templates, &pairs);
    let allowed = surveyed.templates().flat_map(|one| &one.template.allow);
    let mut roles: Vec<String> = allowed.map(|rule| rule.role.to_string()).collect();
    roles.extend(["game_server".to_owned(), "player".to_owned()]);
    roles.retain(|role| role != "public");
    roles.sort();
    roles.dedup();
    roles
}

/// The demo's configuration: the same YAML that an operator would write.
fn configuration(args: &DemoArgs, templates: &Path, folder: &Path, games: &[String]) -> String {
    let key = sample_key("key", KEY_SECRET);
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let roles = roles(templates, games);
    let callers: Vec<&str> =
        roles.iter().map(String::as_str).filter(|role| *role != "player").collect();
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("runtime: {{ frontend_threads: {} }}", args.frontend_threads));
    line(format!("templates: {}", quoted(templates)));
    line("server:".into());
    line(format!("  tcp: {{ address: \"{}\" }}", args.tcp));
    line(format!("  http: {{ address: \"{}\", cors: {{ origins: [\"*\"] }} }}", args.http));
    line("  drain_timeout: 2s".into());
    line(format!("admin: {{ address: \"{}\" }}", args.admin));
    line("database:".into());
    line("  connections:".into());
    for game in games {
        let path = quoted(&folder.join(format!("{game}.db")));
        line(format!("    {game}: {{ type: sqlite, path: {path}, max_open_conns: 4 }}"));
    }
    line("games:".into());
    for game in games {
        line(format!("  {game}: {{ id: {game}, name: {game}, database: {game} }}"));
    }
    let journal = quoted(&folder.join("journal"));
    line(format!("journal: {{ path: {journal}, segment_bytes: 8MiB, bytes_max: 256MiB }}"));
    line("auth:".into());
    line("  roles:".into());
    for role in &roles {
        line(format!("    {role}: {{}}"));
    }
    line("  jwt:".into());
    line(format!(
        "    keys: [{{ kid: {SAMPLE_PREFIX}tokens, alg: HS256, secret: {TOKEN_SECRET} }}]"
    ));
    line("  api_keys:".into());
    line(format!("    - id: {SAMPLE_PREFIX}key"));
    line(format!("      hash: \"{}\"", key.hash));
    line(format!("      roles: [{}]", callers.join(", ")));
    line("      games: [\"*\"]".into());
    line("  game_servers:".into());
    line(format!("    - key_id: {SAMPLE_PREFIX}server"));
    line(format!("      secret: {TOKEN_SECRET}"));
    line(format!("      games: [{}]", games.join(", ")));
    line("logging:".into());
    line("  level: error".into());
    line("  format: text".into());
    line(format!("  audit_file: {}", quoted(&folder.join("audit.log"))));
    text
}

/// A token of one player, signed with the published secret.
fn player_token(games: &[String]) -> String {
    let exp = crate::pipeline::unix_seconds() + TOKEN_SECONDS;
    let claims = serde_json::json!({
        "sub": PLAYER.to_string(), "roles": ["player"], "games": games, "exp": exp,
    });
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some(format!("{SAMPLE_PREFIX}tokens"));
    let key = jsonwebtoken::EncodingKey::from_secret(TOKEN_SECRET.as_bytes());
    jsonwebtoken::encode(&header, &claims, &key).unwrap_or_default()
}

/// Prints what there is to try, one command a line.
fn print_commands(addresses: &Addresses, games: &[String], offers: &[Offer]) {
    let Addresses { tcp, http, admin } = addresses;
    let key = sample_key("key", KEY_SECRET);
    // A published key is no secret.
    let keys = (key.key.expose(), &*player_token(games));
    let game = games.first().map_or("game1", String::as_str);
    let text = format!(
        "\nThe gateway serves {} on SQLite in a temporary folder. Game servers: {tcp}, web: {http}, \
         operators: {admin}.\n\n{}\nCtrl-C ends it and leaves nothing behind.\n",
        games.join(", "),
        commands(addresses, game, keys, offers),
    );
    let _left = std::io::stdout().lock().write_all(text.as_bytes());
    serve::announce(addresses);
}
