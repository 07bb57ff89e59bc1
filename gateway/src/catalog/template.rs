//! What a template is once it is loaded: the contract, and the plan of its SQL.

use std::time::Duration;

use gateway_protocol::{BusinessCode, GameId, OpId};

use super::{Dialect, Order, Output, Page, Plan, Procedure, Scalar, Slot, Step, WriteContract};
use crate::auth::AllowRule;

/// One operation of one game on one dialect.
#[derive(Clone, Debug)]
pub struct Template {
    /// The game it was resolved for.
    pub game: GameId,
    /// Its name: the path of its files.
    pub op: OpId,
    /// The dialect of [`Template::plan`].
    pub dialect: Dialect,
    /// First 8 bytes of SHA-256 over the merged contract and body: equal text, equal version,
    /// on every instance and build. Shown as 16 hexadecimal digits.
    pub version: u64,
    /// `@desc`.
    pub desc: Box<str>,
    /// `@kind`.
    pub kind: Kind,
    /// `@kind one else …`: what no row means. `None`: 2025.
    pub not_found: Option<BusinessError>,
    /// `@param`, in declared order; for a page followed by `cursor` and `limit`, see [`Page`].
    pub slots: Vec<Slot>,
    /// `@result`, in declared order, which is also the order of the encoded reply.
    pub columns: Vec<Column>,
    /// `@out`, in declared order: what a `call` answers with, and an `exec` with a `RETURNING` besides.
    pub outputs: Vec<Output>,
    /// Of a `call`: what is called.
    pub procedure: Option<Box<Procedure>>,
    /// `@version`: index into `columns`.
    pub version_column: Option<usize>,
    /// `@allow`. The role `public` needs no credential.
    pub allow: Vec<AllowRule>,
    /// `@http`.
    pub http: Option<HttpRoute>,
    /// `@cache`.
    pub cache: Option<CachePolicy>,
    /// `@invalidate`.
    pub invalidate: Vec<TagPattern>,
    /// `@page`.
    pub page: Option<Page>,
    /// `@order`.
    pub orders: Vec<Order>,
    /// `@require`.
    pub requires: Vec<Require>,
    /// `@on duplicate_key else …`. `None`: 2022.
    pub on_duplicate: Option<BusinessError>,
    /// `@include`.
    pub includes: Vec<Include>,
    /// `@timeout`: database time. `None`: the connection's `query_timeout`.
    pub timeout: Option<Duration>,
    /// `@limit`: most rows; one more is 2024. Always set (default 1000; `one`, `optional`: 1;
    /// `page`: its max).
    pub row_count_max: u32,
    /// `@mask`: indexes into `slots`, never logged.
    pub masked: Vec<usize>,
    /// `@audit`: write an audit record before the reply.
    pub audit: bool,
    /// `@http_cache public`: how long a CDN may keep the reply.
    pub http_cache: Option<Duration>,
    /// `@deprecated`: the reason.
    pub deprecated: Option<Box<str>>,
    /// The SQL, ready to render; empty for a `tx`, whose steps have their own.
    pub plan: Plan,
    /// What only a write declares.
    pub write: WriteContract,
    /// Over what a queued record needs to be applied later: the kind, the names and types of the slots,
    /// `@idempotent`, `@lane`, and whether `:_id` is used, once or for each row. Bodies may change under queued records, this may not.
    pub contract: u64,
}

/// `@kind`: what a template does and what its reply looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One row, a map; none is an error.
    One,
    /// One row, a map, or null.
    Optional,
    /// Rows, an array of maps.
    Many,
    /// A keyset page: `{items, next?}`.
    Page,
    /// A write: `{affected}`.
    Exec,
    /// Steps in one transaction: the values that `@return` names.
    Tx,
    /// One write for each row of a `rows(…)` parameter: `{affected, rows}`.
    Batch,
    /// A stored procedure: the values and rows that `@out` names.
    Call {
        /// `call writes`; otherwise `call reads`.
        writes: bool,
    },
}

impl Template {
    /// Its statements, in order: the steps of a `tx` with their plans, the one plan of any other kind.
    pub fn statements(&self) -> impl Iterator<Item = (Option<&Step>, &Plan)> {
        let own = (self.kind != Kind::Tx).then_some((None, &self.plan));
        own.into_iter().chain(self.write.steps.iter().map(|step| (Some(step), &step.plan)))
    }
}

impl Kind {
    /// As `@kind` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Optional => "optional",
            Self::Many => "many",
            Self::Page => "page",
            Self::Exec => "exec",
            Self::Tx => "tx",
            Self::Batch => "batch",
            Self::Call { .. } => "call",
        }
    }

    /// Whether it changes data.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Exec | Self::Tx | Self::Batch | Self::Call { writes: true })
    }
}

