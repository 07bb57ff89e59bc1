//! Logging in: the server's greeting, the answer to it, and the password's proof.

use sha1::{Digest as _, Sha1};
use sha2::{Digest as _, Sha256};

use super::Unfit;
use super::fault::ServerFault;
use super::fields::{Fields, put_counted};
use crate::config::Secret;

const FOUND_ROWS: u32 = 1 << 1;
const CONNECT_WITH_DATABASE: u32 = 1 << 3;
const IGNORE_SPACE: u32 = 1 << 8;
const PROTOCOL_41: u32 = 1 << 9;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const PLUGIN_AUTH_COUNTED: u32 = 1 << 21;
const DEPRECATE_EOF: u32 = 1 << 24;

/// What is asked for: what the other driver asks for, but for several statements and results, which no read has, and TLS.
const WANTED: u32 = FOUND_ROWS
    | CONNECT_WITH_DATABASE
    | IGNORE_SPACE
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | PLUGIN_AUTH
    | PLUGIN_AUTH_COUNTED
    | DEPRECATE_EOF;
/// Without these the answer to the greeting has another form.
const NEEDED: u32 =
    CONNECT_WITH_DATABASE | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | PLUGIN_AUTH_COUNTED;

const UTF8MB4_GENERAL_CI: u8 = 45;
const PACKET_BYTES_MAX: u32 = 1 << 24;
const NONCE_BYTES: usize = 20;

/// What is known of a server after its greeting.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Server {
    /// Whether results end with one packet instead of two.
    pub(super) ends_once: bool,
    /// The connection's number there.
    pub(super) number: u64,
}

/// Who logs in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account<'a> {
    pub(super) username: &'a str,
    pub(super) password: &'a Secret,
    pub(super) database: &'a str,
}

/// How a password is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plugin {
    Native,
    CachingSha2,
}

impl Plugin {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"mysql_native_password" => Some(Self::Native),
            b"caching_sha2_password" => Some(Self::CachingSha2),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
        }
    }

    /// The proof; empty for an empty password.
    fn prove(self, password: &Secret, nonce: &[u8]) -> Vec<u8> {
        let password = password.expose().as_bytes();
        if password.is_empty() {
            return Vec::new();
        }
        match self {
            Self::Native => {
                let first = Sha1::digest(password);
                let twice = Sha1::digest(first);
                mixed(&first, &Sha1::digest([nonce, &twice].concat()))
            }
            Self::CachingSha2 => {
                let first = Sha256::digest(password);
                let twice = Sha256::digest(first);
                mixed(&first, &Sha256::digest([&twice, nonce].concat()))
            }
        }
    }
}

fn mixed(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// A server's greeting.
#[derive(Debug)]
pub(super) struct Greeting {
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: Option<Plugin>,
}

impl Greeting {
    /// Reads the first packet of a connection.
    ///
    /// # Errors
    ///
    /// The server's refusal, or that it is another protocol.
    pub(super) fn read(packet: &[u8]) -> Result<Self, sqlx::Error> {
        if packet.first() == Some(&0xff) {
            return Err(ServerFault::read(packet)?.into());
        }
        Self::parse(packet)
            .ok_or_else(|| Unfit::OutOfStep("a greeting that is not understood").into())
    }

    fn parse(packet: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(packet);
        if fields.u8()? != 10 {
            return None;
        }
        let (_version, _thread) = (fields.until_zero()?, fields.u32()?);
        let mut nonce = fields.take(8)?.to_vec();
        let (_zero, low) = (fields.u8()?, fields.u16()?);
        let (_charset, _status, high) = (fields.u8()?, fields.u16()?, fields.u16()?);
        let capabilities = u32::from(high) << 16 | u32::from(low);
        if capabilities & NEEDED != NEEDED {
            return None;
        }
        let _nonce_bytes = fields.u8()?;
        fields.take(10)?;
        nonce.extend_from_slice(fields.take(NONCE_BYTES - 8)?);
        // A zero ends it.
        fields.take(1)?;
        let plugin = Plugin::of(fields.until_zero().unwrap_or_else(|| fields.rest()));
        Some(Self { capabilities, nonce, plugin })
    }

    /// What is known of the server.
    pub(super) const fn server(&self) -> Server {
        Server { ends_once: self.capabilities & DEPRECATE_EOF != 0, number: 0 }
    }

    /// Appends the answer's payload, and begins to log in.
    pub(super) fn answer<'a>(&self, account: &Account<'a>, out: &mut Vec<u8>) -> Login<'a> {
        // Of a plugin that is not known here the server says which one the account has.
        let plugin = self.plugin.unwrap_or(Plugin::Native);
        let capabilities = WANTED & (self.capabilities | PROTOCOL_41);
        out.extend_from_slice(&capabilities.to_le_bytes());
        out.extend_from_slice(&PACKET_BYTES_MAX.to_le_bytes());
        out.push(UTF8MB4_GENERAL_CI);
        out.extend_from_slice(&[0; 23]);
        out.extend_from_slice(account.username.as_bytes());
        out.push(0);
        put_counted(out, &plugin.prove(account.password, &self.nonce));
        out.extend_from_slice(account.database.as_bytes());
        out.push(0);
        out.extend_from_slice(plugin.name().as_bytes());
        out.push(0);
        Login { password: account.password, plugin, switches: 0 }
    }
}

/// A login under way.
#[derive(Debug)]
pub(super) struct Login<'a> {
    password: &'a Secret,
    plugin: Plugin,
    switches: u8,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This is sent.
    Send(Vec<u8>),
    /// Another packet is waited for.
    Receive,
    /// The login is done.
    Done,
}

impl Login<'_> {
    /// Takes a packet of the server's in.
    ///
    /// # Errors
    ///
    /// The server's refusal; or that it asks for what is not had here.
    pub(super) fn take(&mut self, packet: &[u8]) -> Result<Next, sqlx::Error> {
        let mut fields = Fields::new(packet);
        match fields.u8() {
            Some(0x00) => Ok(Next::Done),
            Some(0xff) => Err(ServerFault::read(packet)?.into()),
            Some(0xfe) if self.switches == 0 => {
                self.switches += 1;
                let name = fields.until_zero().unwrap_or_default();
                self.plugin =
                    Plugin::of(name).ok_or(Unfit::NotHad("a way to log in that is not had"))?;
                let nonce =
                    fields.take(NONCE_BYTES).ok_or(Unfit::OutOfStep("a login without a nonce"))?;
                Ok(Next::Send(self.plugin.prove(self.password, nonce)))
            }
            // It knows the password's hash; its OK follows.
            Some(0x01) if self.plugin == Plugin::CachingSha2 && fields.rest() == [3] => {
                Ok(Next::Receive)
            }
            _ => Err(Unfit::NotHad("a way to log in that is not had").into()),
        }
    }
}
