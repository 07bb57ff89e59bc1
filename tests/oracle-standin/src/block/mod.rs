//! PL/SQL, as far as migrations, procedures and triggers of games use it.
//!
//! [`parse`] reads a block; [`run`] runs it, its SQL being PostgreSQL's statements one by one; [`trigger`] makes a
//! trigger a function of PostgreSQL's. What is not read is refused (ORA-06550, ORA-03001).

pub mod arguments;
pub mod builtin;
pub mod client;
pub mod evaluate;
pub mod parse;
pub mod procedure;
pub mod run;
pub mod trigger;

use crate::rewrite::lexer::Token;

/// Where a value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A variable, its name in capitals.
    Variable(String),
    /// A bind of the client's, by occurrence.
    Client(usize),
    /// `:NEW.column` of a trigger.
    NewColumn(String),
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// NULL.
    Null,
    /// `target := expression`.
    Assign(Target, Vec<Token>),
    /// SQL, and where the columns of its one row go.
    Sql(Vec<Token>, Vec<Target>),
    /// EXECUTE IMMEDIATE: text, INTO, USING.
    Immediate(Vec<Token>, Vec<Target>, Vec<Vec<Token>>),
    /// IF: conditions with what follows from them, and ELSE.
    If(Vec<(Vec<Token>, Vec<Step>)>, Vec<Step>),
    /// `FOR name IN low .. high`.
    Range(String, Vec<Token>, Vec<Token>, Vec<Step>),
    /// `WHILE condition`; without one, LOOP.
    While(Vec<Token>, Vec<Step>),
    /// EXIT, with its condition.
    Exit(Vec<Token>),
    /// RAISE, of a name or of what is handled.
    Raise(Option<String>),
    /// A procedure, by its name with dots, and its arguments.
    Call(String, Vec<Vec<Token>>),
    /// `OPEN cursor FOR query`.
    Open(Target, Vec<Token>),
    /// RETURN.
    Return,
    /// A block within.
    Block(Block),
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Its name, in capitals.
    pub name: String,
    /// Its type's tokens.
    pub data_type: Vec<Token>,
    /// Its first value; none is NULL.
    pub value: Vec<Token>,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    /// Its variables.
    pub declarations: Vec<Declaration>,
    /// Its exceptions, and the numbers that PRAGMA gave them.
    pub exceptions: Vec<(String, i32)>,
    /// Its statements.
    pub steps: Vec<Step>,
    /// Its handlers: names of exceptions, and what is done.
    pub handlers: Vec<(Vec<String>, Vec<Step>)>,
}
