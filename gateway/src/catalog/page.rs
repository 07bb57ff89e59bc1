//! What `@page` and `@order` make of a template: which way rows come, and how many.

/// `@page`: `keyset = … default=50 max=200`. A page template has two more slots than it declares, at the end:
/// `cursor string` (optional) and `limit int` (default and max from here).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The order when `@page keyset = …` names columns; with `@sort` the chosen [`Order`]'s.
    pub keyset: Keyset,
    /// Rows when the caller names no limit.
    pub default_count: u32,
    /// Most rows that a caller may ask for.
    pub count_max: u32,
    /// Index of the `cursor` slot.
    pub cursor_slot: usize,
    /// Index of the `limit` slot.
    pub limit_slot: usize,
}

/// Where a page's order comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyset {
    /// Fixed columns.
    Fixed(Vec<KeysetColumn>),
    /// `@sort`: of the chosen order; the slot (index) named `sort` chooses.
    Sorted {
        /// Index of the `sort` slot.
        sort_slot: usize,
    },
}

/// A column of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysetColumn {
    /// As written in SQL: `c.created_at`.
    pub sql: Box<str>,
    /// Index into the template's `columns`: what the cursor takes its value from.
    pub column: usize,
    /// Which way.
    pub direction: Direction,
}

/// Which way an order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "SQL's own words")]
pub enum Direction {
    Asc,
    Desc,
}

/// `@order newest = …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The value of `sort` that chooses it.
    pub name: Box<str>,
    /// What replaces `/* #sort */ …`.
    pub columns: Vec<KeysetColumn>,
}
