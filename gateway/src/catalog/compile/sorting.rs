//! `@page` and `@order`: the orders, the columns behind them, and the markers that they need.

use super::Compiler;
use super::body::CutBody;
use super::slots::Slots;
use crate::catalog::contract::{Decl, Key, OrderColumn, PageKeyset};
use crate::catalog::finding::{Place, Rule};
use crate::catalog::statement::{Output, Statement, joined};
use crate::catalog::{Column, Direction, Keyset, KeysetColumn, Kind, Order, Page, Type};

impl Compiler<'_, '_> {
    /// The declared alternatives, in order.
    pub(super) fn orders(&mut self, columns: &[Column], statement: &Statement<'_>) -> Vec<Order> {
        let mut orders = Vec::new();
        let entries: Vec<_> = self.resolved.all(Key::Order).cloned().collect();
        for entry in entries {
            let Decl::Order(order) = &*entry.decl else { continue };
            let columns = self.order_columns(&order.columns, &entry.place, columns, statement);
            orders.push(Order { name: order.name.clone(), columns });
        }
        orders
    }

    /// Each column of an order is one of the reply's: a cursor takes its values from there.
    fn order_columns(
        &mut self,
        written: &[OrderColumn],
        place: &Place,
        columns: &[Column],
        statement: &Statement<'_>,
    ) -> Vec<KeysetColumn> {
        let outputs = statement.outputs();
        let mut found = Vec::with_capacity(written.len());
        for column in written {
            let lower = column.sql.to_ascii_lowercase();
            let by_text = outputs.iter().find_map(|output| match output {
                Output::Named { name, sql } if *sql == lower => Some(name.clone()),
                _ => None,
            });
            let last = lower.rsplit('.').next().unwrap_or_default().to_owned();
            let name = by_text.unwrap_or(last);
            let Some(index) = columns.iter().position(|column| *column.name == *name) else {
                let message = format!("`{}` is not a column of @result", column.sql);
                let fix = "select and declare it: the next page begins at its value";
                self.findings.error(Rule::Order, place, message, fix);
                continue;
            };
            let (sql, direction) = (column.sql.clone(), column.direction);
            found.push(KeysetColumn { sql, column: index, direction });
        }
        found
    }

    /// The page, if it is one; and whether the body's markers go with what is declared.
    pub(super) fn page(
        &mut self,
        kind: Kind,
        slots: &Slots,
        columns: &[Column],
        cut: &CutBody<'_>,
    ) -> Option<Page> {
        let sort_slot = self.sort_slot(slots, cut);
        if kind != Kind::Page {
            if let Some(place) = &cut.keyset {
                let fix = "declare @kind page, or remove the line";
                self.findings.error(Rule::Page, place, "`-- #keyset` goes with @kind page", fix);
            }
            return None;
        }
        let entry = self.resolved.one(Key::Page)?;
        let Decl::Page(decl) = &*entry.decl else { return None };
        if cut.keyset.is_none() {
            let fix = "add the line `AND 1 = 1  -- #keyset` to its WHERE";
            self.findings.error(Rule::Page, &entry.place, "the body has no `-- #keyset`", fix);
        }
        self.tail(&entry.place, &cut.statement);
        let keyset = match &decl.keyset {
            PageKeyset::Sort => {
                if sort_slot.is_none() {
                    let fix = "declare @order and `-- @param sort enum(…) default=…`";
                    self.findings.error(
                        Rule::Order,
                        &entry.place,
                        "@sort, and nothing to choose from",
                        fix,
                    );
                }
                Keyset::Sorted { sort_slot: sort_slot? }
            }
            PageKeyset::Columns(written) => {
                self.fixed_order(written, &entry.place, &cut.statement);
                Keyset::Fixed(self.order_columns(written, &entry.place, columns, &cut.statement))
            }
        };
        Some(Page {
            keyset,
            default_count: decl.default_count,
            count_max: decl.count_max,
            cursor_slot: slots.find("cursor")?,
            limit_slot: slots.find("limit")?,
        })
    }

    /// The gateway appends the limit: nothing may stand behind the order.
    fn tail(&mut self, place: &Place, statement: &Statement<'_>) {
        const TAILS: [&str; 4] = ["limit", "offset", "fetch", "for"];
        let tail = statement
            .code
            .iter()
            .find(|code| code.depth == 0 && TAILS.iter().any(|word| code.token.is_word(word)));
        if let Some(code) = tail {
            let place = Place { line: code.token.line, column: code.token.column, ..place.clone() };
            let message = format!("`{}` in a page", code.token.text);
            self.findings.error(
                Rule::Page,
                &place,
                message,
                "remove it: the gateway appends the limit",
            );
        }
    }

    /// Without `@sort`, the body's own `ORDER BY` runs: it must be the keyset's.
    fn fixed_order(&mut self, written: &[OrderColumn], place: &Place, statement: &Statement<'_>) {
        let code = &statement.code;
        let start = code.iter().zip(code.iter().skip(1)).rposition(|(order, by)| {
            order.depth == 0 && order.token.is_word("order") && by.token.is_word("by")
        });
        let tokens: Vec<_> = start.map_or_else(Vec::new, |start| {
            code.iter()
                .skip(start + 2)
                .map(|code| code.token)
                .filter(|token| !token.is_word("asc"))
                .collect()
        });
        let expected: Vec<String> = written
            .iter()
            .map(|column| {
                let direction = if column.direction == Direction::Desc { "desc" } else { "" };
                format!("{}{direction}", column.sql.to_ascii_lowercase())
            })
            .collect();
        if joined(&tokens) != expected.join(",") {
            let fix = "order the body by the keyset's columns, in the same directions";
            self.findings.error(Rule::Order, place, "the body's ORDER BY is not the keyset", fix);
        }
    }

    /// The `sort` slot: an enum of the orders' names, and always one of them.
    fn sort_slot(&mut self, slots: &Slots, cut: &CutBody<'_>) -> Option<usize> {
        let names: Vec<Box<str>> =
            self.resolved.all(Key::Order).filter_map(|e| e.name.clone()).collect();
        let order_place = self.resolved.one(Key::Order).map(|entry| entry.place.clone());
        match (&cut.sort, &order_place) {
            (Some(place), None) => {
                let fix = "declare the alternatives with @order";
                self.findings.error(Rule::Order, place, "`/* #sort */`, and no @order", fix);
            }
            (None, Some(place)) => {
                let fix = "write `ORDER BY /* #sort */ …` in the body";
                self.findings.error(Rule::Order, place, "@order, and no `/* #sort */`", fix);
            }
            _ => {}
        }
        let place = order_place?;
        let index = slots.find("sort");
        let slot = index.and_then(|index| slots.list.get(index));
        let fits = slot.is_some_and(|slot| {
            let given = slot.required || slot.default.is_some();
            let words = match &slot.ty {
                Type::Enum(words) => &words[..],
                _ => &[],
            };
            given && words.len() == names.len() && names.iter().all(|name| words.contains(name))
        });
        if !fits {
            let first = names.first().map_or("", |name| name);
            let fix = format!("declare `-- @param sort enum({}) default={first}`", names.join(","));
            self.findings.error(
                Rule::Order,
                &place,
                "`sort` does not choose among the @order names",
                fix,
            );
        }
        index
    }
}
