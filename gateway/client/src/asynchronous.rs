//! The async client: one connection, shared by any number of tasks.
//!
//! Two tasks belong to a connection. The writer takes frames from a bounded queue, writes as many at
//! once as are there, and PINGs when it had nothing to write for a heartbeat. The reader hands each
//! answer to the call that waits for it. Dropping the last handle ends both.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gateway_protocol::message::Welcome;
use gateway_protocol::{Codec, RequestId, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::incoming::{Inbox, Incoming};
use crate::inflight::{Calls, Waiting};
use crate::reply::Answer;
use crate::request::Outgoing;
use crate::{BatchCall, ClientError, Credential, Options, ProtocolFault, Refused, Reply, Request};

/// Bytes of frames that one write takes together; one more frame may be over it.
const WRITE_BYTES: usize = 64 << 10;

/// Frames that wait for the writer. Calls are bounded by what may be in flight; this bounds bursts.
const QUEUE_DEPTH_MAX: usize = 256;

/// The id of the writer's own PINGs; no call has it.
const HEARTBEAT_ID: RequestId = RequestId(u32::MAX);

/// Largest HELLO, before the gateway has said what it takes.
const HELLO_BYTES_MAX: u32 = 64 << 10;

/// A handle on one connection; clones share it.
#[derive(Clone, Debug)]
pub struct AsyncClient(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    options: Options,
    welcome: Welcome<'static>,
    frames: mpsc::Sender<Vec<u8>>,
    inflight: Arc<Semaphore>,
    next_id: AtomicU32,
    calls: Arc<Calls>,
    reader: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl AsyncClient {
    /// Connects, says HELLO and waits for the WELCOME. Spawns two tasks on the current runtime.
    ///
    /// - `address`: `host:port`; each address of the host is tried.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`](crate::Client::connect).
    pub async fn connect(
        address: impl ToSocketAddrs,
        options: Options,
    ) -> Result<Self, ClientError> {
        let waited = options.connect_timeout;
        timeout(waited, Self::connect_now(address, options))
            .await
            .unwrap_or(Err(ClientError::Timeout { waited }))
    }

    async fn connect_now(
        address: impl ToSocketAddrs,
        options: Options,
    ) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut read, mut write) = stream.into_split();
        let mut inbox = Inbox::new(options.reply_bytes_max);

        let first = RequestId(1);
        let mut hello = Vec::new();
        Outgoing::Hello(&options.hello(&options.credential)?).encode(
            &mut hello,
            options.codec,
            first,
            HELLO_BYTES_MAX,
        )?;
        write.write_all(&hello).await?;
        let welcome = receive_welcome(&mut read, &mut inbox, first).await?;

        let heartbeat = Duration::from_millis(welcome.heartbeat_ms.max(1).into());
        let calls = Arc::new(Calls::default());
        let (frames, queue) = mpsc::channel(QUEUE_DEPTH_MAX);
        let reader = Reader {
            read,
            inbox,
            calls: Arc::clone(&calls),
            pongs: frames.downgrade(),
            codec: options.codec,
        };
        let reader = tokio::spawn(reader.run()).abort_handle();
        tokio::spawn(write_frames(write, queue, heartbeat, options.codec, Arc::clone(&calls)));

        let inflight_max = options.inflight_max.min(welcome.inflight_max as usize);
        let inflight = Arc::new(Semaphore::new(inflight_max.clamp(1, Semaphore::MAX_PERMITS)));
        let next_id = AtomicU32::new(first.0 + 1);
        let connection = Connection { options, welcome, frames, inflight, next_id, calls, reader };
        Ok(Self(Arc::new(connection)))
    }

    /// What the gateway said of itself when the connection was made.
    pub fn welcome(&self) -> &Welcome<'static> {
        &self.0.welcome
    }

    /// Why the gateway takes no new calls on this connection, if it said so.
    pub fn going_away(&self) -> Option<Box<str>> {
        self.0.calls.state().going_away.clone()
    }

    /// Requests that were sent and not answered.
    pub fn inflight(&self) -> usize {
        self.0.calls.state().waiting.len()
    }

    /// Renews the credential on the live connection, before a token expires.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; when it is refused the gateway closes the connection.
    pub async fn renew(&self, credential: &Credential) -> Result<(), ClientError> {
        let options = &self.0.options;
        let hello = options.hello(credential)?;
        let answer = self.exchange(&Outgoing::Hello(&hello), options.call_timeout).await?;
        answer.welcome().map(drop)
    }

    /// Calls an operation of the connection's game. Where as many calls are in flight as may be, waits
    /// for its turn; that time counts.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn call(&self, op: &str, params: &[(&str, Value<'_>)]) -> Result<Reply, ClientError> {
        self.request(&Request::new(op, params)).await
    }

    /// As [`AsyncClient::call`], with everything that can be said of a call.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn request(&self, request: &Request<'_>) -> Result<Reply, ClientError> {
        self.check_open()?;
        let patience = request.patience(self.0.options.call_timeout);
        self.exchange(&Outgoing::Call(request), patience).await?.reply()
    }

    /// Calls several operations of the connection's game at once; not a transaction. Each has its own
    /// outcome, in the order of `calls`.
    ///
    /// # Errors
    ///
    /// [`ClientError`], of the batch as a whole.
    pub async fn batch(
        &self,
        calls: &[BatchCall<'_>],
    ) -> Result<Vec<Result<Value<'static>, Refused>>, ClientError> {
        self.check_open()?;
        let patience = self.0.options.call_timeout;
        self.exchange(&Outgoing::Batch(calls), patience).await?.reply()?.into_batch(calls.len())
    }

    /// Asks whether the gateway lives.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn ping(&self) -> Result<(), ClientError> {
        self.exchange(&Outgoing::Ping, self.0.options.call_timeout).await?.pong()
    }

    fn check_open(&self) -> Result<(), ClientError> {
        match &self.0.calls.state().going_away {
            Some(reason) => Err(ClientError::GoingAway { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Sends a request and waits for its answer.
    async fn exchange(
        &self,
        outgoing: &Outgoing<'_>,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        timeout(patience, self.exchange_now(outgoing))
            .await
            .unwrap_or(Err(ClientError::Timeout { waited: patience }))
    }

    async fn exchange_now(&self, outgoing: &Outgoing<'_>) -> Result<Answer, ClientError> {
        let connection = &*self.0;
        let permit = Arc::clone(&connection.inflight).acquire_owned().await.ok();
        // A place in the queue first: what is registered as in flight is then also sent.
        let Ok(place) = connection.frames.reserve().await else {
            return Err(connection.calls.closed());
        };
        let id = connection.new_id();
        let mut frame = Vec::with_capacity(64);
        let bytes_max = connection.welcome.frame_bytes_max;
        outgoing.encode(&mut frame, connection.options.codec, id, bytes_max)?;
        let (caller, answer) = oneshot::channel();
        connection.calls.register(id, Waiting::new(caller, permit))?;
        place.send(frame);
        match answer.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(connection.calls.closed()),
        }
    }
}

impl Connection {
    /// An id that nothing in flight has.
    fn new_id(&self) -> RequestId {
        loop {
            let id = RequestId(self.next_id.fetch_add(1, Ordering::Relaxed));
            let own = [RequestId::CONNECTION, HEARTBEAT_ID];
            if !own.contains(&id) && !self.calls.state().waiting.contains_key(&id) {
                return id;
            }
        }
    }
}

/// The reading half.
struct Reader {
    read: OwnedReadHalf,
    inbox: Inbox,
    calls: Arc<Calls>,
    /// Weak, so that the writer ends with the last handle.
    pongs: mpsc::WeakSender<Vec<u8>>,
    codec: Codec,
}

impl Reader {
    async fn run(mut self) {
        let error = loop {
            match next_frame(&mut self.read, &mut self.inbox).await {
                Ok(incoming) => {
                    if let Err(error) = self.serve(incoming) {
                        break error;
                    }
                }
                Err(error) => break error,
            }
        };
        self.calls.close(&error);
    }

    fn serve(&self, incoming: Incoming) -> Result<(), ClientError> {
        match incoming {
            Incoming::Answer(id, answer) => {
                let waiting = self.calls.state().waiting.remove(&id);
                if let Some(waiting) = waiting {
                    waiting.answer(answer);
                } else if id != HEARTBEAT_ID {
                    return Err(ProtocolFault::Unexpected("answer to no request").into());
                }
            }
            Incoming::ConnectionRefused(refused) => return Err(refused.into()),
            Incoming::Ping(id, bytes) => {
                let mut frame = Vec::new();
                Outgoing::Pong(&bytes).encode(&mut frame, self.codec, id, u32::MAX)?;
                // A full queue is traffic of its own, which tells the gateway as much.
                if let Some(pongs) = self.pongs.upgrade() {
                    drop(pongs.try_send(frame));
                }
            }
            Incoming::GoAway(reason) => self.calls.state().going_away = Some(reason),
            Incoming::Nothing => {}
        }
        Ok(())
    }
}

/// Reads up to the end of the next frame.
async fn next_frame(read: &mut OwnedReadHalf, inbox: &mut Inbox) -> Result<Incoming, ClientError> {
    loop {
        if let Some(incoming) = inbox.next()? {
            return Ok(incoming);
        }
        if read.read_buf(inbox.space()).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

async fn receive_welcome(
    read: &mut OwnedReadHalf,
    inbox: &mut Inbox,
    hello: RequestId,
) -> Result<Welcome<'static>, ClientError> {
    loop {
        match next_frame(read, inbox).await? {
            Incoming::Answer(id, answer) if id == hello => return answer?.welcome(),
            Incoming::Answer(..) => {
                return Err(ProtocolFault::Unexpected("answer to no request").into());
            }
            Incoming::ConnectionRefused(refused) => return Err(refused.into()),
            Incoming::GoAway(reason) => return Err(ClientError::GoingAway { reason }),
            Incoming::Ping(..) | Incoming::Nothing => {}
        }
    }
}

/// The writing half.
async fn write_frames(
    mut write: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Vec<u8>>,
    heartbeat: Duration,
    codec: Codec,
    calls: Arc<Calls>,
) {
    let mut together = Vec::new();
    loop {
        together.clear();
        match timeout(heartbeat, queue.recv()).await {
            Ok(Some(frame)) => together.extend_from_slice(&frame),
            // Every handle is gone; dropping the half tells the gateway.
            Ok(None) => return,
            Err(_) => {
                if let Err(error) =
                    Outgoing::Ping.encode(&mut together, codec, HEARTBEAT_ID, u32::MAX)
                {
                    calls.close(&error);
                    return;
                }
            }
        }
        while together.len() < WRITE_BYTES
            && let Ok(frame) = queue.try_recv()
        {
            together.extend_from_slice(&frame);
        }
        if let Err(error) = write.write_all(&together).await {
            calls.close(&error.into());
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{CALL, Frame, GOAWAY, HELLO, PING, Peer, REPLY, echo, json, welcome};

    fn options() -> Options {
        Options::new("arena-1", "game1", Credential::ApiKey("k".into()))
    }

    async fn connected(
        mut script: impl FnMut(&Frame) -> Option<Vec<u8>> + Send + 'static,
    ) -> (AsyncClient, Peer) {
        let peer = Peer::start(
            move |frame| {
                if frame.kind == HELLO { Some(echo(frame)) } else { script(frame) }
            },
        );
        (AsyncClient::connect(peer.address, options()).await.unwrap(), peer)
    }

    fn echoed(number: i64) -> Value<'static> {
        let params = Value::Map(vec![("n".into(), Value::Int(number))]);
        Value::Array(vec![Value::Str("x".into()), params])
    }

    #[tokio::test]
    async fn two_hundred_tasks_share_a_connection_and_get_their_own_replies() {
        // Ten at a time, the last first.
        let mut held: Vec<Vec<u8>> = Vec::new();
        let (client, peer) = connected(move |frame| {
            held.insert(0, echo(frame));
            Some(if held.len() == 10 { std::mem::take(&mut held).concat() } else { Vec::new() })
        })
        .await;
        let calls: Vec<_> = (0..200)
            .map(|number| {
                let client = client.clone();
                tokio::spawn(async move { client.call("x", &[("n", Value::Int(number))]).await })
            })
            .collect();
        for (call, number) in calls.into_iter().zip(0..) {
            assert_eq!(call.await.unwrap().unwrap().value, echoed(number));
        }
        assert_eq!(client.inflight(), 0);
        drop(client);
        assert_eq!(tokio::task::spawn_blocking(|| peer.finish()).await.unwrap().len(), 201);
    }

    #[tokio::test]
    async fn refusals_batches_pings_and_renewals_are_answered() {
        let (client, _peer) = connected(|frame| match frame.kind {
            CALL => {
                Some(json(REPLY, frame.id, 2101, r#"{"code":2101,"message":"PLAYER_NOT_FOUND"}"#))
            }
            PING => Some(echo(frame)),
            _ => Some(json(REPLY, frame.id, 0, "[[0,1],[0,2]]")),
        })
        .await;
        assert_eq!(client.welcome().server, "peer");
        assert!(
            matches!(client.call("x", &[]).await, Err(ClientError::Refused(r)) if r.code == 2101)
        );
        let outcomes = client.batch(&[("a", &[]), ("b", &[])]).await.unwrap();
        assert_eq!(outcomes, [Ok(Value::Int(1)), Ok(Value::Int(2))]);
        client.ping().await.unwrap();
        client.renew(&Credential::Jwt("t".into())).await.unwrap();
    }

    #[tokio::test]
    async fn refused_hello_is_told_with_its_code() {
        let peer = Peer::start(|frame| {
            Some(json(REPLY, frame.id, 3002, r#"{"code":3002,"message":"expired"}"#))
        });
        let refused = AsyncClient::connect(peer.address, options()).await;
        assert!(matches!(refused, Err(ClientError::Refused(r)) if r.code == 3002));
    }

    #[tokio::test]
    async fn reply_after_its_time_is_dropped_and_the_connection_lives() {
        let mut held = None;
        let (client, _peer) = connected(move |frame| match held.take() {
            None if frame.field == 1 => {
                held = Some(echo(frame));
                Some(Vec::new())
            }
            late => Some([late.unwrap_or_default(), echo(frame)].concat()),
        })
        .await;
        let request =
            Request { deadline: Some(Duration::from_millis(1)), ..Request::new("x", &[]) };
        assert!(matches!(client.request(&request).await, Err(ClientError::Timeout { .. })));
        assert_eq!(client.inflight(), 1, "the gateway still works on it");
        assert_eq!(client.call("x", &[("n", Value::Int(2))]).await.unwrap().value, echoed(2));
        assert_eq!(client.inflight(), 0);
    }

    /// The peer answers a call only after a PING, so what the client sent before the PING is all that
    /// it had in flight; and the PING comes of silence alone.
    #[tokio::test]
    async fn silence_is_broken_by_pings_and_calls_beyond_the_bound_wait_their_turn() {
        let mut held = Vec::new();
        let peer = Peer::start(move |frame| match frame.kind {
            HELLO => Some(welcome(frame.id, 20, 1 << 20, 1)),
            PING => Some([echo(frame), std::mem::take(&mut held)].concat()),
            _ => {
                held = echo(frame);
                Some(Vec::new())
            }
        });
        let client = AsyncClient::connect(peer.address, options()).await.unwrap();
        let (first, second) = tokio::join!(client.call("x", &[]), client.call("x", &[]));
        first.unwrap();
        second.unwrap();
        drop(client);
        let seen = tokio::task::spawn_blocking(|| peer.finish()).await.unwrap();
        let kinds: Vec<u8> = seen.iter().map(|frame| frame.kind).collect();
        assert!(kinds.starts_with(&[HELLO, CALL, PING, CALL, PING]), "{kinds:?}");
    }

    #[tokio::test]
    async fn goaway_lets_what_is_in_flight_finish_and_refuses_new_calls() {
        let goaway = json(GOAWAY, 0, 0, r#"{"reason":"draining"}"#);
        let (client, _peer) =
            connected(move |frame| Some([goaway.clone(), echo(frame)].concat())).await;
        client.call("x", &[]).await.unwrap();
        assert_eq!(client.going_away().as_deref(), Some("draining"));
        assert!(matches!(client.call("x", &[]).await, Err(ClientError::GoingAway { .. })));
    }

    #[tokio::test]
    async fn lost_connection_ends_every_call_in_flight_and_those_that_follow() {
        let mut count = 0;
        let (client, _peer) = connected(move |_| {
            count += 1;
            (count < 3).then(Vec::new)
        })
        .await;
        let (a, b, c) =
            tokio::join!(client.call("x", &[]), client.call("x", &[]), client.call("x", &[]));
        for lost in [a, b, c, client.call("x", &[]).await] {
            assert!(matches!(lost, Err(ClientError::Closed { .. })), "{lost:?}");
        }
        assert_eq!(client.inflight(), 0);
    }

    #[tokio::test]
    async fn broken_frames_end_the_connection() {
        let (client, _peer) = connected(|_| Some(b"HTTP/1.1 400 Bad Request".to_vec())).await;
        let lost = client.call("x", &[]).await;
        assert!(
            matches!(&lost, Err(ClientError::Closed { reason }) if reason.contains("protocol")),
            "{lost:?}"
        );
    }

    #[tokio::test]
    async fn last_handle_closes_the_connection() {
        let (client, peer) = connected(|frame| Some(echo(frame))).await;
        let other = client.clone();
        drop(client);
        other.ping().await.unwrap();
        drop(other);
        let seen = tokio::task::spawn_blocking(|| peer.finish()).await.unwrap();
        assert_eq!(seen.len(), 2);
    }
}
