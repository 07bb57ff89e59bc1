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
//! let reply = client.call("player.get", &[("player_id", 1001.into())])?;
//! println!("{:?}", reply.value.get("nickname").and_then(Value::as_str));
//! # Ok::<(), gateway_client::ClientError>(())
//! ```
//!
//! A write is repeated, after [`ClientError::Timeout`] or a lost connection, with the same idempotency key:
//! then it happens once, and [`Reply::replayed`] says whether it had happened before. [`Request`] has what else
//! can be said of a call:
//!
//! ```no_run
//! # use gateway_client::{Client, ClientError, Request};
//! # use std::time::Duration;
//! # fn transfer(client: &mut Client) -> Result<(), ClientError> {
//! let params = [
//!     ("request_id", "a-7001".into()),
//!     ("from_player", 1001.into()),
//!     ("to_player", 1002.into()),
//!     ("item_type", 7.into()),
//!     ("qty", 1.into()),
//! ];
//! let transfer = Request::new("item.transfer", &params).deadline(Duration::from_millis(800));
//! let would_be = client.request(&transfer.clone().dry_run())?;
//! println!("would answer {:?}", would_be.value);
//! let reply = client.request(&transfer)?;
//! println!("done {}", if reply.replayed { "before" } else { "now" });
//! # Ok(())
//! # }
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
