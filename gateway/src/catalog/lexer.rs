//! The lexer of SQL bodies: what is text, what is a comment, and what is a bind.
//!
//! It knows each dialect's strings, quoted names and comments, so that a `:` inside one of them is never
//! taken for a bind. Nothing is interpreted; the tokens' texts, joined, are the input.

use super::Dialect;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// White space within a line, or up to and with its end.
    Space,
    /// `-- …`, and `# …` in MySQL; without its line end.
    LineComment,
    /// `/* … */`.
    BlockComment,
    /// `/*+ … */`, and `/*! … */` in MySQL: passed to the database as it is.
    Hint,
    /// A string literal.
    Text,
    /// A quoted name.
    Quoted,
    /// A name or a word of SQL.
    Word,
    /// A number.
    Number,
    /// `:name`, `:_claim.sub`, `:step.col`.
    Bind,
    /// A driver's own placeholder (`?`, `:1`, `$x` and `@x` in SQLite).
    Placeholder,
    /// An operator or a sign.
    Punct,
}

/// A token and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    /// Line in the file, from 1.
    pub(crate) line: u32,
    /// Column in characters, from 1.
    pub(crate) column: u32,
}

impl Token<'_> {
    /// Whether it is this word of SQL, in any case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this operator or sign.
    pub(crate) fn is_punct(&self, sign: &str) -> bool {
        self.kind == TokenKind::Punct && self.text == sign
    }

    /// Whether it is neither white space nor a comment.
    pub(crate) const fn is_code(&self) -> bool {
        !matches!(
            self.kind,
            TokenKind::Space | TokenKind::LineComment | TokenKind::BlockComment | TokenKind::Hint
        )
    }
}

/// Something that begins and does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LexFault {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: &'static str,
}

/// Cuts `text` into tokens; `first_line` is its first line's number in the file.
pub(crate) fn lex(
    text: &str,
    dialect: Dialect,
    first_line: u32,
) -> Result<Vec<Token<'_>>, LexFault> {
    let mut tokens = Vec::with_capacity(text.len() / 4);
    let (mut rest, mut line, mut column) = (text, first_line, 1);
    while !rest.is_empty() {
        let (kind, bytes) =
            measure(rest, dialect).map_err(|message| LexFault { line, column, message })?;
        let Some((head, tail)) = rest.split_at_checked(bytes) else {
            return Err(LexFault { line, column, message: "a character is cut" });
        };
        tokens.push(Token { kind, text: head, line, column });
        for character in head.chars() {
            if character == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        rest = tail;
    }
    Ok(tokens)
}

/// Replaces each `:name` of a script by `?`, and names them in order.
///
/// # Errors
///
/// A sentence with line and column, when a string, a quoted name or a comment does not end.
pub fn positional(text: &str, dialect: Dialect) -> Result<(String, Vec<&str>), String> {
    let mut sql = String::with_capacity(text.len());
    let mut names = Vec::new();
    let tokens = lex(text, dialect, 1);
    let unended = |fault: LexFault| format!("{}:{}: {}", fault.line, fault.column, fault.message);
    for token in tokens.map_err(unended)? {
        match token.text.strip_prefix(':') {
            Some(name) if token.kind == TokenKind::Bind => {
                sql.push('?');
                names.push(name);
            }
            _ => sql.push_str(token.text),
        }
    }
    Ok((sql, names))
}

/// The kind and length in bytes of the token at the start of `rest`, which is not empty.
fn measure(rest: &str, dialect: Dialect) -> Result<(TokenKind, usize), &'static str> {
    use TokenKind as Kind;
    let bytes = rest.as_bytes();
    let first = rest.chars().next().unwrap_or(' ');
    let second = bytes.get(1).copied().unwrap_or(0);
    let mysql = dialect == Dialect::Mysql;
    let token = match first {
        _ if first.is_ascii_whitespace() => (Kind::Space, space_bytes(rest)),
        '-' if second == b'-' && (!mysql || opens_mysql_comment(bytes)) => {
            (Kind::LineComment, span(rest, |c| c != '\n'))
        }
        '#' if mysql => (Kind::LineComment, span(rest, |c| c != '\n')),
        '/' if second == b'*' => block_comment(rest, mysql)?,
        '\'' => (Kind::Text, quoted(bytes, b'\'', mysql).ok_or("a string does not end")?),
        '"' if mysql => (Kind::Text, quoted(bytes, b'"', true).ok_or("a string does not end")?),
        '"' => (Kind::Quoted, quoted(bytes, b'"', false).ok_or("a quoted name does not end")?),
        '`' if dialect != Dialect::Oracle => {
            (Kind::Quoted, quoted(bytes, b'`', false).ok_or("a quoted name does not end")?)
        }
        '[' if dialect == Dialect::Sqlite => {
            (Kind::Quoted, rest.find(']').ok_or("a quoted name does not end")? + 1)
        }
        ':' if matches!(second, b':' | b'=') => (Kind::Punct, 2),
        ':' if second.is_ascii_digit() => {
            (Kind::Placeholder, 1 + digits(bytes.get(1..).unwrap_or_default()))
        }
        ':' if begins_name(second) => (Kind::Bind, bind_bytes(bytes)),
        '?' => (Kind::Placeholder, 1 + digits(bytes.get(1..).unwrap_or_default())),
        '@' | '$' if dialect == Dialect::Sqlite => {
            (Kind::Placeholder, 1 + name_bytes(bytes.get(1..).unwrap_or_default()))
        }
        '0'..='9' => (Kind::Number, number_bytes(bytes)),
        _ if first.is_alphabetic() || first == '_' => word(rest, dialect)?,
        _ => (Kind::Punct, punct_bytes(rest, first)),
    };
    Ok(token)
}

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}

