//! The thread of one connection: takes orders, one at a time, and blocks on the driver.
//!
//! It begins by connecting and ends when nobody can send it orders any more; what was not committed is rolled
//! back then. Every call into the client library has a time limit, so a thread always ends.
//!
//! Invariant: the connection is used by its thread alone, but for breaking off what runs on it.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use oracle::{Connection, Connector, Statement};
use tokio::sync::{mpsc, oneshot};

use super::bind::{Bind, joined};
use super::describe::describe;
use super::label::{Label, Told};
use super::mailbox::{Receiver, Sender, mailbox};
use super::procedure::{self, Call, Given, Out};
use super::text::session_setup;
use super::threads::Thread;
use super::value::Row;
use super::{Described, OracleFault};
use crate::catalog::Scalar;
use crate::config::{Secret, Zone};

/// Memory for a thread's stack; pages that are never touched cost nothing.
const STACK_BYTES: usize = 1 << 20;
/// Longest name of a thread.
const NAME_BYTES: usize = 15;
/// Most rows, and about most bytes, that leave the thread at once.
const ROWS_AT_ONCE: u32 = 256;
const BYTES_AT_ONCE: usize = 256 << 10;
/// Most rows that the driver keeps room for.
const FETCH_ROWS_MAX: u32 = 100;
/// Groups of rows on their way out.
const GROUPS_AHEAD: usize = 2;

/// Tells that a connection is there, or why not.
type Opening = oneshot::Receiver<Result<Weak<Connection>, OracleFault>>;
/// Where an answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, OracleFault>>;

/// What a connection is made with.
pub(super) struct Login {
    pub connect: Box<str>,
    pub username: Box<str>,
    pub password: Secret,
    pub zone: Zone,
    pub statement_count_max: u32,
    pub connect_timeout: Duration,
}

/// Something to do.
#[derive(Debug)]
pub(super) struct Order {
    pub label: Option<Label>,
    /// Longest time of one call into the client library.
    pub patience: Duration,
    pub task: Task,
}

/// SQL with its binds in order, once for each run.
#[derive(Debug)]
pub(super) struct Sql {
    pub text: Arc<str>,
    pub binds: Vec<Scalar<'static>>,
}

/// What there is to do.
#[derive(Debug)]
pub(super) enum Task {
    /// A round trip.
    Ping(Answer<()>),
    /// A statement without rows; `alone`: in a transaction of its own.
    Execute {
        sql: Sql,
        alone: bool,
        answer: Answer<u64>,
    },
    /// The same statement for each of several rows, each with an outcome of its own.
    ExecuteArray {
        sql: Sql,
        runs: usize,
        answer: Answer<Vec<Result<u64, OracleFault>>>,
    },
    /// A statement with rows, of which that many are expected at most.
    Fetch {
        sql: Sql,
        alone: bool,
        rows_max: u32,
        answer: Answer<Page>,
    },
    /// A procedure, and what each of its binds gave that gives something back.
    Call {
        call: Box<Call>,
        answer: Answer<Vec<Given>>,
    },
    /// A write with `RETURNING … INTO`, and the rows that it returned.
    Returning {
        sql: Sql,
        outs: Vec<Out>,
        answer: Answer<Vec<Row>>,
    },
    /// A text without binds.
    Run {
        text: Box<str>,
        alone: bool,
        answer: Answer<()>,
    },
    Commit(Answer<()>),
    Rollback(Answer<()>),
    /// The columns of a statement, which is not run.
    Describe {
        text: Box<str>,
        answer: Answer<Vec<Described>>,
    },
    Close(Answer<()>),
}

/// The first rows of a result.
#[derive(Debug)]
pub(super) struct Page {
    /// Of the statement's columns.
    pub names: Vec<Box<str>>,
    pub rows: Vec<Row>,
    /// The rows after these, if there are any.
    pub rest: Option<mpsc::Receiver<Result<Vec<Row>, OracleFault>>>,
}

/// Starts a thread, which connects. Returns where it takes orders, and where it says that it is connected.
///
/// - `name`: the connection's in the configuration.
pub(super) fn start(name: &str, login: Login) -> std::io::Result<(Sender<Order>, Opening)> {
    let (sender, orders) = mailbox();
    let (opened, opening) = oneshot::channel();
    let mut name = format!("ora-{name}");
    name.truncate(name.floor_char_boundary(NAME_BYTES));
    thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
        let thread = Thread::begin();
        match connect(&login) {
            Ok(connection) => {
                let connection = Arc::new(connection);
                thread.has(&Arc::downgrade(&connection));
                // Whoever wanted it may have left: then no order comes, and it ends.
                if opened.send(Ok(Arc::downgrade(&connection))).is_ok() {
                    serve((&connection, &thread), &login.zone, &orders);
                }
            }
            // Nobody waits for the refusal any more.
            Err(fault) => drop(opened.send(Err(fault))),
        }
    })?;
    Ok((sender, opening))
}

