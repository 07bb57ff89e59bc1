//! Attributes of handles: `OCIAttrGet` and `OCIAttrSet`.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::connection::{Server, Service};
use crate::describe::Column;
use crate::error::{Failure, OracleError, Outcome, Status};
use crate::execute::{self, Statement};
use crate::handles::{self, Handle, User, lock};
use crate::memory::Address;

/// Id of the character set AL32UTF8: the only one here.
pub const UTF8: u16 = 873;

/// `OCI_ATTR_*`. Some numbers mean different things on different handles.
mod attribute {
    pub(super) const DATA_SIZE: u32 = 1;
    pub(super) const DATA_TYPE: u32 = 2;
    pub(super) const NAME: u32 = 4;
    pub(super) const PRECISION: u32 = 5;
    pub(super) const SCALE: u32 = 6;
    pub(super) const SERVER: u32 = 6;
    pub(super) const IS_NULL: u32 = 7;
    pub(super) const SESSION: u32 = 7;
    pub(super) const ROW_COUNT: u32 = 9;
    pub(super) const SQL_FUNCTION: u32 = 10;
    pub(super) const PARAM_COUNT: u32 = 18;
    pub(super) const USER_NAME: u32 = 22;
    pub(super) const PASSWORD: u32 = 23;
    pub(super) const STATEMENT_TYPE: u32 = 24;
    pub(super) const CHARSET: u32 = 31;
    pub(super) const CHARSET_FORM: u32 = 32;
    pub(super) const ROWS_RETURNED: u32 = 42;
    pub(super) const NUM_DML_ERRORS: u32 = 73;
    pub(super) const DML_ROW_OFFSET: u32 = 74;
    pub(super) const PARSE_ERROR_OFFSET: u32 = 129;
    pub(super) const SERVER_STATUS: u32 = 143;
    pub(super) const STATEMENT: u32 = 144;
    pub(super) const STATEMENT_CACHE: u32 = 176;
    pub(super) const BIND_COUNT: u32 = 190;
    pub(super) const ROWS_FETCHED: u32 = 197;
    pub(super) const IS_RETURNING: u32 = 218;
    pub(super) const CURRENT_SCHEMA: u32 = 224;
    pub(super) const NCHARSET: u32 = 262;
    pub(super) const CHAR_SIZE: u32 = 286;
    pub(super) const DB_NAME: u32 = 391;
    pub(super) const INSTANCE_NAME: u32 = 392;
    pub(super) const SERVICE_NAME: u32 = 393;
    pub(super) const ROW_COUNT_8: u32 = 457;
    pub(super) const ROW_COUNTS: u32 = 469;
    pub(super) const MAX_OPEN_CURSORS: u32 = 471;
    pub(super) const IS_RECOVERABLE: u32 = 472;
    pub(super) const IN_TRANSACTION: u32 = 484;
    pub(super) const VARTYPE_MAXLEN: u32 = 489;
    pub(super) const IDENTIFIER_MAX: u32 = 500;
    pub(super) const CALL_TIMEOUT: u32 = 531;
    pub(super) const IS_JSON: u32 = 534;
}

/// Cursors that a session may have open, as a client asks for it.
const OPEN_CURSORS_MAX: u32 = 300;

/// Longest name, in bytes: PostgreSQL's.
const IDENTIFIER_BYTES_MAX: u8 = 63;

/// Reads an attribute into the client's memory.
///
/// # Errors
/// [`Failure::InvalidHandle`]; ORA-24315 for an attribute that the handle has not.
pub fn get(handle: *const c_void, number: u32, value: Address, size: Address) -> Outcome {
    match &*handles::find(handle)? {
        Handle::Environment(charset, ncharset) => match number {
            attribute::CHARSET => value.write(*charset),
            attribute::NCHARSET => value.write(*ncharset),
            other => return illegal("environment", other),
        },
        Handle::Error(state) => match number {
            attribute::DML_ROW_OFFSET => value.write(lock(state).row),
            attribute::IS_RECOVERABLE => value.write(0_u8),
            other => return illegal("error", other),
        },
        Handle::Service(service) => return get_of_service(service, number, value),
        Handle::Server(server) => return Ok(get_of_server(server, number, value, size)),
        Handle::User(user) => return Ok(get_of_user(&lock(user), number, value, size)),
        Handle::Statement(statement) => {
            return get_of_statement(&lock(statement), number, value, size);
        }
        Handle::Bind(bind) => match number {
            attribute::ROWS_RETURNED => value.write(lock(bind).rows_returned),
            other => return illegal("bind", other),
        },
        Handle::Column(column) => return get_of_column(column, number, value, size),
        Handle::Define(_)
        | Handle::Transaction
        | Handle::Lob(_)
        | Handle::Moment(..)
        | Handle::Rowid(_) => return illegal("handle", number),
    }
    Ok(Status::Success)
}

