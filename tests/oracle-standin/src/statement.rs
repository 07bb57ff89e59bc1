//! Statements: what was prepared, its binds and its columns, and the rows that are still to be fetched.

use std::sync::{Arc, Mutex};

use tokio_postgres::Row;

use crate::bind::{Bind, Buffers, Define};
use crate::connection::Service;
use crate::describe::Column;
use crate::error::{Failure, OracleError};
use crate::handles::{self, Handle, lock};
use crate::rewrite::{self, Part, Program, kind};
use crate::value::{Kind, Value};

/// A statement.
#[derive(Debug)]
pub struct Statement {
    /// Whose it is.
    pub service: Arc<Service>,
    /// As the client gave it.
    pub sql: Arc<String>,
    /// `SQL_ID`: a name for its text, of 13 characters.
    pub sql_id: String,
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
            sql_id: sql_id(&sql),
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
            let Some(place) = self.binds.get_mut(index) else { continue };
            let before = std::mem::replace(place, number);
            if !self.binds.contains(&before) {
                drop(handles::free(before));
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

    /// Makes it the cursor that a block opened.
    pub fn open(
        &mut self,
        described: &tokio_postgres::Statement,
        mut rows: Vec<Row>,
        offset_minutes: i16,
    ) {
        self.program = rewrite::program("SELECT");
        self.set_columns(described);
        rows.reverse();
        self.rows = rows;
        self.row_count = 0;
        self.offset_minutes = offset_minutes;
    }

    /// Takes a description; names that the driver may still point at are kept.
    pub fn set_columns(&mut self, statement: &tokio_postgres::Statement) {
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

    /// What the parameters of a part are bound as.
    ///
    /// # Errors
    /// ORA-01008: one is not bound.
    pub fn kinds(&self, part: &Part) -> Result<Vec<Kind>, Failure> {
        part.parameters.iter().map(|occurrence| Ok(self.bound(*occurrence)?.kind())).collect()
    }

    /// The values of a part's parameters.
    ///
    /// # Errors
    /// ORA-01008: one is not bound; or what cannot be read.
    pub fn values(&self, part: &Part, iteration: u32) -> Result<Vec<Value>, Failure> {
        part.parameters.iter().map(|occurrence| self.bound(*occurrence)?.value(iteration)).collect()
    }
}

/// Thirteen characters that differ between texts; Oracle's own differ from these.
fn sql_id(sql: &str) -> String {
    let hash = sql.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let digit =
        |place: u32| char::from_digit(u32::try_from(hash >> (place * 5) & 31).unwrap_or(0), 32);
    (0..13).rev().filter_map(digit).collect()
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
