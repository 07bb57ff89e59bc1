//! The other side of the tests: a gateway of one connection, written by hand from the protocol's page.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

/// A frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) codec: u8,
    pub(crate) flags: u8,
    pub(crate) id: u32,
    pub(crate) field: u16,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const HELLO: u8 = 1;
pub(crate) const WELCOME: u8 = 2;
pub(crate) const CALL: u8 = 3;
pub(crate) const REPLY: u8 = 4;
pub(crate) const PING: u8 = 5;
pub(crate) const PONG: u8 = 6;
pub(crate) const EVENT: u8 = 9;
pub(crate) const GOAWAY: u8 = 10;
pub(crate) const BATCH: u8 = 11;

/// A frame's bytes.
pub(crate) fn bytes(
    kind: u8,
    codec: u8,
    flags: u8,
    id: u32,
    field: u16,
    payload: &[u8],
) -> Vec<u8> {
    let length = u32::try_from(12 + payload.len()).unwrap().to_be_bytes();
    let head = [1, kind, codec, flags];
    let (id, field) = (id.to_be_bytes(), field.to_be_bytes());
    [&length[..], &head, &id, &field, &[0, 0], payload].concat()
}

/// A frame with a JSON payload and no flags.
pub(crate) fn json(kind: u8, id: u32, field: u16, payload: &str) -> Vec<u8> {
    bytes(kind, 1, 0, id, field, payload.as_bytes())
}

/// A WELCOME.
pub(crate) fn welcome(
    id: u32,
    heartbeat_ms: u32,
    frame_bytes_max: u32,
    inflight_max: u32,
) -> Vec<u8> {
    let text = format!(
        r#"{{"server":"peer","version":"1","catalog":"c","heartbeat_ms":{heartbeat_ms},
        "frame_bytes_max":{frame_bytes_max},"inflight_max":{inflight_max}}}"#
    );
    json(WELCOME, id, 0, &text)
}

/// The reply to a call, or the welcome to a hello, with generous limits: its payload comes back.
pub(crate) fn echo(frame: &Frame) -> Vec<u8> {
    match frame.kind {
        HELLO => welcome(frame.id, 60_000, 1 << 20, 1000),
        PING => bytes(PONG, frame.codec, 0, frame.id, 0, &frame.payload),
        _ => bytes(REPLY, frame.codec, 0, frame.id, 0, &frame.payload),
    }
}

/// A peer that serves one connection on its own thread, until the client closes it.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<Vec<Frame>>,
}

impl Peer {
    /// Starts to listen.
    ///
    /// - `script`: what to send when a frame comes; `None` closes the connection.
    pub(crate) fn start(
        mut script: impl FnMut(&Frame) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            while let Some(frame) = read(&mut stream) {
                let answer = script(&frame);
                seen.push(frame);
                match answer {
                    Some(bytes) if stream.write_all(&bytes).is_ok() => {}
                    _ => break,
                }
            }
            seen
        });
        Self { address, thread }
    }

    /// Waits for the client to close and returns all that it sent.
    pub(crate) fn finish(self) -> Vec<Frame> {
        self.thread.join().unwrap()
    }
}

fn read(stream: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes(head[..4].try_into().unwrap());
    assert_eq!((head[4], &head[14..]), (1, &[0, 0][..]), "version and reserved");
    let mut payload = vec![0; usize::try_from(length).unwrap() - 12];
    stream.read_exact(&mut payload).ok()?;
    Some(Frame {
        kind: head[5],
        codec: head[6],
        flags: head[7],
        id: u32::from_be_bytes(head[8..12].try_into().unwrap()),
        field: u16::from_be_bytes(head[12..14].try_into().unwrap()),
        payload,
    })
}
