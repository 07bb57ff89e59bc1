//! Handles and descriptors: what the client holds are numbers, and this is the table of what they stand for.
//!
//! Invariant: a number is never given out twice, so a handle that was freed is refused, whatever the client does.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};

use crate::bind::{Bind, Define};
use crate::connection::{Server, Service};
use crate::datetime::DateTime;
use crate::describe::Column;
use crate::error::{Failure, OracleError};
use crate::execute::Statement;
use crate::lob::Lob;

/// First number, and the step between two: so that they look like pointers to whoever prints them.
const FIRST: usize = 0x1_0000;
const STEP: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(FIRST);
static TABLE: LazyLock<RwLock<HashMap<usize, Arc<Handle>>>> = LazyLock::new(RwLock::default);

/// What a handle stands for.
#[derive(Debug)]
pub enum Handle {
    /// `OCI_HTYPE_ENV`: ids of its two character sets.
    Environment(u16, u16),
    /// `OCI_HTYPE_ERROR`.
    Error(Mutex<ErrorState>),
    /// `OCI_HTYPE_SVCCTX`.
    Service(Arc<Service>),
    /// `OCI_HTYPE_SERVER`.
    Server(Arc<Server>),
    /// `OCI_HTYPE_SESSION` and `OCI_HTYPE_AUTHINFO`: one number in OCI.
    User(Mutex<User>),
    /// `OCI_HTYPE_STMT`.
    Statement(Mutex<Statement>),
    /// `OCI_HTYPE_BIND`: its statement owns what it says.
    Bind(Mutex<Bind>),
    /// `OCI_HTYPE_DEFINE`.
    Define(Mutex<Define>),
    /// `OCI_HTYPE_TRANS`: nothing to know about it.
    Transaction,
    /// `OCI_DTYPE_PARAM`: a column of a query.
    Column(Arc<Column>),
    /// `OCI_DTYPE_LOB`.
    Lob(Mutex<Lob>),
    /// `OCI_DTYPE_TIMESTAMP` and those with zones: the moment, and how many were allocated with the first.
    Moment(Mutex<DateTime>, usize),
    /// `OCI_DTYPE_ROWID`: as text.
    Rowid(Mutex<String>),
}

/// Who logs on, and what the session tells the DBA about itself.
#[derive(Debug, Default, Clone)]
pub struct User {
    /// As the client gave it.
    pub name: String,
    /// As the client gave it.
    pub password: String,
    /// `MODULE`, `ACTION`, `CLIENT_IDENTIFIER`, `CLIENT_INFO` and their likes, by the attribute's number.
    pub told: HashMap<u32, String>,
    /// The service context whose session this is.
    pub service: Option<Arc<Service>>,
}

/// The last error of an error handle, and the errors of the last batch.
#[derive(Debug, Default, Clone)]
pub struct ErrorState {
    /// What `OCIErrorGet` tells.
    pub error: Option<OracleError>,
    /// Row of the batch that this error belongs to.
    pub row: u32,
    /// Row and error, of an execution with batch errors.
    pub batch: Vec<(u32, OracleError)>,
}

/// Locks what no panic can have left half done.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enters handles of consecutive numbers; returns the first number.
pub fn enter(handles: Vec<Handle>) -> usize {
    let first = NEXT.fetch_add(STEP * handles.len().max(1), Ordering::Relaxed);
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    table.extend(
        handles
            .into_iter()
            .enumerate()
            .map(|(index, handle)| (nth(first, index), Arc::new(handle))),
    );
    first
}

/// The number of the n-th handle of those entered together.
pub const fn nth(first: usize, index: usize) -> usize {
    first + index * STEP
}

/// Finds a handle by what the client passed.
///
/// # Errors
/// [`Failure::InvalidHandle`]: no such handle, or it was freed.
pub fn find(handle: *const c_void) -> Result<Arc<Handle>, Failure> {
    find_number(handle as usize)
}

