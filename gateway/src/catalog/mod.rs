//! Templates: read from files, resolved per game and dialect, compiled to plans.
//!
//! A [`Template`] is one operation of one game on one dialect, contract and SQL merged. It is built
//! at load and read-only after. What is not declared in it does not exist for a request.
//!
//! The way of a file: `tree` reads it, `header` and `contract` read its lines, `resolve` merges it with the
//! files that it overrides, `compile` makes a template of them, `check` asks what concerns several
//! templates at once, and [`Plan::render`] makes SQL of it for each request.
//!
//! Invariant: nothing of a request ever becomes SQL text; every value is a bind.

mod agree;
mod check;
mod codec;
mod compile;
mod contract;
mod decimal;
mod finding;
mod header;
mod lexer;
pub(crate) mod load;
mod moment;
mod narrow;
mod page;
mod plan;
mod procedure;
mod repeatable;
mod resolve;
mod result;
mod rows;
mod scalar;
mod slot;
mod statement;
mod template;
mod text;
mod tree;
mod types;
mod which;
mod write;
#[cfg(test)]
mod procedure_tests;
#[cfg(test)]
mod write_check_tests;
#[cfg(test)]
mod write_tests;

use std::collections::HashMap;
use std::sync::Arc;

use gateway_protocol::GameId;

pub use crate::config::Dialect;
pub use check::{MirroredGame, combinations};
pub(crate) use contract::{PathSegment, path_segments};
pub(crate) use decimal::canonical as canonical_decimal;
pub use finding::{Finding, Place, Rule, Severity};
pub use lexer::positional;
pub use load::{Breadth, Survey, Surveyed, survey};
pub use moment::{
    MomentFault, MomentText, format_date, format_timestamp, has_date, has_timestamp, parse_date,
    parse_timestamp,
};
pub use page::{Direction, Keyset, KeysetColumn, Order, Page};
pub use plan::{BindRef, Fold, Piece, Plan, RenderError, Rendered, Shape, Source};
pub use procedure::{Argument, ArgumentValue, Output, OutputGuard, Procedure, Raised};
pub use repeatable::{Repeatable, RowOrder};
pub use result::{Form, msgpack_to_json};
pub(crate) use rows::{RowsFault, accept as accept_rows};
pub use scalar::{Scalar, ScalarFault};
pub use slot::{Pattern, Slot};
pub use template::{
    BusinessError, CachePolicy, Column, Comparison, Field, HttpMethod, HttpRoute, Include,
    IncludeArg, Kind, Operand, Require, Scope, TagPart, TagPattern, Template, Type,
};
pub use which::{Origin, Provenance, provenance};
pub use write::{
    Asynchronous, Emitted, EmittedField, EmittedValue, Guard, Idempotent, Isolation, Reading,
    Retry, Returned, ReturnedValue, Step, StepKind, StepValue, When, WriteContract,
};

/// The templates of every game, as one load found them.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    games: Vec<GameTemplates>,
    index: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
    /// SHA-256 over all templates, 64 hexadecimal digits: equal on every instance with equal files and games.
    pub hash: Box<str>,
    /// What somebody should look at.
    pub warnings: Vec<Finding>,
}

impl Catalog {
    /// A game's templates.
    pub fn game(&self, game: &str) -> Option<&GameTemplates> {
        self.games.get(*self.index.get(game)?)
    }

    /// Every game, in order of their names.
    pub fn games(&self) -> &[GameTemplates] {
        &self.games
    }

    /// Routes a request to its template. Two hash look-ups; allocates nothing.
    pub fn template(&self, game: &str, op: &str) -> Option<&Arc<Template>> {
        self.game(game)?.template(op)
    }
}

/// The templates of one game.
#[derive(Clone, Debug)]
pub struct GameTemplates {
    /// The game.
    pub id: GameId,
    /// The dialect that its templates are compiled for.
    pub dialect: Dialect,
    templates: Vec<Arc<Template>>,
    index: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
    /// The same operations in the dialect of the game's mirror, in order of their names; empty without one.
    mirrored: Vec<Arc<Template>>,
}

impl GameTemplates {
    /// The template of an operation.
    pub fn template(&self, op: &str) -> Option<&Arc<Template>> {
        self.templates.get(self.position(op)?)
    }

    /// Where an operation stands in [`templates`](Self::templates): a number for tables beside it.
    pub fn position(&self, op: &str) -> Option<usize> {
        self.index.get(op).copied()
    }

    /// Every template, in order of their names.
    pub fn templates(&self) -> &[Arc<Template>] {
        &self.templates
    }

    /// The same in the dialect of the game's mirror; empty where it has none.
    pub fn mirrored(&self) -> &[Arc<Template>] {
        &self.mirrored
    }
}
