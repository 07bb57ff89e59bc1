//! What a template that changes data declares besides: steps, guards, its key, its lane, its journal.

use std::time::Duration;

use gateway_protocol::OpId;

use super::{BusinessError, Column, Comparison, IncludeArg, Plan, Scalar, Template};

/// The part of a contract that only writes have. A read's is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteContract {
    /// `@kind exec|batch affected = 1 else …`: how many rows must be matched (by each row of a batch).
    pub guard: Option<Guard>,
    /// `@kind tx isolation=…`, `@kind call writes isolation=…`. `None`: the session's own.
    pub isolation: Option<Isolation>,
    /// `-- @step`, in order; a `tx` has 1 to 32 of them, others none.
    pub steps: Vec<Step>,
    /// `@return`: the members of a `tx`'s reply, in order. None: an empty map.
    pub returns: Vec<Returned>,
    /// What the RETURNING of an `exec` gives, in its order; [`super::Source::Out`] of its plan points here.
    pub returning: Vec<Column>,
    /// The slot (index) of a `batch`'s `rows(…)` parameter.
    pub batch_slot: Option<usize>,
    /// `@idempotent`.
    pub idempotent: Option<Idempotent>,
    /// `@async`; only with `idempotent`.
    pub asynchronous: Option<Asynchronous>,
    /// `@lane`: the slot (index) whose equal values are applied in order.
    pub lane: Option<usize>,
    /// `@retry`.
    pub retry: Option<Retry>,
    /// `@version` of a write: the slot (index) that `If-Match` gives.
    pub version_slot: Option<usize>,
    /// `@current player.get(player_id)`: whose row goes into the details when the guard fails.
    pub current: Option<Reading>,
    /// `@status order.get(order_no)`: where the state of a journalled record is asked for. Its one
    /// argument's slot is the idempotency key's.
    pub status: Option<Reading>,
    /// `@emit`: what is told of it, once for a write and once for each row of a `batch`.
    pub events: Vec<Emitted>,
}

/// `@emit player.level_changed player_id, level`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// What it is about; who reads events chooses by it.
    pub topic: Box<str>,
    /// Its name.
    pub event: Box<str>,
    /// The members of its data, in order.
    pub fields: Vec<EmittedField>,
}

/// A member of an event's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmittedField {
    /// Its name.
    pub name: Box<str>,
    /// Where its value comes from.
    pub value: EmittedValue,
}

/// Where a member of an event's data comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmittedValue {
    /// A parameter (index); of a `batch`'s rows the one row.
    Slot(usize),
    /// `_id`: the request's id; of a `batch` the row's.
    Id,
}

/// An operation to read with, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// A `one` or `optional`.
    pub op: OpId,
    /// Its arguments, from our slots.
    pub args: Vec<IncludeArg>,
}

/// `-- @step debit exec affected = 1 else 2103 ITEM_NOT_ENOUGH`.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name, unique in the template.
    pub name: Box<str>,
    /// What it runs.
    pub kind: StepKind,
    /// `each items`: run once for every row of this `rows(…)` slot (index).
    pub each: Option<usize>,
    /// What must hold of it. Of each run, where there are several.
    pub guard: Option<Guard>,
    /// `on duplicate_key else …`. `None`: the template's, else 2022.
    pub on_duplicate: Option<BusinessError>,
    /// `when credit.affected = 0`: skipped otherwise; `affected` of a skipped step is 0, its columns NULL.
    pub when: Option<When>,
    /// The columns that later steps, conditions and `@return` use, lower case; [`super::Source::Step`] points here.
    pub columns: Vec<Box<str>>,
    /// What its `RETURNING` gives, in its order; [`super::Source::Out`] of its plan points here.
    pub returning: Vec<Column>,
    /// Its SQL.
    pub plan: Plan,
}

/// What a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// A row; none is 2025, unless a guard `rows` says otherwise.
    One,
    /// A row or none.
    Optional,
    /// Rows; of which `:step.col` is the first one's.
    Many,
    /// A write.
    Exec,
}

/// `affected = 1 else 2103 ITEM_NOT_ENOUGH`, `rows >= 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// How the count (rows matched by a write, rows read by a read) compares.
    pub comparison: Comparison,
    /// With what.
    pub count: u64,
    /// What a failure answers. `None`: 2023 where the template has a `@version`, else 1303, logged.
    pub error: Option<BusinessError>,
}

/// `when credit.affected = 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// An earlier step (index).
    pub step: usize,
    /// What of it.
    pub value: StepValue,
    /// How it compares. NULL compares with nothing: the step is skipped.
    pub comparison: Comparison,
    /// With what: an integer or a text.
    pub literal: Scalar<'static>,
}

/// A value that an earlier step has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepValue {
    /// Rows matched; of a read, rows read.
    Affected,
    /// A column of its (first) row: index into [`Step::columns`]. NULL where there was no row.
    Column(usize),
}

/// `@return gold = after.gold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// The member's name.
    pub name: Box<str>,
    /// Where its value comes from.
    pub value: ReturnedValue,
    /// Its declared form: index into the template's `columns` (a `@result` of that name). `None` for counts
    /// and ids, whose form is known.
    pub column: Option<usize>,
}

/// Where a member of a `tx`'s reply comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnedValue {
    /// `= step.col`, `= step.affected`.
    Step {
        /// The step (index).
        step: usize,
        /// What of it.
        value: StepValue,
    },
    /// `= _id`: the request's id.
    Id,
}

/// `@kind tx isolation=…`.
/// A later one sees fewer anomalies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "SQL's own words")]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// `@idempotent key=request_id ttl=24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotent {
    /// The slot (index) with the key: a required string, int or bigint.
    pub key_slot: usize,
    /// How long a repeat is recognised, from when the effect is in the database. Default 24 h.
    pub ttl: Duration,
}

/// `@async max=500 linger=5ms dead=10 priority=high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asynchronous {
    /// Most records in one transaction. Default 500.
    pub batch_count_max: u32,
    /// How long a record may wait for others. Default 5 ms.
    pub linger: Duration,
    /// Failures of its own after which a record goes to the dead letters. Default 10.
    pub failure_count_max: u32,
    /// Whether it goes before records of normal priority, in other lanes.
    pub is_urgent: bool,
}

/// `@retry 3 on=deadlock,lock_timeout`: without `on=` both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first.
    pub count: u32,
    /// After a deadlock.
    pub on_deadlock: bool,
    /// After a lock was not to be had in time.
    pub on_lock_timeout: bool,
}

impl Template {
    /// Whether a write gives every row of its `rows(…)` slots an id of its own.
    pub fn uses_row_ids(&self) -> bool {
        let write = &self.write;
        (write.batch_slot.is_some() && self.plan.uses_id())
            || write.steps.iter().any(|step| step.each.is_some() && step.plan.uses_id())
    }

    /// Whether a write uses `:_id` as one for the whole request.
    pub fn uses_id(&self) -> bool {
        let write = &self.write;
        (write.batch_slot.is_none() && self.plan.uses_id())
            || write.steps.iter().any(|step| step.each.is_none() && step.plan.uses_id())
            || write.returns.iter().any(|returned| returned.value == ReturnedValue::Id)
    }
}
