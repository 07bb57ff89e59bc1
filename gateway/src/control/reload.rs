//! Builds a snapshot aside, checks it whole, and swaps it in; or keeps the old one and says why.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use gateway_protocol::GameId;

use crate::auth::Authenticator;
use crate::backend::Pools;
use crate::catalog::Catalog;
use crate::config::{Config, Dialect, Env};
use crate::observe::{Event, Logs, Metrics, emit};
use crate::pipeline::Core;
use crate::snapshot::{Parts, Snapshot, build};

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// A text that the gateway wrote itself, for the demo.
    Text {
        /// YAML.
        text: String,
        /// What relative paths are relative to.
        base: PathBuf,
    },
}

/// Everything that is wrong, one line a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadFaults(pub Vec<String>);

impl fmt::Display for LoadFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for LoadFaults {}

/// How the last reload went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// There was none since the start.
    NotYet,
    /// It is in effect.
    Done {
        /// The generation that it made.
        generation: u64,
        /// Settings that changed and wait for a restart.
        needs_restart: Vec<String>,
    },
    /// Nothing changed.
    Unchanged,
    /// It was refused; the snapshot before it serves on.
    Refused(LoadFaults),
}

/// A configuration, and what it names, read and checked.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What deserves a word but stops nothing.
    pub warnings: Vec<String>,
    catalog: Catalog,
    authenticator: Authenticator,
    jwks: Option<String>,
}

impl Origin {
    /// Reads and checks the configuration alone.
    ///
    /// # Errors
    ///
    /// [`LoadFaults`]: every fault at once.
    pub fn config(&self) -> Result<(Config, Vec<String>), LoadFaults> {
        let env = Env::process();
        let read = match self {
            Self::File(path) => Config::load(path, &env),
            Self::Text { text, base } => Config::parse(text, base, &env),
        };
        let (config, warnings) =
            read.map_err(|faults| LoadFaults(faults.iter().map(ToString::to_string).collect()))?;
        Ok((config, warnings.iter().map(ToString::to_string).collect()))
    }
}

impl Loaded {
    /// Reads and checks everything that a snapshot is made of.
    ///
    /// - `samples_allowed`: whether the demo's published secrets may be used.
    ///
    /// # Errors
    ///
    /// [`LoadFaults`]: every fault of the configuration; or, when that is sound, every fault of the
    /// templates and keys.
    pub fn read(origin: &Origin, samples_allowed: bool) -> Result<Self, LoadFaults> {
        let (config, mut warnings) = origin.config()?;
        let mut faults = Vec::new();
        let games: Vec<_> = game_dialects(&config);
        let catalog = match Catalog::load(&config.templates, &games) {
            Ok(catalog) => {
                warnings.extend(catalog.warnings.iter().map(ToString::to_string));
                Some(catalog)
            }
            Err(findings) => {
                faults.extend(findings.iter().map(ToString::to_string));
                None
            }
        };
        let jwks = read_jwks(&config).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let authenticator = Authenticator::new(&config.auth, jwks.as_deref(), samples_allowed)
            .map_err(|found| faults.extend(found.iter().map(ToString::to_string)));
        match (catalog, authenticator) {
            (Some(catalog), Ok(authenticator)) if faults.is_empty() => {
                Ok(Self { config, warnings, catalog, authenticator, jwks })
            }
            _ => Err(LoadFaults(faults)),
        }
    }

    /// Makes the snapshot.
    ///
    /// # Errors
    ///
    /// [`LoadFaults`] that show only when configuration and templates meet.
    pub fn into_snapshot(self, generation: u64, metrics: &Metrics) -> Result<Snapshot, LoadFaults> {
        let Self { config, catalog, authenticator, jwks, .. } = self;
        let authenticator = Arc::new(authenticator);
        let parts = Parts { config: Arc::new(config), catalog, authenticator, jwks };
        build(generation, parts, metrics).map_err(LoadFaults)
    }
}

/// The games, each with the dialect of its database.
pub fn game_dialects(config: &Config) -> Vec<(GameId, Dialect)> {
    let dialect_of = |name: &str| {
        let mut connections = config.database.connections.iter();
        connections.find(|connection| *connection.name == *name).map(|found| found.dialect)
    };
    let games = config.games.iter();
    games.filter_map(|game| Some((game.id.clone(), dialect_of(&game.database)?))).collect()
}

fn read_jwks(config: &Config) -> Result<Option<String>, String> {
    let Some(path) = config.auth.jwt.as_ref().and_then(|jwt| jwt.jwks_file.as_deref()) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path);
    text.map(Some).map_err(|error| format!("auth.jwt.jwks_file: {}: {error}", path.display()))
}

