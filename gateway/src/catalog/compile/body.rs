//! A body cut into the pieces of a plan.
//!
//! What no marker touches passes through untouched, comments and hints too. Markers: `-- ?` and `-- #keyset`
//! at the end of a line, `/* #sort */` in an `ORDER BY`.

use super::returning::{self, Returning};
use super::slots::Slots;
use super::steps::Earlier;
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::header::is_step;
use crate::catalog::lexer::{self, Token, TokenKind};
use crate::catalog::statement::Statement;
use crate::catalog::tree::Body;
use crate::catalog::{Dialect, Piece, Source};

/// What surrounds a body while it is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a, 's> {
    pub(crate) body: &'a Body,
    pub(crate) dialect: Dialect,
    /// Whether it is a write.
    pub(crate) writes: bool,
    pub(crate) slots: &'s Slots,
    /// The `rows(…)` slot that it runs for each row of.
    pub(crate) rows: Option<usize>,
    /// The steps before it; `None`: it is no step.
    pub(crate) earlier: Option<&'s [Earlier]>,
}

/// A body, cut.
#[derive(Debug, Default)]
pub(crate) struct CutBody<'a> {
    pub(crate) pieces: Vec<Piece>,
    /// Bit `i`: the list in slot `i` may not be empty.
    pub(crate) nonempty: u64,
    /// Where `-- #keyset` stands.
    pub(crate) keyset: Option<Place>,
    /// Where `/* #sort */` stands.
    pub(crate) sort: Option<Place>,
    /// What the gateway supplies to it, and where.
    pub(crate) supplied: Vec<(Source, Place)>,
    pub(crate) statement: Statement<'a>,
    pub(crate) returning: Returning,
}

/// Cuts a body; `None` when it cannot be lexed.
pub(crate) fn cut<'a>(around: Around<'a, '_>, findings: &mut Findings) -> Option<CutBody<'a>> {
    let body = around.body;
    let mut tokens = match lexer::lex(&body.text, around.dialect, body.first_line) {
        Ok(tokens) => tokens,
        Err(fault) => {
            let place = Place { line: fault.line, column: fault.column, ..body.place() };
            findings.error(Rule::Lex, &place, fault.message, "close it");
            return None;
        }
    };
    drop_last_semicolon(&mut tokens);
    let returning = returning::take(&mut tokens, &around, findings);
    let mut cutter = Cutter {
        around,
        findings,
        cut: CutBody::default(),
        history: Vec::new(),
        skipping: None,
        escape_behind: false,
    };
    cutter.signs(&tokens);
    let mut code = Vec::with_capacity(tokens.len());
    for line in tokens.split_inclusive(|t| t.kind == TokenKind::Space && t.text.ends_with('\n')) {
        let marker = cutter.line(line);
        code.extend(line.iter().map(|token| (*token, marker != Marker::None)));
    }
    cutter.cut.statement = Statement::new(code.into_iter());
    if around.dialect == Dialect::Oracle {
        returning.push_into(&mut cutter.cut.pieces);
    }
    cutter.cut.returning = returning;
    Some(cutter.cut)
}

fn drop_last_semicolon(tokens: &mut Vec<Token<'_>>) {
    let last = tokens.iter().rposition(Token::is_code);
    if let Some(index) = last.filter(|index| tokens.get(*index).is_some_and(|t| t.is_punct(";"))) {
        tokens.remove(index);
    }
}

/// What the comment at the end of a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Optional,
    Keyset,
}

pub(super) struct Cutter<'a, 's, 'f> {
    pub(super) around: Around<'a, 's>,
    pub(super) findings: &'f mut Findings,
    pub(super) cut: CutBody<'a>,
    /// The code so far, markers' lines too.
    pub(super) history: Vec<Token<'a>>,
    /// Depth in the `ORDER BY` list that `/* #sort */` replaces.
    skipping: Option<u32>,
    /// Whether an ESCAPE follows the next `)`.
    pub(super) escape_behind: bool,
}

impl<'a> Cutter<'a, '_, '_> {
    pub(super) fn place(&self, token: &Token<'_>) -> Place {
        Place { line: token.line, column: token.column, ..self.around.body.place() }
    }

