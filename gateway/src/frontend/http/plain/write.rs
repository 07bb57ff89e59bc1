//! Answers as bytes: what hyper would send, in another order.

use std::cell::Cell;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderName;
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::frontend::http::fields::{Sink, is_value};

const DATE_BYTES: usize = b"Sun, 06 Nov 1994 08:49:37 GMT".len();

/// The `Date` of the second that a thread is in, formatted once.
#[derive(Debug, Default)]
pub(in crate::frontend) struct Dates(Cell<Option<(u64, [u8; DATE_BYTES])>>);

impl Dates {
    fn put(&self, unix_seconds: u64, out: &mut Vec<u8>) {
        let known = self.0.get().filter(|(second, _)| *second == unix_seconds);
        let Some((_, text)) = known.or_else(|| self.format(unix_seconds)) else { return };
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(&text);
        out.extend_from_slice(b"\r\n");
    }

    #[cold]
    fn format(&self, unix_seconds: u64) -> Option<(u64, [u8; DATE_BYTES])> {
        let time = Timestamp::from_second(unix_seconds.try_into().ok()?).ok()?;
        let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()?;
        self.0.set(Some((unix_seconds, text.as_bytes().try_into().ok()?)));
        self.0.get()
    }
}

/// What is the same for all answers of a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'d> {
    pub(super) dates: &'d Dates,
    pub(super) unix_seconds: u64,
    /// Whether the connection ends behind the answer.
    pub(super) is_last: bool,
}

/// The head of an answer, on its way into the bytes to send.
#[derive(Debug)]
pub(super) struct Head<'o>(&'o mut Vec<u8>);

impl<'o> Head<'o> {
    /// Begins an answer.
    pub(super) fn begin(out: &'o mut Vec<u8>, status: StatusCode) -> Self {
        if status == StatusCode::OK {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        } else {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(status.as_str().as_bytes());
            out.push(b' ');
            out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Self(out)
    }

    /// Goes on with a head of which some is there.
    pub(super) const fn resume(out: &'o mut Vec<u8>) -> Self {
        Self(out)
    }

    /// Ends it; the body comes next.
    ///
    /// - `length`: of the body; `None` where there is never one.
    pub(super) fn end(self, length: Option<usize>, moment: Moment<'_>) {
        let out = self.0;
        if moment.is_last {
            out.extend_from_slice(b"connection: close\r\n");
        }
        if let Some(length) = length {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        moment.dates.put(moment.unix_seconds, out);
        out.extend_from_slice(b"\r\n");
    }

    fn line<'v>(&mut self, name: &HeaderName, parts: impl Iterator<Item = &'v [u8]>) {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
        parts.for_each(|part| self.0.extend_from_slice(part));
        self.0.extend_from_slice(b"\r\n");
    }
}

impl Sink for Head<'_> {
    fn put_static(&mut self, name: HeaderName, value: &'static str) {
        self.line(&name, std::iter::once(value.as_bytes()));
    }

    fn put(&mut self, name: HeaderName, parts: &[&str]) -> bool {
        let is_value = parts.iter().all(|part| is_value(part));
        if is_value {
            self.line(&name, parts.iter().map(|part| part.as_bytes()));
        }
        is_value
    }
}

/// Appends an answer that was made for hyper.
///
/// - `is_head`: whether a HEAD asked: then the body is left out, not its length.
pub(super) fn response(
    response: Response<Full<Bytes>>,
    is_head: bool,
    moment: Moment<'_>,
    out: &mut Vec<u8>,
) {
    let (parts, body) = response.into_parts();
    let body = body.into_inner().unwrap_or_default();
    let mut head = Head::begin(out, parts.status);
    for (name, value) in &parts.headers {
        head.line(name, std::iter::once(value.as_bytes()));
    }
    let is_bare = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || is_head && body.is_empty();
    head.end((!is_bare).then_some(body.len()), moment);
    if !is_bare && !is_head {
        out.extend_from_slice(&body);
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONTENT_TYPE, ETAG};

    use super::*;

    fn moment(dates: &Dates, is_last: bool) -> Moment<'_> {
        Moment { dates, unix_seconds: 784_111_777, is_last }
    }

    #[test]
    fn answer_has_its_length_its_date_and_the_word_that_it_is_the_last() {
        let (dates, mut out) = (Dates::default(), Vec::new());
        let mut made = Response::new(Full::from("{}"));
        *made.status_mut() = StatusCode::ACCEPTED;
        made.headers_mut().put_static(CONTENT_TYPE, "application/json");
        response(made, false, moment(&dates, true), &mut out);
        let expected = "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nconnection: close\r\n\
                        content-length: 2\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n{}";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn length_is_told_of_what_a_head_asks_for_and_never_of_what_has_no_body() {
        let dates = Dates::default();
        for (status, body, is_head, expected) in [
            (200, "abc", true, Some("content-length: 3")),
            (200, "", true, None),
            (200, "", false, Some("content-length: 0")),
            (204, "", false, None),
            (304, "", false, None),
        ] {
            let (mut out, mut made) = (Vec::new(), Response::new(Full::from(body)));
            *made.status_mut() = StatusCode::from_u16(status).unwrap();
            response(made, is_head, moment(&dates, false), &mut out);
            let text = String::from_utf8(out).unwrap();
            let length = text.lines().find(|line| line.starts_with("content-length"));
            assert_eq!(length, expected, "{status} {body}");
            assert!(text.ends_with("\r\n\r\n"), "{text}");
        }
    }

    #[test]
    fn value_that_would_break_the_header_is_not_put_into_it() {
        let mut out = Vec::new();
        let mut head = Head::begin(&mut out, StatusCode::OK);
        assert!(!head.put(ETAG, &["\"", "a\r\nset-cookie: b", "\""]));
        assert!(head.put(ETAG, &["\"", "a", "\""]));
        assert_eq!(String::from_utf8_lossy(&out), "HTTP/1.1 200 OK\r\netag: \"a\"\r\n");
    }

    #[test]
    fn date_follows_the_second() {
        let (dates, mut out) = (Dates::default(), Vec::new());
        for second in [0, 784_111_777, 784_111_777, 784_111_778] {
            dates.put(second, &mut out);
        }
        let expected = [
            "Thu, 01 Jan 1970 00:00:00",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:38",
        ];
        let expected = expected.map(|date| format!("date: {date} GMT\r\n")).concat();
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
