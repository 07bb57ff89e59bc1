//! `gateway key`: makes API keys.
//!
//! The entry for the configuration goes to the standard output, so that it can be appended to a file;
//! the key itself goes to the standard error, once, so that it does not end up in that file.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use gateway_protocol::GameId;

use crate::auth::{NewKeyError, new_key};

/// The game that stands for every game.
const EVERY_GAME: &str = "*";

/// Makes API keys.
#[derive(Args, Clone, Debug)]
pub struct KeyCommand {
    /// What to do.
    #[command(subcommand)]
    action: KeyAction,
}

/// What `gateway key` can do.
#[derive(Subcommand, Clone, Debug)]
enum KeyAction {
    /// Make a key: prints its entry for `auth.api_keys`, and once, on the standard error, the key
    New(NewKeyArgs),
}

/// The entry of the key to be made.
#[derive(Args, Clone, Debug)]
struct NewKeyArgs {
    /// Who will use it: 1 to 64 of A-Z a-z 0-9 _ -; appears in logs
    id: String,
    /// A role that it has; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A game that it may use, or `*` for every game; may be given several times
    #[arg(long = "game", value_name = "GAME", value_parser = parse_game)]
    games: Vec<String>,
    /// The day on which it stops being valid (at 00:00 UTC): 2027-01-31
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    expires: Option<time::Date>,
}

/// Why `gateway key` failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyCommandError {
    /// The key could not be made.
    #[error(transparent)]
    New(#[from] NewKeyError),
    /// It could not be printed.
    #[error("cannot print")]
    Print(#[from] io::Error),
}

impl KeyCommand {
    /// Runs the command.
    ///
    /// - `entries`: takes the entry for the configuration (standard output).
    /// - `secrets`: takes the key and what to do with it (standard error).
    ///
    /// # Errors
    ///
    /// [`KeyCommandError`]; a key that could not be printed in full is lost, and nothing depends on it.
    pub fn run(
        &self,
        entries: &mut dyn Write,
        secrets: &mut dyn Write,
    ) -> Result<(), KeyCommandError> {
        match &self.action {
            KeyAction::New(args) => args.run(entries, secrets),
        }
    }
}

impl NewKeyArgs {
    fn run(&self, entries: &mut dyn Write, secrets: &mut dyn Write) -> Result<(), KeyCommandError> {
        let new = new_key(&self.id)?;
        writeln!(entries, "- id: {}", quoted(&self.id))?;
        writeln!(entries, "  hash: {}", quoted(&new.hash))?;
        writeln!(entries, "  roles: {}", list(&self.roles))?;
        writeln!(entries, "  games: {}", list(&self.games))?;
        if let Some(expires) = self.expires {
            writeln!(entries, "  expires: {expires}")?;
        }
        entries.flush()?;
        // The one place where it is shown: whoever made it is to have it.
        writeln!(secrets, "The key, shown only this once:\n{}", new.key.expose())?;
        writeln!(secrets, "Its entry above belongs under auth.api_keys.")?;
        if self.roles.is_empty() || self.games.is_empty() {
            writeln!(
                secrets,
                "Add roles and games to the entry: without them it may call nothing."
            )?;
        }
        secrets.flush()?;
        Ok(())
    }
}

/// A YAML list in one line.
fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A YAML scalar that is a text whatever is in it: JSON's form is YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn parse_game(text: &str) -> Result<String, gateway_protocol::IdError> {
    if text != EVERY_GAME {
        GameId::new(text)?;
    }
    Ok(text.to_owned())
}

fn parse_date(text: &str) -> Result<time::Date, time::error::Parse> {
    time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        command: KeyCommand,
    }

    fn run(line: &str) -> (String, String) {
        let (mut entries, mut secrets) = (Vec::new(), Vec::new());
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        cli.command.run(&mut entries, &mut secrets).unwrap();
        (String::from_utf8(entries).unwrap(), String::from_utf8(secrets).unwrap())
    }

    #[test]
    fn entry_goes_to_one_stream_and_the_key_to_the_other() {
        let (entry, secret) = run("key new web --role gm --role admin --game game1 --game game2");
        let key = secret.lines().nth(1).unwrap();
        let (id, random) = key.split_once('.').unwrap();
        assert_eq!((id, random.len()), ("web", 43));
        assert!(!entry.contains(random));
        let lines: Vec<&str> = entry.lines().collect();
        let [id, hash, roles, games] = lines[..] else { panic!("four lines: {entry}") };
        assert_eq!(id, "- id: \"web\"");
        assert!(hash.starts_with("  hash: \"sha256:"));
        assert_eq!(roles, "  roles: [\"gm\", \"admin\"]");
        assert_eq!(games, "  games: [\"game1\", \"game2\"]");
    }

    #[test]
    fn expiry_is_written_as_given() {
        let (entry, _) = run("key new web --game * --expires 2027-01-31");
        assert!(
            entry.ends_with("  roles: []\n  games: [\"*\"]\n  expires: 2027-01-31\n"),
            "{entry}"
        );
    }

    #[test]
    fn role_of_any_text_cannot_leave_its_line() {
        let (entry, _) = run("key new web --role a\n\"]");
        assert_eq!(entry.lines().count(), 4);
        assert!(entry.contains(r#"["a\n\"]"]"#));
    }

    #[test]
    fn games_dates_and_ids_are_checked() {
        for line in ["key new web --game Game1", "key new web --expires 2027-02-30", "key new"] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        let cli = Cli::try_parse_from(["key", "new", "a.b"]).unwrap();
        let outcome = cli.command.run(&mut Vec::new(), &mut Vec::new());
        assert!(matches!(outcome, Err(KeyCommandError::New(NewKeyError::Id(_)))));
    }
}
