//! `logging`. Level and slow-query threshold reload; outputs need a restart.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::FaultKind;
use super::reader::{Fallback, Section, live, restart};

/// `logging`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggingConfig {
    /// `level`: default `info`.
    pub level: Level,
    /// `format`: `json` (default) or `text`; the console's and files' form.
    pub json: bool,
    /// `outputs`: an empty list (the default) is the console alone.
    pub outputs: Vec<LogOutput>,
    /// `requests`: which requests get a line: `off`, `errors` (default), `all`, or `1/100` for one in 100.
    pub requests: RequestLog,
    /// `failures_per_second`: lines of a kind and code that failed requests get on a thread; default 100.
    pub failures_per_second: u32,
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

impl LoggingConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let levels = [
            ("debug", Level::Debug),
            ("info", Level::Info),
            ("warn", Level::Warn),
            ("error", Level::Error),
        ];
        let level = section.choice(live("level"), Fallback::Default(Level::Info), &levels);
        let formats = [("json", true), ("text", false)];
        let json = section.choice(restart("format"), Fallback::Default(true), &formats);
        let mut outputs: Vec<_> =
            section.items(restart("outputs"), LogOutput::read).into_iter().flatten().collect();
        if outputs.is_empty() {
            outputs.push(LogOutput::Console);
        }
        let expected = "off | errors | all | 1/N with N of 2 to 1000000";
        let default = Fallback::Default(RequestLog::Errors);
        let requests = section.parsed(live("requests"), default, expected, &RequestLog::parse);
        Self {
            level: level.unwrap_or(Level::Info),
            json: json.unwrap_or(true),
            outputs,
            requests: requests.unwrap_or(RequestLog::Errors),
            failures_per_second: section.count(
                live("failures_per_second"),
                Fallback::Default(100),
                1..=1_000_000,
            ),
            slow_query: section.duration(
                live("slow_query"),
                Duration::from_millis(200),
                Duration::from_millis(1)..=Duration::from_mins(10),
            ),
            audit_file: section.path_of(restart("audit_file"), Fallback::Absent),
            queue_lines_max: section.count(
                restart("queue_lines"),
                Fallback::Default(64_000),
                128..=1_048_576,
            ),
        }
    }
}

impl LogOutput {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        match (section.has("file"), section.has("console")) {
            (true, false) => {
                let path = section.path_of(restart("file"), Fallback::Required)?;
                let keep_count = section.count(restart("keep"), Fallback::Default(7), 1..=3650);
                Some(Self::File { path, keep_count })
            }
            (false, true) => {
                if !section.flag(restart("console"), true) {
                    let reason = "is false: leave the item out";
                    section.key_fault("console", FaultKind::Conflict(reason.into()));
                }
                Some(Self::Console)
            }
            _ => {
                let reason = "needs either `file` or `console`";
                section.fault(FaultKind::Conflict(reason.into()));
                None
            }
        }
    }
}

impl RequestLog {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "errors" => Some(Self::Errors),
            "all" => Some(Self::All),
            sampled => {
                let every: u32 = sampled.strip_prefix("1/")?.parse().ok()?;
                (2..=1_000_000).contains(&every).then_some(Self::Sampled(every))
            }
        }
    }
}

impl fmt::Display for RequestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Errors => f.write_str("errors"),
            Self::All => f.write_str("all"),
            Self::Sampled(every) => write!(f, "1/{every}"),
        }
    }
}
