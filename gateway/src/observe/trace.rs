//! How a request is named in logs and answers.

use std::fmt;

/// A request's name: made into text only where somebody reads it.
#[derive(Clone, Copy, Debug)]
pub enum Trace<'a> {
    /// A client's own: HTTP's `X-Request-Id`.
    Text(&'a str),
    /// A connection's number in this process, and the request's on it.
    Numbered {
        /// The connection.
        connection: u64,
        /// The request.
        request: u32,
    },
    /// Random by thread, counted by request: unlike any other without a look at it.
    Counted {
        /// The thread.
        thread: u32,
        /// The request.
        number: u64,
    },
}

/// Room for the text of a [`Trace::Counted`].
#[derive(Debug, Default)]
pub struct TraceText([u8; 24]);

impl Trace<'_> {
    /// Its text, unless it is [`Trace::Numbered`], which only logs have.
    ///
    /// Cost: no allocation, and no formatting machinery.
    pub fn text<'r>(&'r self, room: &'r mut TraceText) -> &'r str {
        match self {
            Self::Text(text) => text,
            Self::Numbered { .. } => "",
            Self::Counted { thread, number } => {
                let digits = if *number >> 32 == 0 { 16 } else { 24 };
                let text = room.0.get_mut(..digits).unwrap_or_default();
                let (front, back) = text.split_at_mut_checked(8).unwrap_or_default();
                write_hex((*thread).into(), front);
                write_hex(*number, back);
                std::str::from_utf8(text).unwrap_or_default()
            }
        }
    }
}

/// Fills `out` with the lowest digits of `bits`.
fn write_hex(mut bits: u64, out: &mut [u8]) {
    for place in out.iter_mut().rev() {
        let digit = (bits & 0xf) as u8;
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        bits >>= 4;
    }
}

impl fmt::Display for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered { connection, request } => write!(f, "{connection}-{request}"),
            named => f.write_str(named.text(&mut TraceText::default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_name_is_the_thread_s_half_and_the_request_s_in_hexadecimal_digits() {
        let text = |number| Trace::Counted { thread: 0x00ab_cdef, number }.to_string();
        assert_eq!(text(0x1f), "00abcdef0000001f");
        assert_eq!(text(u32::MAX.into()), "00abcdefffffffff");
        assert_eq!(text(1 << 32), "00abcdef0000000100000000");
    }
}
