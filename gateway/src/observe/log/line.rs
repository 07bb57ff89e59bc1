//! One event as one line, of JSON or of text.
//!
//! Invariant: a line has one newline, at its end, and no other control character, whatever a client sent.

use std::error::Error;
use std::fmt::{self, Write};
use std::time::SystemTime;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::Event;
use tracing::field::{Field, Visit};

/// Most causes told of one error: a chain that leads back to itself ends too.
const CAUSE_COUNT_MAX: usize = 16;

/// RFC 3339 in UTC, microseconds.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// An object with `time`, `level` and the event's fields.
    Json,
    /// `time LEVEL key=value …`.
    Text,
}

/// Formats an event as a line, with its newline.
pub(super) fn format(format: Format, now: SystemTime, event: &Event<'_>) -> String {
    let mut line = Line { format, text: String::with_capacity(256) };
    line.begin(now, *event.metadata().level());
    event.record(&mut line);
    if event.metadata().target().split("::").next() != Some(env!("CARGO_CRATE_NAME")) {
        line.string("target", event.metadata().target());
    }
    line.end()
}

/// A line that grows field by field.
struct Line {
    format: Format,
    text: String,
}

impl Line {
    fn begin(&mut self, now: SystemTime, level: tracing::Level) {
        let now = time::OffsetDateTime::from(now);
        let time = now.format(TIME).unwrap_or_else(|_| now.unix_timestamp().to_string());
        match self.format {
            Format::Json => {
                self.write(format_args!("{{\"time\":\"{time}\",\"level\":\"{level}\""));
            }
            Format::Text => self.write(format_args!("{time} {level:>5}")),
        }
    }

    fn end(mut self) -> String {
        if self.format == Format::Json {
            self.text.push('}');
        }
        self.text.push('\n');
        self.text
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        let written = self.text.write_fmt(text);
        debug_assert!(written.is_ok(), "writing to a `String` cannot fail");
    }

    fn key(&mut self, name: &str) {
        match self.format {
            Format::Json => {
                self.text.push(',');
                push_quoted(&mut self.text, name);
                self.text.push(':');
            }
            Format::Text => self.write(format_args!(" {name}=")),
        }
    }

    /// A value that needs no quotes.
    fn plain(&mut self, name: &str, value: impl fmt::Display) {
        self.key(name);
        self.write(format_args!("{value}"));
    }

    fn string(&mut self, name: &str, value: &str) {
        self.key(name);
        let bare = !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'=' && b != b'\\');
        if self.format == Format::Text && bare {
            self.text.push_str(value);
        } else {
            push_quoted(&mut self.text, value);
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.string(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.plain(field.name(), value);
        } else {
            self.string(field.name(), &value.to_string());
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.string(field.name(), &value.to_string());
        let first: Option<&(dyn Error + 'static)> = value.source();
        let causes = std::iter::successors(first, |cause| (*cause).source());
        let causes: Vec<String> = causes.take(CAUSE_COUNT_MAX).map(ToString::to_string).collect();
        if causes.is_empty() {
            return;
        }
        self.key("causes");
        self.text.push('[');
        for (index, cause) in causes.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            push_quoted(&mut self.text, cause);
        }
        self.text.push(']');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.string(field.name(), &format!("{value:?}"));
    }
}

/// Appends a JSON string. Besides what JSON asks for, every control character and the two separators
/// that some readers take for a line's end are escaped, so a terminal obeys nothing in a log.
fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let written = write!(out, "\\u{:04x}", u32::from(c));
                debug_assert!(written.is_ok(), "writing to a `String` cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tracing::{Dispatch, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    struct Keep(Format, Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_800_000_000_123_456);
            self.1.lock().unwrap().push(format(self.0, now, event));
        }
    }

    fn lines(format: Format, emit: impl FnOnce()) -> Vec<String> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let layer = Keep(format, Arc::clone(&kept));
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        tracing::dispatcher::with_default(&dispatch, emit);
        std::mem::take(&mut kept.lock().unwrap())
    }

    #[test]
    fn line_is_one_object_with_time_level_and_fields_in_order() {
        let lines = lines(Format::Json, || {
            tracing::info!(event = "request", code = 0_u16, ok = true, share = 0.5, "text {}", 1);
        });
        assert_eq!(
            lines,
            [
                "{\"time\":\"2027-01-15T08:00:00.123456Z\",\"level\":\"INFO\",\"message\":\"text 1\",\
              \"event\":\"request\",\"code\":0,\"ok\":true,\"share\":0.5}\n"
            ]
        );
    }

    #[test]
    fn control_characters_of_a_client_stay_inside_their_value() {
        let evil = "a\nb\r\t\u{1b}[31m\u{9b}\u{7f}\0\u{2028}\"\\ =é";
        for format in [Format::Json, Format::Text] {
            let lines = lines(format, || tracing::warn!(evil, "{}", evil));
            let line = &lines[0];
            assert!(line.ends_with('\n') && line.matches(char::is_control).count() == 1, "{line}");
            assert!(!line.contains('\u{2028}'), "{line}");
        }
        let lines = lines(Format::Json, || tracing::warn!(evil));
        let read: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(read["evil"], evil);
    }

    #[test]
    fn error_is_told_with_its_chain_of_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("inner"));
        let error: &(dyn Error + 'static) = &error;
        let json = lines(Format::Json, || tracing::error!(error));
        assert!(json[0].ends_with("\"error\":\"outer\",\"causes\":[\"inner\"]}\n"), "{}", json[0]);
        let text = lines(Format::Text, || tracing::error!(error));
        let expected = "2027-01-15T08:00:00.123456Z ERROR error=outer causes=[\"inner\"]\n";
        assert_eq!(text, [expected]);
    }

    #[test]
    fn number_that_json_does_not_have_becomes_a_text() {
        let lines = lines(Format::Json, || tracing::info!(share = f64::NAN));
        assert!(lines[0].ends_with("\"share\":\"NaN\"}\n"), "{}", lines[0]);
    }
}
