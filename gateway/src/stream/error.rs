//! Why a stream does not do what it is asked for.

use redis::RedisError;

/// Why a stream does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Redis refused, or it is gone.
    #[error("the queue's redis")]
    Redis(#[from] RedisError),
    /// It did not connect in time, or did not do so just now.
    #[error("the queue's redis is away")]
    Away,
    /// Another instance owns the stream.
    #[error("stream {stream} belongs to another instance now")]
    NotOwner {
        /// The stream.
        stream: Box<str>,
    },
    /// An entry that this build cannot read: a newer one may.
    #[error("entry {id} of stream {stream} is not one that this build can read")]
    Foreign {
        /// The stream.
        stream: Box<str>,
        /// The entry.
        id: Box<str>,
    },
    /// A record was taken under another contract of its template.
    #[error("taken under another contract than this instance's template has")]
    OtherContract,
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}
