//! Builds a snapshot aside, checks it whole, and swaps it in; or keeps the old one and says why.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dialects::{game_dialects, mirrored_games, told};
use super::watch::{WatchPath, watch_paths};
use crate::auth::{Authenticator, PUBLIC};
use crate::backend::{Farewell, Pools};
use crate::catalog::{Catalog, GameTemplates};
use crate::config::{AuthConfig, Config, Env, RoleConfig};
use crate::journal::{JournalError, PendingContract, Served};
use crate::observe::{Event, Logs, Metrics, emit};
use crate::pipeline::Core;
use crate::snapshot::{Parts, Snapshot, build, build_after};

/// How much longer than the longest deadline the pools of before are found.
const FAREWELL_GRACE: Duration = Duration::from_secs(2);

/// Between two tries to reach the journal's thread past a full queue, and how many there are.
const QUEUE_PAUSE: (Duration, u32) = (Duration::from_millis(5), 400);

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
            Self::File(path) => Config::load_to_serve(path, &env),
            Self::Text { text, base } => Config::parse_to_serve(text, base, &env),
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
        let (config, warnings) = origin.config()?;
        Self::assemble(config, warnings, samples_allowed)
    }

    /// Reads and checks what a configuration names: templates and keys.
    ///
    /// # Errors
    ///
    /// [`LoadFaults`]: every fault of the templates; or, when they are sound, of the keys.
    pub fn assemble(
        config: Config,
        mut warnings: Vec<String>,
        samples_allowed: bool,
    ) -> Result<Self, LoadFaults> {
        let mut faults = Vec::new();
        let (games, mirrors) = (game_dialects(&config), mirrored_games(&config));
        let catalog = match Catalog::load_mirrored(&config.templates, &games, &mirrors) {
            Ok(catalog) => {
                warnings.extend(catalog.warnings.iter().map(ToString::to_string));
                Some(catalog)
            }
            Err(findings) => {
                faults.extend(findings.iter().map(told));
                None
            }
        };
        let jwks = read_jwks(&config).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        // Without the templates nobody knows which roles there are.
        let Some(catalog) = catalog else { return Err(LoadFaults(faults)) };
        let auth = with_template_roles(&config.auth, &catalog);
        let authenticator =
            Authenticator::new(&auth, jwks.as_deref(), samples_allowed).map_err(|found| {
                let told = found.iter().map(|fault| match config.line_of(&fault.key) {
                    0 => fault.to_string(),
                    line => format!("line {line}: {fault}"),
                });
                faults.extend(told);
            });
        match authenticator {
            Ok(authenticator) if faults.is_empty() => {
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
        build(generation, self.into_parts(), metrics).map_err(LoadFaults)
    }

    /// Makes the snapshot that comes after the running one.
    fn into_next(self, running: &Snapshot, metrics: &Metrics) -> Result<Snapshot, LoadFaults> {
        build_after(running, self.into_parts(), metrics).map_err(LoadFaults)
    }

    fn into_parts(self) -> Parts {
        let Self { config, catalog, authenticator, jwks, .. } = self;
        let authenticator = Arc::new(authenticator);
        Parts { config: Arc::new(config), catalog, authenticator, jwks }
    }
}

/// Every role that a template names is one, and `game_server`, which keys have by default: only a role that
/// inherits needs a section of its own. A key's role that neither a template nor a section names is a fault.
fn with_template_roles(auth: &AuthConfig, catalog: &Catalog) -> AuthConfig {
    let mut auth = auth.clone();
    let templates = catalog.games().iter().flat_map(GameTemplates::templates);
    let named = templates.flat_map(|template| &template.allow).map(|rule| &*rule.role);
    for name in named.chain(["game_server"]) {
        if name != PUBLIC && !auth.roles.iter().any(|role| *role.name == *name) {
            auth.roles.push(RoleConfig { name: name.into(), inherits: Vec::new() });
        }
    }
    auth
}

fn read_jwks(config: &Config) -> Result<Option<String>, String> {
    let Some(path) = config.auth.jwt.as_ref().and_then(|jwt| jwt.jwks_file.as_deref()) else {
        return Ok(None);
    };
    std::fs::read_to_string(path).map(Some).map_err(|error| {
        let reason = format!("cannot be read: {}: {error}", path.display());
        config.fault_at("auth.jwt.jwks_file", &reason)
    })
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
    /// The folders and files to watch.
    pub paths: Vec<WatchPath>,
    /// Warnings that the log has of what serves.
    pub warnings: Vec<String>,
}

/// A snapshot that may be swapped in.
struct Prepared {
    snapshot: Snapshot,
    /// Settings that changed and wait for a restart.
    needs_restart: Vec<String>,
    warnings: Vec<String>,
}

impl Reloader {
    /// What to watch for changes.
    pub(super) fn watched(&self) -> Vec<WatchPath> {
        self.paths.clone()
    }

    /// Builds a new snapshot and swaps it in.
    pub(super) async fn reload(&mut self, core: &Core, pools: &Pools) -> ReloadOutcome {
        let prepared = match self.prepare(core) {
            Ok(Some(prepared)) => agree(core, &prepared.snapshot).await.map(|()| Some(prepared)),
            unchanged_or_refused => unchanged_or_refused,
        };
        match prepared {
            Ok(None) => ReloadOutcome::Unchanged,
            Ok(Some(Prepared { snapshot, needs_restart, warnings })) => {
                self.paths = watch_paths(&self.origin, &snapshot.config);
                let generation = snapshot.generation;
                let catalog = snapshot.catalog_hash.clone();
                // Pools first: whoever sees the new snapshot finds its connections.
                let farewell = farewell(&core.snapshot.load().config, Instant::now());
                pools.reconfigure(&snapshot.config.database, farewell);
                core.cache.reload(&snapshot.config.cache);
                self.logs.set_level(snapshot.config.logging.level);
                core.gates.expect(Some(&core.snapshot.load().config), &snapshot.config);
                core.snapshot.store(Arc::new(snapshot));
                emit(&Event::Reloaded { generation, catalog: &catalog });
                for key in &needs_restart {
                    emit(&Event::ConfigWarning { text: &format!("{key} waits for a restart") });
                }
                for text in warnings.iter().filter(|text| !self.warnings.contains(text)) {
                    emit(&Event::ConfigWarning { text });
                }
                self.warnings = warnings;
                ReloadOutcome::Done { generation, needs_restart }
            }
            Err(faults) => {
                emit(&Event::ReloadRefused { faults: &faults.to_string() });
                ReloadOutcome::Refused(faults)
            }
        }
    }

    fn prepare(&self, core: &Core) -> Result<Option<Prepared>, LoadFaults> {
        let running = core.snapshot.load();
        let mut loaded = Loaded::read(&self.origin, self.samples_allowed)?;
        let changes = Config::diff(&running.config, &loaded.config);
        loaded.config = loaded.config.reloaded_over(&running.config);
        let warnings = std::mem::take(&mut loaded.warnings);
        let needs_restart = changes.restart.iter().map(ToString::to_string).collect();
        let snapshot = loaded.into_next(&running, &core.metrics)?;
        if let Some(journal) = &core.journal {
            check_queued(&snapshot, &journal.pending_contracts())?;
        }
        // A setting that waits for a restart is worth a word, also alone.
        let is_same = changes.restart.is_empty()
            && *snapshot.config == *running.config
            && snapshot.catalog_hash == running.catalog_hash
            && snapshot.jwks == running.jwks;
        Ok((!is_same).then_some(Prepared { snapshot, needs_restart, warnings }))
    }
}

/// Until every request that began under `running` has ended, at its game's deadline, and a moment for what
/// comes after: an audit record, a refusal's row.
fn farewell(running: &Config, now: Instant) -> Farewell {
    let longest = running.games.iter().map(|game| game.deadline).max().unwrap_or_default();
    let found_until = now + longest + FAREWELL_GRACE;
    Farewell { found_until, closed_by: found_until + running.server.drain_timeout }
}

/// Has the journal take only what the snapshot can apply, from now on: a moment before it is in effect, so that
/// no order slips in between that it could not apply. What is refused in this moment may be sent again.
async fn agree(core: &Core, snapshot: &Snapshot) -> Result<(), LoadFaults> {
    let Some(journal) = &core.journal else { return Ok(()) };
    let mut tries = 0;
    let answer = loop {
        match journal.serve(served(snapshot)) {
            Ok(answer) => break answer,
            Err(JournalError::QueueFull) if tries < QUEUE_PAUSE.1 => tries += 1,
            Err(error) => return Err(LoadFaults(vec![error.to_string()])),
        }
        tokio::time::sleep(QUEUE_PAUSE.0).await;
    };
    match answer.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(pending)) => check_queued(snapshot, &pending),
        Err(_gone) => Err(LoadFaults(vec![JournalError::Ended.to_string()])),
    }
}

