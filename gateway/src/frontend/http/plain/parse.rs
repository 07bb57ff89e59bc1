//! A strict reader of plain HTTP/1.1 requests: borrowed, without allocation.
//!
//! Plain is `METHOD /path?query HTTP/1.1`, lines that end with CRLF, fields of visible ASCII without folding, exactly one
//! `Host`, and nothing that changes how the message is framed or what the connection is for.
//!
//! Invariant: what is accepted here hyper accepts, too, with the same method, target, fields and length; everything else is
//! left to it. `differ` tests that.

use hyper::Method;
use hyper::header::HeaderName;
use smallvec::SmallVec;

use crate::frontend::http::fields::{Fields, printable_bytes};

/// Longest body that is waited for here, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;

const FIELDS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 128;
/// Longest path with its query, in bytes.
pub(super) const TARGET_BYTES_MAX: usize = 8 << 10;

/// Methods that are taken, each with the space behind it.
static METHODS: [(&[u8], Method); 6] = [
    (b"GET ", Method::GET),
    (b"POST ", Method::POST),
    (b"PATCH ", Method::PATCH),
    (b"PUT ", Method::PUT),
    (b"DELETE ", Method::DELETE),
    (b"HEAD ", Method::HEAD),
];

/// What stands behind a target.
pub(super) const REQUEST_LINE_END: &[u8] = b" HTTP/1.1\r\n";

/// A name and its value.
type Field<'b> = (&'b [u8], &'b [u8]);

/// A request in the bytes that it came in.
#[derive(Debug)]
pub(super) struct Request<'b> {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: &'b str,
    /// Names and values, in order.
    pub(super) fields: SmallVec<[Field<'b>; 16]>,
    pub(super) body: &'b [u8],
    /// Bytes of the request line, with its end.
    pub(super) line_bytes: usize,
    /// Bytes of the whole.
    pub(super) length: usize,
}

impl<'b> Request<'b> {
    /// The path, and what stands behind its `?`.
    pub(super) fn path_and_query(&self) -> (&'b str, Option<&'b str>) {
        match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target, None),
        }
    }
}

impl Fields for Request<'_> {
    fn all<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
        let fields = self.fields.iter();
        fields.filter(|(own, _)| is_name(own, name.as_str())).map(|(_, value)| *value)
    }
}

/// Why bytes are no plain request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its head has not all arrived.
    InHead,
    /// Its body has not: so many bytes are needed in all.
    InBody(usize),
    /// It is for hyper to read, or to refuse.
    Unusual,
}

/// Reads the request at the beginning of `bytes`.
///
/// - `head_bytes_max`: longest head that is read here.
///
/// # Errors
///
/// [`Stop`]; bytes that are the beginning of a plain request only are never [`Stop::Unusual`].
pub(super) fn parse(bytes: &[u8], head_bytes_max: usize) -> Result<Request<'_>, Stop> {
    let (method, rest) = method(bytes)?;
    let (target, rest) = target(rest)?;
    let mut rest = after(rest, REQUEST_LINE_END)?;
    let line_bytes = bytes.len() - rest.len();
    let mut fields = SmallVec::new();
    let mut framing = Framing::default();
    loop {
        match rest {
            [b'\r', b'\n', behind @ ..] => {
                rest = behind;
                break;
            }
            [] | [b'\r'] => return Err(Stop::InHead),
            _ if fields.len() == FIELDS_MAX => return Err(Stop::Unusual),
            _ => {}
        }
        let ((name, value), behind) = field(rest)?;
        framing.note(name, value)?;
        fields.push((name, value));
        rest = behind;
    }
    let head_bytes = bytes.len() - rest.len();
    let takes_body = !matches!(method, Method::GET | Method::HEAD);
    let is_framed = framing.has_host && (takes_body || framing.body_bytes.is_none());
    if !is_framed || head_bytes > head_bytes_max {
        return Err(Stop::Unusual);
    }
    let body_bytes = framing.body_bytes.unwrap_or(0);
    let length = head_bytes + body_bytes;
    let body = rest.get(..body_bytes).ok_or(Stop::InBody(length))?;
    Ok(Request { method, target, fields, body, line_bytes, length })
}

fn method(bytes: &[u8]) -> Result<(Method, &[u8]), Stop> {
    for (text, method) in &METHODS {
        if let Some(rest) = bytes.strip_prefix(*text) {
            return Ok((method.clone(), rest));
        }
    }
    let is_begun = METHODS.iter().any(|(text, _)| text.starts_with(bytes));
    Err(if is_begun { Stop::InHead } else { Stop::Unusual })
}

