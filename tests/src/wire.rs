//! The TCP protocol by hand, from `protocol.md`.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::credential::{Credential, GameServer};
use crate::wait::LIMIT;

/// Frame kinds.
pub const HELLO: u8 = 1;
/// The gateway's answer to HELLO.
pub const WELCOME: u8 = 2;
/// One call.
pub const CALL: u8 = 3;
/// The answer to a call, a batch, or to what was wrong.
pub const REPLY: u8 = 4;
/// A sign of life.
pub const PING: u8 = 5;
/// Its answer.
pub const PONG: u8 = 6;
/// Something was published.
pub const EVENT: u8 = 9;
/// The gateway is leaving.
pub const GOAWAY: u8 = 10;
/// Several calls.
pub const BATCH: u8 = 11;

/// Bytes of a header, the length field counted in.
const HEADER_BYTES: usize = 16;

/// How payloads are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// 0.
    Msgpack,
    /// 1.
    Json,
}

impl Codec {
    /// The number in the header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Msgpack => 0,
            Self::Json => 1,
        }
    }

    /// A payload.
    pub fn encode(self, value: &Value) -> Vec<u8> {
        match self {
            Self::Msgpack => rmp_serde::to_vec(value).expect("MessagePack"),
            Self::Json => serde_json::to_vec(value).expect("JSON"),
        }
    }

    /// What a payload says.
    pub fn decode(self, payload: &[u8]) -> Value {
        match self {
            Self::Msgpack => rmp_serde::from_slice(payload).expect("MessagePack"),
            Self::Json => serde_json::from_slice(payload).expect("JSON"),
        }
    }
}

/// A frame, as it came or as it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Protocol version: 1.
    pub version: u8,
    /// Which message.
    pub kind: u8,
    /// 0 MessagePack, 1 JSON.
    pub codec: u8,
    /// By kind.
    pub flags: u8,
    /// Which request; 0 is the connection.
    pub id: u32,
    /// A request's deadline in ms, a reply's code.
    pub number: u16,
    /// 0.
    pub reserved: u16,
    /// What it says.
    pub payload: Vec<u8>,
}

/// A frame of a kind, otherwise plain.
pub const fn frame(kind: u8, id: u32, payload: Vec<u8>) -> Frame {
    Frame { version: 1, kind, codec: 0, flags: 0, id, number: 0, reserved: 0, payload }
}

impl Frame {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len() + 12).expect("shorter than 4 GiB");
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend([self.version, self.kind, self.codec, self.flags]);
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(self.reserved.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// What its payload says.
    pub fn value(&self) -> Value {
        let codec = if self.codec == 0 { Codec::Msgpack } else { Codec::Json };
        codec.decode(&self.payload)
    }
}

/// One TCP connection.
#[derive(Debug)]
pub struct Wire {
    /// How payloads are encoded from now on.
    pub codec: Codec,
    stream: TcpStream,
    next_id: u32,
}

