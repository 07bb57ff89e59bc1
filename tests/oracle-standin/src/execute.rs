//! Statements: prepared, bound, executed.

use std::ffi::c_void;
use std::sync::{Arc, Mutex};

use tokio_postgres::Row;

use crate::bind::{Bind, Buffers, Define};
use crate::connection::Service;
use crate::describe::Column;
use crate::error::{Failure, OracleError, Outcome, Status};
use crate::handles::{self, Handle, lock};
use crate::rewrite::{self, Action, Part, Program, kind};
use crate::row;
use crate::session::{Answer, Command, Effect, Session};
use crate::settings;
use crate::value::{Kind, Value};

/// Modes of `OCIStmtExecute`.
pub mod mode {
    /// Describe the columns of a query, and run nothing.
    pub const DESCRIBE_ONLY: u32 = 0x10;
    /// Commit when it went well.
    pub const COMMIT_ON_SUCCESS: u32 = 0x20;
    /// Go on behind rows that fail, and tell which did.
    pub const BATCH_ERRORS: u32 = 0x80;
    /// Check the statement, and run nothing.
    pub const PARSE_ONLY: u32 = 0x100;
}

/// A statement.
#[derive(Debug)]
pub struct Statement {
    /// Whose it is.
    pub service: Arc<Service>,
    /// As the client gave it.
    pub sql: Arc<String>,
    /// What is to be done for it.
    pub program: Program,
    /// Number of the bind handle of each occurrence of a bind; 0 for none.
    pub binds: Vec<usize>,
    /// Number of the define handle of each column; 0 for none.
    pub defines: Vec<usize>,
    /// Columns of its rows.
    pub columns: Vec<Arc<Column>>,
    /// Columns of earlier descriptions: the driver may still point at their names.
    kept: Vec<Arc<Column>>,
    /// Rows that were not fetched yet, the next one last.
    pub rows: Vec<Row>,
    /// Offset of the session's time zone when it was executed.
    pub offset_minutes: i16,
    /// Rows changed, or fetched so far.
    pub row_count: u64,
    /// Rows of the last fetch.
    pub rows_fetched: u32,
    /// Rows changed by each set of values.
    pub row_counts: Vec<u64>,
    /// How many sets of values failed.
    pub batch_errors: u32,
}

impl Statement {
    /// Reads a statement; nothing is asked of the server yet.
    pub fn new(service: Arc<Service>, sql: String) -> Self {
        let program = rewrite::program(&sql);
        Self {
            service,
            binds: vec![0; program.binds.len()],
            program,
            sql: Arc::new(sql),
            defines: Vec::new(),
            columns: Vec::new(),
            kept: Vec::new(),
            rows: Vec::new(),
            offset_minutes: 0,
            row_count: 0,
            rows_fetched: 0,
            row_counts: Vec::new(),
            batch_errors: 0,
        }
    }

    /// Binds a name, wherever it occurs, or a position; returns the bind's handle.
    ///
    /// # Errors
    /// ORA-01036: the statement has no such bind.
    pub fn bind(&mut self, name: &BindName, buffers: Buffers) -> Result<usize, Failure> {
        let names = &self.program.binds;
        let is_block = matches!(self.program.kind, kind::BEGIN | kind::DECLARE | kind::CALL);
        let wanted: Vec<usize> = match name {
            BindName::Position(position) if is_block => {
                // The same name in a block is the same bind.
                let mut distinct: Vec<&String> = Vec::new();
                for own in names {
                    if !distinct.contains(&own) {
                        distinct.push(own);
                    }
                }
                let wanted = position.checked_sub(1).and_then(|index| distinct.get(index).copied());
                (0..names.len()).filter(|index| names.get(*index) == wanted).collect()
            }
            BindName::Position(position) => {
                position.checked_sub(1).into_iter().filter(|index| *index < names.len()).collect()
            }
            BindName::Name(name) => {
                let name = name.trim_start_matches(':');
                let name = name.strip_prefix('"').map_or_else(
                    || name.to_uppercase(),
                    |name| name.trim_end_matches('"').to_owned(),
                );
                (0..names.len()).filter(|index| names.get(*index) == Some(&name)).collect()
            }
        };
        if wanted.is_empty() {
            return Err(OracleError::new(1036, "illegal variable name/number").into());
        }
        let bind = Bind { buffers, number: 0, input: None, output: None, rows_returned: 0 };
        let number = handles::enter(vec![Handle::Bind(Mutex::new(bind))]);
        with_bind(number, |bind| bind.number = number)?;
        for index in wanted {
            if let Some(place) = self.binds.get_mut(index) {
                *place = number;
            }
        }
        Ok(number)
    }

