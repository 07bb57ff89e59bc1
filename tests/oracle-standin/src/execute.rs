//! Statements, executed: once, or once for each set of values.

use std::ffi::c_void;
use std::sync::Arc;

use crate::block::{client, procedure};
use crate::error::{Failure, OracleError, Outcome, Status};
use crate::handles;
use crate::plan;
use crate::rewrite::{Action, Part, kind};
use crate::row;
use crate::session::{Answer, Command, Effect, Session};
use crate::settings;
use crate::statement::{Statement, with_bind};
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
    let sql = Arc::clone(&statement.sql);
    service.call(("execute", &sql), |session| {
        settings::apply(&service, session)?;
        statement.offset_minutes = session.offset_minutes;
        match &action {
            Action::Commit => session.commit()?,
            Action::Rollback => session.rollback()?,
            Action::Savepoint(sql) => session.savepoint(sql)?,
            Action::Begin(modes) => session.begin(modes)?,
            Action::SetSession(pairs) => {
                for (name, value) in pairs {
                    settings::set(session, name, value)?;
                }
            }
            Action::Block(block) => {
                for iteration in 0..iterations.max(1) {
                    client::run(statement, session, block, iteration)?;
                }
                if modes & mode::COMMIT_ON_SUCCESS != 0 {
                    session.commit()?;
                }
            }
            Action::CreateProcedure => procedure::create(session, &sql)?,
            Action::DropProcedure(name) => procedure::drop_named(session, name)?,
            Action::Explain(id, parts) => plan::explain(statement, session, id.as_deref(), parts)?,
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
///
/// # Errors
/// What PostgreSQL says.
pub fn run_converted(
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
