//! The parser beside hyper's: whatever it accepts, hyper accepts with the same method, target, fields, body and length.

mod corpus;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::service::service_fn;
use hyper::{Request, Response};

use self::corpus::{PIECES, PLAIN, UNUSUAL};
use super::parse::{BODY_BYTES_MAX, Stop, parse};
use super::request_of;

const HEAD_BYTES_MAX: usize = 16 << 10;

/// What a reader made of one request.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    /// By name; of one name in their order.
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Seen {
    fn of(request: Request<()>, body: &[u8]) -> Self {
        let (head, ()) = request.into_parts();
        let fields = head.headers.iter();
        let mut fields: Vec<_> =
            fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        let (method, target) = (head.method.to_string(), head.uri.to_string());
        Self { method, target, fields, body: body.to_vec() }
    }

    /// As the parser itself says it.
    fn plain(bytes: &[u8]) -> Result<(Self, usize), Stop> {
        let plain = parse(bytes, HEAD_BYTES_MAX)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let fields = plain.fields.iter();
        let mut fields: Vec<_> =
            fields.map(|(name, value)| (text(name).to_ascii_lowercase(), value.to_vec())).collect();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        let (method, target) = (plain.method.to_string(), plain.target.to_owned());
        Ok((Self { method, target, fields, body: plain.body.to_vec() }, plain.length))
    }
}

/// A connection that has brought all its bytes, and is read to its end.
struct Memory(Bytes);

impl hyper::rt::Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.0.len().min(buffer.remaining());
        buffer.put_slice(&self.0.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What hyper makes of bytes: the requests whose bodies came whole.
fn hyper_sees(bytes: &[u8]) -> Vec<Seen> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                let head = Request::from_parts(head, ());
                seen.borrow_mut().push(Seen::of(head, &body.to_bytes()));
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).half_close(true);
    {
        let mut serving =
            pin!(builder.serve_connection(Memory(Bytes::copy_from_slice(bytes)), service));
        let mut context = Context::from_waker(Waker::noop());
        let ended = (0..1000).any(|_| serving.as_mut().poll(&mut context).is_ready());
        assert!(ended, "hyper waits for something: {}", bytes.escape_ascii());
    }
    Rc::into_inner(seen).unwrap().into_inner()
}

/// Compares the two on everything that the parser accepts of `bytes`. Returns how many requests that is.
#[track_caller]
fn check(bytes: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    let mut theirs = None;
    while let Ok((own, length)) = Seen::plain(&bytes[at..]) {
        let shown = bytes[at..].escape_ascii();
        let theirs = theirs.get_or_insert_with(|| hyper_sees(bytes));
        assert_eq!(theirs.get(count), Some(&own), "{shown}");
        let whole = &bytes[at..at + length];
        assert_eq!(hyper_sees(whole), [own], "alone: {shown}");
        assert!(hyper_sees(&whole[..length - 1]).is_empty(), "it ends earlier: {shown}");
        let made = request_of(&Bytes::copy_from_slice(whole), HEAD_BYTES_MAX).expect("a request");
        let (head, body) = made.into_parts();
        let body = body.into_inner().unwrap_or_default();
        assert_eq!(Some(&Seen::of(Request::from_parts(head, ()), &body)), theirs.get(count));
        at += length;
        count += 1;
    }
    count
}

#[test]
fn plain_requests_are_accepted_as_hyper_reads_them() {
    for request in PLAIN {
        assert!(check(request) > 0, "{}", request.escape_ascii());
    }
}

#[test]
fn beginning_of_a_plain_request_is_waited_with_wherever_it_ends() {
    for request in PLAIN {
        let (head, whole) = parse(request, HEAD_BYTES_MAX)
            .map(|it| (it.length - it.body.len(), it.length))
            .unwrap();
        for cut in 0..whole {
            let stop = parse(&request[..cut], HEAD_BYTES_MAX).map(|it| it.length);
            let expected = if cut < head { Stop::InHead } else { Stop::InBody(whole) };
            assert_eq!(stop, Err(expected), "{cut} of {}", request.escape_ascii());
        }
    }
}

#[test]
fn odd_and_hostile_requests_are_left_to_hyper_at_their_first_byte_that_shows_it() {
    assert!(UNUSUAL.len() >= 150, "{}", UNUSUAL.len());
    for request in UNUSUAL {
        let stop = parse(request, HEAD_BYTES_MAX).map(|request| request.length);
        assert_eq!(stop, Err(Stop::Unusual), "{}", request.escape_ascii());
        // Behind a plain one it is seen as such, too: nothing of it is taken for the other's.
        let pair = [PLAIN[0], request].concat();
        assert_eq!(check(&pair), 1, "{}", request.escape_ascii());
    }
}

#[test]
fn every_byte_in_every_place_of_a_request_is_refused_or_read_as_hyper_reads_it() {
    for request in PLAIN {
        for at in 0..request.len() {
            for byte in 0..=u8::MAX {
                let mut changed = request.to_vec();
                changed[at] = byte;
                check(&changed);
            }
        }
    }
}

#[test]
fn limits_are_kept_on_both_sides() {
    let padded = |bytes: usize| {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
        let value = vec![b'a'; bytes - head.len() - 4];
        [head, value, b"\r\n\r\n".to_vec()].concat()
    };
    assert_eq!(check(&padded(HEAD_BYTES_MAX)), 1);
    assert_eq!(check(&padded(HEAD_BYTES_MAX + 1)), 0);
    let many = |count: usize| {
        let fields: Vec<String> = (0..count).map(|number| format!("X-{number}: a\r\n")).collect();
        let fields = fields.concat();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
    };
    assert_eq!((check(&many(63)), check(&many(64)), check(&many(200))), (1, 0, 0));
    let named =
        |bytes: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}: a\r\n\r\n", "n".repeat(bytes));
    assert_eq!((check(named(128).as_bytes()), check(named(129).as_bytes())), (1, 0));
    let long = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "p".repeat(bytes - 1));
    assert_eq!((check(long(8 << 10).as_bytes()), check(long((8 << 10) + 1).as_bytes())), (1, 0));
    let with_body = |bytes: usize| {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
        let whole = [head.into_bytes(), vec![b' '; bytes]].concat();
        parse(&whole, HEAD_BYTES_MAX)
            .map(|request| (request.body.len(), request.length == whole.len()))
    };
    assert_eq!(with_body(BODY_BYTES_MAX), Ok((BODY_BYTES_MAX, true)));
    assert_eq!(with_body(BODY_BYTES_MAX + 1), Err(Stop::Unusual));
}

/// A generator of numbers that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % bound as u64).unwrap()
    }

    fn pick<'a>(&mut self, of: &[&'a [u8]]) -> &'a [u8] {
        of[self.below(of.len())]
    }
}

#[test]
fn mutated_requests_are_refused_or_read_as_hyper_reads_them() {
    let mut random = Random(5);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = random.pick(PLAIN).to_vec();
        if random.below(3) == 0 {
            bytes.extend_from_slice(random.pick(PLAIN));
        }
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len().max(1));
            match random.below(5) {
                _ if bytes.is_empty() => {}
                0 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at.max(1)),
                3 => {
                    let until = (at + random.below(12)).min(bytes.len());
                    let again = bytes[at..until].to_vec();
                    bytes.splice(at..at, again);
                }
                _ => {
                    let piece = random.pick(PIECES);
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
        accepted += check(&bytes);
    }
    assert!((4_000..24_000).contains(&accepted), "{accepted}: it tells nothing of the parser");
}
