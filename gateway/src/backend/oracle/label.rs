//! What a session is told before it serves somebody: how long its calls may take, and who they are for.
//!
//! Each of it costs a call into the client library, and some bytes of the next round trip; so it is told when it changes.

use std::time::Duration;

use oracle::Connection;

use super::Purpose;

/// Longest action and client identifier that every version takes, in bytes.
const ACTION_BYTES_MAX: usize = 32;
const REQUEST_BYTES_MAX: usize = 64;
/// Time limits of calls are rounded up to these steps: one that hardly differs is not told anew. Whoever asks
/// breaks off what takes too long; the library's limit only sees to it that every call ends.
const PATIENCE_STEP: Duration = Duration::from_millis(100);

/// Who a statement is run for, as DBAs see it in `v$session`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    action: Box<str>,
    request: Box<str>,
}

impl Label {
    pub(super) fn of(purpose: &Purpose<'_>) -> Self {
        let Purpose { game, op, request, .. } = purpose;
        let mut action = [game, ".", op].concat();
        action.truncate(action.floor_char_boundary(ACTION_BYTES_MAX));
        let request = request.get(..request.floor_char_boundary(REQUEST_BYTES_MAX));
        Self { action: action.into(), request: request.unwrap_or_default().into() }
    }
}

/// What a session knows.
#[derive(Debug, Default)]
pub(super) struct Told {
    patience: Option<Duration>,
    action: Box<str>,
    request: Box<str>,
}

impl Told {
    /// Tells it. What cannot be told shows in the call that follows, and is told again before the next.
    ///
    /// - `patience`: longest time of one call into the client library.
    /// - `label`: `None`: as before.
    pub(super) fn tell(
        &mut self,
        connection: &Connection,
        patience: Duration,
        label: Option<Label>,
    ) {
        let patience = rounded_up(patience);
        if self.patience != Some(patience) {
            let told = connection.set_call_timeout(Some(patience));
            self.patience = told.is_ok().then_some(patience);
        }
        let Some(Label { action, request }) = label else { return };
        if self.action != action && connection.set_action(&action).is_ok() {
            self.action = action;
        }
        if self.request != request && connection.set_client_identifier(&request).is_ok() {
            self.request = request;
        }
    }
}

/// The next whole step.
fn rounded_up(patience: Duration) -> Duration {
    let steps = patience.as_nanos().div_ceil(PATIENCE_STEP.as_nanos());
    PATIENCE_STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[track_caller]
    fn check((game, op, request): (&str, &str, &str), expected: (&str, &str)) {
        let label = Label::of(&Purpose { limit: Instant::now(), game, op, request });
        assert_eq!((&*label.action, &*label.request), expected);
    }

    #[test]
    fn action_is_game_and_operation_and_both_texts_are_cut_where_every_version_takes_them() {
        check(("game1", "player.get", "req-7"), ("game1.player.get", "req-7"));
        check(("game1", "player.get", ""), ("game1.player.get", ""));
        let (op, request) = ("o".repeat(26), "r".repeat(64));
        let whole = format!("game1.{op}");
        check(("game1", &op, &request), (&whole, &request));
        let (longer_op, longer_request) = (format!("{op}o"), format!("{request}r"));
        check(("game1", &longer_op, &longer_request), (&whole, &request));
        // Never in the middle of a character.
        let before = format!("game1.{}", "o".repeat(25));
        check(("game1", &format!("{}é", "o".repeat(25)), "é"), (&before, "é"));
    }

    #[test]
    fn time_limit_is_rounded_up_to_the_next_step_and_never_down() {
        let check = |nanos: u64, millis: u64| {
            let rounded = rounded_up(Duration::from_nanos(nanos));
            assert_eq!(rounded, Duration::from_millis(millis), "{nanos} ns");
        };
        check(250_000_000, 300);
        check(300_000_000, 300);
        check(300_000_001, 400);
        check(10_249_999_999, 10_300);
        assert!(rounded_up(Duration::MAX) > Duration::from_hours(24 * 365));
    }
}
