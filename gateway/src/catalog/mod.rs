//! Templates: read from files, resolved per game and dialect, compiled to plans.
//!
//! A [`Template`] is one operation of one game on one dialect, contract and SQL merged. It is built
//! at load and read-only after. What is not declared in it does not exist for a request.
//!
//! Invariant: nothing of a request ever becomes SQL text; every value is a bind.

mod decimal;
mod moment;
mod result;
mod scalar;
mod template;

pub use crate::config::Dialect;
pub use moment::{
    MomentFault, MomentText, format_date, format_timestamp, parse_date, parse_timestamp,
};
pub use result::msgpack_to_json;
pub use scalar::{Scalar, ScalarFault};
pub use template::{
    BusinessError, CachePolicy, Column, Comparison, Direction, HttpMethod, HttpRoute, Include,
    IncludeArg, Keyset, KeysetColumn, Kind, Operand, Order, Page, Pattern, Piece, Plan, Require,
    Scope, Slot, Source, TagPart, TagPattern, Template, Type,
};
