//! Oracle's SQL as tokens: words, names, literals, binds and symbols. Comments and hints are dropped.

use crate::error::OracleError;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword or an unquoted name, as written.
    Word(String),
    /// A quoted name, without its quotes.
    Quoted(String),
    /// A character literal, its value.
    Text(String),
    /// A number.
    Number(String),
    /// A bind: which one, counted by occurrence.
    Bind(usize),
    /// An operator or a sign.
    Symbol(&'static str),
    /// What the rewriting made: printed as it stands.
    Made(String),
}

impl Token {
    /// Whether it is this keyword, which is written in capitals.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Whether it is one of these keywords.
    pub fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    /// Whether it is this symbol.
    pub fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(own) if *own == symbol)
    }

    /// Whether it can name something.
    pub const fn is_name(&self) -> bool {
        matches!(self, Self::Word(_) | Self::Quoted(_))
    }
}

/// The tokens of a statement, and the names of its binds in the order in which they occur, in capitals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lexed {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// Name of each occurrence of a bind.
    pub binds: Vec<String>,
}

/// Symbols, longer ones first.
const SYMBOLS: &[&str] = &[
    "||", "<=", ">=", "<>", "!=", "^=", ":=", "=>", "**", "..", "(", ")", ",", ".", ";", "+", "-",
    "*", "/", "=", "<", ">", "@", "%", "[", "]", "?", "&", "|", "{", "}", "!", "^", "~", ":",
];

/// Closing bracket of `q'[…]'`.
fn closing(open: char) -> char {
    match open {
        '[' => ']',
        '(' => ')',
        '{' => '}',
        '<' => '>',
        other => other,
    }
}

struct Lexer<'a> {
    rest: &'a str,
    lexed: Lexed,
}

/// Splits a statement into tokens.
///
/// # Errors
/// ORA-01756 for a literal without an end, ORA-00911 for a character that no token has.
pub fn lex(sql: &str) -> Result<Lexed, OracleError> {
    let mut lexer = Lexer { rest: sql, lexed: Lexed::default() };
    loop {
        lexer.skip_space()?;
        let Some(first) = lexer.rest.chars().next() else { return Ok(lexer.lexed) };
        let token = lexer.token(first)?;
        lexer.lexed.tokens.push(token);
    }
}

