//! The blocking client.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use gateway_protocol::message::Welcome;
use gateway_protocol::{RequestId, Value};

use crate::incoming::{Inbox, Incoming};
use crate::reply::Answer;
use crate::request::Outgoing;
use crate::{BatchCall, ClientError, Credential, Options, ProtocolFault, Refused, Reply, Request};

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 16 << 10;

/// Largest HELLO, before the gateway has said what it takes.
const HELLO_BYTES_MAX: u32 = 64 << 10;

/// One connection, used by one thread.
///
/// [`Client::call`] asks and waits. [`Client::send`] and [`Client::receive`] pipeline: replies
/// come in the order in which the gateway has them. An idle connection is closed by the gateway after two
/// [`Welcome::heartbeat_ms`]: [`Client::ping`] keeps it.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    options: Options,
    welcome: Welcome<'static>,
    inbox: Inbox,
    outbox: Vec<u8>,
    next_id: u32,
    /// What was sent and not answered yet.
    waited_for: HashMap<RequestId, Interest>,
    /// Answers that came while another was waited for.
    ready: VecDeque<(RequestId, Result<Reply, Refused>)>,
    going_away: Option<Box<str>>,
    closed: Option<Box<str>>,
}

/// Who wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    /// [`Client::receive`], or whoever waits for this id.
    Someone,
    /// Nobody any more: its time was up.
    Nobody,
}

