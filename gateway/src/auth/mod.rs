//! Who asks, and what they may do.
//!
//! A credential (JWT, API key, game-server key) becomes a [`Principal`]; a principal and an
//! operation's [`Access`] become yes or no. Game and role are checked before the parameters are
//! bound, claims after, and all of it before the cache is asked.
//!
//! Invariant: no credential is ever logged, and no secret is compared in a time that depends on it.

mod principal;

pub use principal::{Access, AccessRule, AllowRule, Claim, Games, Principal, RoleMask};
