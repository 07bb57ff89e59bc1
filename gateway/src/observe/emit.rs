//! The one place where an event is counted and logged.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Event, EventKind};

/// Counts by kind, since the process began.
static COUNTS: [AtomicU64; EventKind::ALL.len()] =
    [const { AtomicU64::new(0) }; EventKind::ALL.len()];

/// Counts an event and logs it, with the chain of causes where there is an error.
///
/// Cost: one shared counter and a log line. For what is rare; requests are counted by
/// [`super::Recorder`] and logged by [`super::log_request`].
pub fn emit(event: &Event<'_>) {
    let kind = event.kind();
    if let Some(count) = COUNTS.get(kind as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    log(event, kind.name());
}

/// How often an event was emitted since the process began.
pub fn event_count(kind: EventKind) -> u64 {
    COUNTS.get(kind as usize).map_or(0, |count| count.load(Ordering::Relaxed))
}

fn log(event: &Event<'_>, name: &str) {
    match event {
        Event::Started { summary } => tracing::info!(event = name, summary),
        Event::IoUringUnavailable { reason } | Event::SubscriptionLost { reason } => {
            tracing::warn!(event = name, reason);
        }
        Event::SchemaPending { pool, files } => tracing::error!(event = name, pool, files),
        Event::RedisEvicts { policy } => {
            let text = "set its maxmemory-policy to noeviction";
            tracing::warn!(event = name, policy, text);
        }
        Event::StatementRefused { pool, operation, fault } => {
            tracing::error!(event = name, pool, operation, fault);
        }
        Event::RingFlagsRefused => tracing::warn!(event = name),
        Event::MachineWarning { check, found, wanted, why } => {
            tracing::warn!(event = name, check, found, wanted, why);
        }
        Event::Reloaded { generation, catalog } => {
            tracing::info!(event = name, generation, catalog);
        }
        Event::ReloadMended { generation } => {
            let text = "the files are again as what serves";
            tracing::info!(event = name, generation, text);
        }
        Event::ReloadRefused { faults } => tracing::error!(event = name, faults),
        Event::ConnectionPanicked { message } => tracing::error!(event = name, message),
        Event::AcceptFailed { error } => {
            let error: &(dyn Error + 'static) = *error;
            tracing::warn!(event = name, error);
        }
        Event::DatabaseDown { pool, error } => tracing::error!(event = name, pool, error),
        Event::DatabaseUp { pool } => tracing::info!(event = name, pool),
        Event::SlowQuery { operation, template, trace, elapsed, params } => {
            let (template, elapsed_us) = (format!("{template:016x}"), micros(*elapsed));
            tracing::warn!(event = name, trace, operation, template, elapsed_us, params);
        }
        Event::RequestFailed { trace, game, operation, code, error } => {
            tracing::error!(event = name, trace, game, operation, code, error);
        }
        Event::LinesLeftOut { lines, code, count } => left_out(name, lines, *code, *count),
        Event::ThreadLost { thread, message } => tracing::error!(event = name, thread, message),
        Event::ConfigWarning { text } => tracing::warn!(event = name, text),
        Event::AuditFailed { error }
        | Event::RedisDown { error }
        | Event::WatchFailed { error } => {
            tracing::error!(event = name, error);
        }
        Event::JournalReplayed { count } => tracing::info!(event = name, count),
        Event::JournalTorn { file, offset } => tracing::warn!(event = name, file, offset),
        Event::BatchFailed { operation, record_count, error } => {
            tracing::warn!(event = name, operation, record_count, error);
        }
        Event::JournalHandled { action, sequence, stream, who, outcome } => {
            tracing::warn!(event = name, action, sequence, stream, who, outcome);
        }
        Event::RecordsDead { operation, record_count, sequence, error } => {
            tracing::error!(event = name, operation, record_count, sequence, error);
        }
        Event::ApplyPaused { game, error } => tracing::warn!(event = name, game, error),
        Event::ApplyResumed { game, away } => {
            tracing::info!(event = name, game, away_ms = micros(*away) / 1000);
        }
        Event::JournalFailed { what, error } => tracing::error!(event = name, what, error),
        Event::RedisUp { pending_tags } => tracing::info!(event = name, pending_tags),
        Event::SubscriptionConfirmed | Event::Draining => tracing::info!(event = name),
        Event::Stopped { cut_count } => tracing::info!(event = name, cut_count),
    }
}

/// As loud as the lines: who hears them hears that there were more.
fn left_out(name: &str, lines: &str, code: u16, count: u32) {
    if lines == EventKind::RequestFailed.name() {
        tracing::error!(event = name, lines, code, count);
    } else {
        tracing::warn!(event = name, lines, code, count);
    }
}

/// A duration in whole microseconds.
pub(super) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::observe::log::tests::capture;

    use super::*;

    #[test]
    fn kinds_stand_in_the_order_of_their_numbers_with_names_of_their_own() {
        for (index, kind) in EventKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            let twins = EventKind::ALL.iter().filter(|other| other.name() == kind.name()).count();
            assert_eq!(twins, 1, "{kind:?}");
        }
    }

    #[test]
    fn event_is_counted_under_its_kind() {
        let before = event_count(EventKind::RingFlagsRefused);
        emit(&Event::RingFlagsRefused);
        assert!(event_count(EventKind::RingFlagsRefused) > before);
    }

    #[test]
    fn error_of_an_event_is_logged_with_its_causes_and_parameters_as_the_caller_hid_them() {
        #[derive(Debug, thiserror::Error)]
        #[error("database `game1` is unreachable")]
        struct Down(#[source] std::io::Error);
        let error = Down(std::io::ErrorKind::ConnectionRefused.into());
        let lines = capture(|| {
            emit(&Event::DatabaseDown { pool: "game1", error: &error });
            emit(&Event::SlowQuery {
                operation: "game1 player.get",
                template: 1,
                trace: "t",
                elapsed: std::time::Duration::from_millis(250),
                params: "token=***",
            });
        });
        let told = &lines[0];
        assert_eq!((&told["event"], &told["level"]), (&"database_down".into(), &"ERROR".into()));
        assert_eq!(told["error"], "database `game1` is unreachable");
        assert_eq!(told["causes"], serde_json::json!(["connection refused"]));
        let told = &lines[1];
        assert_eq!((&told["params"], &told["elapsed_us"]), (&"token=***".into(), &250_000.into()));
    }
}
