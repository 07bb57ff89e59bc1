//! What one reload swaps as a whole: configuration, catalog, keys, roles, routes.
//!
//! A request keeps the snapshot that it started with. A reload builds a new one aside, completely; if
//! anything in it is wrong the old one stays.
//!
//! Invariant: read-only once built; two requests never see halves of two snapshots.

mod build;
mod owner;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use gateway_protocol::{Code, GameId, OpId};

use crate::auth::{Access, Authenticator};
use crate::cache::KeySpec;
use crate::catalog::{HttpMethod, PathSegment, Template, path_segments};
use crate::config::{Config, QueueKind};
use crate::observe::OpIndex;

pub use build::{Parts, build, build_after};
pub use owner::{Mirrored, OwnerEpoch, Placed, Which};

/// Everything that a request's way depends on.
#[derive(Debug)]
pub struct Snapshot {
    /// 1 at start, one more at each reload.
    pub generation: u64,
    /// The configuration it was built from.
    pub config: Arc<Config>,
    /// Hash over all templates, in hexadecimal; equal on instances that serve the same catalog.
    pub catalog_hash: Box<str>,
    /// Verifies credentials.
    pub authenticator: Arc<Authenticator>,
    /// The text of the JWKS file that the authenticator was made with.
    pub jwks: Option<String>,
    games: HashMap<Box<str>, Arc<Game>, RandomState>,
}

/// A game and its operations.
#[derive(Debug)]
pub struct Game {
    /// Its id.
    pub id: GameId,
    /// Whether it is served at all.
    pub enabled: bool,
    /// The connection's name in the configuration.
    pub pool: Box<str>,
    /// The name of the other one, where it has a mirror. Which of both owns the game is for the backend to know.
    pub mirror: Option<Box<str>>,
    /// What raises the epoch in the cache keys of a game with a mirror.
    pub owner_epoch: Option<OwnerEpoch>,
    /// The longest that a request may take.
    pub deadline: Duration,
    operations: HashMap<Box<str>, Arc<Operation>, RandomState>,
    /// Operations that are turned off, and that one of the game's two databases lacks.
    one_sided: Vec<OpId>,
    paths: matchit::Router<PathEntry>,
}

/// A template, with what a request needs beside it.
#[derive(Debug)]
pub struct Operation {
    /// Contract and SQL.
    pub template: Arc<Template>,
    /// The template's version, as replies and logs show it.
    pub version_text: Box<str>,
    /// The connection's name in the configuration.
    pub pool: Box<str>,
    /// The same on the game's mirror, where it has one: under one contract with `template`.
    pub mirror: Option<Mirrored>,
    /// Part of its cache keys; `None`: 0.
    owner_epoch: Option<OwnerEpoch>,
    /// Who may call it.
    pub access: Access,
    /// How its cache key is made.
    pub key_spec: KeySpec,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Where its metrics are kept.
    pub index: OpIndex,
    /// The operations of `template.includes`, in order.
    pub included: Vec<Arc<Operation>>,
    /// The queued writes whose state this read tells: those that name it with `@status`.
    pub status_of: Vec<StatusOf>,
    /// Where its game's queued writes go.
    pub queue: QueueKind,
}

impl Operation {
    /// The operation on that database; `None`: its game has no mirror.
    pub fn placed(&self, which: Which) -> Option<Placed<'_>> {
        match which {
            Which::Database => Some(Placed { which, pool: &self.pool, template: &self.template }),
            Which::Mirror => {
                let Mirrored { pool, template } = self.mirror.as_ref()?;
                Some(Placed { which, pool, template })
            }
        }
    }

    /// The operation on the database of that name; `None`: its game is not on it.
    pub fn on(&self, pool: &str) -> Option<Placed<'_>> {
        [Which::Database, Which::Mirror]
            .into_iter()
            .find_map(|which| self.placed(which).filter(|placed| placed.pool == pool))
    }

    /// The epoch of the game's owner, for cache keys.
    pub fn owner_epoch(&self) -> u32 {
        self.owner_epoch.as_ref().map_or(0, OwnerEpoch::read)
    }
}

