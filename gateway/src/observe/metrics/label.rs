//! The closed enums that requests are counted by.

/// What became of a request: its code, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Code 0.
    Ok,
    /// An answer that the template declares, or a write that its rows refuse.
    Business,
    /// Parameters that do not fit.
    Bind,
    /// A credential or a permission.
    Auth,
    /// No such game, operation or method, or it is disabled.
    Route,
    /// Over a rate limit.
    Limit,
    /// The database.
    Database,
    /// The gateway itself.
    Gateway,
    /// Bytes that are no request, or ask for what the protocol does not have: the client's mistake.
    Frame,
}

impl Category {
    /// Every category, in the order of the discriminants.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Business,
        Self::Bind,
        Self::Auth,
        Self::Route,
        Self::Limit,
        Self::Database,
        Self::Gateway,
        Self::Frame,
    ];

    /// The category of a reply's code.
    pub const fn of(code: u16) -> Self {
        match code {
            0 => Self::Ok,
            1100..=1199 => Self::Frame,
            1300..=1399 => Self::Database,
            2000..=2009 => Self::Route,
            2010..=2019 => Self::Bind,
            2020..=2999 => Self::Business,
            3000..=3199 => Self::Auth,
            3200..=3299 => Self::Limit,
            _ => Self::Gateway,
        }
    }

    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Business => "business",
            Self::Bind => "bind",
            Self::Auth => "auth",
            Self::Route => "route",
            Self::Limit => "limit",
            Self::Database => "database",
            Self::Gateway => "gateway",
            Self::Frame => "frame",
        }
    }
}

/// What the cache did for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// Answered from process memory.
    L1,
    /// Answered from Redis.
    L2,
    /// Looked up and not there.
    Miss,
    /// Known not to exist.
    Negative,
    /// Not looked up: a write, an operation without cache, or refused before.
    Bypass,
}

impl CacheOutcome {
    /// Every outcome, in the order of the discriminants.
    pub const ALL: [Self; 5] = [Self::L1, Self::L2, Self::Miss, Self::Negative, Self::Bypass];

    /// The label's value, and what `X-Cache` and the request log say.
    pub const fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::Miss => "miss",
            Self::Negative => "negative",
            Self::Bypass => "bypass",
        }
    }
}

/// A stage whose time is measured, for one request in 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the stages of `pipeline/mod.rs`")]
pub enum Stage {
    Decode,
    Authenticate,
    Bind,
    Cache,
    Queue,
    Database,
    Encode,
    Journal,
    Apply,
}

impl Stage {
    /// Every stage, in the order of the discriminants.
    pub const ALL: [Self; 9] = [
        Self::Decode,
        Self::Authenticate,
        Self::Bind,
        Self::Cache,
        Self::Queue,
        Self::Database,
        Self::Encode,
        Self::Journal,
        Self::Apply,
    ];

    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Authenticate => "authenticate",
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Queue => "queue",
            Self::Database => "database",
            Self::Encode => "encode",
            Self::Journal => "journal_sync",
            Self::Apply => "journal_apply",
        }
    }
}

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the usual names")]
pub enum Transport {
    Tcp,
    Http,
    WebSocket,
}

impl Transport {
    /// Every transport, in the order of the discriminants.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Http, Self::WebSocket];

    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::WebSocket => "websocket",
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_protocol::Code;

    use super::*;

    #[test]
    fn every_enum_lists_its_values_in_the_order_of_their_numbers() {
        assert!(Category::ALL.into_iter().enumerate().all(|(i, it)| it as usize == i));
        assert!(CacheOutcome::ALL.into_iter().enumerate().all(|(i, it)| it as usize == i));
        assert!(Stage::ALL.into_iter().enumerate().all(|(i, it)| it as usize == i));
        assert!(Transport::ALL.into_iter().enumerate().all(|(i, it)| it as usize == i));
    }

    #[test]
    fn codes_fall_into_the_category_of_their_stage() {
        let check = |code: Code, expected| assert_eq!(Category::of(code.number()), expected);
        check(Code::Overloaded, Category::Gateway);
        check(Code::Malformed, Category::Frame);
        check(Code::UnknownKind, Category::Frame);
        check(Code::Internal, Category::Gateway);
        check(Code::PoolExhausted, Category::Database);
        check(Code::SwitchPaused, Category::Database);
        check(Code::JournalFull, Category::Gateway);
        check(Code::MethodNotAllowed, Category::Route);
        check(Code::ParamMissing, Category::Bind);
        check(Code::DuplicateRow, Category::Business);
        check(Code::CredentialMissing, Category::Auth);
        check(Code::GameForbidden, Category::Auth);
        check(Code::RateLimited, Category::Limit);
        assert_eq!(Category::of(0), Category::Ok);
        assert_eq!(Category::of(2100), Category::Business);
        assert_eq!(Category::of(2999), Category::Business);
    }
}