impl Lexer<'_> {
    fn skip_space(&mut self) -> Result<(), OracleError> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("--") {
                self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                let open = || OracleError::new(1742, "comment not terminated properly");
                self.rest = comment.split_once("*/").ok_or_else(open)?.1;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self, first: char) -> Result<Token, OracleError> {
        if first == '\'' {
            self.advance(1);
            return self.quoted('\'').map(Token::Text);
        }
        if first == '"' {
            self.advance(1);
            return self.quoted('"').map(Token::Quoted);
        }
        if let Some(token) = self.prefixed_literal() {
            return token;
        }
        if first.is_alphabetic() || first == '_' {
            return Ok(Token::Word(self.take_while(is_of_word)));
        }
        let next_is_digit = self.rest.chars().nth(1).is_some_and(|next| next.is_ascii_digit());
        if first.is_ascii_digit() || (first == '.' && next_is_digit) {
            return Ok(Token::Number(self.number()));
        }
        if first == ':'
            && let Some(name) = self.bind_name()?
        {
            self.lexed.binds.push(name);
            return Ok(Token::Bind(self.lexed.binds.len() - 1));
        }
        let symbol = SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol));
        let symbol = symbol
            .ok_or_else(|| OracleError::new(911, format_args!("invalid character ({first})")))?;
        self.advance(symbol.len());
        Ok(Token::Symbol(symbol))
    }

    /// `N'…'`, `q'[…]'` and `nq'[…]'`.
    fn prefixed_literal(&mut self) -> Option<Result<Token, OracleError>> {
        let lower: String = self.rest.chars().take(3).collect::<String>().to_ascii_lowercase();
        if lower.starts_with("n'") {
            self.advance(2);
            return Some(self.quoted('\'').map(Token::Text));
        }
        let skipped = if lower.starts_with("q'") {
            2
        } else if lower.starts_with("nq'") {
            3
        } else {
            return None;
        };
        self.advance(skipped);
        let open = self.rest.chars().next()?;
        self.advance(open.len_utf8());
        let end = format!("{}'", closing(open));
        let Some((text, rest)) = self.rest.split_once(&end) else {
            return Some(Err(OracleError::new(1756, "quoted string not properly terminated")));
        };
        let text = text.to_owned();
        self.rest = rest;
        Some(Ok(Token::Text(text)))
    }

    /// The rest of a literal whose opening quote is taken; a doubled quote stands for one.
    fn quoted(&mut self, quote: char) -> Result<String, OracleError> {
        let mut text = String::new();
        loop {
            let open = || OracleError::new(1756, "quoted string not properly terminated");
            let (part, rest) = self.rest.split_once(quote).ok_or_else(open)?;
            text.push_str(part);
            self.rest = rest;
            if !self.rest.starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.advance(1);
        }
    }

    fn bind_name(&mut self) -> Result<Option<String>, OracleError> {
        let after = self.rest.get(1..).unwrap_or_default();
        let Some(next) = after.chars().next() else { return Ok(None) };
        if next == '"' {
            self.advance(2);
            return self.quoted('"').map(Some);
        }
        if !(next.is_alphanumeric() || next == '_') {
            return Ok(None);
        }
        self.advance(1);
        Ok(Some(self.take_while(is_of_word).to_uppercase()))
    }

    fn number(&mut self) -> String {
        let mut number = self.take_while(|c| c.is_ascii_digit());
        let mut characters = self.rest.chars();
        // `1..5` is a range: the dots are not the number's.
        if characters.next() == Some('.') && characters.next() != Some('.') {
            self.advance(1);
            number.push('.');
            number.push_str(&self.take_while(|c| c.is_ascii_digit()));
        }
        let exponent =
            self.rest.strip_prefix(['e', 'E']).map(|rest| rest.trim_start_matches(['+', '-']));
        if exponent.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            number.push('e');
            self.advance(1);
            number.push_str(&self.take_while(|c| matches!(c, '+' | '-')));
            number.push_str(&self.take_while(|c| c.is_ascii_digit()));
        }
        number
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Token {
        Token::Word(text.to_owned())
    }

    #[test]
    fn binds_are_found_outside_of_literals_and_comments_only() {
        let sql = "SELECT ':a', \"b:c\", :Id, q'[it's :x]' /* :c */ FROM t -- :d\nWHERE x = :id AND y := 12:30";
        let lexed = lex(sql).unwrap();
        assert_eq!(lexed.binds, ["ID", "ID", "30"]);
        assert!(lexed.tokens.contains(&Token::Text("it's :x".to_owned())));
        assert!(lexed.tokens.contains(&Token::Quoted("b:c".to_owned())));
    }

    #[test]
    fn literals_numbers_and_symbols_are_taken_whole() {
        let lexed = lex("a.b||'it''s'<=1.5e-3+.5 N'n' x#$1 1..5").unwrap().tokens;
        let number = |text: &str| Token::Number(text.to_owned());
        let expected = [
            word("a"),
            Token::Symbol("."),
            word("b"),
            Token::Symbol("||"),
            Token::Text("it's".to_owned()),
            Token::Symbol("<="),
            number("1.5e-3"),
            Token::Symbol("+"),
            number(".5"),
            Token::Text("n".to_owned()),
            word("x#$1"),
            number("1"),
            Token::Symbol(".."),
            number("5"),
        ];
        assert_eq!(lexed, expected);
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert_eq!(lex("SELECT 'a").unwrap_err().code, 1756);
        assert_eq!(lex("SELECT \"a").unwrap_err().code, 1756);
        assert_eq!(lex("SELECT q'[a'").unwrap_err().code, 1756);
        assert_eq!(lex("SELECT /* a").unwrap_err().code, 1742);
        assert_eq!(lex("SELECT \u{1}").unwrap_err().code, 911);
    }
}