/// A write that names a read as the one to ask for its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusOf {
    /// The write.
    pub op: OpId,
    /// The read's slot (index) that takes the write's key.
    pub slot: usize,
}

/// Why no operation answers to a name or a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No game of that name.
    #[error("no such game")]
    NoSuchGame,
    /// No operation of that name, or no route of that path.
    #[error("no such operation")]
    NoSuchOperation,
    /// The game is disabled.
    #[error("the game is disabled")]
    GameDisabled,
    /// The operation is disabled.
    #[error("the operation is disabled")]
    OperationDisabled,
    /// The path exists, with other methods.
    #[error("method not allowed")]
    MethodNotAllowed,
}

impl RouteError {
    /// The code on the wire.
    pub const fn code(self) -> Code {
        match self {
            Self::NoSuchGame => Code::NoSuchGame,
            Self::NoSuchOperation => Code::NoSuchOperation,
            Self::GameDisabled => Code::GameDisabled,
            Self::OperationDisabled => Code::OperationDisabled,
            Self::MethodNotAllowed => Code::MethodNotAllowed,
        }
    }
}

/// The operations of one path, by method.
#[derive(Debug, Default)]
struct PathEntry {
    methods: Vec<(HttpMethod, Arc<Operation>)>,
}

/// A path that was found: its game, the methods it has, and what stood in its braces.
#[derive(Debug)]
pub struct PathMatch<'s, 'p> {
    /// The game.
    pub game: &'s Arc<Game>,
    /// What stood in the braces, still percent-encoded.
    pub params: matchit::Params<'s, 'p>,
    entry: &'s PathEntry,
}

impl<'s> PathMatch<'s, '_> {
    /// The operation of a method.
    ///
    /// # Errors
    ///
    /// [`RouteError::MethodNotAllowed`] when the path has none for it.
    pub fn operation(&self, method: HttpMethod) -> Result<&'s Arc<Operation>, RouteError> {
        let mut methods = self.entry.methods.iter();
        let found = methods.find(|(own, _)| *own == method);
        found.map(|(_, operation)| operation).ok_or(RouteError::MethodNotAllowed)
    }

    /// The methods it has, for `Allow`.
    pub fn methods(&self) -> impl Iterator<Item = HttpMethod> {
        self.entry.methods.iter().map(|(method, _)| *method)
    }
}

impl Snapshot {
    /// The game of that name, enabled or not.
    ///
    /// # Errors
    ///
    /// [`RouteError::NoSuchGame`].
    pub fn game(&self, name: &str) -> Result<&Arc<Game>, RouteError> {
        self.games.get(name).ok_or(RouteError::NoSuchGame)
    }

    /// Every game, in no order.
    pub fn games(&self) -> impl Iterator<Item = &Game> {
        self.games.values().map(Arc::as_ref)
    }

    /// Finds the routes of an HTTP path `/v1/{game}/…`, without its query.
    ///
    /// # Errors
    ///
    /// [`RouteError::NoSuchGame`] or [`RouteError::NoSuchOperation`].
    pub fn path<'s, 'p>(&'s self, path: &'p str) -> Result<PathMatch<'s, 'p>, RouteError> {
        let (game, rest) = split_path(path).ok_or(RouteError::NoSuchOperation)?;
        let game = self.game(game)?;
        let found = game.paths.at(rest).ok().ok_or(RouteError::NoSuchOperation)?;
        Ok(PathMatch { game, params: found.params, entry: found.value })
    }
}

