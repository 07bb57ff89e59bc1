//! Who asks, and what they may do.
//!
//! A credential (JWT, API key, game-server key) becomes a [`Principal`]; a principal and an
//! operation's [`Access`] become yes or no. Game and role are checked before the parameters are
//! bound, claims after, and all of it before the cache is asked.
//!
//! Invariant: no credential is ever logged, and no secret is compared in a time that depends on it.

mod error;
mod equal;
mod fault;
mod sample;
mod roles;
mod credential;
mod principal;
mod authorize;
mod api_key;
mod nonce_book;
mod hello;
mod token_key;
mod jwks;
mod claims;
mod jwt;
mod authenticator;
mod token_cache;
#[cfg(test)]
mod testing;

pub use api_key::{NewKey, NewKeyError, new_key, sample_key};
pub use authenticator::Authenticator;
pub use authorize::Admission;
pub use credential::{Credential, Fingerprint, TokenCredential};
pub use equal::is_equal_in_constant_time;
pub use error::AuthError;
pub use fault::{AuthFault, FaultKind};
pub use hello::{HELLO_SKEW_SECONDS, HelloProof};
pub use jwt::TOKEN_BYTES_MAX;
pub use nonce_book::{NONCE_BYTES, NONCE_COUNT_MAX, NonceBook};
pub use principal::{Access, AccessRule, AllowRule, Claim, Games, Principal, RoleMask};
pub use roles::{AllowFault, PUBLIC, ROLE_COUNT_MAX, RoleTable};
pub use sample::{SAMPLE_PREFIX, is_sample};
pub use token_cache::{Presented, TokenCache};