fn connect(login: &Login) -> Result<Connection, OracleFault> {
    let Login { connect, username, password, .. } = login;
    // The driver needs it to log in; it prints it nowhere.
    let mut connector = Connector::new(&**username, password.expose(), &**connect);
    connector.stmt_cache_size(login.statement_count_max);
    connector.driver_name(concat!("gateway : ", env!("CARGO_PKG_VERSION")));
    let connection = connector.connect()?;
    connection.set_call_timeout(Some(login.connect_timeout))?;
    connection.statement(&session_setup(&login.zone)).exclude_from_cache().build()?.execute(&[])?;
    connection.set_module("gateway")?;
    Ok(connection)
}

fn serve((connection, thread): (&Connection, &Thread), zone: &Zone, orders: &Receiver<Order>) {
    let (mut told, mut has_ruled) = (Told::default(), false);
    while let Some(order) = orders.take() {
        thread.is_busy(!matches!(order.task, Task::Ping(_) | Task::Close(_)));
        told.tell(connection, order.patience, order.label);
        // An answer that nobody waits for any more is dropped.
        match order.task {
            Task::Ping(answer) => drop(answer.send(connection.ping().map_err(Into::into))),
            Task::Execute { sql, alone, answer } => {
                let done = execute(connection, zone, &sql);
                let done = if alone { ended(connection, done, &answer) } else { done };
                drop(answer.send(done));
            }
            Task::ExecuteArray { sql, runs, answer } => {
                drop(answer.send(execute_array(connection, zone, &sql, runs)));
            }
            Task::Fetch { sql, alone, rows_max, answer } => {
                let statement = fetching(connection, zone, &sql, rows_max);
                fetch(connection, statement, alone, answer);
            }
            Task::Call { call, answer } => {
                let given = procedure::call(connection, zone, &call, &mut has_ruled);
                drop(answer.send(given));
            }
            Task::Returning { sql, outs, answer } => {
                drop(answer.send(procedure::returning(connection, zone, &sql, &outs)));
            }
            Task::Run { text, alone, answer } => {
                let done = run(connection, &text);
                let done = if alone { ended(connection, done, &answer) } else { done };
                drop(answer.send(done));
            }
            Task::Commit(answer) => drop(answer.send(connection.commit().map_err(Into::into))),
            Task::Rollback(answer) => drop(answer.send(connection.rollback().map_err(Into::into))),
            Task::Describe { text, answer } => drop(answer.send(describe(connection, &text))),
            Task::Close(answer) => {
                drop(answer.send(connection.close().map_err(Into::into)));
                return;
            }
        }
        thread.is_busy(false);
    }
}

/// Ends the transaction of a statement that stands alone. What nobody waits for any more is undone: whoever
/// asked was told that its outcome is not known.
fn ended<T>(
    connection: &Connection,
    done: Result<T, OracleFault>,
    answer: &Answer<T>,
) -> Result<T, OracleFault> {
    if done.is_ok() && !answer.is_closed() {
        connection.commit()?;
    } else {
        // What this cannot undo goes with the connection, whose loss the next call shows.
        let _undone_or_lost = connection.rollback();
    }
    done
}

fn execute(connection: &Connection, zone: &Zone, sql: &Sql) -> Result<u64, OracleFault> {
    let mut statement = connection.statement(&sql.text).build()?;
    bind(&mut statement, zone, &sql.binds)?;
    statement.execute(&[])?;
    Ok(statement.row_count()?)
}

