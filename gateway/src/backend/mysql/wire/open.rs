//! Opening a connection, on the backend's runtime: names are looked up there, and a login may take its time.

use std::net::TcpStream as Socket;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::SESSION_SETUP;
use super::Unfit;
use super::fault::ServerFault;
use super::fields::Fields;
use super::login::{Account, Greeting, Next};
use super::packet::{Inbox, put};
use super::session::Session;
use crate::config::{ConnectionConfig, Endpoint, Tls};

const COM_QUERY: u8 = 0x03;
const NUMBER_QUESTION: &str = "SELECT CONNECTION_ID()";

/// Most packets of a login, and of an answer to what sets the session up.
const PACKET_COUNT_MAX: usize = 16;

/// A connection that is logged in and set up like the other driver's.
#[derive(Debug)]
pub(in crate::backend) struct Opened {
    /// Its socket; does not block.
    pub(in crate::backend) socket: Socket,
    pub(in crate::backend) session: Session,
}

/// Connects, logs in and sets the session up. The caller bounds the time.
///
/// # Errors
///
/// The network's, the server's; or that it is of a kind that is not had here.
pub(in crate::backend) async fn open(config: &ConnectionConfig) -> Result<Opened, sqlx::Error> {
    let Endpoint::Server { host, port, username, password, database, tls: Tls::Off } =
        &config.endpoint
    else {
        return Err(Unfit::NotHad("a connection that is encrypted").into());
    };
    let socket = TcpStream::connect((&**host, *port)).await?;
    socket.set_nodelay(true)?;
    let mut talk = Talk { socket, inbox: Inbox::default() };
    let greeting = Greeting::read(talk.next().await?)?;
    let mut server = greeting.server();
    let account = Account { username, password, database };
    let mut out = Vec::new();
    let mut login = greeting.answer(&account, &mut out);
    talk.send(1, &out).await?;
    let mut sequence = 1_u8;
    for _ in 0..PACKET_COUNT_MAX {
        sequence = sequence.wrapping_add(1);
        match login.take(talk.next().await?)? {
            Next::Done => {
                talk.ask(SESSION_SETUP).await?;
                talk.done().await?;
                talk.ask(NUMBER_QUESTION).await?;
                server.number = talk.number(server.ends_once).await?;
                let Talk { socket, inbox } = talk;
                let session = Session::new(inbox, server, config.statement_count_max as usize);
                return Ok(Opened { socket: socket.into_std()?, session });
            }
            Next::Receive => {}
            Next::Send(proof) => {
                sequence = sequence.wrapping_add(1);
                talk.send(sequence, &proof).await?;
            }
        }
    }
    Err(Unfit::OutOfStep("a login without an end").into())
}

/// A connection before it is anybody's.
struct Talk {
    socket: TcpStream,
    inbox: Inbox,
}

impl Talk {
    /// The next packet.
    async fn next(&mut self) -> Result<&[u8], sqlx::Error> {
        while !self.inbox.has_next()? {
            let mut buffer = self.inbox.drain();
            let read = self.socket.read_buf(&mut buffer).await;
            self.inbox.refill(buffer);
            if read? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
        self.inbox.next()?.ok_or_else(|| Unfit::OutOfStep("a packet that is gone").into())
    }

    async fn send(&mut self, sequence: u8, payload: &[u8]) -> Result<(), sqlx::Error> {
        let mut out = Vec::with_capacity(payload.len() + 8);
        put::<Unfit>(&mut out, sequence, |out| {
            out.extend_from_slice(payload);
            Ok(())
        })?;
        self.inbox.expect(sequence.wrapping_add(1));
        self.socket.write_all(&out).await?;
        Ok(())
    }

    async fn ask(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let payload = [&[COM_QUERY], sql.as_bytes()].concat();
        self.send(0, &payload).await
    }

    /// Reads an answer without rows.
    async fn done(&mut self) -> Result<(), sqlx::Error> {
        let packet = self.next().await?;
        match packet.first() {
            Some(0x00) => Ok(()),
            Some(0xff) => Err(ServerFault::read(packet)?.into()),
            _ => Err(Unfit::OutOfStep("an answer that is not understood").into()),
        }
    }

    /// Reads an answer of one number, as text.
    async fn number(&mut self, ends_once: bool) -> Result<u64, sqlx::Error> {
        // How many columns, the column, its end, the row, the end.
        let before = if ends_once { 2 } else { 3 };
        for _ in 0..before {
            let packet = self.next().await?;
            if packet.first() == Some(&0xff) {
                return Err(ServerFault::read(packet)?.into());
            }
        }
        let text = Fields::new(self.next().await?).counted().map(<[u8]>::to_vec);
        let number = text.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        let end = self.next().await?;
        match (number, end.first()) {
            (Some(number), Some(0xfe)) => Ok(number),
            _ => Err(Unfit::OutOfStep("a connection without a number").into()),
        }
    }
}
