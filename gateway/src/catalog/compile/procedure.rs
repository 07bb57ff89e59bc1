//! `@kind call`: the `CALL name(…)` of a stored procedure, its arguments held against parameters and outputs.
//!
//! An argument is a bind or a literal, so that all that is passed can be compared with what the procedure takes. On
//! Oracle it is run as a block: `CALL` itself takes a `NO_DATA_FOUND` for success.

use super::body::push_text;
use super::slots::Slots;
use super::{Compiler, Parts};
use crate::catalog::contract::{Decl, Entry, Key};
use crate::catalog::finding::{Place, Rule};
use crate::catalog::lexer::{self, Token, TokenKind};
use crate::catalog::tree::Body;
use crate::catalog::{
    Argument, ArgumentValue, Dialect, Kind, Output, OutputGuard, Piece, Plan, Procedure, Raised,
    Source, Type,
};

/// A member that the reply of a write has where its statement uses `:_id`.
const ID: &str = "id";

impl Compiler<'_, '_> {
    /// Compiles the body of a `call`.
    pub(super) fn procedure(&mut self, kind: Kind, slots: &Slots) -> Option<Parts> {
        let body = self.resolved.body.clone()?;
        let dialect = self.resolved.dialect;
        if dialect == Dialect::Sqlite {
            let fix =
                "write a @kind tx for it, or name its databases: `-- @dialects oracle, mysql`";
            let message = "SQLite has no stored procedures";
            self.findings.error(Rule::Portability, &body.place(), message, fix);
            return None;
        }
        let outputs = self.outputs();
        let tokens = match lexer::lex(&body.text, dialect, body.first_line) {
            Ok(tokens) => tokens,
            Err(fault) => {
                let place = Place { line: fault.line, column: fault.column, ..body.place() };
                self.findings.error(Rule::Lex, &place, fault.message, "close it");
                return None;
            }
        };
        let mut code: Vec<Token<'_>> = tokens.into_iter().filter(Token::is_code).collect();
        code.pop_if(|last| last.is_punct(";"));
        let (name, arguments) = self.called(&code, &body)?;
        let mut parts = Parts { outputs, ..Parts::default() };
        let mut pieces = Vec::new();
        push_text(&mut pieces, if dialect == Dialect::Oracle { "BEGIN " } else { "CALL " });
        push_text(&mut pieces, &name);
        push_text(&mut pieces, "(");
        let mut passed = Vec::with_capacity(arguments.len());
        for (index, argument) in arguments.iter().enumerate() {
            push_text(&mut pieces, if index == 0 { "" } else { ", " });
            passed.extend(self.argument(argument, (&body, slots), &mut parts, &mut pieces));
        }
        push_text(&mut pieces, if dialect == Dialect::Oracle { "); END;" } else { ")" });
        self.passed(&passed, &parts.outputs, &body);
        self.calls(kind, &parts);
        let procedure = Procedure {
            name: name.into(),
            arguments: passed,
            guards: self.guards(&parts.outputs),
            raised: self.raised(),
        };
        parts.plan = Plan { pieces, ..Plan::default() }.sealed(dialect);
        parts.procedure = Some(Box::new(procedure));
        Some(parts)
    }

    fn told(&mut self, body: &Body, token: Option<&Token<'_>>, message: &str, fix: &str) {
        let place = token.map_or_else(
            || body.place(),
            |token| Place { line: token.line, column: token.column, ..body.place() },
        );
        self.findings.error(Rule::Statement, &place, message, fix);
    }

    /// The name behind CALL, and the tokens of each argument.
    fn called<'a>(
        &mut self,
        code: &[Token<'a>],
        body: &Body,
    ) -> Option<(String, Vec<Vec<Token<'a>>>)> {
        const FIX: &str = "write `CALL name(:a, :b)`, the same on every database";
        let is_name = |token: &Token<'_>| matches!(token.kind, TokenKind::Word | TokenKind::Quoted);
        let open = code.iter().position(|token| token.is_punct("("));
        let (head, rest) = code.split_at(open.unwrap_or(code.len()));
        let named = head.split_first().filter(|(call, _)| call.is_word("call"));
        let is_path = |name: &[Token<'_>]| {
            name.len() % 2 == 1
                && name.iter().enumerate().all(|(index, token)| {
                    if index % 2 == 0 { is_name(token) } else { token.is_punct(".") }
                })
        };
        let Some((_, name)) = named.filter(|(_, name)| is_path(name)) else {
            self.told(body, code.first(), "a call is `CALL` and a procedure's name", FIX);
            return None;
        };
        let name: String = name.iter().map(|token| token.text).collect();
        let mut arguments = vec![Vec::new()];
        let mut is_closed = rest.is_empty();
        for token in rest.iter().skip(1) {
            if is_closed || token.is_punct("(") {
                self.told(body, Some(token), "an argument is a bind or a literal", FIX);
                return None;
            }
            if token.is_punct(")") {
                is_closed = true;
            } else if token.is_punct(",") {
                arguments.push(Vec::new());
            } else if let Some(last) = arguments.last_mut() {
                last.push(*token);
            }
        }
        if !is_closed {
            self.told(body, rest.first(), "the arguments do not end", "close them with `)`");
            return None;
        }
        if arguments.len() == 1 && arguments.iter().all(Vec::is_empty) {
            arguments.clear();
        }
        Some((name, arguments))
    }

