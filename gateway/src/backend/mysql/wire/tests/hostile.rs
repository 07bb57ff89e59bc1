//! Servers that send whatever they like: an error in the end, and neither a panic nor a wait without one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::super::super::connection::Statement;
use super::super::super::super::encode::Rows;
use super::super::super::super::testing::{Server, config};
use super::{Direct, PATIENCE, column, read_of, shape};
use crate::catalog::{Column, Dialect, Scalar, Type};
use crate::config::{ConnectionConfig, Endpoint, Secret, Tls};

/// How long a server waits for a client that waits for the server.
const SOON: Duration = Duration::from_millis(10);

/// What a server sent, in the pieces that it sent.
type Recording = Vec<Vec<u8>>;

fn at(port: u16) -> ConnectionConfig {
    config(
        Dialect::Mysql,
        Endpoint::Server {
            host: "127.0.0.1".into(),
            port,
            username: "gateway".into(),
            password: Secret::new("secret"),
            database: "mysql".into(),
            tls: Tls::Off,
        },
    )
}

/// Passes a connection on to a real server, and records what that sends.
fn record(real: u16) -> (u16, Arc<Mutex<Recording>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let recording = Arc::new(Mutex::new(Recording::new()));
    let kept = Arc::clone(&recording);
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("accepted");
        let mut server = TcpStream::connect(("127.0.0.1", real)).expect("it answers");
        let (mut from, mut to) =
            (client.try_clone().expect("two"), server.try_clone().expect("two"));
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            let piece = buffer.get(..read).expect("read").to_vec();
            kept.lock().expect("no panic").push(piece.clone());
            if client.write_all(&piece).is_err() {
                return;
            }
        }
    });
    (port, recording)
}

/// A server that answers every client's piece with the next of its own, and then hangs up; also on a client that says nothing for
/// that long.
fn play(pieces: Recording, patience: Duration) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let thread = std::thread::spawn(move || {
        let Ok((mut client, _)) = listener.accept() else { return };
        client.set_read_timeout(Some(patience)).expect("set");
        let mut buffer = vec![0; 1 << 16];
        for (number, piece) in pieces.iter().enumerate() {
            if number > 0 && !matches!(client.read(&mut buffer), Ok(1..)) {
                return;
            }
            if client.write_all(piece).is_err() {
                return;
            }
        }
        // Nothing follows: whoever still waits sees an end.
        drop(client.shutdown(Shutdown::Write));
        while matches!(client.read(&mut buffer), Ok(1..)) {}
    });
    (port, thread)
}

fn columns() -> Vec<Column> {
    vec![
        column("id", Type::Int),
        column("name", Type::Str { chars_max: None }),
        column("day", Type::Date),
        column("moment", Type::Timestamp { fraction: 6 }),
        column("money", Type::Decimal { precision: 20, scale: 4 }),
        column("bits", Type::Bigint),
        column("none", Type::Int),
    ]
}

const SQL: &str = "SELECT CAST(? AS INT) AS id, 'a name' AS name, DATE'2024-02-29' AS day, \
                   TIMESTAMP'2024-02-29 12:34:56.789999' AS moment, 12.5 AS money, CAST(5 AS UNSIGNED) AS bits, NULL AS none \
                   FROM seq_1_to_3";

/// Logs in and asks twice: with and without a preparation.
async fn talk(config: &ConnectionConfig) -> Result<Vec<u8>, String> {
    let opened = tokio::time::timeout(PATIENCE, Direct::open(config)).await;
    let opened = opened.map_err(|_late| "hangs in the login".to_owned())?;
    let mut direct = opened.map_err(|error| error.to_string())?;
    let template = read_of(columns());
    let statement = Statement { sql: SQL.into(), binds: vec![Scalar::Int(7)] };
    let mut body = Vec::new();
    for _ in 0..2 {
        let mut rows = Rows::new(shape(&template, 100, 1 << 16));
        let fetched = direct.fetch(&statement, &template, &mut rows);
        fetched.map_err(|failure| format!("{failure:?}"))?;
        body.extend_from_slice(&rows.finish().body);
    }
    Ok(body)
}