fn illegal(what: &str, number: u32) -> Outcome {
    Err(OracleError::new(24315, format_args!("illegal attribute type ({number} of {what})")).into())
}

/// Gives the client a text: where it is, and how long. The text has to live as long as its handle.
fn give_text(text: &str, value: Address, size: Address) {
    value.write(text.as_ptr() as usize);
    size.write(u32::try_from(text.len()).unwrap_or(0));
}

fn get_of_service(service: &Service, number: u32, value: Address) -> Outcome {
    match number {
        attribute::SERVER => value.write(*lock(&service.server)),
        attribute::SESSION => value.write(*lock(&service.user)),
        attribute::CALL_TIMEOUT => value.write(service.call_timeout.load(Ordering::Relaxed)),
        attribute::STATEMENT_CACHE => value.write(service.statement_cache.load(Ordering::Relaxed)),
        attribute::IDENTIFIER_MAX => value.write(IDENTIFIER_BYTES_MAX),
        // 1: VARCHAR2 of 4000 bytes at most.
        attribute::VARTYPE_MAXLEN => value.write(1_u8),
        other => return illegal("service context", other),
    }
    Ok(Status::Success)
}

fn get_of_server(server: &Server, number: u32, value: Address, size: Address) -> Status {
    match number {
        attribute::CHARSET | attribute::NCHARSET => value.write(UTF8),
        attribute::SERVER_STATUS => value.write(u32::from(!server.is_lost.load(Ordering::Relaxed))),
        attribute::DB_NAME | attribute::INSTANCE_NAME | attribute::SERVICE_NAME => {
            give_text("STANDIN", value, size);
        }
        _ => give_text("", value, size),
    }
    Status::Success
}

fn get_of_user(user: &User, number: u32, value: Address, size: Address) -> Status {
    match number {
        attribute::IN_TRANSACTION => {
            let open = user.service.as_ref().and_then(|service| service.in_transaction());
            // A session that cannot say so is rolled back to be sure.
            value.write(i32::from(open.unwrap_or(true)));
        }
        attribute::CURRENT_SCHEMA => give_text(&user.name, value, size),
        attribute::MAX_OPEN_CURSORS => value.write(OPEN_CURSORS_MAX),
        other => match user.told.get(&other) {
            Some(text) => give_text(text, value, size),
            None => return Status::NoData,
        },
    }
    Status::Success
}

fn get_of_statement(statement: &Statement, number: u32, value: Address, size: Address) -> Outcome {
    match number {
        attribute::STATEMENT_TYPE | attribute::SQL_FUNCTION => value.write(statement.program.kind),
        attribute::IS_RETURNING => value.write(u8::from(!statement.program.returning.is_empty())),
        attribute::PARAM_COUNT => value.write(u32::try_from(statement.columns.len()).unwrap_or(0)),
        attribute::ROW_COUNT => value.write(u32::try_from(statement.row_count).unwrap_or(u32::MAX)),
        attribute::ROW_COUNT_8 => value.write(statement.row_count),
        attribute::ROWS_FETCHED => value.write(statement.rows_fetched),
        attribute::NUM_DML_ERRORS => value.write(statement.batch_errors),
        attribute::PARSE_ERROR_OFFSET => value.write(0_u16),
        attribute::BIND_COUNT => value.write(u32::try_from(statement.binds.len()).unwrap_or(0)),
        attribute::STATEMENT => give_text(&statement.sql, value, size),
        attribute::ROW_COUNTS => {
            value.write(statement.row_counts.as_ptr() as usize);
            size.write(u32::try_from(statement.row_counts.len()).unwrap_or(0));
        }
        other => return illegal("statement", other),
    }
    Ok(Status::Success)
}

fn get_of_column(column: &Column, number: u32, value: Address, size: Address) -> Outcome {
    match number {
        attribute::NAME => give_text(&column.name, value, size),
        attribute::DATA_TYPE => value.write(column.data_type),
        attribute::DATA_SIZE => value.write(column.size),
        attribute::CHAR_SIZE => value.write(column.characters),
        attribute::PRECISION => value.write(column.precision),
        attribute::SCALE => value.write(column.scale),
        // Every column may be NULL here; 1 is SQLCS_IMPLICIT too, the database's own character set.
        attribute::IS_NULL | attribute::CHARSET_FORM => value.write(1_u8),
        attribute::CHARSET => value.write(UTF8),
        attribute::IS_JSON => value.write(0_u8),
        other => return illegal("column", other),
    }
    Ok(Status::Success)
}

