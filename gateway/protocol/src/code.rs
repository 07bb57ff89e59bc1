//! The codes of replies. Thousands: the category; hundreds: the stage that refused.
//!
//! Invariant: a code is never renumbered and never reused.

/// A code of the gateway itself. Templates declare their own: [`BusinessCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Code {
    /// A queue is full: nothing was done.
    Overloaded = 1001,
    /// The gateway is shutting down: nothing was done.
    Draining = 1002,
    /// The request's own deadline passed.
    DeadlineExceeded = 1003,
    /// A fault of the gateway.
    Internal = 1099,
    /// The bytes are not a request.
    Malformed = 1101,
    /// A frame, body or header over its limit.
    TooLarge = 1102,
    /// A protocol version or flag that this gateway does not know.
    Unsupported = 1103,
    /// A frame kind that this gateway does not know.
    UnknownKind = 1104,
    /// Every connection of the database's pool is taken.
    PoolExhausted = 1301,
    /// The database cannot be reached.
    DatabaseUnreachable = 1302,
    /// The database refused the statement.
    QueryFailed = 1303,
    /// The database did not answer in time; nothing was changed.
    QueryTimedOut = 1304,
    /// The connection was lost while a write was under way: repeat only with the same key.
    OutcomeUnknown = 1305,
    /// The game is being switched between databases.
    SwitchPaused = 1306,
    /// The journal's disk is full.
    JournalFull = 1501,
    /// The journal could not be made durable.
    JournalSyncFailed = 1502,
    /// The journal's backlog is at its bound.
    JournalBacklog = 1503,
    /// An operator gave the order up. Only in what is told of its state.
    OrderWithdrawn = 1504,
    /// No game of that name.
    NoSuchGame = 2000,
    /// No operation of that name in the game, or no route of that path.
    NoSuchOperation = 2001,
    /// The game is disabled.
    GameDisabled = 2002,
    /// The operation is disabled.
    OperationDisabled = 2003,
    /// The path exists, with another method.
    MethodNotAllowed = 2004,
    /// A required parameter is missing.
    ParamMissing = 2010,
    /// A parameter is not of its declared type.
    ParamType = 2011,
    /// A parameter is outside its declared range.
    ParamRange = 2012,
    /// A parameter that the template does not declare.
    ParamUnknown = 2013,
    /// A parameter given twice.
    ParamTwice = 2014,
    /// A page cursor that this gateway did not make for this operation, order and parameters.
    BadCursor = 2015,
    /// The idempotency key was used with other parameters.
    KeyReused = 2020,
    /// The first request with this idempotency key still runs.
    KeyRunning = 2021,
    /// The row exists already.
    DuplicateRow = 2022,
    /// The row has another version than the caller named.
    VersionConflict = 2023,
    /// More rows than the template's limit.
    ResultTooLarge = 2024,
    /// No row where one is needed.
    NoSuchRow = 2025,
    /// A credential is needed and none was given.
    CredentialMissing = 3001,
    /// The credential has expired.
    CredentialExpired = 3002,
    /// The credential's signature does not verify.
    BadSignature = 3003,
    /// The credential was revoked.
    CredentialRevoked = 3004,
    /// The credential is of a kind, issuer or audience that is not accepted here.
    CredentialNotAccepted = 3005,
    /// The principal's roles may not call the operation.
    RoleForbidden = 3101,
    /// The principal's claim does not match the parameter.
    ClaimMismatch = 3102,
    /// The principal may not use this game.
    GameForbidden = 3103,
    /// Over the rate limit.
    RateLimited = 3201,
}

