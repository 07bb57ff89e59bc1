//! Puts a snapshot together, and finds what only shows then.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use gateway_protocol::OpId;

use super::{Game, Mirrored, Operation, OwnerEpoch, PathEntry, Snapshot, StatusOf, split_path};
use crate::auth::Authenticator;
use crate::cache::KeySpec;
use crate::catalog::{Catalog, GameTemplates, Template};
use crate::config::{Config, GameConfig};
use crate::observe::Metrics;

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
    assemble(generation, parts, metrics, &|_game| None)
}

/// Builds the snapshot that comes after `running`: the epochs of the games' owners are the same ones.
///
/// # Errors
///
/// As [`build`].
pub fn build_after(
    running: &Snapshot,
    parts: Parts,
    metrics: &Metrics,
) -> Result<Snapshot, Vec<String>> {
    let known = |game: &str| running.game(game).ok().and_then(|game| game.owner_epoch.clone());
    assemble(running.generation + 1, parts, metrics, &known)
}

fn assemble(
    generation: u64,
    parts: Parts,
    metrics: &Metrics,
    known_epoch: &dyn Fn(&str) -> Option<OwnerEpoch>,
) -> Result<Snapshot, Vec<String>> {
    let Parts { config, catalog, authenticator, jwks } = parts;
    let mut faults = unmet(&config, &catalog);
    let mut games = HashMap::default();
    for game_config in &config.games {
        let known = catalog.game(game_config.id.as_str());
        let templates = known.map(GameTemplates::templates).unwrap_or_default();
        let mut builder = GameBuilder {
            config: &config,
            game: game_config,
            mirrored: known.map(GameTemplates::mirrored).unwrap_or_default(),
            owner_epoch: game_config
                .mirror
                .as_ref()
                .map(|_| known_epoch(game_config.id.as_str()).unwrap_or_default()),
            authenticator: &authenticator,
            metrics,
            faults: &mut faults,
        };
        let game = builder.build(templates);
        games.insert(game_config.id.as_str().into(), Arc::new(game));
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
    /// The templates in the dialect of its mirror.
    mirrored: &'b [Arc<Template>],
    owner_epoch: Option<OwnerEpoch>,
    authenticator: &'b Authenticator,
    metrics: &'b Metrics,
    faults: &'b mut Vec<String>,
}

impl GameBuilder<'_> {
    fn build(&mut self, templates: &[Arc<Template>]) -> Game {
        let mut operations: HashMap<Box<str>, Arc<Operation>, RandomState> = HashMap::default();
        let (templates, one_sided) = self.on_both(templates);
        // Included operations first: an operation holds those that it includes.
        let (plain, including): (Vec<_>, Vec<_>) =
            templates.iter().partition(|template| template.includes.is_empty());
        for template in plain.into_iter().chain(including) {
            if let Some(mut operation) = self.operation(template, &operations) {
                operation.status_of = status_of(template, &templates);
                operations.insert(template.op.as_str().into(), Arc::new(operation));
            }
        }
        for op in &self.game.disabled_operations {
            if !operations.contains_key(op.as_str()) && !one_sided.contains(op) {
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
            mirror: self.game.mirror.clone(),
            owner_epoch: self.owner_epoch.clone(),
            deadline: self.game.deadline,
            operations,
            one_sided,
            paths,
        }
    }

    /// The templates that a game with a mirror has on both of its databases, and the names of those that one of them
    /// lacks: they are turned off, or the catalog had not been loaded.
    fn on_both(&self, templates: &[Arc<Template>]) -> (Vec<Arc<Template>>, Vec<OpId>) {
        if self.game.mirror.is_none() {
            return (templates.to_vec(), Vec::new());
        }
        let (both, only): (Vec<_>, Vec<_>) =
            templates.iter().cloned().partition(|template| self.twin(template).is_some());
        let is_there = |one: &&Arc<Template>| both.iter().any(|both| both.op == one.op);
        let there = self.mirrored.iter().filter(|one| !is_there(one));
        let one_sided = only.iter().chain(there).map(|template| template.op.clone()).collect();
        (both, one_sided)
    }

    /// The template on the game's mirror.
    fn twin(&self, template: &Template) -> Option<&Arc<Template>> {
        let found = self.mirrored.binary_search_by(|one| one.op.as_str().cmp(template.op.as_str()));
        self.mirrored.get(found.ok()?)
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
                    "{name}: @include {} names `{}`, which itself includes, does not exist, or is turned off and on one database alone",
                    include.name, include.op
                ));
                return None;
            };
            included.push(Arc::clone(operation));
        }
        let mirror = self.mirror(template);
        let key_spec = match &mirror {
            Some(mirror) => KeySpec::mirrored(template, &mirror.template),
            None => KeySpec::new(template),
        };
        Some(Operation {
            version_text: format!("{:016x}", template.version).into(),
            pool: self.game.database.clone(),
            mirror,
            owner_epoch: self.owner_epoch.clone(),
            access,
            key_spec,
            enabled: !self.game.disabled_operations.contains(&template.op),
            index: self.metrics.operation_index(template.game.as_str(), template.op.as_str()),
            included,
            status_of: Vec::new(),
            queue: self.game.queue,
            template: Arc::clone(template),
        })
    }

    /// The operation on the game's mirror, where it has one. The game may be moved there at any moment.
    fn mirror(&self, template: &Template) -> Option<Mirrored> {
        let pool = self.game.mirror.clone()?;
        Some(Mirrored { pool, template: Arc::clone(self.twin(template)?) })
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use gateway_protocol::GameId;
    use tempfile::TempDir;

    use super::super::{RouteError, Which};
    use super::*;
    use crate::catalog::{Dialect, MirroredGame};
    use crate::config::Env;

    const GET: &str = "-- @kind one\n-- @param id int\n-- @result id int\n-- @allow public\n\
        SELECT p.id FROM p WHERE p.id = :id\n";

    /// The parts of a game on SQLite whose mirror is a MySQL, with templates of its own there.
    fn parts(folder: &Path, files: &[(&str, &str)]) -> Parts {
        parts_with(folder, files, "[]")
    }

    /// The same, with operations that are turned off.
    fn parts_with(folder: &Path, files: &[(&str, &str)], disabled: &str) -> Parts {
        for (name, text) in files {
            let path = folder.join("sql/game1").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let text = format!(
            "templates: sql\ndatabase:\n  connections:\n    old: {{type: sqlite, path: t.db}}\n    \
                    new: {{type: mysql, host: h, username: u, password: '', database: d}}\n\
                    games: {{game1: {{database: old, mirror: new, disabled_operations: {disabled}}}}}\n\
                    auth: {{jwt_secret: a-secret-of-32-bytes-and-a-few-more}}\n"
        );
        let (config, _) = Config::parse(&text, folder, &Env::process()).unwrap();
        let id = GameId::new("game1").unwrap();
        let (dialect, mirror) = (Dialect::Sqlite, Dialect::Mysql);
        let disabled = config.games[0].disabled_operations.clone();
        let mirrors = [MirroredGame { id: id.clone(), dialect, mirror, disabled }];
        let catalog =
            Catalog::load_mirrored(&config.templates, &[(id, dialect)], &mirrors).unwrap();
        let authenticator = Arc::new(Authenticator::new(&config.auth, None, true).unwrap());
        Parts { config: Arc::new(config), catalog, authenticator, jwks: None }
    }

    fn folder() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn game_with_a_mirror_has_each_operation_in_both_dialects_and_one_epoch_over_reloads() {
        let (folder, metrics) = (folder(), Metrics::new());
        let files = [("t/get.sql", GET)];
        let first = build(1, parts(folder.path(), &files), &metrics).unwrap();
        let operation = Arc::clone(first.game("game1").unwrap().operation("t.get").unwrap());
        let placed = |which| {
            let placed = operation.placed(which).unwrap();
            (placed.pool, placed.template.dialect)
        };
        assert_eq!(placed(Which::Database), ("old", Dialect::Sqlite));
        assert_eq!(placed(Which::Mirror), ("new", Dialect::Mysql));
        let second = build_after(&first, parts(folder.path(), &files), &metrics).unwrap();
        assert_eq!((second.generation, operation.owner_epoch()), (2, 0));
        // Whoever still works with the first one knows it, too.
        second.game("game1").unwrap().owner_epoch.as_ref().unwrap().set(7);
        assert_eq!(operation.owner_epoch(), 7);
    }

    #[test]
    fn operation_that_is_turned_off_and_on_one_database_alone_answers_as_one_that_is_off() {
        let (folder, metrics) = (folder(), Metrics::new());
        let only = |dialect| format!("-- @dialects {dialect}\n{GET}");
        let files = [
            ("t/get.sql", GET),
            ("t/here.sql", &*only("sqlite")),
            ("t/there.sql", &*only("mysql")),
        ];
        let parts = parts_with(folder.path(), &files, "[t.here, t.there]");
        let snapshot = build(1, parts, &metrics).unwrap();
        let game = snapshot.game("game1").unwrap();
        for op in ["t.here", "t.there"] {
            assert_eq!(game.operation(op).unwrap_err(), RouteError::OperationDisabled);
            assert!(game.known(op).is_none(), "nothing is applied with it");
        }
        assert_eq!(game.operation("t.get").unwrap().template.op.as_str(), "t.get");
        assert_eq!(game.operation("t.none").unwrap_err(), RouteError::NoSuchOperation);
        let parts = parts_with(folder.path(), &files, "[t.here, t.there, t.none]");
        let faults = build(1, parts, &metrics).unwrap_err();
        assert!(faults[0].contains("names `t.none`, which is no operation"), "{faults:?}");
    }
}
