//! From a plan and the shape of a request to the SQL that is sent.
//!
//! The text depends on which parameters were given, how long lists are and which order was chosen, never
//! on a value. So one template has few texts, and each is prepared once a connection.

use std::sync::Arc;

use smallvec::SmallVec;

use super::text::{Writer, padded};
use super::{Dialect, KeysetColumn, Scalar, Slot, StepValue};

/// The SQL of a template, cut where a request decides. [`Plan::render`] puts it together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// In order.
    pub pieces: Vec<Piece>,
    /// The text and binds when no request changes them: shared, not built again.
    pub fixed: Option<Rendered>,
    /// What [`Piece::Keyset`] and [`Piece::Sort`] write: a column list for each `@order`, in order; or the
    /// one list of a fixed keyset.
    pub orders: Vec<Vec<KeysetColumn>>,
    /// Index of the `sort` slot, which chooses among `orders`, and the words in their order.
    pub sort: Option<(usize, Box<[Box<str>]>)>,
    /// Whether a limit of rows is appended.
    pub paged: bool,
    /// Bit `i`: slot `i` is a list that may not be empty, since a write uses it, or something under a NOT.
    pub nonempty: u64,
    /// How several runs become one statement; `None`: they do not.
    pub fold: Option<Fold>,
}

/// `INSERT … VALUES (…)` of one row, cut so that it can be sent with many: `before`, then `tuple` once a row
/// with commas between, then `after`. For Oracle the three together are the statement of one run, which is executed
/// with an array of binds, one set for each run; `after` is blank there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Up to and with `VALUES `; no binds.
    pub before: Box<str>,
    /// The parentheses and what is in them; text and single binds only.
    pub tuple: Vec<Piece>,
    /// What follows (`ON DUPLICATE KEY UPDATE …`, `ON CONFLICT …`, nothing); no binds.
    pub after: Box<str>,
}

impl Plan {
    /// Whether `:_id` stands in it.
    pub fn uses_id(&self) -> bool {
        fn has_id(pieces: &[Piece]) -> bool {
            pieces.iter().any(|piece| match piece {
                Piece::Bind(source) => *source == Source::Id,
                Piece::Optional { pieces, .. } => has_id(pieces),
                Piece::Text(_) | Piece::List(_) | Piece::Keyset | Piece::Sort => false,
            })
        }
        has_id(&self.pieces)
    }
}

/// A piece of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// SQL as written.
    Text(Box<str>),
    /// One bind.
    Bind(Source),
    /// `IN (:ids)`: a slot (index) of list type, expanded and padded.
    List(usize),
    /// A line ending in `-- ?`: kept only if each of the slots was given (not absent, not by default).
    Optional {
        /// Indexes of the slots on the line.
        slots: Vec<usize>,
        /// Its pieces.
        pieces: Vec<Piece>,
    },
    /// `AND 1 = 1 -- #keyset`: the seek predicate (or nothing on the first page).
    Keyset,
    /// `/* #sort */ …`: the chosen order's columns.
    Sort,
}

/// Where a bind's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A slot (index).
    Slot(usize),
    /// `:_now`: one moment for the whole request.
    Now,
    /// `:_id`: a 63-bit time-ordered id.
    Id,
    /// `:_caller`: who asks.
    Caller,
    /// `:_claim.x`.
    Claim(Box<str>),
    /// `:_trace`: the request's id.
    Trace,
    /// `:items.qty`: a field of the current row of a `rows(…)` slot.
    Field {
        /// The slot's index.
        slot: usize,
        /// The field's index.
        field: usize,
    },
    /// `:debit.affected`, `:before.gold`: what an earlier step left.
    Step {
        /// The step's index.
        step: usize,
        /// What of it.
        value: StepValue,
    },
    /// Nothing goes in, a value comes back: index into the template's outputs, or into those of the step.
    Out(usize),
}

