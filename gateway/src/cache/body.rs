//! A reply's body as it is kept and sent.

use std::sync::OnceLock;

use bytes::Bytes;

/// A reply's body, encoded as MessagePack; as JSON when somebody first asks for it.
#[derive(Debug)]
pub struct Body {
    /// MessagePack.
    pub msgpack: Bytes,
    /// JSON, on first use.
    pub json: OnceLock<Bytes>,
    /// Entity tag without quotes: the row's `@version`, prefixed with the template's version, or a hash of the body.
    pub etag: Box<str>,
}

/// What a fetch found, and what an entry holds.
#[derive(Debug)]
pub enum Stored {
    /// A body.
    Present(Body),
    /// No such row: the template's own answer for that.
    Absent,
}