    /// One argument: `:player_id`, `p_player_id => :player_id`, `'daily'`, `-1`, `NULL`.
    fn argument(
        &mut self,
        tokens: &[Token<'_>],
        (body, slots): (&Body, &Slots),
        parts: &mut Parts,
        pieces: &mut Vec<Piece>,
    ) -> Option<Argument> {
        let arrow = tokens.get(1).filter(|token| token.is_punct("="));
        let arrow = arrow.and(tokens.get(2)).filter(|token| token.is_punct(">"));
        let is_joined = tokens.get(1).is_some_and(|token| token.is_punct("=>"));
        let (name, value) = match (tokens.first(), arrow.is_some(), is_joined) {
            (Some(name), true, _) => (Some(name), tokens.get(3..).unwrap_or_default()),
            (Some(name), false, true) => (Some(name), tokens.get(2..).unwrap_or_default()),
            _ => (None, tokens),
        };
        if let Some(name) = name {
            if self.resolved.dialect == Dialect::Mysql {
                let fix = "pass the arguments in the procedure's order";
                self.told(body, Some(name), "MySQL does not pass arguments by name", fix);
            }
            push_text(pieces, name.text);
            push_text(pieces, " => ");
        }
        let name = name.map(|name| name.text.trim_matches('"').to_ascii_lowercase().into());
        let is_literal = match value {
            [one] => matches!(one.kind, TokenKind::Number | TokenKind::Text) || one.is_word("null"),
            [sign, number] => sign.is_punct("-") && number.kind == TokenKind::Number,
            _ => false,
        };
        if is_literal {
            for token in value {
                push_text(pieces, token.text);
            }
            return Some(Argument { name, value: ArgumentValue::Literal });
        }
        let bind = match value {
            [bind] if bind.kind == TokenKind::Bind => bind,
            _ => {
                let fix = "compute it in the procedure, or pass a parameter";
                self.told(body, tokens.first(), "an argument is a bind or a literal", fix);
                return None;
            }
        };
        let (source, output) = self.bound(bind, (body, slots), parts)?;
        pieces.push(Piece::Bind(source.clone()));
        Some(Argument { name, value: ArgumentValue::Bind { source, output } })
    }

    /// Where a bind's value comes from, and what it gives back. A name of both sides is IN OUT.
    fn bound(
        &mut self,
        bind: &Token<'_>,
        (body, slots): (&Body, &Slots),
        parts: &mut Parts,
    ) -> Option<(Source, Option<usize>)> {
        let place = Place { line: bind.line, column: bind.column, ..body.place() };
        let name = bind.text.trim_start_matches(':');
        if name.starts_with('_') {
            let source = self.supplied_source(name, &place)?;
            parts.supplied.push((source.clone(), place));
            return Some((source, None));
        }
        let output = parts.outputs.iter().position(|output| output.name() == name);
        if let Some(index) = output
            && slots.list.iter().all(|slot| *slot.name != *name)
        {
            return Some((Source::Out(index), output));
        }
        let slot = slots.need(name, &place, self.findings)?;
        let ty = &slots.list.get(slot)?.ty;
        if !ty.is_single() {
            self.told(
                body,
                Some(bind),
                "a procedure takes single values",
                "pass its values one by one",
            );
            return None;
        }
        if let Some(Output::Value(column)) = output.and_then(|index| parts.outputs.get(index))
            && !is_same(ty, &column.ty)
        {
            let (goes_in, comes_back) = (ty.as_written(), column.ty.as_written());
            let message = format!("`{name}` goes in as {goes_in} and comes back as {comes_back}");
            self.told(body, Some(bind), &message, "declare one type for both");
        }
        Some((Source::Slot(slot), output))
    }

    fn supplied_source(&mut self, name: &str, place: &Place) -> Option<Source> {
        let source = Source::supplied(name);
        if source.is_none() {
            let message = format!("the gateway supplies no `:{name}`");
            let fix = "use :_now, :_id, :_caller, :_claim.sub, :_trace";
            self.findings.error(Rule::ParamUndeclared, place, message, fix);
        }
        source
    }

    /// Each value is passed once; rows on Oracle only, where they are a parameter.
    fn passed(&mut self, arguments: &[Argument], outputs: &[Output], body: &Body) {
        for (index, output) in outputs.iter().enumerate() {
            let is_it = |argument: &&Argument| matches!(argument.value, ArgumentValue::Bind { output: Some(one), .. } if one == index);
            let (name, count) = (output.name(), arguments.iter().filter(is_it).count());
            let is_rows = matches!(output, Output::Rows { .. });
            let message = match (is_rows, self.resolved.dialect, count) {
                (true, Dialect::Mysql, 0) | (true | false, Dialect::Oracle, 1) | (false, _, 1) => {
                    continue;
                }
                (true, Dialect::Mysql, _) => {
                    format!("`:{name}`: rows are the procedure's result sets on MySQL")
                }
                (_, _, 0) => format!("nothing gives `{name}` back"),
                _ => format!("`:{name}` is passed twice"),
            };
            let fix = match self.resolved.dialect {
                Dialect::Mysql if is_rows => {
                    "leave it out of the arguments: result sets are taken in the order of @out"
                }
                _ => "pass it once, at the place of the procedure's OUT parameter",
            };
            self.told(body, None, &message, fix);
        }
    }

    /// What a procedure reads and writes cannot be seen: who caches or changes says what becomes stale.
    fn calls(&mut self, kind: Kind, parts: &Parts) {
        let names_stale = self.resolved.one(Key::StaleOk).is_some();
        if kind.is_write() && self.resolved.lacks(Key::Invalidate) && !names_stale {
            let place = self.place(Key::Kind);
            let message = "a procedure that writes, and nothing says what becomes stale";
            let fix = "add `-- @invalidate tag:{…}` for what it changes, or `-- @stale_ok reason`";
            self.findings.error(Rule::Stale, &place, message, fix);
        }
        if let Some(entry) = self.resolved.one(Key::Cache)
            && matches!(&*entry.decl, Decl::Cache(cache) if cache.tags.is_empty())
            && !names_stale
        {
            let message = "a cached procedure without a tag: no write can make it stale";
            let fix = "give it the tags of what it reads: `tag=player:{player_id}`, or `@stale_ok`";
            let place = entry.place.clone();
            self.findings.error(Rule::Stale, &place, message, fix);
        }
        let entries: Vec<Entry> = self.resolved.all(Key::Out).cloned().collect();
        let uses_id = parts.supplied.iter().any(|(source, _)| *source == Source::Id);
        for entry in &entries {
            let Decl::Output(decl) = &*entry.decl else { continue };
            let message = if decl.step.is_some() {
                "only a tx has steps"
            } else if uses_id && decl.output.name() == ID {
                "`id` is in the reply of a write with `:_id` anyway"
            } else {
                continue;
            };
            let message = format!("@{}: {message}", entry.title());
            self.findings.error(Rule::ResultColumns, &entry.place, message, "give it another name");
        }
    }

    fn guards(&mut self, outputs: &[Output]) -> Vec<OutputGuard> {
        let mut guards = Vec::new();
        let entries: Vec<Entry> = self.resolved.all(Key::Guard).cloned().collect();
        for entry in &entries {
            let Decl::Guard(decl) = &*entry.decl else { continue };
            let output = outputs.iter().position(|output| output.name() == &*decl.output);
            let Some((index, Output::Value(column))) =
                output.and_then(|index| Some((index, outputs.get(index)?)))
            else {
                let message = format!("no value `{}` comes back", decl.output);
                let fix = format!("declare it: `-- @out {} int`", decl.output);
                self.findings.error(Rule::KeyValue, &entry.place, message, fix);
                continue;
            };
            match column.ty.parse(&decl.literal) {
                Ok(literal) => guards.push(OutputGuard {
                    output: index,
                    comparison: decl.comparison,
                    literal,
                    error: decl.error.clone(),
                }),
                Err(fault) => {
                    let fix = format!("write a value of the type of `{}`", decl.output);
                    self.findings.error(Rule::KeyValue, &entry.place, fault.to_string(), fix);
                }
            }
        }
        guards
    }

    fn raised(&self) -> Vec<Raised> {
        let raised = self.resolved.all(Key::On).filter_map(|entry| match &*entry.decl {
            Decl::OnRaised(raised) => Some(raised.clone()),
            _ => None,
        });
        raised.collect()
    }
}

/// Whether what goes in can come back as that: a length may be left out of what comes back.
fn is_same(param: &Type, output: &Type) -> bool {
    match (param, output) {
        (Type::Str { .. }, Type::Str { chars_max: None })
        | (Type::Bytes { .. }, Type::Bytes { bytes_max: None }) => true,
        (param, output) => param == output,
    }
}