impl Code {
    /// Every code, in order.
    pub const ALL: &'static [Self] = &[
        Self::Overloaded,
        Self::Draining,
        Self::DeadlineExceeded,
        Self::Internal,
        Self::Malformed,
        Self::TooLarge,
        Self::Unsupported,
        Self::UnknownKind,
        Self::PoolExhausted,
        Self::DatabaseUnreachable,
        Self::QueryFailed,
        Self::QueryTimedOut,
        Self::OutcomeUnknown,
        Self::SwitchPaused,
        Self::JournalFull,
        Self::JournalSyncFailed,
        Self::JournalBacklog,
        Self::OrderWithdrawn,
        Self::NoSuchGame,
        Self::NoSuchOperation,
        Self::GameDisabled,
        Self::OperationDisabled,
        Self::MethodNotAllowed,
        Self::ParamMissing,
        Self::ParamType,
        Self::ParamRange,
        Self::ParamUnknown,
        Self::ParamTwice,
        Self::BadCursor,
        Self::KeyReused,
        Self::KeyRunning,
        Self::DuplicateRow,
        Self::VersionConflict,
        Self::ResultTooLarge,
        Self::NoSuchRow,
        Self::CredentialMissing,
        Self::CredentialExpired,
        Self::BadSignature,
        Self::CredentialRevoked,
        Self::CredentialNotAccepted,
        Self::RoleForbidden,
        Self::ClaimMismatch,
        Self::GameForbidden,
        Self::RateLimited,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code of that number; `None` for a template's own or an unknown one.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// The HTTP status that goes with it.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Malformed
            | Self::Unsupported
            | Self::UnknownKind
            | Self::ParamMissing
            | Self::ParamType
            | Self::ParamRange
            | Self::ParamUnknown
            | Self::ParamTwice
            | Self::BadCursor => 400,
            Self::CredentialMissing
            | Self::CredentialExpired
            | Self::BadSignature
            | Self::CredentialRevoked
            | Self::CredentialNotAccepted => 401,
            Self::RoleForbidden | Self::ClaimMismatch | Self::GameForbidden => 403,
            Self::NoSuchGame | Self::NoSuchOperation | Self::NoSuchRow => 404,
            Self::MethodNotAllowed => 405,
            Self::KeyRunning | Self::DuplicateRow | Self::OrderWithdrawn => 409,
            Self::VersionConflict => 412,
            Self::TooLarge => 413,
            Self::KeyReused | Self::ResultTooLarge => 422,
            Self::RateLimited => 429,
            Self::Internal | Self::QueryFailed => 500,
            Self::Overloaded
            | Self::Draining
            | Self::PoolExhausted
            | Self::DatabaseUnreachable
            | Self::SwitchPaused
            | Self::JournalFull
            | Self::JournalSyncFailed
            | Self::JournalBacklog
            | Self::GameDisabled
            | Self::OperationDisabled => 503,
            Self::DeadlineExceeded | Self::QueryTimedOut | Self::OutcomeUnknown => 504,
        }
    }

    /// Whether the same request may be sent again, unchanged, and may then succeed.
    ///
    /// [`Code::OutcomeUnknown`] is retryable only with the same idempotency key.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::Overloaded
                | Self::Draining
                | Self::DeadlineExceeded
                | Self::PoolExhausted
                | Self::DatabaseUnreachable
                | Self::QueryTimedOut
                | Self::OutcomeUnknown
                | Self::SwitchPaused
                | Self::JournalFull
                | Self::JournalSyncFailed
                | Self::JournalBacklog
                | Self::GameDisabled
                | Self::OperationDisabled
                | Self::KeyRunning
                | Self::RateLimited
        )
    }
}

/// A code that a template declares: 2100 to 2999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BusinessCode(u16);

impl BusinessCode {
    /// Checks the range; `None` outside 2100 to 2999.
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 2100 && number <= 2999 { Some(Self(number)) } else { None }
    }

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ascending_and_in_their_category() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
        for code in Code::ALL {
            assert!((1000..4000).contains(&code.number()), "{code:?}");
            assert!((400..600).contains(&code.http_status()), "{code:?}");
            assert_eq!(Code::from_number(code.number()), Some(*code));
        }
    }

    #[test]
    fn business_codes_start_at_2100_and_end_at_2999() {
        assert!(BusinessCode::new(2100).is_some() && BusinessCode::new(2999).is_some());
        assert!(BusinessCode::new(2099).is_none() && BusinessCode::new(3000).is_none());
    }
}