impl Client {
    /// Connects, says HELLO and waits for the WELCOME.
    ///
    /// - `address`: `host:port`; each address of the host is tried.
    ///
    /// # Errors
    ///
    /// [`ClientError::Io`] when no address answers, [`ClientError::Refused`] when the credential is not
    /// accepted, [`ClientError::Timeout`].
    pub fn connect(address: impl ToSocketAddrs, options: Options) -> Result<Self, ClientError> {
        let stream = connect_any(address, options.connect_timeout)?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            welcome: Welcome {
                server: "".into(),
                version: "".into(),
                catalog: "".into(),
                heartbeat_ms: 0,
                frame_bytes_max: HELLO_BYTES_MAX,
                inflight_max: 1,
            },
            inbox: Inbox::new(options.reply_bytes_max),
            outbox: Vec::new(),
            next_id: 0,
            waited_for: HashMap::new(),
            ready: VecDeque::new(),
            going_away: None,
            closed: None,
            options,
        };
        let credential = client.options.credential.clone();
        client.hello(&credential, client.options.connect_timeout)?;
        Ok(client)
    }

    /// What the gateway said of itself.
    pub const fn welcome(&self) -> &Welcome<'static> {
        &self.welcome
    }

    /// Why the gateway takes no new calls on this connection, if it said so.
    pub fn going_away(&self) -> Option<&str> {
        self.going_away.as_deref()
    }

    /// Requests that were sent and not answered.
    pub fn inflight(&self) -> usize {
        self.waited_for.len()
    }

    /// Renews the credential on the live connection, before a token expires.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; when it is refused the gateway closes the connection.
    pub fn renew(&mut self, credential: &Credential) -> Result<(), ClientError> {
        self.hello(credential, self.options.call_timeout)
    }

    /// Calls an operation of the connection's game and waits for its reply.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn call(&mut self, op: &str, params: &[(&str, Value<'_>)]) -> Result<Reply, ClientError> {
        self.request(&Request::new(op, params))
    }

    /// As [`Client::call`], with everything that can be said of a call.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn request(&mut self, request: &Request<'_>) -> Result<Reply, ClientError> {
        let id = self.send(request)?;
        self.answer_to(id, request.patience(self.options.call_timeout))?.reply()
    }

    /// Calls several operations of the connection's game at once; not a transaction. Each has its own
    /// outcome, in the order of `calls`.
    ///
    /// # Errors
    ///
    /// [`ClientError`], of the batch as a whole.
    pub fn batch(
        &mut self,
        calls: &[BatchCall<'_>],
    ) -> Result<Vec<Result<Value<'static>, Refused>>, ClientError> {
        self.check_open()?;
        let id = self.transmit(&Outgoing::Batch(calls))?;
        self.answer_to(id, self.options.call_timeout)?.reply()?.into_batch(calls.len())
    }

    /// Asks whether the gateway lives; returns how long the answer took.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn ping(&mut self) -> Result<Duration, ClientError> {
        let begun = Instant::now();
        let id = self.transmit(&Outgoing::Ping)?;
        self.answer_to(id, self.options.call_timeout)?.pong()?;
        Ok(begun.elapsed())
    }

    /// Sends a call and does not wait. Its reply comes by [`Client::receive`], under the returned id.
    ///
    /// # Errors
    ///
    /// [`ClientError::Busy`] when as many are in flight as may be; [`ClientError::GoingAway`],
    /// [`ClientError::TooLarge`], [`ClientError::Closed`]: nothing was sent then.
    pub fn send(&mut self, request: &Request<'_>) -> Result<RequestId, ClientError> {
        self.check_open()?;
        self.transmit(&Outgoing::Call(request))
    }

    /// Waits for the next reply of what [`Client::send`] sent; `None` when nothing is in flight.
    ///
    /// # Errors
    ///
    /// [`ClientError::Timeout`] when none comes within [`Options::call_timeout`]; all stay in flight.
    /// A refused call is not an error of `receive` but its outcome.
    #[expect(clippy::type_complexity, reason = "a name for it would hide what it is")]
    pub fn receive(&mut self) -> Result<Option<(RequestId, Result<Reply, Refused>)>, ClientError> {
        let until = Instant::now() + self.options.call_timeout;
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            if !self.waited_for.values().any(|interest| *interest == Interest::Someone) {
                return Ok(None);
            }
            let (id, answer) = self.next_answer(until, self.options.call_timeout)?;
            self.keep(id, answer)?;
        }
    }

    fn hello(&mut self, credential: &Credential, timeout: Duration) -> Result<(), ClientError> {
        let options = self.options.clone();
        let hello = options.hello(credential)?;
        let id = self.transmit(&Outgoing::Hello(&hello))?;
        self.welcome = self.answer_to(id, timeout)?.welcome()?;
        Ok(())
    }

    /// Whether new calls may be sent.
    fn check_open(&self) -> Result<(), ClientError> {
        match &self.going_away {
            Some(reason) => Err(ClientError::GoingAway { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn inflight_max(&self) -> usize {
        self.options.inflight_max.min(self.welcome.inflight_max as usize).max(1)
    }

    /// Writes a frame under a new id.
    fn transmit(&mut self, outgoing: &Outgoing<'_>) -> Result<RequestId, ClientError> {
        if let Some(reason) = &self.closed {
            return Err(ClientError::Closed { reason: reason.clone() });
        }
        let count_max = self.inflight_max();
        if self.waited_for.len() >= count_max {
            return Err(ClientError::Busy { count_max });
        }
        let id = self.new_id();
        self.write(outgoing, id)?;
        self.waited_for.insert(id, Interest::Someone);
        Ok(id)
    }

    fn write(&mut self, outgoing: &Outgoing<'_>, id: RequestId) -> Result<(), ClientError> {
        self.outbox.clear();
        let codec = self.options.codec;
        outgoing.encode(&mut self.outbox, codec, id, self.welcome.frame_bytes_max)?;
        let written = self
            .stream
            .set_write_timeout(Some(positive(self.options.call_timeout)))
            .and_then(|()| self.stream.write_all(&self.outbox));
        // A frame written in part cannot be taken back: the connection is lost in any case.
        written.map_err(|error| self.close(error.into()))
    }

    fn new_id(&mut self) -> RequestId {
        loop {
            self.next_id = self.next_id.wrapping_add(1);
            let id = RequestId(self.next_id);
            if id != RequestId::CONNECTION && !self.waited_for.contains_key(&id) {
                return id;
            }
        }
    }

    /// Waits for the answer to one request and keeps those to others.
    fn answer_to(&mut self, id: RequestId, patience: Duration) -> Result<Answer, ClientError> {
        let until = Instant::now() + patience;
        loop {
            match self.next_answer(until, patience) {
                Ok((own, answer)) if own == id => return Ok(answer?),
                Ok((other, answer)) => self.keep(other, answer)?,
                Err(error) => {
                    if let Some(interest) = self.waited_for.get_mut(&id) {
                        *interest = Interest::Nobody;
                    }
                    return Err(error);
                }
            }
        }
    }

    fn keep(&mut self, id: RequestId, answer: Result<Answer, Refused>) -> Result<(), ClientError> {
        let reply = match answer.map(Answer::reply) {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(fault)) => return Err(self.close(fault)),
            Err(refused) => Err(refused),
        };
        self.ready.push_back((id, reply));
        Ok(())
    }

    /// Reads up to the next answer that somebody wants, and serves what comes before it.
    fn next_answer(
        &mut self,
        until: Instant,
        patience: Duration,
    ) -> Result<(RequestId, Result<Answer, Refused>), ClientError> {
        loop {
            let incoming = match self.inbox.next() {
                Ok(Some(incoming)) => incoming,
                Ok(None) => {
                    self.read_some(until, patience)?;
                    continue;
                }
                Err(fault) => return Err(self.close(fault.into())),
            };
            match incoming {
                Incoming::Answer(id, answer) => match self.waited_for.remove(&id) {
                    Some(Interest::Someone) => return Ok((id, answer)),
                    Some(Interest::Nobody) => {}
                    None => {
                        let fault = ProtocolFault::Unexpected("answer to no request");
                        return Err(self.close(fault.into()));
                    }
                },
                Incoming::ConnectionRefused(refused) => return Err(self.close(refused.into())),
                Incoming::Ping(id, bytes) => self.write(&Outgoing::Pong(&bytes), id)?,
                Incoming::GoAway(reason) => self.going_away = Some(reason),
                Incoming::Nothing => {}
            }
        }
    }

    fn read_some(&mut self, until: Instant, patience: Duration) -> Result<(), ClientError> {
        if let Some(reason) = &self.closed {
            return Err(ClientError::Closed { reason: reason.clone() });
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ClientError::Timeout { waited: patience });
        }
        let mut chunk = [0; READ_BYTES];
        let read =
            self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut chunk));
        match read {
            Ok(0) => Err(self.close(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
            Ok(bytes) => {
                self.inbox.space().extend_from_slice(chunk.get(..bytes).unwrap_or_default());
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    Err(ClientError::Timeout { waited: patience })
                }
                _ => Err(self.close(error.into())),
            },
        }
    }

    /// Remembers what ended the connection, and tells it.
    fn close(&mut self, error: ClientError) -> ClientError {
        self.closed.get_or_insert_with(|| error.to_string().into());
        error
    }
}

