//! What one reload swaps as a whole: configuration, catalog, keys, roles, routes.
//!
//! A request keeps the snapshot that it started with. A reload builds a new one aside, completely; if
//! anything in it is wrong the old one stays.
//!
//! Invariant: read-only once built; two requests never see halves of two snapshots.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use gateway_protocol::{Code, GameId, OpId};

use crate::auth::{Access, Authenticator};
use crate::cache::KeySpec;
use crate::catalog::{Catalog, GameTemplates, HttpMethod, Template};
use crate::config::{Config, GameConfig, QueueKind};
use crate::observe::{Metrics, OpIndex};

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
    games: HashMap<Box<str>, Game, RandomState>,
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
    /// The longest that a request may take.
    pub deadline: Duration,
    operations: HashMap<Box<str>, Arc<Operation>, RandomState>,
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

/// A write that names a read as the one to ask for its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusOf {
    /// The write.
    pub op: OpId,
    /// The read's slot (index) that takes the write's key.
    pub slot: usize,
}

/// The writes of a game that name `read` with `@status`.
fn status_of(read: &Template, templates: &[Arc<Template>]) -> Vec<StatusOf> {
    let naming = templates.iter().filter_map(|write| {
        let status = write.write.status.as_ref().filter(|status| status.op == read.op)?;
        let param = &status.args.first()?.param;
        let slot = read.slots.iter().position(|slot| slot.name == *param)?;
        Some(StatusOf { op: write.op.clone(), slot })
    });
    naming.collect()
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
    pub game: &'s Game,
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
    pub fn game(&self, name: &str) -> Result<&Game, RouteError> {
        self.games.get(name).ok_or(RouteError::NoSuchGame)
    }

    /// Every game, in no order.
    pub fn games(&self) -> impl Iterator<Item = &Game> {
        self.games.values()
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
        let operation = self.operations.get(name).ok_or(RouteError::NoSuchOperation)?;
        if operation.enabled { Ok(operation) } else { Err(RouteError::OperationDisabled) }
    }

    /// The template of that name, whether game and operation are switched on or not: what was accepted
    /// before a switch is applied after it.
    pub fn template(&self, name: &str) -> Option<&Arc<Template>> {
        self.operations.get(name).map(|operation| &operation.template)
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

/// What a snapshot is built from.
#[derive(Debug)]
pub struct Parts {
    /// The checked configuration.
    pub config: Arc<Config>,
    /// The checked templates, for the games of the configuration.
    pub catalog: Catalog,
    /// The keys.
    pub authenticator: Arc<Authenticator>,
    /// The text of the JWKS file, where there is one.
    pub jwks: Option<String>,
}

/// Builds a snapshot.
///
/// # Errors
///
/// Every fault that only shows when configuration and catalog meet: roles that nobody declares, kill
/// switches of operations that do not exist, audited operations without an audit log.
pub fn build(generation: u64, parts: Parts, metrics: &Metrics) -> Result<Snapshot, Vec<String>> {
    let Parts { config, catalog, authenticator, jwks } = parts;
    let mut faults = unmet(&config, &catalog);
    let mut games = HashMap::default();
    for game_config in &config.games {
        let templates = catalog.game(game_config.id.as_str());
        let templates = templates.map(GameTemplates::templates).unwrap_or_default();
        let mut builder = GameBuilder {
            config: &config,
            game: game_config,
            authenticator: &authenticator,
            metrics,
            faults: &mut faults,
        };
        let game = builder.build(templates);
        games.insert(game_config.id.as_str().into(), game);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let catalog_hash = catalog.hash.clone();
    Ok(Snapshot { generation, config, catalog_hash, authenticator, jwks, games })
}

/// Most operations that one fault names.
const NAMES_MAX: usize = 5;

/// What templates need of the configuration and do not find: one fault each, which names the operations.
fn unmet(config: &Config, catalog: &Catalog) -> Vec<String> {
    let naming = |key: &str, needing: &dyn Fn(&Template) -> bool, what: &str| {
        let templates = catalog.games().iter().flat_map(GameTemplates::templates);
        let mut names: Vec<String> = templates
            .filter(|template| needing(template))
            .map(|template| format!("{} {}", template.game, template.op))
            .collect();
        names.sort_unstable();
        let count = names.len();
        names.truncate(NAMES_MAX);
        let more = match count.saturating_sub(NAMES_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let reason = format!("is missing: {what} need it: {}{more}", names.join(", "));
        (count > 0).then(|| config.fault_at(key, &reason))
    };
    let audited = (config.logging.audit_file.is_none())
        .then(|| naming("logging.audit_file", &|it| it.audit, "operations with `@audit`"));
    let queued = (config.journal.path.is_none()).then(|| {
        let queued = |it: &Template| it.write.asynchronous.is_some() && config.journals(&it.game);
        naming("journal.path", &queued, "operations with `@async`")
    });
    audited.into_iter().chain(queued).flatten().collect()
}

struct GameBuilder<'b> {
    config: &'b Config,
    game: &'b GameConfig,
    authenticator: &'b Authenticator,
    metrics: &'b Metrics,
    faults: &'b mut Vec<String>,
}

impl GameBuilder<'_> {
    fn build(&mut self, templates: &[Arc<Template>]) -> Game {
        let mut operations: HashMap<Box<str>, Arc<Operation>, RandomState> = HashMap::default();
        // Included operations first: an operation holds those that it includes.
        let (plain, including): (Vec<_>, Vec<_>) =
            templates.iter().partition(|template| template.includes.is_empty());
        for template in plain.into_iter().chain(including) {
            if let Some(mut operation) = self.operation(template, &operations) {
                operation.status_of = status_of(template, templates);
                operations.insert(template.op.as_str().into(), Arc::new(operation));
            }
        }
        for op in &self.game.disabled_operations {
            if !operations.contains_key(op.as_str()) {
                let key = format!("games.{}.disabled_operations", self.game.id);
                let reason = format!("names `{op}`, which is no operation of this game");
                self.faults.push(self.config.fault_at(&key, &reason));
            }
        }
        let paths = self.paths(&operations);
        Game {
            id: self.game.id.clone(),
            enabled: self.game.enabled,
            pool: self.game.database.clone(),
            deadline: self.game.deadline,
            operations,
            paths,
        }
    }

    fn operation(
        &mut self,
        template: &Arc<Template>,
        built: &HashMap<Box<str>, Arc<Operation>, RandomState>,
    ) -> Option<Operation> {
        let name = format!("{} {}", template.game, template.op);
        let access = match self.authenticator.roles().compile(&template.allow) {
            Ok(access) => access,
            Err(faults) => {
                let faults = faults.iter().map(|fault| format!("{name}: @allow: {fault}"));
                self.faults.extend(faults);
                return None;
            }
        };
        let mut included = Vec::new();
        for include in &template.includes {
            let Some(operation) = built.get(include.op.as_str()) else {
                self.faults.push(format!(
                    "{name}: @include {} names `{}`, which itself includes or does not exist",
                    include.name, include.op
                ));
                return None;
            };
            included.push(Arc::clone(operation));
        }
        Some(Operation {
            version_text: format!("{:016x}", template.version).into(),
            pool: self.game.database.clone(),
            access,
            key_spec: KeySpec::new(template),
            enabled: !self.game.disabled_operations.contains(&template.op),
            index: self.metrics.operation_index(template.game.as_str(), template.op.as_str()),
            included,
            status_of: Vec::new(),
            queue: self.game.queue,
            template: Arc::clone(template),
        })
    }

    fn paths(
        &mut self,
        operations: &HashMap<Box<str>, Arc<Operation>, RandomState>,
    ) -> matchit::Router<PathEntry> {
        let mut by_path: HashMap<&str, PathEntry> = HashMap::new();
        for operation in operations.values() {
            let Some(route) = &operation.template.http else { continue };
            let Some(("{game}", rest)) = split_path(&route.path) else {
                let op = &operation.template.op;
                self.faults.push(format!("{op}: @http path must begin with `/v1/{{game}}/`"));
                continue;
            };
            let entry = by_path.entry(rest).or_default();
            entry.methods.push((route.method, Arc::clone(operation)));
        }
        let mut router = matchit::Router::new();
        for (path, mut entry) in by_path {
            entry.methods.sort_by_key(|(method, _)| *method);
            if let Err(error) = router.insert(path, entry) {
                let game = &self.game.id;
                self.faults.push(format!("game {game}: @http path `{path}`: {error}"));
            }
        }
        router
    }
}
