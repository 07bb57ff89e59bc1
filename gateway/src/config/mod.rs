//! Configuration: what the operator writes, checked as a whole before anything uses it.
//!
//! A YAML file is read with the place of every node; each section has a file here that turns the
//! written form into the checked one and collects its faults. Nothing of a faulty file is used, and all
//! of its faults are told at once, each with line, key, value and allowed range.
//!
//! Invariant: a value nobody checked does not exist; no module reads a file or the environment later.

mod auth;
mod cache;
mod database;
mod dialect;
mod env;
mod events;
mod fault;
mod game;
mod journal;
mod limits;
mod logging;
mod queue;
mod reader;
mod reading;
mod reference;
mod relations;
pub mod runtime;
mod secret;
mod server;
mod serving;
mod setting;
mod typed;
mod unit;
mod yaml;
mod zone;

#[cfg(test)]
mod sample_tests;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use gateway_protocol::GameId;

pub use auth::{
    ApiKeyConfig, AuthConfig, GameServerKeyConfig, JwtConfig, JwtKeyConfig, RoleConfig,
};
pub use cache::{CacheConfig, RedisConfig};
pub use database::{ConnectionConfig, DatabaseConfig, Endpoint, Standing, Tls};
pub use dialect::Dialect;
pub use env::Env;
pub use events::EventsConfig;
pub use fault::{ConfigFault, FaultKind, Warning};
pub use game::GameConfig;
pub use journal::JournalConfig;
pub use limits::LimitsConfig;
pub use logging::{Level, LogOutput, LoggingConfig, RequestLog};
pub use queue::{QueueConfig, QueueKind};
pub use runtime::{IoUring, RuntimeConfig};
pub use secret::Secret;
pub use server::{AdminConfig, CorsConfig, HttpConfig, ServerConfig, TcpConfig};
pub use setting::{Changes, Effect};
pub use unit::duration as parse_duration;
pub use zone::Zone;

use reader::{Fallback, Section, live, read_root, restart};
use reading::{Reading, Report};

/// A checked configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Threads and rings.
    pub runtime: RuntimeConfig,
    /// Listeners.
    pub server: ServerConfig,
    /// The operators' port.
    pub admin: AdminConfig,
    /// Where the templates are; relative paths are relative to the configuration file.
    pub templates: PathBuf,
    /// Databases.
    pub database: DatabaseConfig,
    /// Games, in the order written.
    pub games: Vec<GameConfig>,
    /// Caches.
    pub cache: CacheConfig,
    /// Orders that are acknowledged before they are in a database.
    pub journal: JournalConfig,
    /// Redis streams for them; `None`: no game's orders go there.
    pub queue: Option<QueueConfig>,
    /// What writes tell of.
    pub events: EventsConfig,
    /// Keys and roles.
    pub auth: AuthConfig,
    /// Bounds that are not a listener's or a pool's own.
    pub limits: LimitsConfig,
    /// Logs.
    pub logging: LoggingConfig,
    /// Every setting in effect, as [`Config::print`] and [`Config::diff`] see it.
    pub(crate) settings: Vec<setting::Setting>,
    /// The sections that are written, with their lines.
    sections: setting::Sections,
}

impl Config {
    /// Reads and checks a file. Paths in it are relative to its folder.
    ///
    /// Blocks: reads the file and those that its secrets name.
    ///
    /// # Errors
    ///
    /// Every fault, in the file's order; one of line 0 when the file cannot be read.
    pub fn load(path: &Path, env: &Env) -> Result<(Self, Vec<Warning>), Vec<ConfigFault>> {
        let (text, base_dir) = read_text(path, env)?;
        Self::parse(&text, base_dir, env)
    }

    /// The same, and what only a gateway needs that serves from the file: the folders that it names are there,
    /// and somebody can say who they are.
    ///
    /// # Errors
    ///
    /// As [`Config::load`], with these faults among the others.
    pub fn load_to_serve(path: &Path, env: &Env) -> Result<(Self, Vec<Warning>), Vec<ConfigFault>> {
        let (text, base_dir) = read_text(path, env)?;
        Self::parse_to_serve(&text, base_dir, env)
    }

    /// Checks a text as the content of a configuration file in `base_dir`.
    ///
    /// # Errors
    ///
    /// Every fault, in the file's order.
    pub fn parse(
        text: &str,
        base_dir: &Path,
        env: &Env,
    ) -> Result<(Self, Vec<Warning>), Vec<ConfigFault>> {
        Self::checked(text, base_dir, env, |_, _| {})
    }

    /// As [`Config::load_to_serve`], of a text as [`Config::parse`] takes it.
    ///
    /// # Errors
    ///
    /// Every fault, in the file's order.
    pub fn parse_to_serve(
        text: &str,
        base_dir: &Path,
        env: &Env,
    ) -> Result<(Self, Vec<Warning>), Vec<ConfigFault>> {
        Self::checked(text, base_dir, env, serving::check)
    }

