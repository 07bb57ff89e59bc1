//! What only a gateway asks of its file that serves from it: the folders that it names are there, and somebody
//! can say who they are.
//!
//! Commands that read the same file for something else (`migrate`, `journal`) do without.

use std::path::Path;

use super::reading::Reading;
use super::{Config, Endpoint};

/// Records a fault for each thing without which nobody could be served, and a warning for what may be a typing
/// error.
pub(super) fn check(config: &Config, reading: &Reading<'_>) {
    templates(config, reading);
    credentials(config, reading);
    for connection in &config.database.connections {
        if let Endpoint::File(path) = &connection.endpoint {
            file(&format!("database.connections.{}.path", connection.name), path, reading);
        }
    }
    if let Some(path) = config.auth.jwt.as_ref().and_then(|jwt| jwt.jwks_file.as_deref())
        && let Err(error) = (reading.env.is_folder)(path)
    {
        let reason = format!("cannot be read: {}: {error}", path.display());
        reading.conflict("auth.jwt.jwks_file", reason);
    }
}

fn templates(config: &Config, reading: &Reading<'_>) {
    let path = config.templates.display();
    match (reading.env.is_folder)(&config.templates) {
        // Without a path the reader has told the fault.
        _ if config.templates.as_os_str().is_empty() => {}
        Ok(true) => {}
        Ok(false) => reading.conflict("templates", format!("is {path}, which is no folder")),
        Err(error) => {
            reading.conflict("templates", format!("is {path}: the folder cannot be read: {error}"));
        }
    }
}

fn credentials(config: &Config, reading: &Reading<'_>) {
    let auth = &config.auth;
    let has_way = auth.jwt.is_some()
        || reading.is_set("auth.jwt_secret")
        || !auth.api_keys.is_empty()
        || !auth.game_servers.is_empty();
    if config.games.is_empty() && !reading.is_written("games") {
        reading.warn(0, "games", "is missing: there is nothing to call");
    } else if !has_way {
        let reason = "has no way to authenticate: nobody could call anything without one of \
                      `api_keys`, `game_servers`, `jwt` and `jwt_secret`";
        reading.conflict("auth", reason);
    }
}

/// An SQLite file is made where it is not, so a typing error in its name would serve an empty database.
fn file(key: &str, path: &Path, reading: &Reading<'_>) {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !(reading.env.is_folder)(folder).is_ok_and(|is_folder| is_folder) {
        let reason = format!("is {}, and there is no such folder", path.display());
        return reading.conflict(key, reason);
    }
    match (reading.env.is_folder)(path) {
        Ok(false) => {}
        Ok(true) => reading.conflict(key, format!("is {}, which is a folder", path.display())),
        Err(_) => {
            let path = path.display();
            let text = format!("is {path}, which is not there: `gateway migrate` makes it");
            reading.warn(reading.line_of(key), key, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{SMALL, env, parse};
    use crate::config::{Config, ConfigFault, Warning};

    const KEYS: &str = "auth: {jwt_secret: '${GATEWAY_JWT_SECRET}'}\n";

    fn parse_to_serve(text: &str) -> Result<(Config, Vec<Warning>), Vec<ConfigFault>> {
        Config::parse_to_serve(text, std::path::Path::new("config"), &env())
    }

    /// Each text is sound by itself: only who serves from it asks for more.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        parse(text).expect("sound by itself");
        let faults = parse_to_serve(text).map(|_| ()).err().unwrap_or_default();
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn game_needs_a_way_to_authenticate() {
        let fault = "`auth` has no way to authenticate: nobody could call anything without one of \
                     `api_keys`, `game_servers`, `jwt` and `jwt_secret`";
        check(SMALL, &[fault]);
        let written = format!("{SMALL}auth: {{roles: {{gm: {{}}}}, api_keys: []}}\n");
        check(&written, &[&format!("line 3: {fault}")]);
        check(&format!("{SMALL}{KEYS}"), &[]);
        let key = "{key_id: k, secret: '${GAME1_SERVER_KEY}', games: [game1]}";
        check(&format!("{SMALL}auth: {{game_servers: [{key}]}}\n"), &[]);
    }

    #[test]
    fn file_without_games_is_warned_of() {
        check("", &[]);
        let (_, warnings) = parse_to_serve("").expect("good");
        let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["`games` is missing: there is nothing to call"]);
    }

    #[test]
    fn folder_of_templates_that_is_not_there_is_told_with_its_key_and_path() {
        let gone = "is config/nowhere: the folder cannot be read: entity not found";
        let text = format!("{SMALL}{KEYS}templates: nowhere\n");
        check(&text, &[&format!("line 4: `templates` {gone}")]);
        let text = format!("{SMALL}{KEYS}templates: a.db\n");
        check(&text, &["line 4: `templates` is config/a.db, which is no folder"]);
        let elsewhere = Config::parse_to_serve(
            &format!("{SMALL}{KEYS}").replace("a.db", "../config/a.db"),
            std::path::Path::new("other"),
            &env(),
        );
        let told: Vec<String> =
            elsewhere.expect_err("refused").iter().map(ToString::to_string).collect();
        let fault =
            "`templates` is other/../sql-templates: the folder cannot be read: entity not found";
        assert_eq!(told[0], fault);
    }

    #[test]
    fn both_are_told_beside_every_other_fault() {
        let faults = parse_to_serve(
            "\
runtime: {pin: yes}
templates: nowhere
colour: red
database: {connections: {main: {type: sqlite}}}
games: {game1: {database: mian}}
auth: {}
logging: {level: loud}
",
        );
        let faults = faults.expect_err("refused");
        let lines: Vec<u32> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7], "{faults:#?}");
        assert_eq!((&*faults[1].key, &*faults[5].key), ("templates", "auth"));
    }

    #[test]
    fn sqlite_path_that_leads_nowhere_is_a_fault_and_a_file_not_made_yet_a_warning() {
        let at = |path: &str| format!("{SMALL}{KEYS}").replace("a.db", path);
        let key = "line 1: `database.connections.main.path`";
        check(
            &at("nowhere/a.db"),
            &[&format!("{key} is config/nowhere/a.db, and there is no such folder")],
        );
        check(&at("keys"), &[&format!("{key} is config/keys, which is a folder")]);
        let warnings = |path: &str| parse_to_serve(&at(path)).expect("good").1;
        assert_eq!(warnings("a.db"), []);
        let told = warnings("b.db").iter().map(ToString::to_string).collect::<Vec<_>>();
        let fault = "is config/b.db, which is not there: `gateway migrate` makes it";
        assert_eq!(told, [format!("{key} {fault}")]);
    }

    #[test]
    fn key_set_that_is_not_there_is_a_fault() {
        let text = format!("{SMALL}auth: {{jwt: {{jwks_file: keys/none.json}}}}\n");
        let fault =
            "line 3: `auth.jwt.jwks_file` cannot be read: config/keys/none.json: entity not found";
        check(&text, &[fault]);
    }
}