/// Changes an attribute from the client's memory.
///
/// - `value`: the value itself for handles, else where it is.
///
/// # Errors
/// [`Failure::InvalidHandle`].
pub fn set(handle: *const c_void, number: u32, value: Address, size: u32) -> Outcome {
    match &*handles::find(handle)? {
        Handle::Service(service) => match number {
            attribute::SERVER => *lock(&service.server) = value.as_number(),
            attribute::SESSION => join(service, value.as_number())?,
            attribute::CALL_TIMEOUT => {
                service.call_timeout.store(value.read().unwrap_or(0), Ordering::Relaxed);
            }
            attribute::STATEMENT_CACHE => {
                service.statement_cache.store(value.read().unwrap_or(0), Ordering::Relaxed);
            }
            _ => {}
        },
        Handle::User(user) => {
            let text = value.bytes(usize::try_from(size).unwrap_or(0));
            let text = String::from_utf8_lossy(&text).into_owned();
            let mut user = lock(user);
            match number {
                attribute::USER_NAME => user.name = text,
                attribute::PASSWORD => user.password = text,
                other => drop(user.told.insert(other, text)),
            }
        }
        // Prefetching, buffer sizes and their likes change nothing here: all rows are here after execution.
        _ => {}
    }
    Ok(Status::Success)
}

/// Makes the user's session that of the service context.
fn join(service: &Arc<Service>, number: usize) -> Result<(), Failure> {
    *lock(&service.user) = number;
    match &*handles::find_number(number)? {
        Handle::User(user) => lock(user).service = Some(Arc::clone(service)),
        _ => return Err(Failure::InvalidHandle),
    }
    Ok(())
}

/// `OCIParamGet`: the n-th column of a query, or the n-th error of a batch.
///
/// # Errors
/// [`Failure::InvalidHandle`]; ORA-24334 for a column or an error that there is not.
pub fn parameter(handle: *const c_void, found: Address, position: u32) -> Outcome {
    let missing = || Failure::Oracle(OracleError::new(24334, "no descriptor for this position"));
    let index = usize::try_from(position).unwrap_or(usize::MAX);
    match &*handles::find(handle)? {
        Handle::Statement(statement) => {
            let statement: &Statement = &lock(statement);
            let column = index.checked_sub(1).and_then(|index| statement.columns.get(index));
            let column = Arc::clone(column.ok_or_else(missing)?);
            found.write(handles::enter(vec![Handle::Column(column)]));
        }
        Handle::Error(state) => {
            let (row, error) = lock(state).batch.get(index).cloned().ok_or_else(missing)?;
            // The client passes a handle of its own to be filled.
            let own = found.read::<usize>().unwrap_or(0);
            match &*handles::find_number(own)? {
                Handle::Error(own) => {
                    let mut own = lock(own);
                    own.error = Some(error);
                    own.row = row;
                }
                _ => return Err(Failure::InvalidHandle),
            }
        }
        _ => return Err(Failure::InvalidHandle),
    }
    Ok(Status::Success)
}

/// `OCIStmtGetBindInfo`: names of binds, from a position on; a name that occurred before is marked.
///
/// Returns how many there are in all, negative when there are more than asked for, and 0 when none is left.
///
/// # Errors
/// [`Failure::InvalidHandle`].
pub fn bind_names(
    handle: *const c_void,
    (size, start): (u32, u32),
    write: &mut dyn FnMut(usize, &str, bool, usize),
) -> Result<i32, Failure> {
    handles::with_statement(handle, |statement| {
        let names = &statement.program.binds;
        let start = usize::try_from(start.saturating_sub(1)).unwrap_or(0);
        let size = usize::try_from(size).unwrap_or(0);
        for (place, (index, name)) in names.iter().enumerate().skip(start).take(size).enumerate() {
            let is_repeated = names.iter().take(index).any(|earlier| earlier == name);
            write(place, name, is_repeated, statement.binds.get(index).copied().unwrap_or(0));
        }
        if start >= names.len() {
            return Ok(0);
        }
        let count = i32::try_from(names.len()).unwrap_or(i32::MAX);
        Ok(if names.len() > start + size { -count } else { count })
    })
}

/// Sets the functions of a dynamic bind.
///
/// # Errors
/// [`Failure::InvalidHandle`].
pub fn set_dynamic(
    handle: *const c_void,
    input: Option<(crate::memory::InCallback, Address)>,
    output: Option<(crate::memory::OutCallback, Address)>,
) -> Outcome {
    execute::with_bind(handle as usize, |bind| {
        bind.input = input;
        bind.output = output;
    })?;
    Ok(Status::Success)
}