impl Source {
    /// What the gateway supplies under a name: `_now`, `_claim.sub`.
    pub(crate) fn supplied(name: &str) -> Option<Self> {
        match name {
            "_now" => Some(Self::Now),
            "_id" => Some(Self::Id),
            "_caller" => Some(Self::Caller),
            "_trace" => Some(Self::Trace),
            _ => name.strip_prefix("_claim.").map(|claim| Self::Claim(claim.into())),
        }
    }
}

/// What of a request decides the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Bit `i`: slot `i` was given by the caller.
    pub given: u64,
    /// Slot index and item count of each list.
    pub list_lens: SmallVec<[(usize, usize); 4]>,
    /// Index into [`Plan::orders`].
    pub order: usize,
    /// Whether a cursor says where the page begins.
    pub seek: bool,
}

impl Shape {
    /// The shape of a request.
    ///
    /// - `values`: one for each slot, as bound; `given`: bit `i` for slot `i`.
    /// - `seek`: whether a cursor came and was opened.
    pub fn new(plan: &Plan, values: &[Scalar<'_>], given: u64, seek: bool) -> Self {
        let lists = values.iter().enumerate().filter_map(|(slot, value)| match value {
            // Rows stand in no IN: how many there are does not change the text.
            Scalar::List(items) if !matches!(items.first(), Some(Scalar::List(_))) => {
                Some((slot, items.len()))
            }
            _ => None,
        });
        let chosen = plan.sort.as_ref().and_then(|(slot, words)| match values.get(*slot) {
            Some(Scalar::Str(word)) => words.iter().position(|one| **one == **word),
            _ => None,
        });
        Self { given, list_lens: lists.collect(), order: chosen.unwrap_or(0), seek }
    }

    fn list_len(&self, slot: usize) -> usize {
        self.list_lens.iter().find(|(index, _)| *index == slot).map_or(0, |(_, len)| *len)
    }
}

/// SQL and what to bind to its placeholders, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// With the dialect's placeholders: `?`, or `:b1`, `:b2`, … in Oracle.
    pub sql: Arc<str>,
    /// One for each placeholder, in order.
    pub binds: Arc<[BindRef]>,
}

/// Where a placeholder's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindRef {
    /// A slot, or what the gateway supplies.
    Source(Source),
    /// An item of a list. Lists are padded by their last item, so that texts stay few.
    ListItem {
        /// The slot's index.
        slot: usize,
        /// The item's index; within the list.
        index: usize,
    },
    /// The cursor's value for a column (index into the chosen order's columns).
    Seek(usize),
    /// The page's row count **plus one**: the extra row tells whether there is a next page.
    PageLimit,
}

/// Why a shape has no SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A write, or a NOT, with a list of no items: it could touch every row. Code 2012.
    #[error("list {slot} is empty")]
    EmptyList {
        /// The slot's index.
        slot: usize,
    },
    /// More items than the dialect takes. Code 2012.
    #[error("list {slot} has {len} items, more than {max}")]
    LongList {
        /// The slot's index.
        slot: usize,
        /// Items given.
        len: usize,
        /// Items allowed.
        max: usize,
    },
    /// The shape chooses an order that the plan does not have.
    #[error("there is no order {0}")]
    NoOrder(usize),
}

impl Plan {
    /// Finishes a plan: what no request changes is put together once, here.
    #[must_use]
    pub(crate) fn sealed(mut self, dialect: Dialect) -> Self {
        let fixed = |piece: &Piece| matches!(piece, Piece::Text(_) | Piece::Bind(_));
        if !self.paged && self.pieces.iter().all(fixed) {
            self.fixed = self.render(dialect, &Shape::default()).ok();
        }
        self
    }

    /// The SQL, when no request changes it.
    pub fn fixed(&self) -> Option<&Rendered> {
        self.fixed.as_ref()
    }

