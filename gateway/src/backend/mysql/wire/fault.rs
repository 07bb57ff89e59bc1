//! What a server says instead of an answer.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use sqlx::error::{DatabaseError, ErrorKind};

use super::Unfit;
use super::fields::Fields;

/// Longest message that is kept, in bytes; servers cut theirs at 512.
const MESSAGE_BYTES_MAX: usize = 2048;

/// A server's refusal, under its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend) struct ServerFault {
    number: u16,
    state: Option<Box<str>>,
    message: Box<str>,
}

impl ServerFault {
    /// Reads an ERR packet; with its first byte.
    pub(super) fn read(packet: &[u8]) -> Result<Self, Unfit> {
        let mut fields = Fields::new(packet);
        let (Some(0xff), Some(number)) = (fields.u8(), fields.u16()) else {
            return Err(Unfit::OutOfStep("a refusal without a number"));
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
        let state = match fields.rest().split_first_chunk::<6>() {
            Some(([b'#', state @ ..], rest)) => {
                fields = Fields::new(rest);
                Some(text(state))
            }
            _ => None,
        };
        let message = fields.rest();
        let message = text(message.get(..MESSAGE_BYTES_MAX).unwrap_or(message));
        Ok(Self { number, state, message })
    }

    /// Its number.
    pub(in crate::backend) const fn number(&self) -> u16 {
        self.number
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            Some(state) => write!(f, "{} ({state}): {}", self.number, self.message),
            None => write!(f, "{}: {}", self.number, self.message),
        }
    }
}

impl Error for ServerFault {}

impl DatabaseError for ServerFault {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.state.as_deref().map(Cow::Borrowed)
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_read_with_and_without_a_state() {
        let fault = ServerFault::read(b"\xff\x7a\x04#42S02Table 'a.b' doesn't exist").unwrap();
        assert_eq!(fault.number(), 1146);
        assert_eq!(fault.to_string(), "1146 (42S02): Table 'a.b' doesn't exist");
        let fault = ServerFault::read(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!(fault.to_string(), "1040: Too many connections");
        assert!(ServerFault::read(b"\xff\x10").is_err());
        let long = [b"\xff\x10\x04".as_slice(), &vec![b'x'; 1 << 20]].concat();
        assert_eq!(ServerFault::read(&long).unwrap().message().len(), MESSAGE_BYTES_MAX);
    }
}
