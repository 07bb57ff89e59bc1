//! A game server's side of the gateway's TCP protocol.
//!
//! [`Client`] is blocking: one connection, one thread, calls one at a time or pipelined.
//! `AsyncClient` (feature `async`, on by default) is a cheap handle on one connection that any number
//! of tasks share. Both speak both codecs, answer the gateway's PINGs, and bound what is in flight.
//!
//! ```no_run
//! use gateway_client::{Client, Credential, Options, Value};
//!
//! let credential = Credential::ApiKey("demo-key".into());
//! let mut client = Client::connect("127.0.0.1:8080", Options::new("arena-1", "game1", credential))?;
//! let reply = client.call("player.get", &[("player_id", Value::Int(1001))])?;
//! println!("{:?}", reply.value);
//! # Ok::<(), gateway_client::ClientError>(())
//! ```

#[cfg(feature = "async")]
mod asynchronous;
mod blocking;
mod error;
mod incoming;
#[cfg(feature = "async")]
mod inflight;
mod options;
mod reply;
mod request;
#[cfg(test)]
mod peer;

#[cfg(feature = "async")]
pub use asynchronous::AsyncClient;
pub use blocking::Client;
pub use error::{ClientError, ProtocolFault, Refused};
pub use gateway_protocol::message::Welcome;
pub use gateway_protocol::{Code, Codec, RequestId, Value};
pub use options::{Credential, Options};
pub use reply::Reply;
pub use request::{BatchCall, Request};