/// A path, with or without a query; `//` at its beginning is how an authority begins elsewhere.
fn target(bytes: &[u8]) -> Result<(&str, &[u8]), Stop> {
    if matches!(bytes, [first, ..] if *first != b'/') || bytes.starts_with(b"//") {
        return Err(Stop::Unusual);
    }
    let end = bytes.iter().position(|byte| !is_in_target(*byte)).ok_or(Stop::InHead)?;
    let (target, rest) = bytes.split_at_checked(end).ok_or(Stop::Unusual)?;
    match std::str::from_utf8(target) {
        Ok(text) if (1..=TARGET_BYTES_MAX).contains(&end) => Ok((text, rest)),
        _ => Err(Stop::Unusual),
    }
}

/// What stands behind `text`, which `bytes` begin with.
fn after<'b>(bytes: &'b [u8], text: &[u8]) -> Result<&'b [u8], Stop> {
    let is_begun = text.starts_with(bytes);
    bytes.strip_prefix(text).ok_or(if is_begun { Stop::InHead } else { Stop::Unusual })
}

/// A field's name and value, and what stands behind its line.
fn field(bytes: &[u8]) -> Result<(Field<'_>, &[u8]), Stop> {
    let end = bytes.iter().position(|byte| !is_in_token(*byte)).ok_or(Stop::InHead)?;
    let (name, rest) = bytes.split_at_checked(end).ok_or(Stop::Unusual)?;
    let mut rest = rest.strip_prefix(b":").ok_or(Stop::Unusual)?;
    if !(1..=NAME_BYTES_MAX).contains(&end) {
        return Err(Stop::Unusual);
    }
    while let [b' ', behind @ ..] = rest {
        rest = behind;
    }
    let end = value_end(rest).ok_or(Stop::InHead)?;
    let (mut value, rest) = rest.split_at_checked(end).ok_or(Stop::Unusual)?;
    while let [before @ .., b' '] = value {
        value = before;
    }
    Ok(((name, value), after(rest, b"\r\n")?))
}

/// Where the first byte stands that is neither visible ASCII nor a space.
fn value_end(bytes: &[u8]) -> Option<usize> {
    let from = printable_bytes(bytes);
    let rest = bytes.get(from..)?;
    rest.iter().position(|byte| !matches!(byte, b' '..=b'~')).map(|at| from + at)
}

/// What a request's fields say of its length and of its connection.
#[derive(Default)]
struct Framing {
    has_host: bool,
    has_connection: bool,
    body_bytes: Option<usize>,
}

impl Framing {
    /// Takes a field into account. Fails for one that makes a request unusual.
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Stop> {
        let is = |text| is_name(name, text);
        let is_plain = match name.len() {
            4 if is("host") => !std::mem::replace(&mut self.has_host, true) && is_host(value),
            10 if is("connection") => {
                let is_first = !std::mem::replace(&mut self.has_connection, true);
                is_first && value.eq_ignore_ascii_case(b"keep-alive")
            }
            14 if is("content-length") => {
                let is_first = self.body_bytes.is_none();
                self.body_bytes = body_bytes(value);
                is_first && self.body_bytes.is_some()
            }
            2 => !is("te"),
            6 => !is("expect"),
            7 => !is("upgrade") && !is("trailer"),
            14 => !is("http2-settings"),
            16 => !is("proxy-connection"),
            17 => !is("transfer-encoding"),
            _ => true,
        };
        if is_plain { Ok(()) } else { Err(Stop::Unusual) }
    }
}

/// A body's length, if it is one that is waited for here: digits, and no more of them than are needed.
fn body_bytes(value: &[u8]) -> Option<usize> {
    let is_number = matches!(value, [b'0'] | [b'1'..=b'9', ..])
        && value.len() <= 6
        && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number)?;
    text.parse().ok().filter(|bytes| *bytes <= BODY_BYTES_MAX)
}

fn is_name(own: &[u8], name: &str) -> bool {
    own.len() == name.len() && own.eq_ignore_ascii_case(name.as_bytes())
}

/// A name or an address, with or without a port.
fn is_host(value: &[u8]) -> bool {
    let is_in_host = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']')
    };
    !value.is_empty() && value.iter().all(is_in_host)
}

/// RFC 9110, section 5.6.2.
const fn is_in_token(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
        | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// RFC 3986, sections 3.3 and 3.4.
const fn is_in_target(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'('
        | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/' | b'?')
}