impl Wire {
    /// Connects; says nothing.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the gateway accepts")
    }

    /// Connects, if somebody listens; says nothing.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self { codec: Codec::Msgpack, stream, next_id: 1 })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the gateway has closed the connection.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the gateway reads");
    }

    /// Sends a frame.
    #[track_caller]
    pub fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.bytes());
    }

    /// The next frame; `None` when the gateway closed the connection.
    ///
    /// # Panics
    ///
    /// When nothing comes within [`LIMIT`].
    #[track_caller]
    pub fn read(&mut self) -> Option<Frame> {
        let mut header = [0; HEADER_BYTES];
        match self.stream.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if is_closed(&error) => return None,
            Err(error) => panic!("no frame: {error}"),
        }
        Some(self.read_rest(header).expect("the whole frame"))
    }

    /// The next frame, from a gateway that may die in the middle of it.
    ///
    /// # Errors
    ///
    /// When the connection ended before the frame did, or nothing came within [`LIMIT`].
    pub fn try_read(&mut self) -> io::Result<Frame> {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header)?;
        self.read_rest(header)
    }

    fn read_rest(&mut self, header: [u8; HEADER_BYTES]) -> io::Result<Frame> {
        let [l0, l1, l2, l3, version, kind, codec, flags, i0, i1, i2, i3, n0, n1, r0, r1] = header;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        assert!(length >= 12, "the gateway sent a frame of {length} bytes");
        let mut payload = vec![0; length - 12];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame {
            version,
            kind,
            codec,
            flags,
            id: u32::from_be_bytes([i0, i1, i2, i3]),
            number: u16::from_be_bytes([n0, n1]),
            reserved: u16::from_be_bytes([r0, r1]),
            payload,
        })
    }

    /// The next frame, which has to come.
    #[track_caller]
    pub fn expect_frame(&mut self) -> Frame {
        self.read().expect("a frame, and the connection was closed")
    }

    /// Nothing more comes: the gateway closes the connection.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        if let Some(frame) = self.read() {
            panic!("the connection lives: {frame:?}");
        }
    }

    /// Sends no more, and goes on reading.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a socket");
    }

    /// Sends no more, if the gateway has not closed already.
    pub fn half_close_if_open(&self) {
        let _closed_already = self.stream.shutdown(Shutdown::Write);
    }

    fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// A frame of a kind with the next id and a payload in the connection's codec; not sent.
    pub fn request(&mut self, kind: u8, value: &Value) -> Frame {
        let id = self.take_id();
        Frame { codec: self.codec.number(), ..frame(kind, id, self.codec.encode(value)) }
    }

    /// Sends a frame and reads the next one.
    #[track_caller]
    pub fn exchange(&mut self, frame: &Frame) -> Frame {
        self.send(frame);
        self.expect_frame()
    }

    /// Says HELLO with a credential; the answer.
    #[track_caller]
    pub fn try_hello(&mut self, game: &str, credential: &Credential) -> Frame {
        let frame = self.request_hello(game, credential);
        self.exchange(&frame)
    }

    /// A HELLO with a credential; not sent.
    pub fn request_hello(&mut self, game: &str, credential: &Credential) -> Frame {
        let hello = json!({ "client": "tests", "game": game, "auth": credential.hello_auth() });
        self.request(HELLO, &hello)
    }

    /// Says HELLO with a credential, and is welcome.
    #[track_caller]
    pub fn hello(&mut self, game: &str, credential: &Credential) -> Value {
        let answer = self.try_hello(game, credential);
        assert_eq!(answer.kind, WELCOME, "{}", answer.value());
        answer.value()
    }

    /// Says HELLO with the game servers' key; the answer.
    #[track_caller]
    pub fn try_hello_mac(&mut self, server: &GameServer, mac: &[u8]) -> Frame {
        let frame = self.request_hello_mac(server, mac);
        self.exchange(&frame)
    }

    /// A HELLO with the game servers' key; not sent.
    pub fn request_hello_mac(&mut self, server: &GameServer, mac: &[u8]) -> Frame {
        let id = self.take_id();
        frame(HELLO, id, mac_hello(server, mac))
    }

    /// Says HELLO as a game server, and is welcome.
    #[track_caller]
    pub fn hello_game_server(&mut self, game: &str) {
        let server = GameServer::new(game);
        let answer = self.try_hello_mac(&server, &server.mac());
        assert_eq!(answer.kind, WELCOME, "{}", answer.value());
    }

    /// Calls an operation of the HELLO's game; code and body.
    #[track_caller]
    pub fn call(&mut self, operation: &str, params: &Value) -> (u16, Value) {
        let frame = self.request(CALL, &json!([operation, params]));
        let answer = self.exchange(&frame);
        assert_eq!((answer.kind, answer.id), (REPLY, frame.id), "{}", answer.value());
        (answer.number, answer.value())
    }

    /// Calls an operation, which has to answer with code 0.
    #[track_caller]
    pub fn ok(&mut self, operation: &str, params: &Value) -> Value {
        let (code, body) = self.call(operation, params);
        assert_eq!(code, 0, "{operation} {params}: {body}");
        body
    }
}

/// The payload of a HELLO with a code, in MessagePack: `nonce` and `mac` are bytes, which JSON values
/// do not have, so it is written by hand.
fn mac_hello(server: &GameServer, mac: &[u8]) -> Vec<u8> {
    let mut payload = vec![0x83];
    text(&mut payload, "client");
    text(&mut payload, &server.client);
    text(&mut payload, "game");
    text(&mut payload, &server.game);
    text(&mut payload, "auth");
    payload.push(0x84);
    text(&mut payload, "key_id");
    text(&mut payload, &server.key_id);
    text(&mut payload, "time");
    payload.push(0xd3);
    payload.extend(server.time.to_be_bytes());
    for (name, bytes) in [("nonce", server.nonce.as_slice()), ("mac", mac)] {
        text(&mut payload, name);
        payload.extend([0xc4, u8::try_from(bytes.len()).expect("short")]);
        payload.extend(bytes);
    }
    payload
}

fn text(payload: &mut Vec<u8>, text: &str) {
    payload.extend([0xd9, u8::try_from(text.len()).expect("short")]);
    payload.extend(text.as_bytes());
}

/// Whether the peer has closed, in order or not.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
