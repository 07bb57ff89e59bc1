//! Why a credential is refused, or a principal may not call an operation.
//!
//! The client is told a word, so that guessing teaches nothing; `Display`, for the log, says which
//! check failed. Neither ever holds a part of a secret or of a token.

use gateway_protocol::{Code, GameId};

/// Why a request was refused at its credential or its permissions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The operation needs a credential and none was given.
    #[error("no credential given")]
    Missing,
    /// The credential's time is over.
    #[error("expired at {expired_at} (Unix seconds)")]
    Expired {
        /// The first second in which it was no longer valid, in Unix seconds.
        expired_at: u64,
    },
    /// Not a credential of its kind at all.
    #[error("malformed {what}")]
    Malformed {
        /// The part that does not parse.
        what: &'static str,
    },
    /// Given in a way that is not taken, such as HTTP's `Basic`.
    #[error("the authorization scheme is not `Bearer`")]
    WrongScheme,
    /// Longer than credentials may be.
    #[error("credential of {bytes} bytes, at most {bytes_max}")]
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The longest accepted, in bytes.
        bytes_max: usize,
    },
    /// The signature, secret or MAC does not verify.
    #[error("signature or secret does not verify")]
    BadSignature,
    /// No API key or game-server key of that id. Told to the client as [`AuthError::BadSignature`].
    #[error("no key of that id")]
    UnknownKey,
    /// Its key is no longer configured, or was replaced under the same id.
    #[error("the key is no longer configured")]
    Revoked,
    /// `auth.jwt` is not configured.
    #[error("tokens are not configured")]
    TokensOff,
    /// The token names a key that is not configured, or names none where none is without a name.
    #[error("no key for the token's `kid`")]
    UnknownKid,
    /// The token's `alg` is not the one of its key.
    #[error("`alg` is not {expected}")]
    WrongAlgorithm {
        /// The algorithm that the key is pinned to.
        expected: &'static str,
    },
    /// The token has a `crit` header: an extension that must be understood, and none is.
    #[error("`crit` header is not supported")]
    CriticalHeader,
    /// `nbf`, or the time of a hello, is in the future.
    #[error("not valid before {valid_from} (Unix seconds)")]
    NotYetValid {
        /// The first second in which it is valid, in Unix seconds.
        valid_from: u64,
    },
    /// `iss` is missing or not accepted.
    #[error("`iss` is not accepted")]
    WrongIssuer,
    /// `aud` is missing, not accepted, or there where none is configured.
    #[error("`aud` is not accepted")]
    WrongAudience,
    /// A claim that every token needs is missing.
    #[error("claim `{claim}` is missing")]
    ClaimMissing {
        /// The claim's name.
        claim: Box<str>,
    },
    /// A claim is of a type, or outside the range, that it may have.
    #[error("claim `{claim}` is not {expected}")]
    ClaimType {
        /// The claim's name, from our side: never the token's text.
        claim: Box<str>,
        /// What it should be.
        expected: &'static str,
    },
    /// More scalar claims than are kept.
    #[error("more than {count_max} claims")]
    TooManyClaims {
        /// The most that a token may have.
        count_max: usize,
    },
    /// A hello that was accepted before.
    #[error("nonce was used before")]
    Replayed,
    /// The book of used nonces is full: nothing is wrong with the hello itself.
    #[error("nonce book is full at {count_max}")]
    NonceBookFull {
        /// The book's bound, in nonces.
        count_max: usize,
    },
    /// None of the principal's roles may call the operation.
    #[error("no role of the principal may call")]
    RoleForbidden,
    /// The roles may call, but only for themselves: a claim and a parameter differ.
    #[error("no claim of the principal matches")]
    ClaimMismatch,
    /// The principal may not use the game.
    #[error("not a game of the principal: {game}")]
    GameForbidden {
        /// The game asked for.
        game: GameId,
    },
}

impl AuthError {
    /// The code on the wire: 3001 to 3103, and 1001 for a full nonce book.
    pub const fn code(&self) -> Code {
        match self {
            Self::Missing => Code::CredentialMissing,
            Self::Expired { .. } => Code::CredentialExpired,
            Self::Malformed { .. }
            | Self::TooLong { .. }
            | Self::BadSignature
            | Self::UnknownKey => Code::BadSignature,
            Self::Revoked => Code::CredentialRevoked,
            Self::WrongScheme
            | Self::TokensOff
            | Self::UnknownKid
            | Self::WrongAlgorithm { .. }
            | Self::CriticalHeader
            | Self::NotYetValid { .. }
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::ClaimMissing { .. }
            | Self::ClaimType { .. }
            | Self::TooManyClaims { .. }
            | Self::Replayed => Code::CredentialNotAccepted,
            Self::NonceBookFull { .. } => Code::Overloaded,
            Self::RoleForbidden => Code::RoleForbidden,
            Self::ClaimMismatch => Code::ClaimMismatch,
            Self::GameForbidden { .. } => Code::GameForbidden,
        }
    }

    /// What the client is told: one word or two for each code, the same whatever the cause.
    pub const fn client_message(&self) -> &'static str {
        match self {
            Self::Missing => "credential missing",
            Self::Expired { .. } => "credential expired",
            Self::Malformed { .. }
            | Self::TooLong { .. }
            | Self::BadSignature
            | Self::UnknownKey => "credential invalid",
            Self::Revoked => "credential revoked",
            Self::WrongScheme
            | Self::TokensOff
            | Self::UnknownKid
            | Self::WrongAlgorithm { .. }
            | Self::CriticalHeader
            | Self::NotYetValid { .. }
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::ClaimMissing { .. }
            | Self::ClaimType { .. }
            | Self::TooManyClaims { .. }
            | Self::Replayed => "credential not accepted here",
            Self::NonceBookFull { .. } => "overloaded, retry later",
            Self::RoleForbidden => "role may not call this operation",
            Self::ClaimMismatch => "not for this principal",
            Self::GameForbidden { .. } => "not a game of this principal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_key_is_told_exactly_like_a_wrong_secret() {
        let (unknown, wrong) = (AuthError::UnknownKey, AuthError::BadSignature);
        assert_eq!(unknown.code(), wrong.code());
        assert_eq!(unknown.client_message(), wrong.client_message());
    }

    #[test]
    fn each_code_has_one_message_and_each_message_one_code() {
        let game = GameId::new("game1").unwrap();
        let errors = [
            AuthError::Missing,
            AuthError::Expired { expired_at: 1 },
            AuthError::BadSignature,
            AuthError::Revoked,
            AuthError::WrongIssuer,
            AuthError::NonceBookFull { count_max: 1 },
            AuthError::RoleForbidden,
            AuthError::ClaimMismatch,
            AuthError::GameForbidden { game },
        ];
        let numbers: Vec<u16> = errors.iter().map(|error| error.code().number()).collect();
        assert_eq!(numbers, [3001, 3002, 3003, 3004, 3005, 1001, 3101, 3102, 3103]);
        let mut messages: Vec<_> = errors.iter().map(AuthError::client_message).collect();
        messages.sort_unstable();
        messages.dedup();
        assert_eq!(messages.len(), errors.len());
    }
}