    fn checked(
        text: &str,
        base_dir: &Path,
        env: &Env,
        also: impl FnOnce(&Self, &Reading<'_>),
    ) -> Result<(Self, Vec<Warning>), Vec<ConfigFault>> {
        let root = yaml::parse(text)?;
        let (mut config, mut report) = read(&root, base_dir, env, also);
        report.faults.sort_by_key(|fault| fault.line);
        report.warnings.sort_by_key(|warning| warning.line);
        if !report.faults.is_empty() {
            return Err(report.faults);
        }
        config.settings = report.settings;
        config.sections = report.sections;
        Ok((config, report.warnings))
    }

    /// Whether a game's queued writes go to the journal.
    pub fn journals(&self, game: &GameId) -> bool {
        let game = self.games.iter().find(|own| own.id == *game);
        game.is_none_or(|game| game.queue == QueueKind::Journal)
    }

    /// The whole configuration in effect as YAML, defaults included, secrets as `***`.
    pub fn print(&self) -> String {
        setting::print(&self.settings)
    }

    /// The line where a setting is written, `auth.api_keys[0].roles`, or else the innermost written section
    /// around it; 0 where there is neither.
    pub fn line_of(&self, key: &str) -> u32 {
        setting::line_of(&self.settings, &self.sections, key)
    }

    /// What is wrong with a setting, and where: as the faults of the file itself are told.
    pub fn fault_at(&self, key: &str, reason: &str) -> String {
        let kind = FaultKind::Conflict(reason.into());
        ConfigFault { line: self.line_of(key), key: key.into(), kind }.to_string()
    }

    /// What a reload from `old` to `new` changes, and which of it waits for a restart.
    pub fn diff(old: &Self, new: &Self) -> Changes {
        setting::diff(&old.settings, &new.settings)
    }

    /// Takes from `running` every setting that needs a restart: what a reload may put into effect.
    #[must_use]
    pub fn reloaded_over(mut self, running: &Self) -> Self {
        self.runtime = running.runtime.clone();
        self.server.tcp.address = running.server.tcp.address;
        self.server.http.address = running.server.http.address;
        self.server.reuse_port = running.server.reuse_port;
        self.admin.address = running.admin.address;
        self.auth.cursor_secret.clone_from(&running.auth.cursor_secret);
        self.auth.token_count_max = running.auth.token_count_max;
        self.cache.l1_blind_ttl = running.cache.l1_blind_ttl;
        self.cache.tag_slots = running.cache.tag_slots;
        self.cache.pending_tags_max = running.cache.pending_tags_max;
        self.cache.redis.clone_from(&running.cache.redis);
        self.journal.clone_from(&running.journal);
        self.queue.clone_from(&running.queue);
        self.limits.backend_queue_max = running.limits.backend_queue_max;
        self.logging.json = running.logging.json;
        self.logging.outputs.clone_from(&running.logging.outputs);
        self.logging.audit_file.clone_from(&running.logging.audit_file);
        self.logging.queue_lines_max = running.logging.queue_lines_max;
        self.settings = setting::reloaded_over(self.settings, &running.settings);
        self
    }
}

/// The text of a file, and the folder that its paths are relative to.
fn read_text<'p>(path: &'p Path, env: &Env) -> Result<(String, &'p Path), Vec<ConfigFault>> {
    let unreadable = |reason: String| {
        let kind = FaultKind::Unreadable(format!("{}: {reason}", path.display()).into());
        vec![ConfigFault { line: 0, key: "".into(), kind }]
    };
    let bytes = (env.read_file)(path).map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
    Ok((text, path.parent().unwrap_or(Path::new(""))))
}

/// Reads every section; with a fault in the report, the configuration holds stand-ins.
///
/// - `also`: looks at the whole after all else, for more faults.
fn read(
    root: &yaml::Node,
    base_dir: &Path,
    env: &Env,
    also: impl FnOnce(&Config, &Reading<'_>),
) -> (Config, Report) {
    let reading = Reading::new(env, base_dir);
    let (config, sections) = read_root(&reading, root, read_sections);
    relations::check(&config, &sections, &reading);
    also(&config, &reading);
    (config, reading.finish())
}

/// Reads the file's sections, and the names under which its games are written.
fn read_sections(root: &mut Section<'_>) -> (Config, Vec<Box<str>>) {
    let mut config = Config {
        runtime: root.section("runtime", RuntimeConfig::read),
        server: root.section("server", ServerConfig::read),
        admin: root.section("admin", AdminConfig::read),
        templates: root
            .path_of(live("templates"), Fallback::Default("../sql-templates".into()))
            .unwrap_or_default(),
        database: root.section("database", DatabaseConfig::read),
        games: Vec::new(),
        cache: root.section("cache", CacheConfig::read),
        journal: root.section("journal", JournalConfig::read),
        queue: root.optional_section(restart("queue"), QueueConfig::read),
        events: root.section("events", EventsConfig::read),
        auth: root.section("auth", AuthConfig::read),
        limits: root.section("limits", LimitsConfig::read),
        logging: root.section("logging", LoggingConfig::read),
        settings: Vec::new(),
        sections: setting::Sections::default(),
    };
    let games = root.named(live("games"), |name, section| {
        GameConfig::read(name, section).map(|game| (Box::from(name), game))
    });
    let sections;
    (sections, config.games) = games.into_iter().flatten().unzip();
    (config, sections)
}