/// Reads again what the running snapshot was built from.
#[derive(Debug)]
pub struct Reloader {
    /// Where from.
    pub origin: Origin,
    /// Whether the demo's published secrets may be used.
    pub samples_allowed: bool,
    /// Where a changed level goes.
    pub logs: Arc<Logs>,
    /// What it was read from.
    pub sources: Sources,
}

impl Reloader {
    /// Builds a new snapshot and swaps it in.
    pub(super) async fn reload(&mut self, core: &Core, pools: &Pools) -> ReloadOutcome {
        match self.prepare(core) {
            Ok(None) => ReloadOutcome::Unchanged,
            Ok(Some((snapshot, needs_restart))) => {
                self.sources = Sources::of(&self.origin, &snapshot.config);
                let generation = snapshot.generation;
                let catalog = snapshot.catalog_hash.clone();
                // Pools first: whoever sees the new snapshot finds its connections.
                let deadline = Instant::now() + snapshot.config.server.drain_timeout;
                pools.reconfigure(&snapshot.config.database, deadline).await;
                core.cache.reload(&snapshot.config.cache);
                self.logs.set_level(snapshot.config.logging.level);
                core.snapshot.store(Arc::new(snapshot));
                emit(&Event::Reloaded { generation, catalog: &catalog });
                for key in &needs_restart {
                    emit(&Event::ConfigWarning { text: &format!("{key} waits for a restart") });
                }
                ReloadOutcome::Done { generation, needs_restart }
            }
            Err(faults) => {
                emit(&Event::ReloadRefused { faults: &faults.to_string() });
                ReloadOutcome::Refused(faults)
            }
        }
    }

    fn prepare(&self, core: &Core) -> Result<Option<(Snapshot, Vec<String>)>, LoadFaults> {
        let running = core.snapshot.load();
        let mut loaded = Loaded::read(&self.origin, self.samples_allowed)?;
        let changes = Config::diff(&running.config, &loaded.config);
        loaded.config = loaded.config.reloaded_over(&running.config);
        let needs_restart = changes.restart.iter().map(ToString::to_string).collect();
        let snapshot = loaded.into_snapshot(running.generation + 1, &core.metrics)?;
        let is_same = *snapshot.config == *running.config
            && snapshot.catalog_hash == running.catalog_hash
            && snapshot.jwks == running.jwks;
        Ok((!is_same).then_some((snapshot, needs_restart)))
    }
}

/// The files that a snapshot is built from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The folder of templates, with everything in it.
    pub templates: PathBuf,
    /// Single files: the configuration, the JWKS.
    pub files: Vec<PathBuf>,
}

impl Sources {
    /// What a configuration is read from, as absolute paths.
    pub fn of(origin: &Origin, config: &Config) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_path_buf());
        let jwks = config.auth.jwt.as_ref().and_then(|jwt| jwt.jwks_file.as_deref());
        let file = match origin {
            Origin::File(path) => Some(path.as_path()),
            Origin::Text { .. } => None,
        };
        Self {
            templates: absolute(&config.templates),
            files: file.into_iter().chain(jwks).map(absolute).collect(),
        }
    }

    /// Whether a path that changed is one of them. What stands beside a file, a log or the audit log, is not.
    pub fn concern(&self, path: &Path) -> bool {
        path.starts_with(&self.templates) || self.files.iter().any(|file| file == path)
    }

    /// The folders to watch, and whether with everything in them. A file is watched through its folder,
    /// because editors replace it.
    pub fn folders(&self) -> impl Iterator<Item = (&Path, bool)> {
        let parents = self.files.iter().filter_map(|file| file.parent());
        std::iter::once((self.templates.as_path(), true)).chain(parents.map(|path| (path, false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_and_named_files_concern_a_reload_and_their_neighbours_do_not() {
        let sources = Sources { templates: "/t".into(), files: vec!["/c/gateway.yaml".into()] };
        for path in ["/t", "/t/game1/player/get.sql", "/c/gateway.yaml"] {
            assert!(sources.concern(Path::new(path)), "{path}");
        }
        for path in ["/c/audit.log", "/c/gateway.yaml.swp", "/c", "/templates/x"] {
            assert!(!sources.concern(Path::new(path)), "{path}");
        }
        let folders: Vec<_> = sources.folders().collect();
        assert_eq!(folders, [(Path::new("/t"), true), (Path::new("/c"), false)]);
    }
}
