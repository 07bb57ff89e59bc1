//! What the payloads of the frames say.
//!
//! What a client sends is read strictly: a member that is unknown or stands twice is refused, so that
//! a misspelt one is not taken for an absent one. What the gateway sends is read leniently, so that a
//! newer gateway may say more to an older client. PING and PONG carry bytes that nobody reads.

mod call;
mod hello;
mod members;
mod reply;

pub use call::{Batch, Call, Params, write_batch, write_call};
pub use hello::{Auth, Hello, Welcome};
pub use reply::{ErrorBody, GoAway};
