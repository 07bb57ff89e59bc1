//! Reads a block.

use super::{Block, Declaration, Step, Target};
use crate::error::OracleError;
use crate::rewrite::expression;
use crate::rewrite::lexer::Token;

/// Number of an exception that no PRAGMA gave one.
const USER_DEFINED: i32 = 6510;

/// Tokens still to be read.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [Token],
}

fn unexpected(found: Option<&Token>) -> OracleError {
    let found = found.map_or_else(|| "end of text".to_owned(), |token| format!("{token:?}"));
    OracleError::new(6550, format_args!("PLS-00103: Encountered {found}"))
}

impl<'a> Reader<'a> {
    /// Begins to read.
    pub const fn new(tokens: &'a [Token]) -> Self {
        Self { rest: tokens }
    }

    fn next_is(&self, keyword: &str) -> bool {
        self.rest.first().is_some_and(|token| token.is(keyword))
    }

    /// Takes a keyword, if it comes next.
    pub fn take(&mut self, keyword: &str) -> bool {
        let found = self.next_is(keyword);
        if found {
            self.skip(1);
        }
        found
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.rest.first().is_some_and(|token| token.is_symbol(symbol));
        if found {
            self.skip(1);
        }
        found
    }

    fn expect(&mut self, keyword: &str) -> Result<(), OracleError> {
        if self.take(keyword) { Ok(()) } else { Err(unexpected(self.rest.first())) }
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), OracleError> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(unexpected(self.rest.first())) }
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// A name, in capitals.
    ///
    /// # Errors
    /// ORA-06550: no name comes next.
    pub fn name(&mut self) -> Result<String, OracleError> {
        let name = match self.rest.first() {
            Some(Token::Word(word)) => word.to_uppercase(),
            Some(Token::Quoted(name)) => name.clone(),
            other => return Err(unexpected(other)),
        };
        self.skip(1);
        Ok(name)
    }

    /// Tokens up to one of these keywords or symbols that is in no parentheses and no CASE; that is not taken.
    pub fn until(&mut self, keywords: &[&str], symbols: &[&str]) -> Vec<Token> {
        let (mut depth, mut cases) = (0_usize, 0_usize);
        let mut end = self.rest.len();
        for (index, token) in self.rest.iter().enumerate() {
            let is_end =
                token.is_any(keywords) || symbols.iter().any(|symbol| token.is_symbol(symbol));
            if depth == 0 && cases == 0 && is_end {
                end = index;
                break;
            }
            if token.is_symbol("(") {
                depth += 1;
            } else if token.is_symbol(")") {
                depth = depth.saturating_sub(1);
            } else if token.is("CASE") {
                cases += 1;
            } else if token.is("END") {
                cases = cases.saturating_sub(1);
            }
        }
        let taken = self.rest.get(..end).unwrap_or_default().to_vec();
        self.skip(end);
        taken
    }

    /// A block: from its declarations, whose DECLARE or IS was taken, or from BEGIN.
    ///
    /// # Errors
    /// ORA-06550: what is no block.
    pub fn block(&mut self) -> Result<Block, OracleError> {
        let mut block = Block::default();
        while !self.next_is("BEGIN") {
            self.declaration(&mut block)?;
        }
        self.expect("BEGIN")?;
        block.steps = self.steps(&["END", "EXCEPTION"])?;
        if self.take("EXCEPTION") {
            while self.take("WHEN") {
                let mut names = vec![self.name()?];
                while self.take("OR") {
                    names.push(self.name()?);
                }
                self.expect("THEN")?;
                block.handlers.push((names, self.steps(&["WHEN", "END"])?));
            }
        }
        self.expect("END")?;
        if !self.take_symbol(";") {
            self.name()?;
            self.expect_symbol(";")?;
        }
        Ok(block)
    }

    fn declaration(&mut self, block: &mut Block) -> Result<(), OracleError> {
        if self.take("PRAGMA") {
            let pragma = self.until(&[], &[";"]);
            self.expect_symbol(";")?;
            if let [init, Token::Symbol("("), name, Token::Symbol(","), number @ ..] =
                pragma.as_slice()
                && init.is("EXCEPTION_INIT")
            {
                let digits = number.iter().find_map(|token| match token {
                    Token::Number(digits) => digits.parse().ok(),
                    _ => None,
                });
                let known = block.exceptions.iter_mut().find(|(own, _)| name.is(own));
                if let (Some(exception), Some(digits)) = (known, digits) {
                    exception.1 = digits;
                }
            }
            return Ok(());
        }
        let name = self.name()?;
        if self.take("EXCEPTION") {
            block.exceptions.push((name, USER_DEFINED));
            return self.expect_symbol(";");
        }
        self.take("CONSTANT");
        let data_type = self.until(&["DEFAULT", "NOT"], &[":=", ";"]);
        if self.take("NOT") {
            self.expect("NULL")?;
        }
        let has_value = self.take_symbol(":=") || self.take("DEFAULT");
        let value = if has_value { self.until(&[], &[";"]) } else { Vec::new() };
        block.declarations.push(Declaration { name, data_type, value });
        self.expect_symbol(";")
    }

    fn steps(&mut self, ends: &[&str]) -> Result<Vec<Step>, OracleError> {
        let mut steps = Vec::new();
        while !self.rest.first().is_some_and(|token| token.is_any(ends)) {
            steps.push(self.step()?);
        }
        Ok(steps)
    }

    fn step(&mut self) -> Result<Step, OracleError> {
        let Some(first) = self.rest.first() else { return Err(unexpected(None)) };
        if let Token::Bind(_) = first {
            return self.assignment();
        }
        let Token::Word(word) = first else { return Err(unexpected(Some(first))) };
        match word.to_uppercase().as_str() {
            "BEGIN" => return Ok(Step::Block(self.block()?)),
            "DECLARE" => {
                self.skip(1);
                return Ok(Step::Block(self.block()?));
            }
            "IF" => return self.condition(),
            "FOR" | "WHILE" | "LOOP" => return self.repetition(),
            _ => {}
        }
        let step = match word.to_uppercase().as_str() {
            "NULL" => {
                self.skip(1);
                Step::Null
            }
            "RETURN" => {
                self.skip(1);
                Step::Return
            }
            "RAISE" => {
                self.skip(1);
                let name = self.until(&[], &[";"]).first().cloned();
                Step::Raise(name.and_then(|name| match name {
                    Token::Word(name) => Some(name.to_uppercase()),
                    _ => None,
                }))
            }
            "EXIT" => {
                self.skip(1);
                self.take("WHEN");
                Step::Exit(self.until(&[], &[";"]))
            }
            "EXECUTE" => self.immediate()?,
            "OPEN" => {
                self.skip(1);
                let target = self.target()?;
                self.expect("FOR")?;
                Step::Open(target, self.until(&[], &[";"]))
            }
            "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "COMMIT" | "ROLLBACK"
            | "SAVEPOINT" | "LOCK" | "WITH" => self.sql()?,
            _ => return self.assignment(),
        };
        self.expect_symbol(";")?;
        Ok(step)
    }

    /// An assignment or a call.
    fn assignment(&mut self) -> Result<Step, OracleError> {
        let has_value = self.rest.iter().take(4).any(|token| token.is_symbol(":="));
        let step = if has_value {
            let target = self.target()?;
            self.expect_symbol(":=")?;
            Step::Assign(target, self.until(&[], &[";"]))
        } else {
            let mut name = self.name()?;
            while self.take_symbol(".") {
                name.push('.');
                name.push_str(&self.name()?);
            }
            let mut arguments = Vec::new();
            if self.rest.first().is_some_and(|token| token.is_symbol("(")) {
                let (found, end) = expression::arguments(self.rest, 0)?;
                arguments = found.into_iter().filter(|argument| !argument.is_empty()).collect();
                self.skip(end + 1);
            }
            Step::Call(name, arguments)
        };
        self.expect_symbol(";")?;
        Ok(step)
    }

    /// Something that takes a value.
    ///
    /// # Errors
    /// ORA-06550: nothing that does.
    pub fn target(&mut self) -> Result<Target, OracleError> {
        if let Some(Token::Bind(occurrence)) = self.rest.first().cloned() {
            self.skip(1);
            if self.take_symbol(".") {
                return Ok(Target::NewColumn(self.name()?));
            }
            return Ok(Target::Client(occurrence));
        }
        Ok(Target::Variable(self.name()?))
    }

    fn targets(&mut self, ends: &[&str]) -> Result<Vec<Target>, OracleError> {
        let tokens = self.until(ends, &[";"]);
        expression::split(&tokens).iter().map(|tokens| Reader::new(tokens).target()).collect()
    }

    fn sql(&mut self) -> Result<Step, OracleError> {
        if !self.next_is("SELECT") {
            return Ok(Step::Sql(self.until(&[], &[";"]), Vec::new()));
        }
        let mut tokens = self.until(&["INTO"], &[";"]);
        let targets = if self.take("INTO") { self.targets(&["FROM"])? } else { Vec::new() };
        tokens.extend(self.until(&[], &[";"]));
        Ok(Step::Sql(tokens, targets))
    }

    fn immediate(&mut self) -> Result<Step, OracleError> {
        self.skip(1);
        self.expect("IMMEDIATE")?;
        let text = self.until(&["INTO", "USING"], &[";"]);
        let targets = if self.take("INTO") { self.targets(&["USING"])? } else { Vec::new() };
        let using = if self.take("USING") { self.until(&[], &[";"]) } else { Vec::new() };
        let using = expression::split(&using).into_iter().filter(|tokens| !tokens.is_empty());
        Ok(Step::Immediate(text, targets, using.collect()))
    }

    fn condition(&mut self) -> Result<Step, OracleError> {
        let mut branches = Vec::new();
        while self.take("IF") || self.take("ELSIF") {
            let condition = self.until(&["THEN"], &[]);
            self.expect("THEN")?;
            branches.push((condition, self.steps(&["ELSIF", "ELSE", "END"])?));
        }
        let otherwise = if self.take("ELSE") { self.steps(&["END"])? } else { Vec::new() };
        self.expect("END")?;
        self.expect("IF")?;
        self.expect_symbol(";")?;
        Ok(Step::If(branches, otherwise))
    }

    fn repetition(&mut self) -> Result<Step, OracleError> {
        let step = if self.take("FOR") {
            let name = self.name()?;
            self.expect("IN")?;
            let low = self.until(&["LOOP"], &[".."]);
            if !self.take_symbol("..") {
                return Err(OracleError::not_imitated("FOR over a query"));
            }
            let high = self.until(&["LOOP"], &[]);
            self.expect("LOOP")?;
            Step::Range(name, low, high, self.steps(&["END"])?)
        } else {
            let condition =
                if self.take("WHILE") { self.until(&["LOOP"], &[]) } else { Vec::new() };
            self.expect("LOOP")?;
            Step::While(condition, self.steps(&["END"])?)
        };
        self.expect("END")?;
        self.expect("LOOP")?;
        self.expect_symbol(";")?;
        Ok(step)
    }

    /// Whether nothing is left, but for a closing slash.
    pub const fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Reads an anonymous block.
