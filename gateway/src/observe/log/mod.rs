//! The log: lines of JSON or text to files and the console, written by a thread of their own.
//!
//! A line that finds its writer's queue full is dropped and counted; no request ever waits for a disk.
//! The gateway's own events come at the configured level; other crates' only from `warn` up, so that
//! no driver's debugging puts a statement's details into the log.

mod line;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::SystemTime;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::{Interest, SetGlobalDefaultError};
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::config::{Level, LogOutput, LoggingConfig};

use line::Format;

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file's folder or name cannot be used.
    #[error("log file {path} cannot be opened")]
    File {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: InitError,
    },
    /// The path names no file.
    #[error("log file {path} is not a file's name")]
    Name {
        /// The path.
        path: PathBuf,
    },
    /// The process logs already.
    #[error("the log is open already")]
    Twice(#[source] SetGlobalDefaultError),
}

/// The open log. Dropping it writes out what waits, for at most a second a writer.
#[derive(Debug)]
pub struct Logs {
    dispatch: Dispatch,
    level: Arc<AtomicU8>,
    dropped: Vec<ErrorCounter>,
    failed: Arc<AtomicU64>,
    _guards: Vec<WorkerGuard>,
}

impl Logs {
    /// Opens the outputs and makes them the process' log.
    ///
    /// Starts one thread an output; blocks on opening files.
    ///
    /// # Errors
    ///
    /// [`LogError`] when a file cannot be opened, or the process logs already.
    pub fn start(config: &LoggingConfig) -> Result<Self, LogError> {
        let logs = Self::open(config)?;
        tracing::dispatcher::set_global_default(logs.dispatch.clone()).map_err(LogError::Twice)?;
        Ok(logs)
    }

    /// Opens the outputs without making them the process' log: for one thread's use, and tests.
    ///
    /// # Errors
    ///
    /// [`LogError`] when a file cannot be opened.
    pub fn open(config: &LoggingConfig) -> Result<Self, LogError> {
        let failed = Arc::new(AtomicU64::new(0));
        let mut writers = Vec::new();
        let mut guards = Vec::new();
        for output in &config.outputs {
            let sink = open_output(output)?;
            let (writer, guard) = NonBlockingBuilder::default()
                .lossy(true)
                .buffered_lines_limit(config.queue_lines_max as usize)
                .thread_name("log")
                .finish(Counting { sink, failed: Arc::clone(&failed) });
            writers.push(writer);
            guards.push(guard);
        }
        let dropped = writers.iter().map(NonBlocking::error_counter).collect();
        let level = Arc::new(AtomicU8::new(config.level as u8));
        let format = if config.json { Format::Json } else { Format::Text };
        let layer = Lines { level: Arc::clone(&level), format, writers };
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        Ok(Self { dispatch, level, dropped, failed, _guards: guards })
    }

    /// Changes the level of the gateway's own events at once.
    pub fn set_level(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// For [`tracing::dispatcher::with_default`].
    pub const fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// Reads the lines dropped because a queue was full, and those that a file or console refused;
    /// stays valid after the log is closed.
    pub fn lost_lines(&self) -> impl Fn() -> (u64, u64) + Send + Sync + 'static {
        let (dropped, failed) = (self.dropped.clone(), Arc::clone(&self.failed));
        move || {
            let dropped = dropped.iter().map(|counter| counter.dropped_lines() as u64).sum();
            (dropped, failed.load(Ordering::Relaxed))
        }
    }
}

fn open_output(output: &LogOutput) -> Result<Box<dyn Write + Send>, LogError> {
    let (path, keep_count) = match output {
        LogOutput::Console => return Ok(Box::new(io::stdout())),
        LogOutput::File { path, keep_count } => (path, *keep_count),
    };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(LogError::Name { path: path.clone() });
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(name)
        .max_log_files(keep_count as usize)
        .build(folder.unwrap_or_else(|| std::path::Path::new(".")))
        .map_err(|source| LogError::File { path: path.clone(), source })?;
    Ok(Box::new(appender))
}

/// Counts the lines that a sink refuses: the writer's thread has nobody to tell.
struct Counting {
    sink: Box<dyn Write + Send>,
    failed: Arc<AtomicU64>,
}

impl Write for Counting {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.sink.write_all(line).map(|()| line.len()).inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Turns events into lines and gives each line to every writer.
struct Lines {
    /// [`Level`] as a number.
    level: Arc<AtomicU8>,
    format: Format,
    writers: Vec<NonBlocking>,
}

impl Lines {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let own = metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"));
        let most = if own { self.most() } else { LevelFilter::WARN };
        metadata.is_event() && *metadata.level() <= most
    }