    /// Says where a column goes; returns the define's handle.
    pub fn define(&mut self, position: usize, buffers: Buffers) -> usize {
        let define = Define { buffers, number: 0, callback: None };
        let number = handles::enter(vec![Handle::Define(Mutex::new(define))]);
        if let Ok(found) = handles::find_number(number)
            && let Handle::Define(define) = &*found
        {
            lock(define).number = number;
        }
        let index = position.saturating_sub(1);
        if self.defines.len() <= index {
            self.defines.resize(index + 1, 0);
        }
        if let Some(place) = self.defines.get_mut(index) {
            drop(handles::free(*place));
            *place = number;
        }
        number
    }

    /// Frees the handles that belong to the statement.
    pub fn release(&mut self) {
        for number in self.binds.drain(..).chain(self.defines.drain(..)) {
            drop(handles::free(number));
        }
        self.rows.clear();
    }

    fn set_columns(&mut self, statement: &tokio_postgres::Statement) {
        let columns: Vec<Column> = statement
            .columns()
            .iter()
            .map(|column| Column::new(column.name(), column.type_(), column.type_modifier()))
            .collect();
        if columns.len() == self.columns.len()
            && columns.iter().zip(&self.columns).all(|(new, old)| *new == **old)
        {
            return;
        }
        let columns = columns.into_iter().map(Arc::new).collect();
        self.kept.append(&mut std::mem::replace(&mut self.columns, columns));
    }

    /// The bind of an occurrence, as it is now.
    ///
    /// # Errors
    /// ORA-01008: it is not bound.
    pub fn bound(&self, occurrence: usize) -> Result<Bind, Failure> {
        let number = self.binds.get(occurrence).copied().filter(|number| *number != 0);
        let number = number.ok_or_else(|| OracleError::new(1008, "not all variables bound"))?;
        with_bind(number, |bind| bind.clone())
    }

    fn kinds(&self, part: &Part) -> Result<Vec<Kind>, Failure> {
        part.parameters.iter().map(|occurrence| Ok(self.bound(*occurrence)?.kind())).collect()
    }

    fn values(&self, part: &Part, iteration: u32) -> Result<Vec<Value>, Failure> {
        part.parameters.iter().map(|occurrence| self.bound(*occurrence)?.value(iteration)).collect()
    }
}

/// How a client names a bind.
#[derive(Debug, Clone)]
pub enum BindName {
    /// By name, with or without its colon.
    Name(String),
    /// By position, the first is 1.
    Position(usize),
}

/// Changes or reads a bind.
///
/// # Errors
/// [`Failure::InvalidHandle`]: it is none.
pub fn with_bind<T>(number: usize, with: impl FnOnce(&mut Bind) -> T) -> Result<T, Failure> {
    match &*handles::find_number(number)? {
        Handle::Bind(bind) => Ok(with(&mut lock(bind))),
        _ => Err(Failure::InvalidHandle),
    }
}

/// `OCIStmtExecute`.
///
/// # Errors
/// What the server says; of a batch without batch errors, the first.
pub fn execute(
    statement: &mut Statement,
    iterations: u32,
    modes: u32,
    errors: *const c_void,
) -> Outcome {
    let service = Arc::clone(&statement.service);
    statement.rows.clear();
    statement.row_count = 0;
    statement.row_counts.clear();
    statement.batch_errors = 0;
    handles::with_error(errors, |state| state.batch.clear());
    let action = statement.program.action.clone()?;
    service.call(|session| {
        settings::apply(&service, session)?;
        statement.offset_minutes = session.offset_minutes;
        match &action {
            Action::Commit => session.commit()?,
            Action::Rollback => session.rollback()?,
            Action::Savepoint(sql) => session.savepoint(sql)?,
            Action::Begin(modes) => session.begin(modes)?,
            Action::SetSession(name, value) => settings::set(session, name, value)?,
            Action::Run(parts, effect) => {
                run(statement, session, (parts, *effect), (iterations, modes), errors)?;
                if modes & mode::COMMIT_ON_SUCCESS != 0 {
                    session.commit()?;
                }
            }
        }
        Ok(Status::Success)
    })
}