/// A template's own failure: `2103 ITEM_NOT_ENOUGH [409]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusinessError {
    /// The number, unique in a catalog.
    pub code: BusinessCode,
    /// The name, unique in a catalog, upper case; the reply's message.
    pub name: Box<str>,
    /// The HTTP status, written or by default.
    pub status: u16,
}

impl Type {
    /// Whether a value of it is one value, neither a list nor rows.
    pub const fn is_single(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Rows(_))
    }
}

/// A declared type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Truth value; 0 and 1 in the database.
    Bool,
    /// 32 bits with a sign.
    Int,
    /// 64 bits with a sign.
    Bigint,
    /// Exact, `precision` digits of which `scale` after the point.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to precision.
        scale: u8,
    },
    /// Binary 64-bit floating point, finite.
    Float,
    /// Text of at most `chars_max` Unicode scalar values.
    Str {
        /// Longest text, in characters; results may leave it out.
        chars_max: Option<u32>,
    },
    /// Bytes.
    Bytes {
        /// Longest value, in bytes; results may leave it out.
        bytes_max: Option<u32>,
    },
    /// A calendar day.
    Date,
    /// A moment, UTC, with `fraction` digits after the second (0 to 6).
    Timestamp {
        /// Digits after the second; 3 when not written.
        fraction: u8,
    },
    /// A JSON document as text.
    Json,
    /// One of the words.
    Enum(Box<[Box<str>]>),
    /// Several values of one type.
    List(Box<Type>),
    /// `rows(name T, …)`: several rows of the same fields; a value is a list of lists, in the fields' order.
    Rows(Box<[Field]>),
}

/// A field of a `rows(…)` parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Box<str>,
    /// Its type; no list.
    pub ty: Type,
}

/// `@result`: one column of the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Lower case, as in the reply.
    pub name: Box<str>,
    /// Its type, which decides its form on the wire.
    pub ty: Type,
    /// `bigint as string`: in JSON a string, in MessagePack an integer.
    pub json_string: bool,
    /// `empty as null` / `null as empty`: what '' and NULL become; see the language's page.
    pub empty_as_null: bool,
}

/// `@http`: method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRoute {
    /// The method.
    pub method: HttpMethod,
    /// `/v1/{game}/players/{player_id}`: as written; names in braces are slots (or `game`).
    pub path: Box<str>,
}

/// A method that a route can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of RFC 9110 methods")]
pub enum HttpMethod {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl HttpMethod {
    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// `@cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Life in process; zero: not kept there.
    pub l1_ttl: Duration,
    /// Life in Redis; zero: not kept there.
    pub l2_ttl: Duration,
    /// Life of "no such row", at both levels; zero: not kept.
    pub negative_ttl: Duration,
    /// What invalidates it.
    pub tags: Vec<TagPattern>,
    /// Who shares an entry.
    pub scope: Scope,
}

/// Who shares a cache entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everyone who may call; `:_caller` and `:_claim.x` used in the body still enter the key.
    Global,
    /// Each principal its own.
    Principal,
}

/// `player:{player_id}`: a tag with slots in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern {
    /// Its parts, in order.
    pub parts: Vec<TagPart>,
}

/// A part of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagPart {
    /// Text as written.
    Text(Box<str>),
    /// The canonical text of a slot's value (index). A list makes one tag an item.
    Slot(usize),
    /// `{items.player_id}`: of a field of each row of a `rows(…)` slot. One tag a row.
    Field {
        /// The slot's index.
        slot: usize,
        /// The field's index.
        field: usize,
    },
}

/// `@require from <> to else 2102 SAME_PLAYER [422]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Require {
    /// Index of the slot on the left.
    pub left: usize,
    /// How they compare.
    pub comparison: Comparison,
    /// The right side.
    pub right: Operand,
    /// What a failure answers.
    pub error: BusinessError,
}

/// A comparison of `@require`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "SQL's comparison operators")]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Comparison {
    /// As it is written.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

/// The right side of a `@require`.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Another slot (index).
    Slot(usize),
    /// A literal, in the left slot's type.
    Literal(Scalar<'static>),
}

/// `@include items = item.list_by_player(player_id)`: run side by side with this operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// The member of the reply that carries it.
    pub name: Box<str>,
    /// The operation.
    pub op: OpId,
    /// Its arguments.
    pub args: Vec<IncludeArg>,
}

/// One argument: `player_id`, or `owner_id = player_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncludeArg {
    /// The included operation's parameter.
    pub param: Box<str>,
    /// This template's slot (index) that gives the value.
    pub slot: usize,
}
