//! Where the body of a stored program of MySQL ends: at the `END` of its `BEGIN`, whatever `;` stand between.
//!
//! `DELIMITER` is the mysql client's own word and is not needed: what opens and closes in a body is told by its words.
//! `IF`, `LOOP`, `WHILE` and `REPEAT` close with their own word behind `END`, so only `BEGIN` and `CASE` are counted.

use super::script::Token;

/// What closes with a word of its own behind `END`.
const NAMED_ENDS: [&str; 4] = ["IF", "LOOP", "WHILE", "REPEAT"];

/// A body, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Compound {
    depth: u32,
    /// `END` came; what it closes is told by the next token.
    has_end: bool,
    /// A name follows, whatever word it is.
    is_behind_dot: bool,
}

impl Compound {
    /// Looks at the next token.
    pub(super) fn take(&mut self, token: Token<'_>) {
        let is_name = std::mem::replace(&mut self.is_behind_dot, token == Token::Symbol('.'));
        if std::mem::take(&mut self.has_end) {
            if NAMED_ENDS.iter().any(|word| token.is(word)) {
                return;
            }
            self.depth = self.depth.saturating_sub(1);
            if token.is("CASE") {
                return;
            }
        }
        if is_name {
            return;
        }
        self.has_end = token.is("END");
        self.depth += u32::from(token.is("BEGIN") || token.is("CASE"));
    }

    /// Whether a `;` now belongs to the body.
    pub(super) const fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// Whether the text may end here.
    pub(super) const fn is_whole(&self) -> bool {
        self.depth == 0 || (self.depth == 1 && self.has_end)
    }
}