fn run(
    statement: &mut Statement,
    session: &mut Session,
    (parts, effect): (&[Part], Effect),
    (iterations, modes): (u32, u32),
    errors: *const c_void,
) -> Result<(), Failure> {
    let only_described = modes & (mode::DESCRIBE_ONLY | mode::PARSE_ONLY) != 0;
    for part in parts {
        if only_described {
            let kinds = part.parameters.iter().map(|occurrence| {
                statement.bound(*occurrence).map_or(Kind::Text, |bind| bind.kind())
            });
            let kinds: Vec<Kind> = kinds.collect();
            let command = Command { sql: &part.sql, kinds: &kinds, effect, wait_seconds: None };
            let described = session.describe(&command)?;
            statement.set_columns(&described);
            continue;
        }
        let kinds = statement.kinds(part)?;
        let command = Command {
            sql: &part.sql,
            kinds: &kinds,
            effect,
            wait_seconds: statement.program.wait_seconds,
        };
        let sets: Vec<Vec<Value>> = (0..iterations.max(1))
            .map(|iteration| statement.values(part, iteration))
            .collect::<Result<_, _>>()?;
        match run_converted(session, &command, &sets) {
            Ok((mut answers, described)) => {
                if statement.program.kind == kind::SELECT {
                    statement.set_columns(&described);
                    statement.rows = answers.pop().map(|answer| answer.rows).unwrap_or_default();
                    statement.rows.reverse();
                } else {
                    for (iteration, answer) in (0..).zip(&answers) {
                        finish(statement, iteration, answer)?;
                    }
                }
            }
            Err(error) if sets.len() > 1 || modes & mode::BATCH_ERRORS != 0 => {
                if is_of_the_whole(&error) {
                    return Err(error.into());
                }
                run_each(statement, session, &command, &sets, (modes, errors))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Errors that belong to no row of a batch: what is behind them would fail as well.
fn is_of_the_whole(error: &OracleError) -> bool {
    error.ends_session() || matches!(error.code, 60 | 1013 | 3156 | 8177 | 12161)
}

/// Runs a batch set by set: those before a failure stay, as in Oracle.
fn run_each(
    statement: &mut Statement,
    session: &mut Session,
    command: &Command<'_>,
    sets: &[Vec<Value>],
    (modes, errors): (u32, *const c_void),
) -> Result<(), Failure> {
    for (iteration, values) in (0..).zip(sets) {
        match run_converted(session, command, std::slice::from_ref(values)) {
            Ok((answers, _)) => {
                for answer in &answers {
                    finish(statement, iteration, answer)?;
                }
            }
            Err(error) if modes & mode::BATCH_ERRORS == 0 || is_of_the_whole(&error) => {
                handles::with_error(errors, |state| state.row = iteration);
                return Err(error.into());
            }
            Err(error) => {
                statement.batch_errors += 1;
                statement.row_counts.push(0);
                handles::with_error(errors, |state| state.batch.push((iteration, error)));
            }
        }
    }
    Ok(())
}

/// Runs with the types that the client bound; where PostgreSQL does not convert one as Oracle would, it is left to
/// the place that the value goes to.
fn run_converted(
    session: &mut Session,
    command: &Command<'_>,
    sets: &[Vec<Value>],
) -> Result<(Vec<Answer>, tokio_postgres::Statement), OracleError> {
    let first = session.run_all(command, sets);
    let kinds: Vec<Kind> = match &first {
        Err(error)
            if error.has_state(&["42883", "42804", "42P08"])
                && command.kinds.iter().any(|kind| *kind != Kind::Text) =>
        {
            vec![Kind::Text; command.kinds.len()]
        }
        Err(error) if error.has_state(&["42P18"]) => command
            .kinds
            .iter()
            .map(|kind| if *kind == Kind::Text { Kind::DeclaredText } else { *kind })
            .collect(),
        Err(error) if error.has_state(&["0A000"]) => command.kinds.to_vec(),
        _ => return first,
    };
    session.run_all(&Command { kinds: &kinds, ..*command }, sets).or(first)
}

/// Counts the rows of a set of values, and gives back what it returned.
fn finish(statement: &mut Statement, iteration: u32, answer: &Answer) -> Result<(), Failure> {
    statement.row_count += answer.count;
    statement.row_counts.push(answer.count);
    let returned = u32::try_from(answer.rows.len()).unwrap_or(u32::MAX);
    for (column, occurrence) in statement.program.returning.iter().enumerate() {
        let number = statement.binds.get(*occurrence).copied().unwrap_or(0);
        // A copy: the client's function asks for the bind's rows, while values are given back.
        let bind = with_bind(number, |bind| {
            bind.rows_returned = returned;
            bind.clone()
        })
        .map_err(|_no_handle| OracleError::new(1008, "not all variables bound"))?;
        for (index, row) in (0..).zip(&answer.rows) {
            let value = row::value(row, column, statement.offset_minutes)?;
            bind.put_returned(iteration, index, &value)?;
        }
    }
    Ok(())
}