fn connect_any(address: impl ToSocketAddrs, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, positive(timeout)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The socket calls take no zero.
fn positive(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{
        self, CALL, EVENT, Frame, GOAWAY, HELLO, PING, PONG, Peer, REPLY, echo, json, welcome,
    };
    use gateway_protocol::Codec;

    fn options() -> Options {
        Options::new("arena-1", "game1", Credential::ApiKey("k".into()))
    }

    /// A client on a peer that welcomes it and answers everything else by `script`.
    fn connected(
        options: Options,
        mut script: impl FnMut(&Frame) -> Option<Vec<u8>> + Send + 'static,
    ) -> (Client, Peer) {
        let peer = Peer::start(
            move |frame| {
                if frame.kind == HELLO { Some(echo(frame)) } else { script(frame) }
            },
        );
        (Client::connect(peer.address, options).unwrap(), peer)
    }

    fn kinds(frames: &[Frame]) -> Vec<u8> {
        frames.iter().map(|frame| frame.kind).collect()
    }

    fn text(text: &'static str) -> Value<'static> {
        Value::Str(text.into())
    }

    #[test]
    fn hello_and_call_are_the_bytes_of_the_protocol() {
        let (mut client, peer) = connected(options(), |frame| Some(echo(frame)));
        assert_eq!(
            (client.welcome().server.as_ref(), client.welcome().inflight_max),
            ("peer", 1000)
        );
        let params = [("id", Value::Int(5))];
        let request = Request {
            game: Some("g"),
            deadline: Some(Duration::from_millis(258)),
            dry_run: true,
            ..Request::new("p.get", &params)
        };
        client.request(&request).unwrap();
        drop(client);
        let seen = peer.finish();
        assert_eq!(kinds(&seen), [HELLO, CALL]);
        let hello = b"\x83\xa6client\xa7arena-1\xa4game\xa5game1\xa4auth\x81\xa7api_key\xa1k";
        assert_eq!(seen[0].payload, hello);
        assert_eq!(seen[1].payload, b"\x93\xa1g\xa5p.get\x81\xa2id\x05");
        assert_eq!((seen[1].codec, seen[1].flags, seen[1].field), (0, 1, 258));
        assert!(seen[0].id != 0 && seen[1].id != 0 && seen[0].id != seen[1].id);
    }

    #[test]
    fn calls_answer_in_both_codecs() {
        for codec in [Codec::MsgPack, Codec::Json] {
            let (mut client, peer) =
                connected(Options { codec, ..options() }, |frame| Some(echo(frame)));
            let reply = client.call("p.get", &[("name", text("é"))]).unwrap();
            let params = Value::Map(vec![("name".into(), text("é"))]);
            let value = Value::Array(vec![text("p.get"), params]);
            assert_eq!(reply, Reply { value, replayed: false, meta: None });
            drop(client);
            assert!(peer.finish().iter().all(|frame| frame.codec == codec.number()));
        }
    }

    #[test]
    fn refused_hello_is_told_with_its_code() {
        let peer = Peer::start(|frame| {
            Some(json(REPLY, frame.id, 3003, r#"{"code":3003,"message":"bad signature"}"#))
        });
        let refused = Client::connect(peer.address, options()).unwrap_err();
        assert!(
            matches!(&refused, ClientError::Refused(r) if r.known() == Some(gateway_protocol::Code::BadSignature))
        );
        peer.finish();
    }

    #[test]
    fn refused_call_is_told_with_its_details_and_the_connection_lives() {
        let (mut client, _peer) = connected(options(), |frame| {
            let text = r#"{"code":2103,"message":"ITEM_NOT_ENOUGH","details":{"have":3}}"#;
            Some(json(REPLY, frame.id, 2103, text))
        });
        for _ in 0..2 {
            let Err(ClientError::Refused(refused)) = client.call("x", &[]) else { panic!() };
            let details = Value::Map(vec![("have".into(), Value::Int(3))]);
            let (code, message) = (2103, "ITEM_NOT_ENOUGH".into());
            assert_eq!(refused, Refused { code, message, details: Some(Box::new(details)) });
            assert!(!refused.retryable());
        }
    }

    #[test]
    fn meta_and_replay_are_taken_from_the_flags() {
        let (mut client, peer) = connected(options(), |frame| {
            Some(peer::bytes(REPLY, 1, 3, frame.id, 0, br#"[{"cache":"l1"},7]"#))
        });
        let request = Request { wants_meta: true, ..Request::new("x", &[]) };
        let reply = client.request(&request).unwrap();
        let meta = Some(Value::Map(vec![("cache".into(), text("l1"))]));
        assert_eq!(reply, Reply { value: Value::Int(7), replayed: true, meta });
        drop(client);
        assert_eq!(peer.finish()[1].flags, 2);
    }

    /// Keeps the calls until the third, then answers all, the last first.
    fn backwards() -> impl FnMut(&Frame) -> Option<Vec<u8>> {
        let mut held: Vec<Vec<u8>> = Vec::new();
        move |frame| {
            held.insert(0, echo(frame));
            Some(if held.len() == 3 { held.concat() } else { Vec::new() })
        }
    }

    #[test]
    fn pipelined_replies_out_of_order_find_their_requests() {
        let (mut client, _peer) = connected(options(), backwards());
        let ids: Vec<_> =
            ["a", "b", "c"].map(|op| client.send(&Request::new(op, &[])).unwrap()).into();
        assert_eq!(client.inflight(), 3);
        for (id, op) in ids.into_iter().zip(["a", "b", "c"]).rev() {
            let (own, reply) = client.receive().unwrap().unwrap();
            let expected = Value::Array(vec![text(op), Value::Map(vec![])]);
            assert_eq!((own, reply.unwrap().value), (id, expected));
        }
        assert_eq!(client.receive().unwrap(), None);
    }

    #[test]
    fn call_between_sends_leaves_their_replies_for_receive() {
        let (mut client, _peer) = connected(options(), backwards());
        let first = client.send(&Request::new("a", &[])).unwrap();
        let second = client.send(&Request::new("b", &[])).unwrap();
        client.call("c", &[]).unwrap();
        let mut left = [client.receive().unwrap().unwrap().0, client.receive().unwrap().unwrap().0];
        left.sort_by_key(|id| id.0);
        assert_eq!(left, [first, second]);
    }

    #[test]
    fn requests_at_the_bound_are_sent_and_one_more_is_busy_until_a_reply_comes() {
        let mut options = options();
        options.inflight_max = 3;
        let (mut client, _peer) = connected(options, backwards());
        for op in ["a", "b", "c"] {
            client.send(&Request::new(op, &[])).unwrap();
        }
        let busy = client.send(&Request::new("d", &[]));
        assert!(matches!(busy, Err(ClientError::Busy { count_max: 3 })));
        client.receive().unwrap().unwrap().1.unwrap();
        assert!(client.send(&Request::new("d", &[])).is_ok());
    }

    #[test]
    fn reply_after_its_time_is_dropped_and_the_connection_lives() {
        let mut options = options();
        options.call_timeout = Duration::from_millis(30);
        let mut held = Vec::new();
        let (mut client, _peer) = connected(options, move |frame| {
            if frame.payload.starts_with(b"\x92\xa4slow") {
                held = echo(frame);
                Some(Vec::new())
            } else {
                Some([std::mem::take(&mut held), echo(frame)].concat())
            }
        });
        let late = client.call("slow", &[]);
        assert!(matches!(late, Err(ClientError::Timeout { waited }) if waited.as_millis() == 30));
        assert_eq!(client.inflight(), 1);
        client.options.call_timeout = Duration::from_secs(10);
        let reply = client.call("next", &[]).unwrap();
        assert_eq!(reply.value, Value::Array(vec![text("next"), Value::Map(vec![])]));
        assert_eq!((client.inflight(), client.receive().unwrap()), (0, None));
    }

    #[test]
    fn goaway_lets_what_is_in_flight_finish_and_refuses_new_calls() {
        let goaway = json(GOAWAY, 0, 0, r#"{"reason":"draining"}"#);
        let (mut client, peer) =
            connected(options(), move |frame| Some([goaway.clone(), echo(frame)].concat()));
        client.call("a", &[]).unwrap();
        assert_eq!(client.going_away(), Some("draining"));
        let refused = client.call("b", &[]);
        assert!(
            matches!(refused, Err(ClientError::GoingAway { reason }) if *reason == *"draining")
        );
        drop(client);
        assert_eq!(kinds(&peer.finish()), [HELLO, CALL]);
    }

    #[test]
    fn pings_of_the_gateway_are_answered_with_their_bytes_and_what_is_unknown_is_passed_over() {
        let mut call = Vec::new();
        let (mut client, peer) = connected(options(), move |frame| {
            if frame.kind == PONG {
                return Some(std::mem::take(&mut call));
            }
            call = echo(frame);
            let event = json(EVENT, 0, 0, r#"{"topic":"t","event":"e","data":1}"#);
            let newer = peer::bytes(99, 7, 255, 3, 0, b"\xc1");
            Some([event, newer, peer::bytes(PING, 0, 0, 0, 0, b"\xc1x")].concat())
        });
        client.call("a", &[]).unwrap();
        drop(client);
        let seen = peer.finish();
        assert_eq!(kinds(&seen), [HELLO, CALL, PONG]);
        assert_eq!((seen[2].id, seen[2].payload.as_slice()), (0, &b"\xc1x"[..]));
    }

    #[test]
    fn ping_is_answered() {
        let (mut client, peer) = connected(options(), |frame| Some(echo(frame)));
        client.ping().unwrap();
        drop(client);
        assert_eq!(kinds(&peer.finish()), [HELLO, PING]);
    }

    #[test]
    fn batch_has_an_outcome_for_each_call() {
        let (mut client, peer) = connected(options(), |frame| {
            let text = r#"[[0,{"a":1}],[2010,{"code":2010,"message":"m"}]]"#;
            Some(json(REPLY, frame.id, 0, text))
        });
        let params: &[(&str, Value<'_>)] = &[("id", Value::Int(1))];
        let outcomes = client.batch(&[("p.get", params), ("i.list", &[])]).unwrap();
        let row = Value::Map(vec![("a".into(), Value::Int(1))]);
        assert_eq!(outcomes[0], Ok(row));
        assert_eq!(outcomes[1].as_ref().unwrap_err().code, 2010);
        let short = client.batch(&[("p.get", params)]);
        assert!(matches!(short, Err(ClientError::Protocol(_))), "two outcomes for one call");
        drop(client);
        let seen = peer.finish();
        assert_eq!(seen[1].kind, peer::BATCH);
        assert_eq!(seen[1].payload, b"\x92\x92\xa5p.get\x81\xa2id\x01\x92\xa6i.list\x80");
    }

    #[test]
    fn renewed_credential_is_a_second_hello() {
        let (mut client, peer) = connected(options(), |frame| Some(echo(frame)));
        client.renew(&Credential::Jwt("t".into())).unwrap();
        drop(client);
        let seen = peer.finish();
        assert_eq!(kinds(&seen), [HELLO, HELLO]);
        assert!(seen[1].payload.ends_with(b"\xa4auth\x81\xa3jwt\xa1t"));
    }

    #[test]
    fn reply_about_the_connection_ends_it() {
        let (mut client, _peer) = connected(options(), |_| {
            Some(json(REPLY, 0, 1101, r#"{"code":1101,"message":"malformed"}"#))
        });
        assert!(matches!(client.call("a", &[]), Err(ClientError::Refused(r)) if r.code == 1101));
        assert!(matches!(client.call("a", &[]), Err(ClientError::Closed { .. })));
    }

    #[test]
    fn closed_and_broken_connections_are_told_once_and_stay_closed() {
        let (mut client, _peer) = connected(options(), |_| None);
        assert!(matches!(client.call("a", &[]), Err(ClientError::Io(_))));
        assert!(matches!(client.call("a", &[]), Err(ClientError::Closed { .. })));
        for broken in [
            &b"HTTP/1.1 400 Bad Request"[..],
            &[0, 0, 0, 11],
            &peer::bytes(REPLY, 0, 0, 2, 0, b"\xc1"),
        ] {
            let broken = broken.to_vec();
            let (mut client, _peer) = connected(options(), move |_| Some(broken.clone()));
            assert!(matches!(client.call("a", &[]), Err(ClientError::Protocol(_))));
            assert!(matches!(client.call("a", &[]), Err(ClientError::Closed { .. })));
        }
    }

    #[test]
    fn request_over_the_gateway_s_limit_is_not_sent() {
        let peer = Peer::start(|frame| match frame.kind {
            HELLO => Some(welcome(frame.id, 60_000, 32, 10)),
            _ => Some(echo(frame)),
        });
        let mut client = Client::connect(peer.address, options()).unwrap();
        // 12 of the header, 1 + 1 + 17 + 1 of the payload.
        client.call("0123456789abcdefg", &[]).unwrap();
        let refused = client.call("0123456789abcdefgh", &[]);
        assert!(matches!(refused, Err(ClientError::TooLarge { bytes: 33, bytes_max: 32 })));
        client.call("a", &[]).unwrap();
        drop(client);
        assert_eq!(kinds(&peer.finish()), [HELLO, CALL, CALL]);
    }

    #[test]
    fn port_that_nobody_listens_on_is_an_error() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(Client::connect(free, options()), Err(ClientError::Io(_))));
    }
}
