//! The databases of one test: a schema for each game on a server that others use too.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::server::Server;

/// Tells the schemas of one test program from each other.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One schema for each game, dropped at the end. The server may be gone by then.
#[derive(Debug)]
pub struct Schemas<'a> {
    server: &'a Server,
    own: String,
    games: Vec<String>,
}

impl<'a> Schemas<'a> {
    /// Makes the schemas of one test.
    pub fn new(server: &'a Server, games: &[&str]) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = format!("e2e_{}_{number}", std::process::id());
        let schemas = Self { server, own, games: games.iter().map(ToString::to_string).collect() };
        for game in &schemas.games {
            server.create_schema(&schemas.name(game), game);
        }
        schemas
    }

    /// The schema's name of a game.
    pub fn name(&self, game: &str) -> String {
        format!("{}_{game}", self.own)
    }

    /// The games that have one.
    pub fn games(&self) -> &[String] {
        &self.games
    }

    /// The server that they are on.
    pub const fn server(&self) -> &Server {
        self.server
    }

    /// `database.connections.<game>`.
    pub fn connection(&self, game: &str) -> Value {
        self.server.connection(&self.name(game), game)
    }
}

impl Drop for Schemas<'_> {
    fn drop(&mut self) {
        for game in &self.games {
            self.server.drop_schema(&self.name(game));
        }
    }
}
