//! What goes wrong, as Oracle says it: a number and a text.

/// An error of the server, or of the client library, with Oracle's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OracleError {
    /// The number after `ORA-`.
    pub code: i32,
    /// The text, `ORA-` and number included.
    pub message: String,
    /// PostgreSQL's own code, when the error is its.
    pub state: Option<String>,
}

impl OracleError {
    /// `ORA-00054: resource busy …`.
    pub fn new(code: i32, text: impl std::fmt::Display) -> Self {
        Self { code, message: format!("ORA-{code:05}: {text}"), state: None }
    }

    /// What the stand-in does not imitate: said loudly, in place of a wrong answer.
    pub fn not_imitated(what: impl std::fmt::Display) -> Self {
        Self::new(3001, format_args!("unimplemented feature (stand-in for Oracle: {what})"))
    }

    /// Whether PostgreSQL gave one of these codes.
    pub fn has_state(&self, states: &[&str]) -> bool {
        self.state.as_deref().is_some_and(|state| states.contains(&state))
    }

    /// Whether the session is gone with this error.
    pub const fn ends_session(&self) -> bool {
        matches!(self.code, 28 | 1012 | 3113 | 3114 | 3135 | 12537 | 12547 | 12570)
    }
}

impl std::fmt::Display for OracleError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for OracleError {}

/// What an OCI function returns when it did what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `OCI_SUCCESS`.
    Success,
    /// `OCI_SUCCESS_WITH_INFO`: done, and the error handle says what to know.
    WithInfo,
    /// `OCI_NO_DATA`: no more rows, or no such thing.
    NoData,
}

impl Status {
    /// The number that C sees.
    pub const fn number(self) -> i32 {
        match self {
            Self::Success => 0,
            Self::WithInfo => 1,
            Self::NoData => 100,
        }
    }
}

/// Why an OCI function did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// `OCI_ERROR`: the error handle says which.
    Oracle(OracleError),
    /// `OCI_INVALID_HANDLE`.
    InvalidHandle,
}

impl From<OracleError> for Failure {
    fn from(error: OracleError) -> Self {
        Self::Oracle(error)
    }
}

/// What safe code behind an exported function returns.
pub type Outcome = Result<Status, Failure>;
