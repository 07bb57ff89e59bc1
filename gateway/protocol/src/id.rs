//! Names of games and operations, and the number of a request.

use std::fmt;

/// Longest name of a game or operation, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty, or longer than 64 bytes.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes")]
    Length,
    /// A character outside `a-z 0-9 _` (and `.` between the parts of an operation's name).
    #[error("a name is made of a-z, 0-9 and `_`, starting with a letter")]
    Character,
}

fn check_part(part: &str) -> Result<(), IdError> {
    let mut bytes = part.bytes();
    let starts_well = bytes.next().is_some_and(|first| first.is_ascii_lowercase());
    let goes_on_well = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if starts_well && goes_on_well { Ok(()) } else { Err(IdError::Character) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks a text and takes it as a name.
            ///
            /// # Errors
            ///
            /// [`IdError`] when it is empty, too long, or has a character that names do not have.
            pub fn new(text: &str) -> Result<Self, IdError> {
                if text.is_empty() || text.len() > NAME_BYTES_MAX {
                    return Err(IdError::Length);
                }
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A game: `game1`. 1 to 64 bytes of `a-z 0-9 _`, starting with a letter.
    GameId,
    check_part
);
name!(
    /// An operation: `player.get`, its template's path with dots. 1 to 64 bytes.
    OpId,
    |text| text.split('.').try_for_each(check_part)
);

/// A request's number on its connection, chosen by the client; 0 is the gateway's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestId(pub u32);

impl RequestId {
    /// What concerns the connection and not one request.
    pub const CONNECTION: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_the_limit_pass_and_one_byte_more_is_refused() {
        assert!(GameId::new(&"a".repeat(64)).is_ok());
        assert_eq!(GameId::new(&"a".repeat(65)), Err(IdError::Length));
        assert_eq!(GameId::new(""), Err(IdError::Length));
    }

    #[test]
    fn only_operations_have_dots_and_no_part_is_empty() {
        assert!(OpId::new("player.get").is_ok());
        assert_eq!(GameId::new("player.get"), Err(IdError::Character));
        for broken in [".get", "player.", "player..get", "Player.get", "1player", "a-b", "a/b"] {
            assert_eq!(OpId::new(broken), Err(IdError::Character), "{broken}");
        }
    }
}