/// The operations whose records a snapshot can apply.
pub fn served(snapshot: &Snapshot) -> Vec<Served> {
    let mut served = Vec::new();
    for game in snapshot.games() {
        for operation in game.operations() {
            let template = &operation.template;
            let Some(idempotent) = &template.write.idempotent else { continue };
            served.push(Served {
                game: template.game.as_str().into(),
                op: template.op.as_str().into(),
                contract: template.contract,
                ttl: idempotent.ttl,
            });
        }
    }
    served
}

/// Whether a snapshot can apply what waits in the journal, dead letters included: they may be tried again.
///
/// # Errors
///
/// [`LoadFaults`]: each operation that is gone, or has another contract than records were taken under.
pub fn check_queued(snapshot: &Snapshot, queued: &[PendingContract]) -> Result<(), LoadFaults> {
    let contract_of = |game: &str, op: &str| {
        let game = snapshot.games().find(|own| own.id.as_str() == game)?;
        let operation = game.operations().find(|own| own.template.op.as_str() == op)?;
        Some(operation.template.contract)
    };
    let fault = |queued: &PendingContract| {
        let PendingContract { game, op, contract, count } = queued;
        let what = match contract_of(game, op) {
            Some(own) if own == *contract => return None,
            Some(_) => "its parameters, @idempotent or @lane are not those any more",
            None => "it is gone",
        };
        Some(format!(
            "{game} {op}: {count} orders in the journal were taken under its contract \
             {contract:016x}, and {what}; have them applied first, see `gateway journal list`"
        ))
    };
    let faults: Vec<String> = queued.iter().filter_map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(LoadFaults(faults)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queued_orders_keep_their_operation_and_its_contract() {
        let folder = tempfile::tempdir().unwrap();
        let templates = folder.path().join("templates/game1/order");
        std::fs::create_dir_all(&templates).unwrap();
        let sql = "-- @desc    Creates an order\n-- @kind    exec\n-- @allow   admin\n\
                   -- @param   order_no string(32)\nINSERT INTO orders (order_no) VALUES (:order_no)\n";
        std::fs::write(templates.join("create.sql"), sql).unwrap();
        let text = "templates: templates\n\
                    database: {connections: {a: {type: sqlite, path: a.db}}}\n\
                    games: {game1: {database: a}}\n\
                    auth: {jwt_secret: a-secret-of-32-bytes-and-a-few-more}\n";
        let origin = Origin::Text { text: text.into(), base: folder.path().into() };
        let loaded = Loaded::read(&origin, false).unwrap();
        let snapshot = loaded.into_snapshot(1, &Metrics::new()).unwrap();
        let game = snapshot.games().next().unwrap();
        let contract = game.operations().next().unwrap().template.contract;
        let queued = |op: &str, contract| PendingContract {
            game: "game1".into(),
            op: op.into(),
            contract,
            count: 3,
        };
        assert_eq!(check_queued(&snapshot, &[queued("order.create", contract)]), Ok(()));
        let changed = queued("order.create", contract ^ 1);
        let LoadFaults(faults) =
            check_queued(&snapshot, &[changed, queued("order.pay", 1)]).unwrap_err();
        assert!(faults[0].starts_with("game1 order.create: 3 orders in the journal"), "{faults:?}");
        assert!(faults[1].contains("it is gone"), "{faults:?}");
    }
}
