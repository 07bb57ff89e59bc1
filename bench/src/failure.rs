//! Why a call has no answer that was hoped for.

use std::collections::BTreeMap;
use std::{error, fmt, io};

/// A class of errors; each is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// No connection could be opened.
    Connect,
    /// The connection was reset.
    Reset,
    /// The server closed it before it had answered.
    Closed,
    /// No answer came within `--timeout`; the connection was given up.
    Timeout,
    /// An answer that was none that was hoped for: the gateway's code, the status of HTTP, 1 of Redis.
    Code(u16),
}

impl Failure {
    /// What an error of a connection that stood is. `None`: an error of this program or of its machine.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset => Some(Self::Reset),
            UnexpectedEof => Some(Self::Closed),
            _ => None,
        }
    }
}

/// As JSON and text have it: `connect`, `reset`, `closed`, `timeout`, or the code.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Reset => f.write_str("reset"),
            Self::Closed => f.write_str("closed"),
            Self::Timeout => f.write_str("timeout"),
            Self::Code(code) => write!(f, "{code}"),
        }
    }
}

impl error::Error for Failure {}

/// How often each came.
pub(crate) type Failures = BTreeMap<Failure, u64>;

/// By name.
pub(crate) fn by_name(failures: &Failures) -> BTreeMap<String, u64> {
    failures.iter().map(|(failure, count)| (failure.to_string(), *count)).collect()
}

/// A class by its name, for people.
pub(crate) fn told(name: &str, count: u64) -> String {
    match name {
        "connect" => format!("{count} connections that could not be opened"),
        "reset" => format!("{count} calls on connections that were reset"),
        "closed" => format!("{count} calls on connections that the server closed"),
        "timeout" => format!("{count} calls without an answer in time"),
        code => format!("{count} answers with code {code}"),
    }
}
