//! A body for hyper's own refusals: of bytes that are no request, it answers with an empty 400, 414 or 431
//! before anything of ours is asked.
//!
//! Invariant: no answer of ours is taken for one of hyper's, since all of ours carry headers that it has not.

use gateway_protocol::{Code, json};

/// The first lines of hyper's refusals, and what they mean.
const REFUSALS: [(&[u8], Code, &str); 3] = [
    (b"HTTP/1.1 400 Bad Request\r\n", Code::Malformed, "not an HTTP request"),
    (b"HTTP/1.1 414 URI Too Long\r\n", Code::TooLarge, "the request's URI is too long"),
    (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        Code::TooLarge,
        "the request's header is too large",
    ),
];

/// Headers that hyper gives its refusals.
const OWN_HEADERS: [&[u8]; 3] = [b"connection:", b"content-length:", b"date:"];

/// Where in `bytes`, which are about to be sent, a refusal of hyper begins; it is the last thing that a
/// connection sends.
///
/// Cost: a comparison of four bytes for what does not end with an empty line.
pub(super) fn refusal_at(bytes: &[u8]) -> Option<usize> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    REFUSALS.iter().find_map(|(line, ..)| {
        let at = bytes.windows(line.len()).rposition(|window| window == *line)?;
        let headers = bytes.get(at + line.len()..)?.split(|byte| *byte == b'\n');
        let mut headers = headers.filter(|line| !line.trim_ascii().is_empty());
        let is_own = |header: &[u8]| OWN_HEADERS.iter().any(|own| header.starts_with(own));
        headers.all(is_own).then_some(at)
    })
}

/// The same refusal as a problem.
///
/// - `refusal`: from [`refusal_at`] on.
pub(super) fn problem(refusal: &[u8]) -> Vec<u8> {
    let found = REFUSALS.iter().find(|(line, ..)| refusal.starts_with(line));
    let Some((line, code, message)) = found else { return refusal.to_vec() };
    let mut body = b"{\"code\":".to_vec();
    json::write_uint(&mut body, code.number().into());
    body.extend_from_slice(b",\"message\":");
    json::write_str(&mut body, message);
    body.push(b'}');
    let mut out = line.to_vec();
    let headers = format!(
        "content-type: application/problem+json\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(headers.as_bytes());
    out.extend_from_slice(&body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
                         content-length: 0\r\ndate: Sun, 22 Nov 2026 22:00:00 GMT\r\n\r\n";

    #[test]
    fn refusal_of_hyper_gets_its_code_and_length() {
        assert_eq!(refusal_at(OWN), Some(0));
        let text = String::from_utf8(problem(OWN)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert_eq!(body, r#"{"code":1101,"message":"not an HTTP request"}"#);
    }

    #[test]
    fn refusal_behind_an_answer_is_found_where_it_begins() {
        let answer = b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 2\r\n\r\n{}";
        let both = [&answer[..], OWN].concat();
        assert_eq!(refusal_at(&both), Some(answer.len()));
    }

    #[test]
    fn answers_of_ours_are_left_alone() {
        let of = |status: &str| format!("HTTP/1.1 {status}\r\nx-request-id: 1\r\n\r\n");
        for status in ["304 Not Modified", "204 No Content", "400 Bad Request"] {
            assert_eq!(refusal_at(of(status).as_bytes()), None);
        }
        assert_eq!(refusal_at(b"HTTP/1.1 400 Bad Request\r\n\r\n{}"), None);
        assert_eq!(refusal_at(b""), None);
    }
}