fn bind(statement: &mut Statement, zone: &Zone, binds: &[Scalar<'_>]) -> Result<(), OracleFault> {
    for (index, value) in binds.iter().enumerate() {
        let bind = Bind::of(value, zone)?;
        bind.give(&bind.ty(), |value| statement.bind(index + 1, value))?;
    }
    Ok(())
}

/// One round trip for all rows. A row that is refused takes no other along.
fn execute_array(
    connection: &Connection,
    zone: &Zone,
    sql: &Sql,
    runs: usize,
) -> Result<Vec<Result<u64, OracleFault>>, OracleFault> {
    let mut batch =
        connection.batch(&sql.text, runs).with_batch_errors().with_row_counts().build()?;
    let width = batch.bind_count();
    if width * runs != sql.binds.len() {
        return Err(OracleFault::of_value("the rows do not fill the statement's binds"));
    }
    let binds: Vec<Bind<'_>> =
        sql.binds.iter().map(|value| Bind::of(value, zone)).collect::<Result<_, _>>()?;
    let mut types = Vec::with_capacity(width);
    for column in 0..width {
        let column_types = binds.iter().skip(column).step_by(width).map(Bind::ty);
        let Some(ty) = column_types.reduce(joined) else { continue };
        batch.set_type(column + 1, &ty)?;
        types.push(ty);
    }
    for row in binds.chunks(width.max(1)) {
        for (index, (bind, ty)) in row.iter().zip(&types).enumerate() {
            bind.give(ty, |value| batch.set(index + 1, value))?;
        }
        batch.append_row(&[])?;
    }
    let refused = match batch.execute() {
        Ok(()) => Vec::new(),
        Err(error) => match error.batch_errors() {
            Some(errors) => {
                errors.iter().map(|error| (error.offset(), OracleFault::of_row(error))).collect()
            }
            None => return Err(error.into()),
        },
    };
    let mut outcomes: Vec<Result<u64, OracleFault>> =
        batch.row_counts()?.into_iter().map(Ok).collect();
    outcomes.resize_with(runs, || Ok(0));
    for (row, fault) in refused {
        let place = usize::try_from(row).ok().and_then(|row| outcomes.get_mut(row));
        let Some(place) = place else { return Err(fault) };
        *place = Err(fault);
    }
    Ok(outcomes)
}

/// A statement that is ready to be run for its rows.
fn fetching(
    connection: &Connection,
    zone: &Zone,
    sql: &Sql,
    rows_max: u32,
) -> Result<Statement, OracleFault> {
    // More than a page asks for, so that the end comes with the first answer.
    let rows = rows_max.saturating_add(2).min(FETCH_ROWS_MAX);
    let mut builder = connection.statement(&sql.text);
    let mut statement = builder.fetch_array_size(rows).prefetch_rows(rows).build()?;
    bind(&mut statement, zone, &sql.binds)?;
    Ok(statement)
}

fn fetch(
    connection: &Connection,
    statement: Result<Statement, OracleFault>,
    alone: bool,
    answer: Answer<Page>,
) {
    let mut statement = match statement {
        Ok(statement) => statement,
        Err(fault) => return drop(answer.send(Err(fault))),
    };
    if !statement.is_query() {
        let none = Page { names: Vec::new(), rows: Vec::new(), rest: None };
        let done = statement.execute(&[]).map(|()| none).map_err(Into::into);
        let done = if alone { ended(connection, done, &answer) } else { done };
        return drop(answer.send(done));
    }
    let mut rows = match statement.query_as::<Row>(&[]) {
        Ok(rows) => rows,
        Err(error) => return drop(answer.send(Err(error.into()))),
    };
    let names = rows.column_info().iter().map(|column| column.name().into()).collect();
    let mut next = || group(&mut rows);
    let (first, mut more) = match next() {
        Ok(first) => first,
        Err(fault) => return drop(answer.send(Err(fault))),
    };
    if !more {
        return drop(answer.send(Ok(Page { names, rows: first, rest: None })));
    }
    let (sender, rest) = mpsc::channel(GROUPS_AHEAD);
    if answer.send(Ok(Page { names, rows: first, rest: Some(rest) })).is_err() {
        return;
    }
    while more {
        let group = next();
        more = group.as_ref().is_ok_and(|(_, more)| *more);
        // Whoever reads may have had enough.
        if sender.blocking_send(group.map(|(rows, _)| rows)).is_err() {
            return;
        }
    }
}

/// The next rows, and whether there may be more.
fn group(
    rows: &mut impl Iterator<Item = oracle::Result<Row>>,
) -> Result<(Vec<Row>, bool), OracleFault> {
    let (mut group, mut bytes) = (Vec::new(), 0);
    while group.len() < ROWS_AT_ONCE as usize && bytes < BYTES_AT_ONCE {
        let Some(row) = rows.next() else { return Ok((group, false)) };
        let row = row?;
        bytes += row.bytes();
        group.push(row);
    }
    Ok((group, true))
}

fn run(connection: &Connection, text: &str) -> Result<(), OracleFault> {
    connection.statement(text).exclude_from_cache().build()?.execute(&[])?;
    // A procedure that does not compile is there all the same, and of no use.
    connection.last_warning().map_or(Ok(()), |warning| Err(warning.into()))
}
