//! The rules of `gateway check`, beyond what makes a single template whole.
//!
//! 1. Parameters and columns agree in every dialect: asked where a template is compiled, for every body.
//! 2. [`predicate`]: writes and pages have a condition that cannot go.
//! 3. [`stale`]: who writes a table invalidates what is cached of it.
//! 4. [`portability`]: what the dialect reads differently from others, or not at all.
//!    [`bodies`] compares what an operation does on two of them.
//!    [`mirror`] asks whether a game's operations are on both of its databases, under one contract.
//! 5. With a database, every combination of optional lines is prepared: [`combinations`] names them.

mod bodies;
mod combinations;
mod mirror;
mod oracle;
mod phrases;
mod portability;
mod predicate;
mod readings;
mod relations;
mod stale;
mod syntax;
mod words;

use std::collections::BTreeSet;

use gateway_protocol::OpId;

pub(crate) use bodies::{compare, locks, order};
pub use combinations::combinations;
pub use mirror::MirroredGame;
pub(crate) use mirror::{Side, check as mirror};
pub(crate) use portability::check as portability;
pub(crate) use predicate::check as predicate;
pub(crate) use relations::codes;
pub(crate) use syntax::check as syntax;

use super::compile::Compiled;
use super::finding::Findings;

/// Asks what concerns the templates of one game together.
///
/// - `names`: every operation that the game has, also those that did not compile.
pub(crate) fn game(compiled: &[Compiled], names: &BTreeSet<OpId>, findings: &mut Findings) {
    relations::routes(compiled, findings);
    relations::includes(compiled, names, findings);
    readings::check(compiled, names, findings);
    stale::check(compiled, findings);
}