/// Finds a handle by its number.
///
/// # Errors
/// [`Failure::InvalidHandle`]: no such handle, or it was freed.
pub fn find_number(number: usize) -> Result<Arc<Handle>, Failure> {
    let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
    table.get(&number).cloned().ok_or(Failure::InvalidHandle)
}

/// Frees a handle.
///
/// # Errors
/// [`Failure::InvalidHandle`]: no such handle, or it was freed before.
pub fn free(number: usize) -> Result<Arc<Handle>, Failure> {
    let removed = TABLE.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
    removed.ok_or(Failure::InvalidHandle)
}

/// The service context that the client passed.
///
/// # Errors
/// [`Failure::InvalidHandle`]: it is none.
pub fn service(handle: *const c_void) -> Result<Arc<Service>, Failure> {
    match &*find(handle)? {
        Handle::Service(service) => Ok(Arc::clone(service)),
        _ => Err(Failure::InvalidHandle),
    }
}

/// The server handle that the client passed.
///
/// # Errors
/// [`Failure::InvalidHandle`]: it is none.
pub fn server(handle: *const c_void) -> Result<Arc<Server>, Failure> {
    match &*find(handle)? {
        Handle::Server(server) => Ok(Arc::clone(server)),
        _ => Err(Failure::InvalidHandle),
    }
}

/// Runs `with` on the statement that the client passed.
///
/// # Errors
/// [`Failure::InvalidHandle`]: it is none; or what `with` returns.
pub fn with_statement<T>(
    handle: *const c_void,
    with: impl FnOnce(&mut Statement) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match &*find(handle)? {
        Handle::Statement(statement) => with(&mut lock(statement)),
        _ => Err(Failure::InvalidHandle),
    }
}

/// Runs `with` on the LOB locator that the client passed.
///
/// # Errors
/// [`Failure::InvalidHandle`]: it is none; or what `with` returns.
pub fn with_lob<T>(
    number: usize,
    with: impl FnOnce(&mut Lob) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match &*find_number(number)? {
        Handle::Lob(lob) => with(&mut lock(lob)),
        _ => Err(Failure::InvalidHandle),
    }
}

/// The moment that a descriptor holds.
///
/// # Errors
/// [`Failure::InvalidHandle`]: it is no descriptor of a moment.
pub fn moment(number: usize) -> Result<DateTime, Failure> {
    match &*find_number(number)? {
        Handle::Moment(moment, _) => Ok(*lock(moment)),
        _ => Err(Failure::InvalidHandle),
    }
}

/// Puts a moment into its descriptor.
///
/// # Errors
/// [`Failure::InvalidHandle`]: it is no descriptor of a moment.
pub fn set_moment(number: usize, value: DateTime) -> Result<(), Failure> {
    match &*find_number(number)? {
        Handle::Moment(moment, _) => *lock(moment) = value,
        _ => return Err(Failure::InvalidHandle),
    }
    Ok(())
}

/// Changes what an error handle says; nothing happens when it is none.
pub fn with_error(handle: *const c_void, with: impl FnOnce(&mut ErrorState)) {
    if let Ok(found) = find(handle)
        && let Handle::Error(state) = &*found
    {
        with(&mut lock(state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handle_that_was_freed_is_refused() {
        let number = enter(vec![Handle::Transaction]);
        assert!(find_number(number).is_ok());
        assert!(free(number).is_ok());
        assert_eq!(find_number(number).unwrap_err(), Failure::InvalidHandle);
        assert_eq!(free(number).unwrap_err(), Failure::InvalidHandle);
        assert_eq!(find_number(0).unwrap_err(), Failure::InvalidHandle);
    }

    #[test]
    fn handles_entered_together_have_numbers_in_a_row() {
        let moments = |_| Handle::Moment(Mutex::default(), 3);
        let first = enter((0..3).map(moments).collect());
        let value = DateTime { year: 2026, month: 1, day: 2, ..DateTime::default() };
        set_moment(nth(first, 2), value).unwrap();
        assert_eq!(moment(nth(first, 2)).unwrap(), value);
        assert_eq!(moment(first).unwrap(), DateTime::default());
    }
}
