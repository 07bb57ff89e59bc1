//! Who a connection is, and what was agreed on with it: what outlives its task.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use gateway_protocol::Codec;

use crate::auth::Principal;
use crate::config::TcpConfig;

/// Who a connection belongs to, once its HELLO was good.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// Resolved against the snapshot of `generation`.
    pub(super) principal: Arc<Principal>,
    pub(super) generation: u64,
    /// The game of calls that name none.
    pub(super) game: Option<Rc<str>>,
}

/// What a connection was told when it was welcomed, whatever the configuration says later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) heartbeat_ms: u32,
    pub(super) inflight_max: u32,
    pub(super) frame_bytes_max: u32,
}

impl From<&TcpConfig> for Terms {
    fn from(config: &TcpConfig) -> Self {
        Self {
            heartbeat_ms: u32::try_from(config.heartbeat.as_millis()).unwrap_or(u32::MAX),
            inflight_max: config.inflight_max,
            frame_bytes_max: config.frame_bytes_max,
        }
    }
}

/// What outlives a connection's task.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Tells connections apart in the log.
    pub(super) number: u64,
    pub(super) peer: SocketAddr,
    pub(super) terms: Terms,
    /// `None` before its HELLO was good.
    pub(super) login: Option<Login>,
    /// Of the last frame with a payload of values: what no frame asks for is told in it.
    pub(super) codec: Codec,
}
