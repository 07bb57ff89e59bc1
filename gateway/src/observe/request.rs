//! The request log: one line for a request that `logging.requests` picks.
//!
//! Parameters are never in it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::RequestLog;

use super::emit::micros;
use super::{CacheOutcome, Category, Transport};

/// What is told of one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// The request's id, as in `X-Request-Id`.
    pub trace: &'a str,
    /// Who connected.
    pub peer: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// The game named; what the client sent where there is no such game.
    pub game: &'a str,
    /// The operation named, likewise.
    pub operation: &'a str,
    /// Version of the template that served it; 0: none did.
    pub template: u64,
    /// The principal's name; empty: not known.
    pub caller: &'a str,
    /// The reply's code; 0: ok.
    pub code: u16,
    /// From the request's last byte to the reply's encoding.
    pub latency: Duration,
    /// What the cache did.
    pub cache: CacheOutcome,
}

/// Whether a request gets a line, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// It does.
    Line,
    /// It does for its failure, as long as such lines are not too many: [`super::Ration`].
    Failure,
    /// It does not.
    None,
}

impl RequestLog {
    /// Whether a request gets a line.
    ///
    /// - `code`: the reply's; 0: ok.
    /// - `ordinal`: the request's number on its thread, for sampling.
    pub const fn picks(self, code: u16, ordinal: u64) -> Pick {
        // The gateway's own faults, and what it refused for who asked.
        let failed = matches!(code, 1000..=1999 | 3000..=3999);
        match self {
            Self::All => Pick::Line,
            Self::Sampled(every) if ordinal.is_multiple_of(every as u64) => Pick::Line,
            Self::Errors | Self::Sampled(_) if failed => Pick::Failure,
            Self::Off | Self::Errors | Self::Sampled(_) => Pick::None,
        }
    }
}

/// Logs a request: `warn` for the faults of gateway and database, else `info`.
///
/// Cost: formats a line and hands it to the writers' queues; allocates.
pub fn log_request(line: &RequestLine<'_>) {
    let RequestLine { trace, game, operation, caller, code, .. } = *line;
    let peer = tracing::field::display(line.peer);
    let transport = line.transport.name();
    let template = format!("{:016x}", line.template);
    let duration_us = micros(line.latency);
    let cache = line.cache.name();
    if matches!(Category::of(code), Category::Gateway | Category::Database) {
        tracing::warn!(
            event = "request",
            trace,
            peer,
            transport,
            game,
            operation,
            template,
            caller,
            code,
            duration_us,
            cache
        );
    } else {
        tracing::info!(
            event = "request",
            trace,
            peer,
            transport,
            game,
            operation,
            template,
            caller,
            code,
            duration_us,
            cache
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::observe::log::tests::capture;

    use super::*;

    #[test]
    fn failures_of_the_gateway_and_refused_callers_are_errors_and_a_business_answer_is_none() {
        for code in [1001, 1303, 1999, 3001, 3201] {
            assert_eq!(RequestLog::Errors.picks(code, 1), Pick::Failure, "{code}");
            assert_eq!(RequestLog::Sampled(100).picks(code, 1), Pick::Failure, "{code}");
            assert_eq!(RequestLog::Sampled(100).picks(code, 100), Pick::Line, "{code}");
            assert_eq!(RequestLog::Off.picks(code, 1), Pick::None, "{code}");
        }
        for code in [0, 2000, 2010, 2101, 2999] {
            assert_eq!(RequestLog::Errors.picks(code, 1), Pick::None, "{code}");
            assert_eq!(RequestLog::All.picks(code, 1), Pick::Line, "{code}");
        }
    }

    #[test]
    fn sampling_picks_one_in_so_many() {
        let sampled = RequestLog::Sampled(100);
        let picked = (0..1000).filter(|ordinal| sampled.picks(0, *ordinal) == Pick::Line);
        assert_eq!(picked.count(), 10);
    }

    #[test]
    fn line_of_a_request_tells_who_asked_for_what_and_how_it_went() {
        let line = RequestLine {
            trace: "0192-7",
            peer: "10.0.0.1:5000".parse().unwrap(),
            transport: Transport::Http,
            game: "game1",
            operation: "player\n.get",
            template: 0xabc,
            caller: "jwt:7",
            code: 0,
            latency: Duration::from_micros(1500),
            cache: CacheOutcome::L1,
        };
        let lines = capture(|| {
            log_request(&line);
            log_request(&RequestLine { code: 1303, ..line });
        });
        let mut told = lines[0].as_object().expect("an object").clone();
        let time = told.remove("time").expect("a time");
        assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{time}");
        let expected = serde_json::json!({
            "level": "INFO", "event": "request", "trace": "0192-7", "peer": "10.0.0.1:5000",
            "transport": "http", "game": "game1", "operation": "player\n.get",
            "template": "0000000000000abc", "caller": "jwt:7", "code": 0, "duration_us": 1500,
            "cache": "l1",
        });
        assert_eq!(serde_json::Value::Object(told), expected);
        assert_eq!((&lines[1]["level"], &lines[1]["code"]), (&"WARN".into(), &1303.into()));
    }
}
