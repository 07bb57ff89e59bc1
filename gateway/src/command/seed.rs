//! Sample rows: `_base/schema/<dialect>/seed.sql`, then each game's own.

use std::io;

use crate::backend::seed;
use crate::config::Config;

/// The folder that every game's schema begins with.
const BASE: &str = "_base";

/// Seeds every game's database, each database with the shared script once.
///
/// # Errors
///
/// A sentence that names the game and the cause.
pub(super) async fn run(config: &Config, players: u64) -> Result<(), String> {
    let mut seeded: Vec<&str> = Vec::new();
    for game in &config.games {
        let Some(connection) = config.database.connection(&game.database) else {
            return Err(format!("game {}: no connection `{}`", game.id, game.database));
        };
        let is_first = !seeded.contains(&&*game.database);
        seeded.push(&game.database);
        let scopes = [BASE, game.id.as_str()];
        for scope in scopes.into_iter().skip(usize::from(!is_first)) {
            let folder = config.templates.join(scope).join("schema");
            let path = folder.join(connection.dialect.name()).join("seed.sql");
            let script = match std::fs::read_to_string(&path) {
                Ok(script) => script,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{}: {error}", path.display())),
            };
            let failed = |error| format!("{}: {}", path.display(), super::output::chain(&error));
            seed(connection, &script, players).await.map_err(failed)?;
        }
    }
    Ok(())
}