fn space_bytes(rest: &str) -> usize {
    let end = span(rest, |c| c.is_ascii_whitespace());
    rest.find('\n').filter(|newline| *newline < end).map_or(end, |newline| newline + 1)
}

/// MySQL takes `--` for a comment only if white space or the end follows.
fn opens_mysql_comment(bytes: &[u8]) -> bool {
    bytes.get(2).is_none_or(|third| third.is_ascii_whitespace() || third.is_ascii_control())
}

fn block_comment(rest: &str, mysql: bool) -> Result<(TokenKind, usize), &'static str> {
    let inner = rest.get(2..).unwrap_or_default();
    let bytes = inner.find("*/").ok_or("a comment does not end")? + 4;
    let hint = inner.starts_with('+') || (mysql && inner.starts_with('!'));
    Ok((if hint { TokenKind::Hint } else { TokenKind::BlockComment }, bytes))
}

/// Length of what begins with `quote` and ends at the next one that is not doubled (or, where the
/// dialect has it, behind a backslash).
fn quoted(bytes: &[u8], quote: u8, backslash: bool) -> Option<usize> {
    let mut at = 1;
    loop {
        let byte = *bytes.get(at)?;
        if backslash && byte == b'\\' {
            at += 2;
        } else if byte != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return Some(at + 1);
        }
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

const fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn name_bytes(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// `:name`, with `.member` if a name follows the dot.
fn bind_bytes(bytes: &[u8]) -> usize {
    let name = 1 + name_bytes(bytes.get(1..).unwrap_or_default());
    let member = match bytes.get(name..) {
        Some([b'.', first, ..]) if begins_name(*first) => {
            1 + name_bytes(bytes.get(name + 1..).unwrap_or_default())
        }
        _ => 0,
    };
    name + member
}

fn number_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let sign_of_exponent = matches!(byte, b'+' | b'-')
            && bytes
                .get(at.wrapping_sub(1))
                .is_some_and(|before| before.eq_ignore_ascii_case(&b'e'))
            && !bytes.starts_with(b"0x");
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || sign_of_exponent) {
            break;
        }
        at += 1;
    }
    at
}

/// A word; in Oracle also `q'[…]'` and `nq'[…]'`, which look like one.
fn word(rest: &str, dialect: Dialect) -> Result<(TokenKind, usize), &'static str> {
    let belongs = |c: char| {
        c.is_alphanumeric() || c == '_' || c == '$' || (c == '#' && dialect == Dialect::Oracle)
    };
    let bytes = span(rest, belongs);
    let head = rest.get(..bytes).unwrap_or_default();
    let after = rest.get(bytes..).unwrap_or_default();
    let opens_q = head.eq_ignore_ascii_case("q") || head.eq_ignore_ascii_case("nq");
    if dialect != Dialect::Oracle || !opens_q || !after.starts_with('\'') {
        return Ok((TokenKind::Word, bytes));
    }
    let mut inner = after.chars();
    inner.next();
    let close = match inner.next().ok_or("a string does not end")? {
        '[' => ']',
        '(' => ')',
        '{' => '}',
        '<' => '>',
        other => other,
    };
    let body = inner.as_str();
    let end = body.find(&format!("{close}'")).ok_or("a string does not end")?;
    let opening_bytes = after.len() - body.len();
    Ok((TokenKind::Text, bytes + opening_bytes + end + close.len_utf8() + 1))
}

