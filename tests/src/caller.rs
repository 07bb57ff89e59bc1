//! A game server that goes on calling while the gateway and its databases die.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::credential::{Credential, GameServer};
use crate::wait::wait_until;
use crate::wire::{CALL, Frame, REPLY, WELCOME, Wire, is_closed};

/// "A commit's outcome is not known", and "the journal could not be synced".
const OUTCOME_UNKNOWN: [u16; 2] = [1305, 1502];

/// REPLY's flag of a repeat that was answered with the first answer.
const REPLAYED: u8 = 1;

/// CALL's flag of a dry run.
const DRY_RUN: u8 = 1;

/// What became of one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Code 0.
    Done {
        /// The result.
        body: Value,
        /// Whether it is the first answer again.
        replayed: bool,
    },
    /// Any other code than 1305 and 1502: it has had no effect.
    Refused {
        /// The code.
        code: u16,
        /// Code, message, details.
        body: Value,
    },
    /// No reply came, or one with 1305 or 1502: it may have had its effect.
    Unknown,
}

/// What became of a call that was repeated until that was known.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Never [`Outcome::Unknown`].
    pub outcome: Outcome,
    /// How often it was sent.
    pub attempts: u32,
}

impl Outcome {
    fn of(reply: &Frame) -> Self {
        match reply.number {
            0 => Self::Done { body: reply.value(), replayed: reply.flags & REPLAYED != 0 },
            code if OUTCOME_UNKNOWN.contains(&code) => Self::Unknown,
            code => Self::Refused { code, body: reply.value() },
        }
    }

    /// Its code, where one is known.
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Done { .. } => Some(0),
            Self::Refused { code, .. } => Some(*code),
            Self::Unknown => None,
        }
    }

    /// Whether the gateway says that the same call may do better in a while: 1000 to 1599, and a key that
    /// still runs (2021).
    pub const fn may_be_repeated(&self) -> bool {
        match self {
            Self::Done { .. } => false,
            Self::Refused { code, .. } => *code < 1600 || *code == 2021,
            Self::Unknown => true,
        }
    }
}

/// One game server's connection, made again when it is lost.
#[derive(Debug)]
pub struct Caller {
    address: SocketAddr,
    game: &'static str,
    credential: Option<Credential>,
    wire: Option<Wire>,
}

impl Caller {
    /// A game server that is not connected yet.
    pub const fn new(address: SocketAddr, game: &'static str) -> Self {
        Self { address, game, credential: None, wire: None }
    }

    /// Somebody else with a credential, who is not connected yet.
    pub const fn with_credential(
        address: SocketAddr,
        game: &'static str,
        credential: Credential,
    ) -> Self {
        Self { address, game, credential: Some(credential), wire: None }
    }

    /// Connects and logs in, where that is not done. `None` when nobody listens, or not any more.
    pub fn connect(&mut self) -> Option<&mut Wire> {
        if self.wire.is_none() {
            let mut wire = Wire::try_connect(self.address).ok()?;
            let frame = if let Some(credential) = &self.credential {
                wire.request_hello(self.game, credential)
            } else {
                let server = GameServer::new(self.game);
                wire.request_hello_mac(&server, &server.mac())
            };
            wire.try_send(&frame.bytes()).ok()?;
            let answer = wire.try_read().ok()?;
            if answer.kind != WELCOME {
                return None;
            }
            self.wire = Some(wire);
        }
        self.wire.as_mut()
    }

    /// Ends the connection, whatever is under way on it.
    pub fn disconnect(&mut self) {
        self.wire = None;
    }

    /// Sends all calls, then takes the replies, in whatever order they come.
    pub fn call_all(&mut self, calls: &[(&str, &Value)]) -> Vec<Outcome> {
        self.call_all_with(0, calls)
    }

    /// One call that is to change nothing.
    pub fn dry_run(&mut self, operation: &str, params: &Value) -> Outcome {
        let mut outcomes = self.call_all_with(DRY_RUN, &[(operation, params)]);
        outcomes.pop().unwrap_or(Outcome::Unknown)
    }

    fn call_all_with(&mut self, flags: u8, calls: &[(&str, &Value)]) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Unknown; calls.len()];
        if self.exchange_all(flags, calls, &mut outcomes).is_none() {
            self.wire = None;
        }
        outcomes
    }

    /// `None` when the connection was lost on the way.
    fn exchange_all(
        &mut self,
        flags: u8,
        calls: &[(&str, &Value)],
        outcomes: &mut [Outcome],
    ) -> Option<()> {
        let wire = self.connect()?;
        let mut ids = Vec::with_capacity(calls.len());
        let mut bytes = Vec::new();
        for (operation, params) in calls {
            let frame = Frame { flags, ..wire.request(CALL, &json!([operation, params])) };
            ids.push(frame.id);
            bytes.extend(frame.bytes());
        }
        wire.try_send(&bytes).ok()?;
        for _ in calls {
            let reply = next_reply(wire)?;
            let index = ids.iter().position(|id| *id == reply.id);
            let index = index.unwrap_or_else(|| panic!("nobody asked for {reply:?}"));
            outcomes[index] = Outcome::of(&reply);
        }
        Some(())
    }

    /// Sends calls and ends the connection without waiting for a reply. Whether they were sent.
    pub fn call_and_leave(&mut self, calls: &[(&str, &Value)]) -> bool {
        let sent = self.connect().is_some_and(|wire| {
            let frames = calls
                .iter()
                .map(|(operation, params)| wire.request(CALL, &json!([operation, params])).bytes());
            let bytes: Vec<u8> = frames.flatten().collect();
            wire.try_send(&bytes).is_ok()
        });
        self.disconnect();
        sent
    }

    /// One call, once.
    pub fn call(&mut self, operation: &str, params: &Value) -> Outcome {
        let mut outcomes = self.call_all(&[(operation, params)]);
        outcomes.pop().unwrap_or(Outcome::Unknown)
    }

    /// One call, repeated until what became of it is known.
    #[track_caller]
    pub fn settle(&mut self, operation: &str, params: &Value) -> Settled {
        let mut attempts = 0;
        let outcome = wait_until("the call has a definite answer", || {
            attempts += 1;
            let outcome = self.call(operation, params);
            (!outcome.may_be_repeated()).then_some(outcome)
        });
        Settled { outcome, attempts }
    }
}

/// The next REPLY to a call; other frames (PING, GOAWAY) are passed over.
fn next_reply(wire: &mut Wire) -> Option<Frame> {
    loop {
        match wire.try_read() {
            Ok(frame) if frame.kind == REPLY && frame.id != 0 => return Some(frame),
            Ok(_) => {}
            Err(error) if is_closed(&error) => return None,
            Err(error) => panic!("the gateway neither answers nor closes: {error}"),
        }
    }
}
