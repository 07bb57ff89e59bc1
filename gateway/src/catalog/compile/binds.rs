//! The binds of a body: parameters, lists, prefixes, and what the gateway supplies.

use super::body::{Cutter, push_text};
use super::steps;
use crate::catalog::finding::{Place, Rule};
use crate::catalog::lexer::{Token, TokenKind};
use crate::catalog::text::ORACLE_ITEM_COUNT_MAX;
use crate::catalog::{Dialect, Piece, Source, Type};

impl<'a> Cutter<'a, '_, '_> {
    /// - `after`: the next two tokens of code on the line.
    pub(super) fn bind(&mut self, token: &Token<'a>, after: [Option<&Token<'a>>; 2]) {
        let place = self.place(token);
        let name = token.text.trim_start_matches(':');
        if name.starts_with('_') {
            self.supplied(name, place);
            return;
        }
        if let Some((owner, member)) = name.split_once('.') {
            let source = match self.around.slots.rows(owner) {
                Some(slot) => self.field(slot, (owner, member), &place),
                None => self.step_value(owner, member, &place),
            };
            self.cut.pieces.extend(source.map(Piece::Bind));
            return;
        }
        let Some(index) = self.around.slots.need(name, &place, self.findings) else { return };
        let Some(slot) = self.around.slots.list.get(index) else { return };
        if matches!(slot.ty, Type::Rows(_)) {
            let message = format!("`{name}` is rows, and no single value");
            let fix = format!("bind a field of it: `:{name}.…`");
            self.findings.error(Rule::List, &place, message, fix);
            return;
        }
        if matches!(slot.ty, Type::List(_)) {
            self.list(index, &place, after);
            return;
        }
        self.cut.pieces.push(Piece::Bind(Source::Slot(index)));
        if slot.like_prefix {
            self.like(&place, after);
        }
    }

    /// `:items.qty`.
    fn field(&mut self, slot: usize, (rows, name): (&str, &str), place: &Place) -> Option<Source> {
        let field = self.around.slots.need_field(slot, name, place, self.findings)?;
        if self.around.rows != Some(slot) {
            let message = format!("`:{rows}.{name}`, and no row of `{rows}` is at hand here");
            let fix = format!("write `each {rows}` behind the step's kind, or declare @kind batch");
            self.findings.error(Rule::Step, place, message, fix);
            return None;
        }
        Some(Source::Field { slot, field })
    }

    /// `:debit.affected`, `:before.gold`.
    fn step_value(&mut self, name: &str, member: &str, place: &Place) -> Option<Source> {
        let Some(earlier) = self.around.earlier else {
            let message = format!("`:{name}.{member}` is a step's value, and this is no tx");
            self.findings.error(Rule::ParamUndeclared, place, message, "bind a parameter");
            return None;
        };
        let found = steps::value_of(earlier, name, member);
        match found {
            Ok((step, value)) => Some(Source::Step { step, value }),
            Err((message, fix)) => {
                self.findings.error(Rule::Step, place, message, fix);
                None
            }
        }
    }

    fn supplied(&mut self, name: &str, place: Place) {
        let Some(source) = Source::supplied(name) else {
            let message = format!("the gateway supplies no `:{name}`");
            let fix = "use :_now, :_id, :_caller, :_claim.sub, :_trace";
            self.findings.error(Rule::ParamUndeclared, &place, message, fix);
            return;
        };
        self.cut.supplied.push((source.clone(), place));
        self.cut.pieces.push(Piece::Bind(source));
    }

    /// A list stands alone in the parentheses of an `IN`, which is a condition of its own: with no items it
    /// is unknown, and what compares an unknown is unknown too.
    fn list(&mut self, index: usize, place: &Place, [closes, next]: [Option<&Token<'a>>; 2]) {
        let mut back = self.history.iter().rev();
        let opens = back.next().is_some_and(|token| token.is_punct("("));
        let is_in = back.next().is_some_and(|token| token.is_word("in"));
        let closes = closes.is_some_and(|token| token.is_punct(")"));
        let compared = next.is_some_and(|token| {
            token.is_word("is") || ["=", "<>", "!=", "<", ">", "<=", ">="].contains(&token.text)
        });
        if !(opens && is_in && closes) || compared {
            let fix = "write `IN (:ids)` on one line, as a condition of its own";
            self.findings.error(Rule::List, place, "a list stands alone in an IN", fix);
        }
        let is_dangerous = self.around.writes || is_negated(back);
        self.long_list(index, place);
        if is_dangerous {
            let bit = 1_u64.checked_shl(u32::try_from(index).unwrap_or(64)).unwrap_or(0);
            self.cut.nonempty |= bit;
        }
        self.cut.pieces.push(Piece::List(index));
    }

    /// Oracle takes 1000 items of a list; more are several lists of one column (`text.rs`).
    fn long_list(&mut self, index: usize, place: &Place) {
        let max = ORACLE_ITEM_COUNT_MAX;
        let slot = self.around.slots.list.get(index);
        let count = slot.and_then(|slot| slot.item_count_max).unwrap_or(0);
        if self.around.dialect != Dialect::Oracle || count as usize <= max {
            return;
        }
        // `(` and IN are behind it.
        let mut back = self.history.iter().rev().skip(2).peekable();
        let _not = back.next_if(|token| token.is_word("not"));
        let is_name = |token: &Token<'_>| matches!(token.kind, TokenKind::Word | TokenKind::Quoted);
        let mut is_column = back.next().is_some_and(is_name);
        while back.next_if(|token| token.is_punct(".")).is_some() {
            is_column &= back.next().is_some_and(is_name);
        }
        let begins = |token: &Token<'_>| {
            token.is_punct("(")
                || ["where", "and", "or", "not", "on", "when", "having"]
                    .iter()
                    .any(|word| token.is_word(word))
        };
        if !is_column || !back.next().is_some_and(begins) {
            let message = format!(
                "more than {max} items, and what is compared is no column: Oracle refuses that"
            );
            let fix = "compare a column, or write max_items=1000 or less";
            self.findings.error(Rule::Portability, place, message, fix);
        }
    }

    /// A prefix is escaped with a backslash, which only MySQL expects without being told. It stands behind LIKE,
    /// alone or as `LOWER(:prefix)` where the database does not ignore case by itself.
    fn like(&mut self, place: &Place, [next, behind]: [Option<&Token<'a>>; 2]) {
        const FOLDS: [&str; 2] = ["lower", "upper"];
        let back = |count: usize| self.history.iter().rev().nth(count);
        let is_like = |count: usize| back(count).is_some_and(|token| token.is_word("like"));
        let is_folded = back(0).is_some_and(|token| token.is_punct("("))
            && back(1).is_some_and(|token| FOLDS.iter().any(|word| token.is_word(word)))
            && is_like(2)
            && next.is_some_and(|token| token.is_punct(")"));
        let escapes = |token: Option<&Token<'a>>| token.is_some_and(|t| t.is_word("escape"));
        if is_folded && !escapes(behind) {
            self.escape_behind = true;
        } else if is_like(0) && !escapes(next) {
            self.push_escape();
        } else {
            let message = "a parameter with like=prefix stands behind LIKE, without an ESCAPE";
            let fix = "write `LIKE :name_prefix`, or `LIKE LOWER(:name_prefix)`";
            self.findings.error(Rule::Statement, place, message, fix);
        }
    }

    pub(super) fn push_escape(&mut self) {
        let escape = match self.around.dialect {
            Dialect::Mysql => r" ESCAPE '\\'",
            Dialect::Oracle | Dialect::Sqlite => r" ESCAPE '\'",
        };
        push_text(&mut self.cut.pieces, escape);
    }
}

/// Whether a NOT stands over a condition, directly or around its parentheses.
///
/// - `back`: the code before the condition's `IN`, the nearest first.
fn is_negated<'t, 'a: 't>(back: impl Iterator<Item = &'t Token<'a>>) -> bool {
    const BOUNDS: [&str; 13] = [
        "and", "or", "where", "on", "having", "when", "then", "else", "select", "from", "by",
        "set", "case",
    ];
    let (mut depth, mut is_other_condition) = (0_u32, false);
    for token in back {
        if token.is_punct(")") {
            depth += 1;
        } else if token.is_punct("(") && depth == 0 {
            is_other_condition = false;
        } else if token.is_punct("(") {
            depth -= 1;
        } else if depth > 0 {
        } else if token.is_punct(",") || BOUNDS.iter().any(|word| token.is_word(word)) {
            is_other_condition = true;
        } else if token.is_word("not") && !is_other_condition {
            return true;
        }
    }
    false
}