    /// Everything that it binds by a source, optional lines too.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        // Optional lines do not nest, so one level down is all there is.
        fn within(piece: &Piece) -> &[Piece] {
            match piece {
                Piece::Optional { pieces, .. } => pieces,
                other => std::slice::from_ref(other),
            }
        }
        self.pieces.iter().flat_map(within).filter_map(|piece| match piece {
            Piece::Bind(source) => Some(source),
            _ => None,
        })
    }

    /// Most placeholders that a request can make of it.
    pub(crate) fn placeholder_count_max(&self, slots: &[Slot], dialect: Dialect) -> usize {
        fn of(pieces: &[Piece], list: &impl Fn(usize) -> usize, seek: usize) -> usize {
            let count = |piece: &Piece| match piece {
                Piece::Bind(_) => 1,
                Piece::List(slot) => list(*slot),
                Piece::Optional { pieces, .. } => of(pieces, list, seek),
                Piece::Keyset => seek,
                Piece::Text(_) | Piece::Sort => 0,
            };
            pieces.iter().map(count).sum()
        }
        let list = |slot: usize| {
            let max = slots.get(slot).and_then(|slot| slot.item_count_max).unwrap_or(0);
            padded(max as usize, dialect)
        };
        let columns = self.orders.iter().map(Vec::len).max().unwrap_or(0);
        of(&self.pieces, &list, columns * (columns + 1) / 2) + usize::from(self.paged)
    }

    /// The SQL of a shape. Allocates nothing when no request changes the text.
    ///
    /// # Errors
    ///
    /// [`RenderError`], see there. Nothing was sent.
    pub fn render(&self, dialect: Dialect, shape: &Shape) -> Result<Rendered, RenderError> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let mut binds = Vec::new();
        let sql = self.render_with(dialect, shape, &mut |sql, bind| {
            binds.push(bind);
            if dialect == Dialect::Oracle {
                sql.push_str(":b");
                sql.push_str(&binds.len().to_string());
            } else {
                sql.push('?');
            }
        })?;
        Ok(Rendered { sql: sql.into(), binds: binds.into() })
    }

    /// The SQL of a shape with what `place` writes at each bind, in order: for `gateway render`, where
    /// literals stand in their place. What is sent to a database comes from [`render`](Self::render).
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_with(
        &self,
        dialect: Dialect,
        shape: &Shape,
        place: &mut dyn FnMut(&mut String, BindRef),
    ) -> Result<String, RenderError> {
        let columns = self.orders.get(shape.order).map_or(&[][..], Vec::as_slice);
        if columns.is_empty() && !self.orders.is_empty() {
            return Err(RenderError::NoOrder(shape.order));
        }
        let sql = String::with_capacity(256);
        let mut writer = Writer { dialect, sql, place, is_open: false };
        self.write(&self.pieces, shape, columns, &mut writer)?;
        if self.paged {
            writer.page_limit();
        }
        Ok(writer.sql)
    }

    fn write(
        &self,
        pieces: &[Piece],
        shape: &Shape,
        columns: &[KeysetColumn],
        writer: &mut Writer<'_>,
    ) -> Result<(), RenderError> {
        for piece in pieces {
            match piece {
                Piece::Text(text) => writer.text(text),
                Piece::Bind(source) => writer.bind(BindRef::Source(source.clone())),
                Piece::List(slot) => {
                    let nonempty = *slot < 64 && self.nonempty >> slot & 1 == 1;
                    writer.list(*slot, shape.list_len(*slot), nonempty)?;
                }
                Piece::Optional { slots, pieces } => {
                    let given = |slot: &usize| *slot < 64 && shape.given >> slot & 1 == 1;
                    if slots.iter().all(given) {
                        self.write(pieces, shape, columns, writer)?;
                    }
                }
                Piece::Keyset if shape.seek => writer.seek(columns),
                Piece::Keyset => {}
                Piece::Sort => writer.sort(columns),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Direction;

    fn column(sql: &str, direction: Direction) -> KeysetColumn {
        KeysetColumn { sql: sql.into(), column: 0, direction }
    }

    fn list_plan(nonempty: bool) -> Plan {
        Plan {
            pieces: vec![Piece::Text("x IN (".into()), Piece::List(2), Piece::Text(")".into())],
            nonempty: if nonempty { 1 << 2 } else { 0 },
            ..Plan::default()
        }
    }

    fn list_shape(len: usize) -> Shape {
        Shape { list_lens: [(2, len)].into_iter().collect(), ..Shape::default() }
    }

    #[track_caller]
    fn check(plan: &Plan, dialect: Dialect, shape: &Shape, sql: &str, bind_count: usize) {
        let rendered = plan.render(dialect, shape).expect("it renders");
        assert_eq!(&*rendered.sql, sql);
        assert_eq!(rendered.binds.len(), bind_count);
    }

    #[test]
    fn fixed_text_is_shared_and_not_built_again() {
        let plan = Plan {
            pieces: vec![Piece::Text("a = ".into()), Piece::Bind(Source::Slot(0))],
            ..Plan::default()
        };
        let plan = plan.sealed(Dialect::Oracle);
        let first = plan.render(Dialect::Oracle, &Shape::default()).unwrap();
        let second = plan.render(Dialect::Oracle, &Shape::default()).unwrap();
        assert_eq!(&*first.sql, "a = :b1");
        assert!(Arc::ptr_eq(&first.sql, &second.sql) && Arc::ptr_eq(&first.binds, &second.binds));
    }

    #[test]
    fn lists_are_padded_to_powers_of_two_by_their_last_item() {
        let plan = list_plan(false).sealed(Dialect::Mysql);
        check(&plan, Dialect::Mysql, &list_shape(1), "x IN (?)", 1);
        check(&plan, Dialect::Mysql, &list_shape(3), "x IN (?, ?, ?, ?)", 4);
        let binds = plan.render(Dialect::Mysql, &list_shape(3)).unwrap().binds;
        let indexes: Vec<_> = binds
            .iter()
            .map(|bind| if let BindRef::ListItem { slot: 2, index } = bind { *index } else { 99 })
            .collect();
        assert_eq!(indexes, [0, 1, 2, 2]);
    }

    #[test]
    fn oracle_takes_1000_items_in_one_list_and_more_in_several() {
        let plan = list_plan(false);
        let binds = |len| plan.render(Dialect::Oracle, &list_shape(len)).map(|one| one.binds.len());
        assert_eq!(binds(513), Ok(1000));
        assert_eq!(binds(1000), Ok(1000));
        assert_eq!(binds(1001), Ok(1024));
        assert_eq!(binds(2001), Ok(2048));
        let sql = plan.render(Dialect::Oracle, &list_shape(2001)).unwrap().sql;
        assert!(sql.starts_with("(x IN (:b1, :b2, "), "{sql}");
        assert!(
            sql.contains(":b1000) OR x IN (:b1001, ") && sql.contains(":b2000) OR x IN (:b2001,")
        );
        assert!(sql.ends_with(":b2048))"), "{sql}");
        let mut compared = list_plan(false);
        compared.pieces[0] = Piece::Text("LOWER(x) IN (".into());
        let refused = compared.render(Dialect::Oracle, &list_shape(1001));
        assert_eq!(refused, Err(RenderError::LongList { slot: 2, len: 1001, max: 1000 }));
        assert_eq!(plan.render(Dialect::Mysql, &list_shape(1001)).unwrap().binds.len(), 1024);
    }

    #[test]
    fn empty_list_matches_nothing_in_a_read_and_is_refused_where_it_is_dangerous() {
        for dialect in Dialect::ALL {
            check(&list_plan(false), dialect, &list_shape(0), "x IN (NULL)", 0);
        }
        check(&list_plan(false), Dialect::Mysql, &Shape::default(), "x IN (NULL)", 0);
        let refused = list_plan(true).render(Dialect::Mysql, &list_shape(0));
        assert_eq!(refused, Err(RenderError::EmptyList { slot: 2 }));
        check(&list_plan(true), Dialect::Mysql, &list_shape(1), "x IN (?)", 1);
    }

    #[test]
    fn optional_line_needs_every_slot_on_it() {
        let plan = Plan {
            pieces: vec![
                Piece::Text("a\n".into()),
                Piece::Optional {
                    slots: vec![0, 63],
                    pieces: vec![Piece::Text("b = ".into()), Piece::Bind(Source::Slot(0))],
                },
            ],
            ..Plan::default()
        };
        let given = |given| Shape { given, ..Shape::default() };
        check(&plan, Dialect::Mysql, &given(1 | 1 << 63), "a\nb = ?", 1);
        check(&plan, Dialect::Mysql, &given(1), "a\n", 0);
        check(&plan, Dialect::Mysql, &given(0), "a\n", 0);
    }

    #[test]
    fn seek_is_expanded_with_each_columns_direction() {
        let plan = Plan {
            pieces: vec![Piece::Keyset, Piece::Text("ORDER BY ".into()), Piece::Sort],
            orders: vec![
                vec![column("a", Direction::Desc)],
                vec![
                    column("t.a", Direction::Desc),
                    column("b", Direction::Asc),
                    column("c", Direction::Desc),
                ],
            ],
            paged: true,
            ..Plan::default()
        };
        let shape = |order, seek| Shape { order, seek, ..Shape::default() };
        check(&plan, Dialect::Mysql, &shape(0, false), "ORDER BY a DESC\nLIMIT ?", 1);
        check(&plan, Dialect::Sqlite, &shape(0, true), "AND (a < ?)\nORDER BY a DESC\nLIMIT ?", 2);
        let expanded = "AND (t.a < :b1 OR (t.a = :b2 AND b > :b3) OR (t.a = :b4 AND b = :b5 AND c < :b6))\n\
                        ORDER BY t.a DESC, b, c DESC\nFETCH FIRST :b7 ROWS ONLY";
        check(&plan, Dialect::Oracle, &shape(1, true), expanded, 7);
        let binds = plan.render(Dialect::Oracle, &shape(1, true)).unwrap().binds;
        let seeks = [0, 0, 1, 0, 1, 2].map(BindRef::Seek);
        assert_eq!(binds[..6], seeks);
        assert_eq!(binds[6], BindRef::PageLimit);
        assert_eq!(plan.render(Dialect::Mysql, &shape(2, false)), Err(RenderError::NoOrder(2)));
    }

    #[test]
    fn shape_takes_the_order_from_the_sort_slot_and_lists_from_the_values() {
        let plan = Plan {
            sort: Some((1, Box::new(["newest".into(), "level".into()]))),
            ..Plan::default()
        };
        let values = [Scalar::List(vec![Scalar::Null; 3]), Scalar::Str("level".into())];
        let shape = Shape::new(&plan, &values, 1, true);
        assert_eq!((shape.order, shape.seek, shape.given), (1, true, 1));
        assert_eq!(shape.list_lens[..], [(0, 3)]);
        assert_eq!(Shape::new(&plan, &[], 0, false).order, 0);
    }

    #[test]
    fn number_of_rows_does_not_change_the_shape() {
        let plan = Plan::default();
        let row = || Scalar::List(vec![Scalar::Int(1)]);
        let of = |value: Scalar<'_>| Shape::new(&plan, &[value], 1, false);
        assert_eq!(of(Scalar::List(vec![row()])), of(Scalar::List(vec![row(), row()])));
        assert_ne!(
            of(Scalar::List(vec![Scalar::Int(1)])),
            of(Scalar::List(vec![Scalar::Int(1); 2]))
        );
    }
}