/// A conversation with a real server, and what came of it.
///
/// - `schema`: the test's own: others make and drop theirs meanwhile.
async fn conversation(schema: &str) -> Option<(Recording, Vec<u8>)> {
    let server = Server::get()?;
    let _turn = server.share().await;
    let real = server.database(schema).await;
    let Endpoint::Server { port, .. } = real.endpoint else { return None };
    let (port, recording) = record(port);
    let body = talk(&at(port)).await.expect("a real server");
    let pieces = recording.lock().expect("no panic").clone();
    Some((pieces, body))
}

/// A generator of numbers: the same ones for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).expect("small")
    }
}

#[tokio::test]
async fn conversation_played_back_gives_the_same_answer() {
    let Some((pieces, body)) = conversation("wire_hostile_played").await else { return };
    let (port, server) = play(pieces, PATIENCE);
    assert_eq!(talk(&at(port)).await, Ok(body));
    server.join().expect("no panic");
}

#[tokio::test]
async fn conversation_that_is_cut_anywhere_is_an_error() {
    let Some((pieces, _)) = conversation("wire_hostile_cut").await else { return };
    for (number, piece) in pieces.iter().enumerate() {
        for cut in (0..piece.len()).step_by(1 + piece.len() / 40) {
            let mut short: Recording = pieces.iter().take(number).cloned().collect();
            short.push(piece.iter().take(cut).copied().collect());
            let (port, server) = play(short, SOON);
            assert!(talk(&at(port)).await.is_err(), "piece {number} cut at {cut}");
            server.join().expect("no panic");
        }
    }
}

/// What a mutation leaves whole is an answer; never a panic, and never a wait that outlives its server.
#[tokio::test]
async fn conversation_with_bytes_that_are_changed_ends_without_a_panic() {
    let Some((pieces, _)) = conversation("wire_hostile_changed").await else { return };
    let seed = std::env::var("GATEWAY_WIRE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5eed_0001_u64);
    println!("GATEWAY_WIRE_SEED={seed}");
    let mut numbers = Numbers(seed);
    let mut failed = 0;
    for _ in 0..600 {
        let mut changed = pieces.clone();
        for _ in 0..=numbers.below(3) {
            let piece = numbers.below(changed.len());
            let Some(piece) = changed.get_mut(piece) else { continue };
            let place = numbers.below(piece.len());
            match numbers.below(5) {
                0 => piece.truncate(place),
                1 => piece.insert(place, u8::try_from(numbers.below(256)).expect("a byte")),
                2 => {
                    let again = piece.get(place..).unwrap_or_default().to_vec();
                    piece.extend_from_slice(&again);
                }
                _ => {
                    if let Some(byte) = piece.get_mut(place) {
                        *byte = [0, 0xff, 0xfe, 0xfb, 0xfc, 0xfd, 0x80, 1][numbers.below(8)];
                    }
                }
            }
        }
        let (port, server) = play(changed, SOON);
        failed += usize::from(talk(&at(port)).await.is_err());
        server.join().expect("no panic");
    }
    assert!(failed > 200, "{failed} of them failed: they change nothing");
}

#[tokio::test]
async fn server_that_is_none_is_an_error_at_its_first_bytes() {
    let head = |bytes: usize, number: u8| {
        let [a, b, c, ..] = bytes.to_le_bytes();
        vec![a, b, c, number]
    };
    for greeting in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        head(0xff_fffe, 0),
        [head(3, 0), b"\xff\x10\x04".to_vec()].concat(),
        [head(1, 0), vec![9]].concat(),
        [head(1, 0), vec![10]].concat(),
        [head(200, 0), vec![10; 200]].concat(),
        Vec::new(),
    ] {
        let (port, server) = play(vec![greeting.clone()], SOON);
        assert!(talk(&at(port)).await.is_err(), "{greeting:?}");
        server.join().expect("no panic");
    }
}

#[tokio::test]
async fn wrong_password_is_the_servers_refusal() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let mut config = server.database("wire_password").await;
    if let Endpoint::Server { password, .. } = &mut config.endpoint {
        *password = Secret::new("another");
    }
    let refused = Direct::open(&config).await.err().expect("refused").to_string();
    assert!(refused.contains("1045"), "{refused}");
}
