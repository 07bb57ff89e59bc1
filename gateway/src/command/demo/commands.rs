//! What the demo prints to try: commands of operations that its templates have, with their samples.

use std::fmt::Write as _;
use std::path::Path;

use gateway_protocol::GameId;

use crate::catalog::{Dialect, HttpMethod, Slot, Template, Type, survey};
use crate::server::Addresses;

/// Where game servers connect when nothing else is said.
const TCP_DEFAULT: &str = "127.0.0.1:8080";
/// Most operations that are shown; the sample games' best known come first.
const OFFER_COUNT_MAX: usize = 2;
const FIRST: [&str; 2] = ["player.get", "player.profile"];

/// An operation that reads, with everything that a call of it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    op: String,
    /// The path behind `/v1/{game}`, where it has a route.
    route: Option<String>,
    /// Its parameters as JSON.
    json: String,
    /// The same as `name=value`, each after a blank.
    words: String,
    /// Whether the printed player's token may call it.
    for_players: bool,
}

/// What a game's templates have to try: reads whose required parameters all have a `sample=`.
pub(super) fn offers(templates: &Path, game: &str) -> Vec<Offer> {
    let Ok(id) = GameId::new(game) else { return Vec::new() };
    let surveyed = survey(templates, &[(id, Dialect::Sqlite)]);
    let mut offers: Vec<Offer> =
        surveyed.templates().filter_map(|one| offer(one.template)).collect();
    offers.sort_by_key(|offer| FIRST.iter().position(|op| *op == offer.op).unwrap_or(FIRST.len()));
    offers.truncate(OFFER_COUNT_MAX);
    offers
}

fn offer(template: &Template) -> Option<Offer> {
    if template.kind.is_write() {
        return None;
    }
    let (mut json, mut words) = (Vec::new(), String::new());
    let mut route = template.http.as_ref().filter(|route| route.method == HttpMethod::Get);
    let mut path = route.take().map(|route| route.path.replace("/v1/{game}", ""));
    for slot in template.slots.iter().filter(|slot| slot.required) {
        let value = value(slot)?;
        json.push(format!("{:?}:{value}", &*slot.name));
        let _written = write!(words, " {}={value}", slot.name);
        let place = format!("{{{}}}", slot.name);
        // What is not in the path would have to go into the query.
        path = path
            .filter(|path| path.contains(&place))
            .map(|path| path.replace(&place, value.trim_matches('"')));
    }
    Some(Offer {
        op: template.op.to_string(),
        route: path,
        json: format!("{{{}}}", json.join(",")),
        words,
        for_players: template.allow.iter().any(|rule| &*rule.role == "player"),
    })
}

/// A slot's sample as JSON; `None`: it has none that can stand in a shell's line as it is.
fn value(slot: &Slot) -> Option<String> {
    let sample = slot.sample.as_deref()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match slot.ty {
        _ if !sample.chars().all(is_plain) => None,
        Type::Int | Type::Bigint | Type::Bool | Type::Float => Some(sample.to_owned()),
        Type::List(_) | Type::Rows(_) | Type::Json | Type::Bytes { .. } => None,
        _ => Some(format!("\"{sample}\"")),
    }
}

/// The commands, one a line.
///
/// - `key`, `token`: of the demo.
pub(super) fn commands(
    addresses: &Addresses,
    game: &str,
    (key, token): (&str, &str),
    offers: &[Offer],
) -> String {
    let Addresses { tcp, http, admin } = addresses;
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let routes = || offers.iter().filter_map(|offer| Some((offer, offer.route.as_ref()?)));
    for (_, route) in routes() {
        line(format!("curl -i -H 'X-API-Key: {key}' http://{http}/v1/{game}{route}"));
    }
    for Offer { op, json, .. } in offers.iter().take(1) {
        let url = format!("http://{http}/v1/{game}/call/{op}");
        line(format!("curl -i -H 'X-API-Key: {key}' --json '{json}' {url}"));
    }
    for (_, route) in routes().filter(|(offer, _)| offer.for_players).take(1) {
        line(format!("curl -i -H 'Authorization: Bearer {token}' http://{http}/v1/{game}{route}"));
    }
    let address = tcp.to_string();
    let address = match address.as_str() {
        TCP_DEFAULT => String::new(),
        other => format!(" --address {other}"),
    };
    for Offer { op, words, .. } in offers.iter().take(1) {
        line(format!("cargo run --release -- call{address} --key {key} {game} {op}{words}"));
    }
    for path in ["readyz", "operations", "metrics"] {
        line(format!("curl http://{admin}/{path}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::load::tests::{PLAYER_GET, READ, TRANSFER, write};

    fn printed(tcp: &str, files: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), files);
        let address = |text: &str| text.parse().unwrap();
        let addresses = Addresses {
            tcp: address(tcp),
            http: address("127.0.0.1:8081"),
            admin: address("127.0.0.1:8082"),
        };
        commands(&addresses, "game1", ("key", "token"), &offers(root.path(), "game1"))
    }

    #[test]
    fn call_line_names_the_address_unless_it_is_the_one_that_call_takes_by_itself() {
        let files = [("_base/player/get.sql", PLAYER_GET)];
        let usual = printed("127.0.0.1:8080", &files);
        assert!(usual.contains("-- call --key key game1 player.get player_id=1001\n"), "{usual}");
        let other = printed("127.0.0.1:9000", &files);
        let call = "-- call --address 127.0.0.1:9000 --key key game1 player.get player_id=1001\n";
        assert!(other.contains(call), "{other}");
    }

    #[test]
    fn only_operations_that_the_templates_have_are_printed() {
        let own = READ.replacen("id int", "id int sample=7", 1).replacen(
            "admin",
            "admin\n-- @http GET /v1/{game}/things/{id}",
            1,
        );
        let text = printed("127.0.0.1:8080", &[("_base/thing/list.sql", &own)]);
        assert!(!text.contains("player"), "{text}");
        assert!(text.contains("http://127.0.0.1:8081/v1/game1/things/7\n"), "{text}");
        assert!(text.contains("call/thing.list\n") && text.contains("'{\"id\":7}'"), "{text}");
        assert!(text.contains("game1 thing.list id=7\n"), "{text}");
    }

    #[test]
    fn templates_with_nothing_to_try_have_the_operators_lines_only() {
        let text = printed("127.0.0.1:8080", &[("_base/a.sql", READ), ("_base/b.sql", TRANSFER)]);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|line| line.contains(":8082/")), "{text}");
    }
}