    fn most(&self) -> LevelFilter {
        match self.level.load(Ordering::Relaxed) {
            level if level == Level::Debug as u8 => LevelFilter::DEBUG,
            level if level == Level::Info as u8 => LevelFilter::INFO,
            level if level == Level::Warn as u8 => LevelFilter::WARN,
            _ => LevelFilter::ERROR,
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most().max(LevelFilter::WARN))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = line::format(self.format, SystemTime::now(), event);
        for writer in &self.writers {
            // Its `write` puts the line into the queue, or drops and counts it; it does not fail.
            let written = writer.clone().write_all(line.as_bytes());
            debug_assert!(written.is_ok(), "a lossy writer does not fail");
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tracing::dispatcher::with_default;

    use crate::config::RequestLog;

    use super::*;

    fn config(folder: &Path, level: Level) -> LoggingConfig {
        LoggingConfig {
            level,
            json: true,
            outputs: vec![LogOutput::File { path: folder.join("gateway.log"), keep_count: 2 }],
            requests: RequestLog::All,
            failures_per_second: 100,
            slow_query: Duration::from_millis(1),
            audit_file: None,
            queue_lines_max: 1024,
        }
    }

    /// The lines of the folder's only log file, once the log is closed.
    fn lines(folder: &Path) -> Vec<serde_json::Value> {
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert!(files[0].file_name().unwrap().to_str().unwrap().starts_with("gateway.log.20"));
        let text = std::fs::read_to_string(&files[0]).unwrap();
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// What is logged while `emit` runs, at the level `info`, as JSON.
    pub(in crate::observe) fn capture(emit: impl FnOnce()) -> Vec<serde_json::Value> {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(&config(folder.path(), Level::Info)).unwrap();
        with_default(logs.dispatch(), emit);
        drop(logs);
        lines(folder.path())
    }

    #[test]
    fn level_is_changed_while_running_and_other_crates_speak_from_warn_up() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(&config(folder.path(), Level::Info)).unwrap();
        with_default(logs.dispatch(), || {
            let round = |name: &str| {
                tracing::debug!(event = name, own = true);
                tracing::info!(event = name, own = true);
                tracing::info!(target: "sqlx::query", event = name, own = false);
                tracing::warn!(target: "sqlx::query", event = name, own = false);
            };
            round("first");
            logs.set_level(Level::Debug);
            round("second");
            logs.set_level(Level::Error);
            round("third");
        });
        drop(logs);
        let told: Vec<String> = lines(folder.path())
            .iter()
            .map(|line| format!("{} {} {}", line["event"], line["level"], line["own"]))
            .collect();
        let expected = [
            "\"first\" \"INFO\" true",
            "\"first\" \"WARN\" false",
            "\"second\" \"DEBUG\" true",
            "\"second\" \"INFO\" true",
            "\"second\" \"WARN\" false",
            "\"third\" \"WARN\" false",
        ];
        assert_eq!(told, expected);
    }

    /// The writer is held by a sink that waits, so the queue fills at a known line.
    #[test]
    fn line_that_finds_the_queue_full_is_dropped_and_counted() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.0.recv().map_or_else(|_| Ok(line.len()), |()| Ok(line.len()))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, held) = std::sync::mpsc::sync_channel(0);
        let (writer, guard) =
            NonBlockingBuilder::default().buffered_lines_limit(128).finish(Stuck(held));
        let counter = writer.error_counter();
        let level = Arc::new(AtomicU8::new(Level::Info as u8));
        let layer = Lines { level, format: Format::Json, writers: vec![writer] };
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        with_default(&dispatch, || (0..1000).for_each(|line| tracing::info!(line)));
        // 128 wait in the queue, and at most one is with the writer.
        assert!((871..=872).contains(&counter.dropped_lines()), "{}", counter.dropped_lines());
        drop(release);
        drop(guard);
    }

    #[test]
    fn line_that_the_sink_refuses_is_counted() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let failed = Arc::new(AtomicU64::new(0));
        let mut sink = Counting { sink: Box::new(Broken), failed: Arc::clone(&failed) };
        assert!(sink.write_all(b"line\n").is_err());
        assert_eq!(failed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn folder_that_cannot_be_made_is_told_with_the_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = config(file.path(), Level::Info);
        let error = Logs::open(&config).expect_err("a file is no folder");
        assert!(error.to_string().contains("gateway.log cannot be opened"), "{error}");
    }
}