fn punct_bytes(rest: &str, first: char) -> usize {
    const LONG: [&str; 10] = ["->>", "<=>", "<=", ">=", "<>", "!=", "||", "&&", "->", "**"];
    LONG.iter().find(|sign| rest.starts_with(**sign)).map_or(first.len_utf8(), |sign| sign.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one place that calls the lexer: what it takes for binds, and that no byte is lost.
    #[track_caller]
    fn check(dialect: Dialect, text: &str, binds: &[&str]) {
        let tokens = lex(text, dialect, 1).expect("it lexes");
        let joined: String = tokens.iter().map(|token| token.text).collect();
        assert_eq!(joined, text);
        let found: Vec<_> = tokens
            .iter()
            .filter(|token| token.kind == TokenKind::Bind)
            .map(|token| token.text)
            .collect();
        assert_eq!(found, binds, "{dialect}: {text}");
    }

    #[test]
    fn binds_are_found_outside_literals_and_comments_only() {
        for dialect in Dialect::ALL {
            check(dialect, "a = :a AND b=:b_2", &[":a", ":b_2"]);
            check(dialect, "':a' || ':b''s :c' || :d", &[":d"]);
            check(dialect, "\":a\" = :b", &[":b"]);
            check(dialect, "/* :a */ :b -- :c\n, :d", &[":b", ":d"]);
            check(dialect, "/*+ INDEX(p :x) */ :b", &[":b"]);
            check(dialect, "x := 1, y::int, :z", &[":z"]);
            check(dialect, "t > '12:30:00' AND :t", &[":t"]);
            check(
                dialect,
                ":_claim.sub, :debit.affected, :a.",
                &[":_claim.sub", ":debit.affected", ":a"],
            );
        }
    }

    #[test]
    fn backslash_escapes_a_quote_in_mysql_and_nowhere_else() {
        check(Dialect::Mysql, r"'it\'s :a' || :b", &[":b"]);
        check(Dialect::Mysql, r#""it\" :a" || :b"#, &[":b"]);
        check(Dialect::Sqlite, r"'it\' || :a", &[":a"]);
        check(Dialect::Oracle, r"'it\' || :a", &[":a"]);
    }

    #[test]
    fn quotes_of_one_dialect_are_signs_in_another() {
        check(Dialect::Mysql, "`:a` + :b", &[":b"]);
        check(Dialect::Sqlite, "`:a` + [:b] + :c", &[":c"]);
        check(Dialect::Oracle, "a[:b]", &[":b"]);
    }

    #[test]
    fn oracle_q_strings_end_where_their_bracket_does() {
        check(Dialect::Oracle, "q'[it's :a]' || :b", &[":b"]);
        check(Dialect::Oracle, "NQ'!it's :a!' || q'(:c)' || q'{:d}' || Q'<:e>' || :b", &[":b"]);
        check(Dialect::Sqlite, "q || :a", &[":a"]);
    }

    #[test]
    fn hash_and_tight_dashes_are_comments_where_the_dialect_says_so() {
        check(Dialect::Mysql, "1 # :a\n + :b", &[":b"]);
        check(Dialect::Mysql, "1 --:a", &[":a"]);
        check(Dialect::Sqlite, "1 --:a", &[]);
        check(Dialect::Oracle, "emp# = :a", &[":a"]);
    }

    #[test]
    fn drivers_placeholders_are_told_from_binds() {
        let kinds = |dialect, text| -> Vec<TokenKind> {
            lex(text, dialect, 1).unwrap().iter().map(|token| token.kind).collect()
        };
        assert_eq!(kinds(Dialect::Mysql, "?"), [TokenKind::Placeholder]);
        assert_eq!(kinds(Dialect::Oracle, ":1"), [TokenKind::Placeholder]);
        assert_eq!(kinds(Dialect::Sqlite, "@a"), [TokenKind::Placeholder]);
        assert_eq!(kinds(Dialect::Mysql, "@a"), [TokenKind::Punct, TokenKind::Word]);
        assert_eq!(kinds(Dialect::Mysql, "1.5e-7"), [TokenKind::Number]);
    }

    #[test]
    fn places_count_lines_from_the_first_and_columns_in_characters() {
        let tokens = lex("'é' :a\n  :b", Dialect::Mysql, 10).unwrap();
        let binds: Vec<_> = tokens
            .iter()
            .filter(|token| token.kind == TokenKind::Bind)
            .map(|token| (token.line, token.column))
            .collect();
        assert_eq!(binds, [(10, 5), (11, 3)]);
    }

    #[test]
    fn what_begins_and_does_not_end_is_a_fault_at_its_beginning() {
        for (dialect, text) in [
            (Dialect::Mysql, "a\n 'b"),
            (Dialect::Mysql, "a\n 'b\\'"),
            (Dialect::Sqlite, "a\n \"b"),
            (Dialect::Sqlite, "a\n [b"),
            (Dialect::Oracle, "a\n /* b"),
            (Dialect::Oracle, "a\n q'[b]"),
            (Dialect::Oracle, "a\n q'"),
        ] {
            let fault = lex(text, dialect, 1).expect_err(text);
            assert_eq!((fault.line, fault.column), (2, 2), "{text}");
        }
    }

    #[test]
    fn every_prefix_and_every_bit_flip_gives_tokens_or_a_fault() {
        let text = "SELECT `a`, 'x''\\'y', q'[z]' -- ?\n/*+ h */ FROM t WHERE a >= :a.b # é\n";
        for dialect in Dialect::ALL {
            for prefix in (0..text.len()).filter_map(|end| text.get(..end)) {
                drop(lex(prefix, dialect, 1));
            }
            for bit in 0..text.len() * 8 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                if let Ok(flipped) = String::from_utf8(bytes) {
                    drop(lex(&flipped, dialect, 1));
                }
            }
        }
    }
}