/// Whether one route's path may take what another one's braces would; see [`Game::is_only_route`].
fn may_take(path: &str, from: &str) -> bool {
    use PathSegment::{Param, Text};
    let (mut own, mut others) = (path_segments(path), path_segments(from));
    let mut takes = false;
    loop {
        match (own.next(), others.next()) {
            (None, None) => return takes,
            (Some(Text(text)), Some(Text(other))) if text == other => {}
            (Some(Text(text)), Some(Param { .. })) if !text.contains(':') => takes = true,
            (Some(Param { .. }), Some(Text(_))) => {}
            (Some(Param { verb, .. }), Some(Param { verb: other, .. })) if verb == other => {}
            _ => return false,
        }
    }
}

/// Cuts `/v1/game1/players/7` into `game1` and `/players/7`.
pub fn split_path(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v1/")?;
    let slash = rest.find('/')?;
    rest.split_at_checked(slash)
}

impl Game {
    /// The operation of that name, if the game and the operation are switched on.
    ///
    /// # Errors
    ///
    /// [`RouteError`]: the first of game disabled, no such operation, operation disabled.
    pub fn operation(&self, name: &str) -> Result<&Arc<Operation>, RouteError> {
        if !self.enabled {
            return Err(RouteError::GameDisabled);
        }
        match self.operations.get(name) {
            Some(operation) if operation.enabled => Ok(operation),
            Some(_) => Err(RouteError::OperationDisabled),
            None if self.one_sided.iter().any(|op| op.as_str() == name) => {
                Err(RouteError::OperationDisabled)
            }
            None => Err(RouteError::NoSuchOperation),
        }
    }

    /// Whether no other route can take a path of this one because of what stands in its braces: there letters, digits and `-._~`.
    /// One that can takes precedence for a text of its own (`players/{id}` and `players/top`).
    pub fn is_only_route(&self, path: &str) -> bool {
        let routes =
            self.operations.values().filter_map(|operation| operation.template.http.as_ref());
        routes.filter(|route| *route.path != *path).all(|route| !may_take(&route.path, path))
    }

    /// The template of that name, whether game and operation are switched on or not: what was accepted
    /// before a switch is applied after it.
    pub fn template(&self, name: &str) -> Option<&Arc<Template>> {
        self.operations.get(name).map(|operation| &operation.template)
    }

    /// The operation of that name, the same way.
    pub fn known(&self, name: &str) -> Option<&Arc<Operation>> {
        self.operations.get(name)
    }

    /// The connection's name; `None`: it has no mirror.
    pub fn pool_of(&self, which: Which) -> Option<&str> {
        match which {
            Which::Database => Some(&self.pool),
            Which::Mirror => self.mirror.as_deref(),
        }
    }

    /// Every operation, in no order.
    pub fn operations(&self) -> impl Iterator<Item = &Arc<Operation>> {
        self.operations.values()
    }

    /// Whether a GET of this path, with or without a query, is answered by that operation.
    pub fn leads_to(&self, path: &str, operation: &Operation) -> bool {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let found = split_path(path).and_then(|(_, rest)| self.paths.at(rest).ok());
        found.is_some_and(|found| {
            let methods = &found.value.methods;
            methods.iter().any(|(method, own)| {
                *method == HttpMethod::Get && own.template.op == operation.template.op
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::may_take;

    #[test]
    fn route_with_a_text_where_another_has_braces_may_take_its_path() {
        let from = "/v1/{game}/players/{id}/items";
        for (path, takes) in [
            ("/v1/{game}/players/top/items", true),
            ("/v1/{game}/{kind}/top/items", true),
            ("/v1/{game}/players/{other}/items", false),
            ("/v1/{game}/players/{id}/{part}", false),
            ("/v1/{game}/players/top/skills", false),
            ("/v1/{game}/players/top", false),
            ("/v1/{game}/players/top/items/1", false),
            ("/v1/{game}/guilds/top/items", false),
            ("/v1/{game}/players/a:b/items", false),
            ("/v1/{game}/players/{id}:ban/items", false),
        ] {
            assert_eq!(may_take(path, from), takes, "{path}");
        }
    }
}
