//! HTTP/1.1 by hand: raw bytes out, replies taken apart.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use crate::wait::LIMIT;
use crate::wire::is_closed;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Names in lower case and values, in order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of a name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// The code in the body of a refusal.
    #[track_caller]
    pub fn code(&self) -> u16 {
        let body = self.json();
        let code = body["code"].as_u64().unwrap_or_else(|| panic!("no code in {body}"));
        code.try_into().expect("16 bits")
    }
}

/// One HTTP connection.
#[derive(Debug)]
pub struct Http {
    reader: BufReader<TcpStream>,
}

impl Http {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the gateway accepts")
    }

    /// Connects, if somebody listens.
    pub fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        stream.set_write_timeout(Some(LIMIT)).expect("a socket");
        Some(Self { reader: BufReader::new(stream) })
    }

    /// Sends bytes as they are; whether the gateway took them.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.reader.get_mut().write_all(bytes).is_ok()
    }

    /// Sends no more, and goes on reading.
    pub fn half_close(&self) {
        self.reader.get_ref().shutdown(Shutdown::Write).expect("a socket");
    }

    /// The next reply; `None` when the gateway closed the connection before one.
    ///
    /// # Panics
    ///
    /// When nothing comes within [`LIMIT`], or what comes is not a reply.
    #[track_caller]
    pub fn read(&mut self) -> Option<Response> {
        let mut response = self.read_head()?;
        response.body = self.body(&response);
        Some(response)
    }

    /// The next reply, as it is to a HEAD: without a body, whatever its header says.
    ///
    /// # Panics
    ///
    /// As [`Self::read`].
    #[track_caller]
    pub fn read_head(&mut self) -> Option<Response> {
        let line = self.line()?;
        let mut words = line.split(' ');
        assert!(words.next().is_some_and(|version| version.starts_with("HTTP/1.")), "{line}");
        let status = words.next().and_then(|word| word.parse().ok()).expect("a status");
        let mut headers = Vec::new();
        loop {
            let line = self.line().expect("the whole header");
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Some(Response { status, headers, body: Vec::new() })
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) if is_closed(&error) => None,
            Err(error) => panic!("no reply: {error}"),
        }
    }

    fn body(&mut self, response: &Response) -> Vec<u8> {
        let mut body = Vec::new();
        if matches!(response.status, 204 | 304) {
            return body;
        }
        if response.header("transfer-encoding").is_some_and(|it| it.contains("chunked")) {
            loop {
                let line = self.line().expect("a chunk");
                let length = usize::from_str_radix(line.trim(), 16).expect("a chunk's length");
                let mut chunk = vec![0; length + 2];
                self.reader.read_exact(&mut chunk).expect("a chunk");
                if length == 0 {
                    return body;
                }
                body.extend(&chunk[..length]);
            }
        }
        match response.header("content-length") {
            Some(length) => {
                body.resize(length.parse().expect("a length"), 0);
                self.reader.read_exact(&mut body).expect("the whole body");
            }
            None => {
                self.reader.read_to_end(&mut body).expect("the whole body");
            }
        }
        body
    }

    /// Sends a request and reads its reply.
    ///
    /// - `headers`: lines, each ended by CRLF. `Host`, `Content-Length` and `Content-Type` are added.
    #[track_caller]
    pub fn request(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> Response {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}");
        if !body.is_empty() {
            bytes += "Content-Type: application/json
Content-Length: ";
            bytes += &body.len().to_string();
            bytes += "
";
        }
        bytes += "\r\n";
        let mut bytes = bytes.into_bytes();
        bytes.extend(body);
        // A reply may come before the gateway has read everything: what counts is the reply.
        let _taken = self.send_bytes(&bytes);
        self.read().unwrap_or_else(|| panic!("{method} {target}: closed without a reply"))
    }

    /// A GET.
    #[track_caller]
    pub fn get(&mut self, target: &str, headers: &str) -> Response {
        self.request("GET", target, headers, b"")
    }

    /// A request with a JSON body.
    #[track_caller]
    pub fn send_json(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &Value,
    ) -> Response {
        self.request(method, target, headers, body.to_string().as_bytes())
    }
}