    /// What no body may have, whatever line it stands on.
    fn signs(&mut self, tokens: &[Token<'a>]) {
        for (index, token) in tokens.iter().enumerate() {
            let place = self.place(token);
            match token.kind {
                TokenKind::Placeholder => {
                    let message = format!("`{}` is a driver's placeholder", token.text);
                    self.findings.error(
                        Rule::Placeholder,
                        &place,
                        message,
                        "bind by name: `:player_id`",
                    );
                }
                TokenKind::Text => self.quoted_bind(token.text, &place),
                TokenKind::LineComment => self.line_comment(token, &place),
                TokenKind::BlockComment => self.block_comment(token, &place),
                TokenKind::Punct if token.text == ";" => {
                    let rest = tokens.get(index + 1..).unwrap_or_default();
                    let rest = rest.iter().filter(|token| token.is_code());
                    let (message, fix) = if rest.clone().all(|t| t.is_punct(";") || t.is_punct("/"))
                    {
                        ("more than one `;` ends it, or a `/`", "end it with one `;`, or with none")
                    } else {
                        let fix = "keep one statement; several are the steps of a @kind tx";
                        ("a second statement begins here", fix)
                    };
                    self.findings.error(Rule::Statement, &place, message, fix);
                    // What follows is told with it.
                    break;
                }
                TokenKind::Punct
                    if token.text == "-"
                        && tokens.get(index + 1).is_some_and(|t| t.is_punct("-")) =>
                {
                    self.tight(&place);
                }
                _ => {}
            }
        }
    }

    /// A parameter in quotes is a text like any other, and nobody would see it but in the answers.
    fn quoted_bind(&mut self, text: &str, place: &Place) {
        let name = text.strip_prefix("':").and_then(|text| text.strip_suffix('\''));
        let Some(name) = name else { return };
        if self.around.slots.list.iter().any(|slot| *slot.name == *name) {
            let message = format!("`':{name}'` is a text, not the parameter");
            let fix = format!("write `:{name}` without quotes");
            self.findings.error(Rule::Placeholder, place, message, fix);
        }
    }

    fn tight(&mut self, place: &Place) {
        let fix = "write a space after `--` (a comment), or between the two (minus signs)";
        let message = "`--` without a space: a comment in one dialect, two minus signs in another";
        self.findings.error(Rule::Marker, place, message, fix);
    }

    fn line_comment(&mut self, token: &Token<'_>, place: &Place) {
        let Some(text) = token.text.strip_prefix("--") else { return };
        let inner = text.trim();
        if !text.is_empty() && !text.starts_with(char::is_whitespace) {
            self.tight(place);
        } else if is_step(token.text) {
            let message = "a step, and the statement is no tx";
            self.findings.error(Rule::Step, place, message, "declare @kind tx, or remove the line");
        } else if inner.starts_with('@') {
            let message = "a header key behind the beginning of the body";
            self.findings.error(Rule::KeyMisplaced, place, message, "move it above the SQL");
        } else if inner.starts_with(['?', '#']) && inner != "?" && inner != "#keyset" {
            let message = format!("there is no marker `{inner}`");
            self.findings.error(Rule::Marker, place, message, "use `-- ?` or `-- #keyset`, alone");
        }
    }

    fn block_comment(&mut self, token: &Token<'_>, place: &Place) {
        let inner = token.text.trim_start_matches("/*").trim_end_matches("*/").trim();
        let odd = inner.starts_with('#') && inner != "#sort";
        if odd || inner.starts_with('?') || inner.starts_with('@') {
            let message = format!("there is no marker `{inner}` in this kind of comment");
            self.findings.error(
                Rule::Marker,
                place,
                message,
                "use `/* #sort */`, or `-- ?` and `-- #keyset`",
            );
        }
    }

    fn line(&mut self, line: &[Token<'a>]) -> Marker {
        let last = line.iter().rposition(|token| token.kind != TokenKind::Space);
        let Some((index, comment)) = last.and_then(|index| Some((index, line.get(index)?))) else {
            self.convert(line);
            return Marker::None;
        };
        let marker = match comment.text.strip_prefix("--").map(str::trim) {
            Some("?") if comment.kind == TokenKind::LineComment => Marker::Optional,
            Some("#keyset") if comment.kind == TokenKind::LineComment => Marker::Keyset,
            _ => Marker::None,
        };
        if marker == Marker::None {
            self.convert(line);
            return marker;
        }
        let place = self.place(comment);
        let kept = line.get(..index).unwrap_or_default();
        let first = kept.iter().find(|token| token.kind != TokenKind::Space);
        if first.is_none_or(|first| first.line != comment.line) || self.skipping.is_some() {
            let fix = "let the marked line begin and end on one line, outside a `/* #sort */` list";
            self.findings.error(
                Rule::OptionalLine,
                &place,
                "the marker has no line of its own",
                fix,
            );
        } else if marker == Marker::Optional {
            self.optional(kept, &place);
        } else {
            self.keyset(kept, place);
        }
        marker
    }

    fn optional(&mut self, line: &[Token<'a>], place: &Place) {
        let before = std::mem::take(&mut self.cut.pieces);
        self.convert(line);
        let mut pieces = std::mem::replace(&mut self.cut.pieces, before);
        let mut slots = Vec::new();
        for piece in &pieces {
            match piece {
                Piece::Bind(Source::Slot(slot)) | Piece::List(slot) if !slots.contains(slot) => {
                    slots.push(*slot);
                }
                _ => {}
            }
        }
        self.check_optional(line, &slots, place);
        trim_end(&mut pieces);
        push_text(&mut pieces, "\n");
        self.cut.pieces.push(Piece::Optional { slots, pieces });
    }

    fn check_optional(&mut self, line: &[Token<'a>], slots: &[usize], place: &Place) {
        let slot = |index: &usize| self.around.slots.list.get(*index);
        let can_go = slots.iter().filter_map(slot).any(|slot| !slot.required);
        let mut depth = 0_i32;
        let mut balanced = true;
        for token in line {
            depth += i32::from(token.is_punct("(")) - i32::from(token.is_punct(")"));
            balanced &= depth >= 0;
        }
        let opens = line.iter().find(|token| token.is_code());
        let clause =
            ["where", "set", "having", "select", "from", "values", "order", "group", "update"];
        let carries = opens.is_some_and(|token| clause.iter().any(|word| token.is_word(word)));
        let (message, fix) = if !can_go {
            (
                "no parameter on this line is optional: it never goes",
                "remove `-- ?`, or make one optional",
            )
        } else if !balanced || depth != 0 {
            ("parentheses do not close on this line", "keep them on one line")
        } else if carries {
            (
                "a whole clause would go with this line",
                "let the clause stand: `WHERE 1 = 1`, then `AND …  -- ?`",
            )
        } else {
            return;
        };
        self.findings.error(Rule::OptionalLine, place, message, fix);
    }

    fn keyset(&mut self, line: &[Token<'a>], place: Place) {
        let code: String = line
            .iter()
            .filter(|token| token.is_code())
            .map(|token| token.text.to_ascii_lowercase())
            .collect();
        if code != "and1=1" {
            let fix = "write the line as `AND 1 = 1  -- #keyset`";
            self.findings.error(Rule::Page, &place, "only `AND 1 = 1` can be replaced", fix);
        } else if self.cut.keyset.is_some() {
            self.findings.error(Rule::Page, &place, "a second `-- #keyset`", "keep one of them");
        }
        self.cut.keyset = Some(place);
        self.cut.pieces.push(Piece::Keyset);
    }

    fn convert(&mut self, tokens: &[Token<'a>]) {
        for (index, token) in tokens.iter().enumerate() {
            if self.skip(token) {
                continue;
            }
            match token.kind {
                TokenKind::Bind => {
                    let mut after = tokens.iter().skip(index + 1).filter(|token| token.is_code());
                    self.bind(token, [after.next(), after.next()]);
                }
                TokenKind::BlockComment if is_sort(token) => {
                    let place = self.place(token);
                    if self.cut.sort.is_some() {
                        let message = "a second `/* #sort */`";
                        self.findings.error(Rule::Order, &place, message, "keep one of them");
                    }
                    self.cut.sort = Some(place);
                    self.cut.pieces.push(Piece::Sort);
                    self.skipping = Some(0);
                }
                _ => push_text(&mut self.cut.pieces, token.text),
            }
            if token.is_punct(")") && std::mem::take(&mut self.escape_behind) {
                self.push_escape();
            }
            if token.is_code() {
                self.history.push(*token);
            }
        }
    }

    /// Whether a token belongs to the list that `/* #sort */` replaces.
    fn skip(&mut self, token: &Token<'a>) -> bool {
        const ENDS: [&str; 6] = ["limit", "offset", "fetch", "for", "union", "rows"];
        let Some(depth) = self.skipping else { return false };
        let ends =
            depth == 0 && (token.is_punct(")") || ENDS.iter().any(|word| token.is_word(word)));
        if ends {
            self.skipping = None;
            push_text(&mut self.cut.pieces, " ");
            return false;
        }
        if token.kind == TokenKind::Bind {
            let place = self.place(token);
            let fix = "order by columns only";
            self.findings.error(Rule::Order, &place, "a bind in what `/* #sort */` replaces", fix);
        }
        let opened = u32::from(token.is_punct("("));
        let closed = u32::from(token.is_punct(")"));
        self.skipping = Some((depth + opened).saturating_sub(closed));
        true
    }
}

fn is_sort(token: &Token<'_>) -> bool {
    token.text.trim_start_matches("/*").trim_end_matches("*/").trim() == "#sort"
}

pub(super) fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if let Some(Piece::Text(last)) = pieces.last_mut() {
        let mut joined = std::mem::take(last).into_string();
        joined.push_str(text);
        *last = joined.into_boxed_str();
    } else {
        pieces.push(Piece::Text(text.into()));
    }
}

fn trim_end(pieces: &mut Vec<Piece>) {
    if let Some(Piece::Text(last)) = pieces.last_mut() {
        *last = last.trim_end().into();
        if last.is_empty() {
            pieces.pop();
        }
    }
}
