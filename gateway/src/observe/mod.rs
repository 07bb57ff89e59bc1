//! What the gateway tells of itself: one enum of events, and who hears of each.
//!
//! What is rare goes through [`emit`], which counts and logs it. Requests are counted by their thread's
//! [`Recorder`] and logged by [`log_request`] as `logging.requests` says. What must not be lost goes to
//! the [`Audit`] log, before the reply.
//!
//! Invariant: a request writes no cache line here that another thread writes, unless it is logged.

mod audit;
mod chain;
mod emit;
mod event;
mod event_kind;
mod log;
mod metrics;
mod ration;
mod request;
mod trace;

pub use audit::{Audit, AuditError, AuditRecord};
pub use chain::chain;
pub use emit::{emit, event_count};
pub use event::Event;
pub use event_kind::EventKind;
pub use log::{LogError, Logs};
pub use metrics::{
    CacheOutcome, Category, ConnectionCounts, Counter, Gauge, Kind, Metrics, Number, OpIndex,
    Recorder, Samples, Stage, Transport,
};
pub use ration::{Line, Ration};
pub use request::{Pick, RequestLine, log_request};
pub use trace::{Trace, TraceText};
