//! `logging`. Level and slow-query threshold reload; outputs need a restart.

use std::path::PathBuf;
use std::time::Duration;

/// `logging`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggingConfig {
    /// `level`: default `info`.
    pub level: Level,
    /// `format`: `json` (default) or `text`; the console's and files' form.
    pub json: bool,
    /// `outputs`: default the console.
    pub outputs: Vec<LogOutput>,
    /// `requests`: which requests get a line; default `errors`.
    pub requests: RequestLog,
    /// `slow_query`: database time above which a statement is logged; default 200 ms.
    pub slow_query: Duration,
    /// `audit_file`: the audit log; `None`: operations with `@audit` are refused at load.
    pub audit_file: Option<PathBuf>,
    /// `queue_lines`: lines waiting for the writer; more are dropped and counted; default 64,000.
    pub queue_lines_max: u32,
}

/// Severity, as the requirement names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the usual names")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// `console: true`: standard output.
    Console,
    /// `file: path`: rotated daily, `keep` files kept (default 7).
    File {
        /// The path; rotation appends the date.
        path: PathBuf,
        /// Files kept.
        keep_count: u32,
    },
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLog {
    /// None.
    Off,
    /// Those that failed with a code of the gateway's own fault (1xxx) or were refused.
    Errors,
    /// Every one.
    All,
    /// One in so many, and errors.
    Sampled(u32),
}
