//! The binds of a body: parameters, lists, prefixes, and what the gateway supplies.

use super::body::{Cutter, push_text};
use crate::catalog::finding::{Place, Rule};
use crate::catalog::lexer::Token;
use crate::catalog::{Dialect, Piece, Source, Type};

impl<'a> Cutter<'a, '_, '_> {
    pub(super) fn bind(&mut self, token: &Token<'a>, before: &[Token<'a>], after: &[Token<'a>]) {
        let place = self.place(token);
        let name = token.text.trim_start_matches(':');
        if name.starts_with('_') {
            self.supplied(name, place);
            return;
        }
        if name.contains('.') {
            let message = format!("`:{name}` is a step's value, and this is no tx");
            self.findings.error(Rule::ParamUndeclared, &place, message, "bind a parameter");
            return;
        }
        let Some(index) = self.around.slots.need(name, &place, self.findings) else { return };
        let Some(slot) = self.around.slots.list.get(index) else { return };
        if matches!(slot.ty, Type::List(_)) {
            self.list(index, &place, before, after);
            return;
        }
        self.cut.pieces.push(Piece::Bind(Source::Slot(index)));
        if slot.like_prefix {
            self.like(&place, before, after);
        }
    }

    fn supplied(&mut self, name: &str, place: Place) {
        let claim = name.strip_prefix("_claim.").map(|claim| Source::Claim(claim.into()));
        let known = match name {
            "_now" => Some(Source::Now),
            "_id" => Some(Source::Id),
            "_caller" => Some(Source::Caller),
            "_trace" => Some(Source::Trace),
            _ => claim,
        };
        let Some(source) = known else {
            let message = format!("the gateway supplies no `:{name}`");
            let fix = "use :_now, :_id, :_caller, :_claim.sub, :_trace";
            self.findings.error(Rule::ParamUndeclared, &place, message, fix);
            return;
        };
        self.cut.supplied.push((source.clone(), place));
        self.cut.pieces.push(Piece::Bind(source));
    }

    /// A list stands alone in the parentheses of an `IN`.
    fn list(&mut self, index: usize, place: &Place, before: &[Token<'a>], after: &[Token<'a>]) {
        let mut back = before.iter().rev().filter(|token| token.is_code());
        let opens = back.next().is_some_and(|token| token.is_punct("("));
        let is_in = back.next().is_some_and(|token| token.is_word("in"));
        let negated = back.next().is_some_and(|token| token.is_word("not"));
        let closes =
            after.iter().find(|token| token.is_code()).is_some_and(|token| token.is_punct(")"));
        if !(opens && is_in && closes) {
            let fix = "write `IN (:ids)` on one line";
            self.findings.error(Rule::List, place, "a list stands alone in an IN", fix);
        }
        if negated || self.around.kind.is_write() {
            self.cut.nonempty |= 1_u64.checked_shl(u32::try_from(index).unwrap_or(64)).unwrap_or(0);
        }
        self.cut.pieces.push(Piece::List(index));
    }

    /// A prefix is escaped with a backslash, which only MySQL expects without being told.
    fn like(&mut self, place: &Place, before: &[Token<'a>], after: &[Token<'a>]) {
        let is_like = before.iter().rev().find(|t| t.is_code()).is_some_and(|t| t.is_word("like"));
        let escaped = after.iter().find(|t| t.is_code()).is_some_and(|t| t.is_word("escape"));
        if !is_like || escaped {
            let message = "a parameter with like=prefix stands behind LIKE, without an ESCAPE";
            self.findings.error(Rule::Statement, place, message, "write `LIKE :name_prefix`");
            return;
        }
        let escape = match self.around.dialect {
            Dialect::Mysql => r" ESCAPE '\\'",
            Dialect::Oracle | Dialect::Sqlite => r" ESCAPE '\'",
        };
        push_text(&mut self.cut.pieces, escape);
    }
}
