//! What is wrong with the `auth` section, found when keys and roles are built from it.

/// One fault of the `auth` section: where, and what.
///
/// All faults of a section are told at once; none of them holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {kind}")]
pub struct AuthFault {
    /// The configuration key, with dots: `auth.roles.gm.inherits`, `auth.api_keys[2].hash`.
    pub key: Box<str>,
    /// What is wrong with its value.
    #[source]
    pub kind: FaultKind,
}

impl AuthFault {
    /// A fault at `key`.
    pub(super) fn new(key: impl Into<Box<str>>, kind: FaultKind) -> Self {
        Self { key: key.into(), kind }
    }
}

/// What is wrong with a value of the `auth` section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// More roles than a mask has bits.
    #[error("{count} roles, at most {count_max}")]
    TooManyRoles {
        /// How many are declared.
        count: usize,
        /// The most that may be.
        count_max: usize,
    },
    /// A role that is built in.
    #[error("role `{role}` is built in and cannot be declared")]
    RoleReserved {
        /// Its name.
        role: Box<str>,
    },
    /// A role, or an id of a key, that stands there twice.
    #[error("`{name}` is declared twice")]
    Twice {
        /// The name or id.
        name: Box<str>,
    },
    /// A role that is used and not declared.
    #[error("role `{role}` is not declared in auth.roles")]
    UnknownRole {
        /// Its name.
        role: Box<str>,
    },
    /// Roles that inherit from themselves by way of each other.
    #[error("roles inherit in a circle: {}", roles.join(", "))]
    RoleCircle {
        /// Their names.
        roles: Vec<Box<str>>,
    },
    /// An id that keys cannot have.
    #[error("id `{id}` is not 1 to 64 characters of A-Z a-z 0-9 `_` `-`")]
    KeyId {
        /// The id.
        id: Box<str>,
    },
    /// Not the form of a stored key.
    #[error("not of the form sha256:<salt>:<digest>, salt 16 and digest 32 bytes in hexadecimal")]
    HashForm,
    /// A secret that could be guessed.
    #[error("secret of {bytes} bytes, at least {bytes_min}")]
    SecretShort {
        /// Its length, in bytes.
        bytes: usize,
        /// The shortest accepted, in bytes.
        bytes_min: usize,
    },
    /// The published secret of a demo.
    #[error("a published sample (`demo-only-`): anyone has it; make one of your own")]
    Sample,
    /// An algorithm that is not built in.
    #[error("algorithm `{alg}`, must be HS256, RS256, ES256 or EdDSA")]
    Algorithm {
        /// As written.
        alg: Box<str>,
    },
    /// A key that is not one of its algorithm.
    #[error("not a key for {alg}: {reason}")]
    KeyForm {
        /// The algorithm that it was to be for.
        alg: &'static str,
        /// What was expected.
        reason: &'static str,
    },
    /// A second key without `kid`: a token without one could not choose.
    #[error("a second key without `kid`, at most one")]
    SecondWithoutKid,
    /// Tokens are configured and no key can verify one.
    #[error("no key to verify tokens with")]
    NoKeys,
    /// More keys than anyone rotates.
    #[error("{count} keys, at most {count_max}")]
    TooManyKeys {
        /// How many there are.
        count: usize,
        /// The most that may be.
        count_max: usize,
    },
    /// The key set's file is configured and its text was not given.
    #[error("the key set was not read")]
    JwksMissing,
    /// The key set is not JSON, or not a key set.
    #[error("not a JSON Web Key Set: {reason}")]
    JwksForm {
        /// The parser's words: line and column, no content.
        reason: Box<str>,
    },
}
