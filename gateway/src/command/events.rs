//! `gateway events`: what a game's writes have told of (`@emit`), in its order.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use gateway_protocol::GameId;
use serde_json::Value;

use super::config::refused;
use super::output::{Outcome, chain};
use crate::backend::switch::{EventId, NoEventId, read_events};
use crate::config::{Config, Env};
use crate::control::{EVENTS_LISTED, event_query, events_listed};
use crate::server::CommandRuntime;

/// `gateway events`.
#[derive(Args, Clone, Debug)]
pub(super) struct EventsArgs {
    /// The game.
    #[arg(value_parser = super::game)]
    game: GameId,
    /// The configuration file.
    #[arg(long, default_value = "config/gateway.yaml")]
    config: PathBuf,
    /// The last event that is known, as `12-3456`; default: those from the oldest on that is kept.
    #[arg(long, value_name = "ID", value_parser = place)]
    after: Option<EventId>,
    /// Most events, up to 1000.
    #[arg(long, value_name = "COUNT", value_parser = count, default_value_t = EVENTS_LISTED.0)]
    limit: usize,
    /// For programs: the events, and after which one the next are to be asked for.
    #[arg(long)]
    json: bool,
}

fn place(text: &str) -> Result<EventId, NoEventId> {
    text.parse()
}

fn count(text: &str) -> Result<usize, String> {
    let wanted = text.parse().ok().filter(|count| (1..=EVENTS_LISTED.1).contains(count));
    wanted.ok_or_else(|| format!("want 1 to {}", EVENTS_LISTED.1))
}

/// Does what the command line says.
pub(super) fn run(args: &EventsArgs) -> Outcome {
    let config = match Config::load(&args.config, &Env::process()) {
        Ok((config, _)) => config,
        Err(faults) => return refused(&args.config, &faults),
    };
    list(args, &config)
        .unwrap_or_else(|text| Outcome::failed(1, format!("gateway events: {text}\n")))
}

fn list(args: &EventsArgs, config: &Config) -> Result<Outcome, String> {
    let (game, after) = (args.game.as_str(), args.after.unwrap_or_default());
    let query = event_query(config, game, after, args.limit);
    let query = query.ok_or_else(|| format!("there is no game `{game}`"))?;
    let runtime = CommandRuntime::new().map_err(|error| error.to_string())?;
    let events = runtime.block_on(read_events(query)).map_err(|error| chain(&error))?;
    let listed = events_listed(&events, after);
    if args.json {
        return Ok(Outcome::ok(format!("{listed:#}\n")));
    }
    let mut text = String::new();
    for event in listed.get("events").and_then(Value::as_array).into_iter().flatten() {
        let word = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let data = event.get("data").unwrap_or(&Value::Null);
        let (id, at, operation) = (word("id"), word("at"), word("operation"));
        let (topic, name) = (word("topic"), word("event"));
        // Writing to a string does not fail.
        let _written = writeln!(text, "{id}  {at}  {topic}.{name}  by {operation}  {data}");
    }
    Ok(Outcome::ok(text))
}
