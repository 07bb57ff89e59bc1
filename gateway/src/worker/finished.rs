//! How a request ends: counted, and told to the log where the configuration picks it.

use std::net::SocketAddr;
use std::time::Instant;

use crate::config::RequestLog;
use crate::error::Error;
use crate::observe::{
    CacheOutcome, Category, Event, Line, OpIndex, Pick, RequestLine, Trace, Transport, emit,
    log_request,
};
use crate::snapshot::Operation;

use super::Worker;

/// A request that is over, for metrics and log.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// How it came.
    pub transport: Transport,
    /// The client's address.
    pub peer: SocketAddr,
    /// The request's id.
    pub trace: Trace<'a>,
    /// What was asked for; `None` when it did not get that far.
    pub operation: Option<&'a Operation>,
    /// Who asked.
    pub caller: Option<&'a str>,
    /// The reply's code; 0 = ok.
    pub code: u16,
    /// Where the answer came from.
    pub outcome: CacheOutcome,
    /// When the request's last byte arrived.
    pub arrived: Instant,
}

impl Worker {
    /// Ends a hit like [`Worker::finish`], but leaves its counting to [`Worker::settle`] unless it gets a line
    /// in the log.
    ///
    /// Call `settle` before the next await.
    pub fn finish_hit<'a>(
        &self,
        operation: &Operation,
        arrived: Instant,
        finished: impl FnOnce() -> Finished<'a>,
    ) {
        let picks = self.current.borrow().config.logging.requests;
        if !matches!(picks, RequestLog::Off | RequestLog::Errors) {
            return self.finish(&finished());
        }
        let (index, count) = self.hits.get();
        if index == operation.index {
            self.hits.set((index, count.saturating_add(1)));
        } else {
            self.settle(arrived);
            self.hits.set((operation.index, 1));
        }
    }

    /// Counts the hits that arrived together and were answered since the last call.
    pub fn settle(&self, arrived: Instant) {
        let (index, count) = self.hits.replace((OpIndex::NONE, 0));
        if count > 0 {
            self.recorder.hits(index, count, arrived.elapsed());
        }
    }

    /// Ends a request: counts it, and logs it if the configuration picks it.
    pub fn finish(&self, finished: &Finished<'_>) {
        let latency = finished.arrived.elapsed();
        let index = finished.operation.map_or(OpIndex::NONE, |operation| operation.index);
        self.recorder.request(index, Category::of(finished.code), latency, finished.outcome);
        if !self.tells(Line::Request, finished.code) {
            return;
        }
        let template = finished.operation.map(|operation| &operation.template);
        log_request(&RequestLine {
            trace: &finished.trace.to_string(),
            peer: finished.peer,
            transport: finished.transport,
            game: template.map_or("", |template| template.game.as_str()),
            operation: template.map_or("", |template| template.op.as_str()),
            template: template.map_or(0, |template| template.version),
            caller: finished.caller.unwrap_or_default(),
            code: finished.code,
            latency,
            cache: finished.outcome,
        });
    }

    /// Tells the log of a failure that is not the client's own, with its causes.
    pub fn report(&self, error: &Error, operation: Option<&Operation>, trace: Trace<'_>) {
        // A bad cursor or a result over its limit comes from the backend, too, and is the client's own.
        if error.code() >= 2000 || !matches!(error, Error::Backend(_) | Error::Internal(_)) {
            return;
        }
        if !self.tells(Line::Cause, error.code()) {
            return;
        }
        let template = operation.map(|operation| &operation.template);
        emit(&Event::RequestFailed {
            trace: &trace.to_string(),
            game: template.map_or("", |template| template.game.as_str()),
            operation: template.map_or("", |template| template.op.as_str()),
            code: error.code(),
            error,
        });
    }

    /// Whether a line of the request begun last is written, by its code.
    fn tells(&self, line: Line, code: u16) -> bool {
        let current = self.current.borrow();
        let logging = &current.config.logging;
        match logging.requests.picks(code, self.requests.get()) {
            Pick::Line => true,
            Pick::Failure => self.ration.spend(line, code, logging.failures_per_second),
            // Why it failed has a line wherever requests have none.
            Pick::None => {
                line == Line::Cause && self.ration.spend(line, code, logging.failures_per_second)
            }
        }
    }

    /// A second has passed.
    pub fn sweep(&self) {
        self.ration.renew(self.snapshot().config.logging.failures_per_second);
    }
}
