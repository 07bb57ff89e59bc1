//! One request to a running gateway's admin port.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use serde_json::Value;

use crate::control::OPERATOR_BYTES_MAX;

/// How long connecting, and each reading and writing, may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A gateway's admin port.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    /// Host and port.
    authority: String,
    token: Option<String>,
    /// Who asks, by their own word; empty: nobody says.
    operator: String,
}

impl Admin {
    /// - `url`: `http://127.0.0.1:8082`, with or without the scheme.
    ///
    /// # Errors
    ///
    /// In words: it is no such address.
    pub(super) fn new(url: &str, token: Option<String>) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let is_authority = |text: &str| {
            text.contains(':')
                && !text.contains("://")
                && text.chars().all(|it| it.is_ascii_graphic() && it != '/')
        };
        if !is_authority(rest) {
            return Err(format!("--admin {url}: want http://HOST:PORT"));
        }
        let user = std::env::var("USER").unwrap_or_default();
        let operator = if is_name(&user) { user } else { String::new() };
        Ok(Self { authority: rest.to_owned(), token, operator })
    }

    /// Says who asks, in place of the user's name.
    ///
    /// # Errors
    ///
    /// In words: a gateway would not write down such a name.
    pub(super) fn by(self, operator: Option<&str>) -> Result<Self, String> {
        match operator {
            None => Ok(self),
            Some(name) if is_name(name) => Ok(Self { operator: name.to_owned(), ..self }),
            Some(name) => Err(format!(
                "--operator {name:?}: want 1 to {OPERATOR_BYTES_MAX} letters without spaces"
            )),
        }
    }

    /// Sends a request and reads the answer: the body, or in words why there is none.
    pub(super) fn ask(&self, method: &str, target: &str) -> Result<Value, String> {
        let told = |error: io::Error| format!("http://{}: {error}", self.authority);
        let answer = self.exchange(method, target).map_err(told)?;
        let (status, body) = parse(&answer)
            .ok_or_else(|| format!("http://{}: that is no gateway's answer", self.authority))?;
        if status == 401 {
            return Err(format!(
                "http://{}: admin.token is needed: say --token, or set GATEWAY_ADMIN_TOKEN",
                self.authority
            ));
        }
        let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(value);
        }
        let error = value.get("error").and_then(Value::as_str).map(str::to_owned);
        Err(error.unwrap_or_else(|| format!("http://{}: status {status}", self.authority)))
    }

    /// HTTP/1.0: the answer ends where the connection does.
    fn exchange(&self, method: &str, target: &str) -> io::Result<Vec<u8>> {
        let address = self.authority.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::other("no address of that name"))?;
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut request = format!(
            "{method} {target} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n",
            self.authority
        );
        if let Some(token) = &self.token {
            request.extend(["Authorization: Bearer ", token, "\r\n"]);
        }
        if !self.operator.is_empty() {
            request.extend(["X-Operator: ", &self.operator, "\r\n"]);
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Whether a gateway writes a name down as it is.
fn is_name(name: &str) -> bool {
    (1..=OPERATOR_BYTES_MAX).contains(&name.len()) && name.chars().all(|it| it.is_ascii_graphic())
}

/// Status and body of an answer.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(end + 4)?;
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    Some((words.next()?.parse().ok()?, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_status_and_body_or_none() {
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some((200, &b"{}"[..])));
        assert_eq!(parse(b"HTTP/1.1 404 Not Found\r\n\r\n"), Some((404, &b""[..])));
        for other in [&b"SSH-2.0-x\r\n\r\n"[..], b"HTTP/1.0 200 OK\r\n", b"", b"HTTP/1.0 x\r\n\r\n"]
        {
            assert_eq!(parse(other), None);
        }
    }

    #[test]
    fn name_of_who_asks_is_written_as_it_is_or_refused() {
        let by = |name: &str| {
            let admin = Admin::new("a:1", None).and_then(|admin| admin.by(Some(name)));
            admin.map(|admin| admin.operator)
        };
        assert_eq!(by("alice@ops"), Ok("alice@ops".into()));
        assert_eq!(by(&"x".repeat(64)), Ok("x".repeat(64)));
        for bad in ["", "two words", "a\r\nX: y", "名", &"x".repeat(65)] {
            assert!(by(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn address_is_a_host_and_a_port_and_nothing_more() {
        let authority = |url| Admin::new(url, None).map(|admin| admin.authority);
        assert_eq!(authority("http://127.0.0.1:8082/"), Ok("127.0.0.1:8082".into()));
        assert_eq!(authority("admin.local:8082"), Ok("admin.local:8082".into()));
        for bad in ["https://a:1", "localhost", "http://a:1/x", "a:1\r\nX: y", ""] {
            assert!(authority(bad).is_err(), "{bad}");
        }
    }
}