///
/// # Errors
/// ORA-06550: what is no block.
pub fn anonymous(tokens: &[Token]) -> Result<Block, OracleError> {
    let mut reader = Reader::new(tokens);
    reader.take("DECLARE");
    let block = reader.block()?;
    if reader.is_done() { Ok(block) } else { Err(unexpected(reader.rest.first())) }
}

/// Where the values of `RETURNING … INTO` go.
///
/// # Errors
/// ORA-06550: what can take no value.
pub fn returned_targets(tokens: &[Token]) -> Result<Vec<Target>, OracleError> {
    let is_change =
        tokens.first().is_some_and(|token| token.is_any(&["INSERT", "UPDATE", "DELETE"]));
    let mut reader = Reader::new(tokens);
    reader.until(&["RETURNING"], &[]);
    if !is_change || !reader.take("RETURNING") {
        return Ok(Vec::new());
    }
    reader.until(&["INTO"], &[]);
    if reader.take("INTO") { reader.targets(&[]) } else { Ok(Vec::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::lexer::lex;

    fn read(text: &str) -> Result<Block, OracleError> {
        anonymous(&lex(text).unwrap().tokens)
    }

    #[test]
    fn blocks_are_read_with_their_conditions_and_handlers() {
        let block = read(
            "DECLARE n NUMBER(5) := 1; busy EXCEPTION; PRAGMA EXCEPTION_INIT(busy, -54);
             BEGIN
               IF n = CASE WHEN n > 1 THEN 2 END THEN NULL; ELSIF n = 2 THEN n := n + 1; ELSE :out := n; END IF;
               SELECT COUNT(*) INTO n FROM t WHERE id = :id;
               EXECUTE IMMEDIATE 'DROP TABLE x';
               FOR i IN 1 .. n LOOP p.q(i, name => 'a'); EXIT WHEN i = 3; END LOOP;
             EXCEPTION WHEN busy OR NO_DATA_FOUND THEN RAISE; WHEN OTHERS THEN NULL; END;",
        )
        .unwrap();
        assert_eq!(block.exceptions, [("BUSY".to_owned(), 54)]);
        assert_eq!(block.steps.len(), 4);
        assert!(
            matches!(&block.steps[0], Step::If(branches, otherwise) if branches.len() == 2 && otherwise.len() == 1)
        );
        assert!(
            matches!(&block.steps[1], Step::Sql(_, into) if *into == [Target::Variable("N".to_owned())])
        );
        let Step::Range(_, _, _, inner) = &block.steps[3] else { panic!() };
        assert!(
            matches!(&inner[0], Step::Call(name, arguments) if name == "P.Q" && arguments.len() == 2)
        );
        assert_eq!(block.handlers[0].0, ["BUSY", "NO_DATA_FOUND"]);
        assert_eq!(block.handlers[0].1, [Step::Raise(None)]);
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in
            ["BEGIN NULL END;", "BEGIN NULL; END; x", "BEGIN IF a THEN NULL; END;", "BEGIN 1; END;"]
        {
            assert_eq!(read(text).unwrap_err().code, 6550, "{text}");
        }
    }
}
