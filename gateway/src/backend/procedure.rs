//! Stored procedures: one call, what it gives back, and what that means.
//!
//! Whoever calls one that reads does so in a transaction that takes no writes, so that a procedure which changes data
//! after all is refused by the database, and not found out when the game is switched. One that writes is part of a
//! write's own transaction (`write/procedure.rs`).

use std::sync::OnceLock;
use std::time::Instant;

use gateway_protocol::msgpack;
use sha2::{Digest, Sha256};

use super::cell::{self, Cell};
use super::connection::{Connection, Purpose, Sink, Statement};
use super::encode::{Rows, Shape};
use super::fault::{self, Failure};
use super::pool::{Lease, Pool};
use super::run::{Limits, Outcome};
use super::statement::{RunValues, Supplied, write_statement};
use super::{BackendError, Details};
use crate::bind::{Bound, holds};
use crate::cache::{Body, Stored};
use crate::catalog::{BusinessError, Column, Kind, Output, Procedure, Scalar, Template};

/// MySQL's word on a write in a transaction that takes none.
const ER_READ_ONLY_TRANSACTION: i32 = 1792;

/// What a procedure gives back, as it comes in.
#[derive(Debug)]
pub(super) struct Answer<'t> {
    outputs: &'t [Output],
    /// For each bind of the statement: the output that it gives back.
    directions: Vec<Option<usize>>,
    row_count_max: u32,
    bytes_max: u32,
    /// The members of the reply, encoded; in the outputs' order.
    members: Vec<Option<Vec<u8>>>,
    /// The values among them, for guards.
    values: Vec<Scalar<'static>>,
}

impl<'t> Answer<'t> {
    /// Begins; `None` for a template that calls nothing.
    pub(super) fn new(template: &'t Template, bytes_max: u32) -> Option<Self> {
        let procedure = template.procedure.as_ref()?;
        Some(Self {
            outputs: &template.outputs,
            directions: procedure.directions().collect(),
            row_count_max: template.row_count_max,
            bytes_max,
            members: vec![None; template.outputs.len()],
            values: vec![Scalar::Null; template.outputs.len()],
        })
    }

    /// The binds that give something back: which bind, which output, and what that is.
    pub(super) fn returned(&self) -> impl Iterator<Item = (usize, usize, &'t Output)> {
        let directions = self.directions.iter().copied().enumerate();
        directions.filter_map(|(bind, output)| {
            let output = output?;
            Some((bind, output, self.outputs.get(output)?))
        })
    }

    /// The outputs that are rows, in declared order.
    #[cfg_attr(not(feature = "mysql"), expect(dead_code, reason = "MySQL's are result sets"))]
    pub(super) fn cursors(&self) -> Vec<usize> {
        let outputs = self.outputs.iter().enumerate();
        let cursors = outputs.filter(|(_, output)| matches!(output, Output::Rows { .. }));
        cursors.map(|(index, _)| index).collect()
    }

    /// Most rows of each list.
    #[cfg_attr(not(feature = "oracle"), expect(dead_code, reason = "Oracle's thread asks"))]
    pub(super) const fn row_count_max(&self) -> u32 {
        self.row_count_max
    }

    /// Most bytes of it.
    #[cfg_attr(not(feature = "oracle"), expect(dead_code, reason = "Oracle's thread asks"))]
    pub(super) const fn bytes_max(&self) -> u32 {
        self.bytes_max
    }

    /// Takes a value.
    ///
    /// # Errors
    ///
    /// [`BackendError::Column`] where it does not have its declared form.
    pub(super) fn value(
        &mut self,
        output: usize,
        read: Result<Cell<'_>, Box<str>>,
    ) -> Result<(), BackendError> {
        let Some(Output::Value(column)) = self.outputs.get(output) else { return Ok(()) };
        let faulty = |fault| BackendError::Column { column: column.name.clone(), fault };
        let cell = read.map_err(faulty)?;
        let mut member = Vec::with_capacity(16);
        cell::write(&mut member, &column.ty, column.empty_as_null, cell).map_err(faulty)?;
        let value = cell::scalar(&column.ty, cell).map_err(faulty)?;
        if let Some(place) = self.members.get_mut(output) {
            *place = Some(member);
        }
        if let Some(place) = self.values.get_mut(output) {
            *place = value;
        }
        Ok(())
    }

    /// What takes the rows of an output.
    pub(super) fn rows(&self, output: usize) -> Rows<'t> {
        let columns = match self.outputs.get(output) {
            Some(Output::Rows { columns, .. }) => columns,
            _ => &[][..],
        };
        Rows::new(Shape {
            kind: Kind::Many,
            columns,
            version_column: None,
            row_count_max: self.row_count_max,
            bytes_max: self.bytes_max,
            keyset: &[],
        })
    }

    /// Takes rows that are all there.
    pub(super) fn take_rows(&mut self, output: usize, rows: Rows<'t>) {
        if let Some(place) = self.members.get_mut(output) {
            *place = Some(rows.finish().body);
        }
    }

    /// The reply.
    ///
    /// - `id`: the request's `:_id`, where the call uses it.
    ///
    /// # Errors
    ///
    /// [`BackendError::Column`] for what did not come, [`BackendError::TooLarge`].
    pub(super) fn finish(&self, id: Option<i64>) -> Result<Vec<u8>, BackendError> {
        let mut body = Vec::with_capacity(64);
        msgpack::write_map_header(&mut body, self.outputs.len() + usize::from(id.is_some()));
        for (output, member) in self.outputs.iter().zip(&self.members) {
            let missing = || BackendError::Column {
                column: output.name().into(),
                fault: "the procedure did not give it".into(),
            };
            msgpack::write_str(&mut body, output.name());
            body.extend_from_slice(member.as_ref().ok_or_else(missing)?);
        }
        if let Some(id) = id {
            msgpack::write_str(&mut body, "id");
            msgpack::write_int(&mut body, id);
        }
        if body.len() > self.bytes_max as usize {
            let limit = format!("{} bytes", self.bytes_max).into();
            return Err(BackendError::TooLarge { limit });
        }
        Ok(body)
    }

    /// Holds the values against the procedure's guards.
    ///
    /// # Errors
    ///
    /// What the first one that does not hold answers. NULL holds nowhere.
    pub(super) fn check(&self, procedure: &Procedure) -> Result<(), BackendError> {
        for guard in &procedure.guards {
            let value = self.values.get(guard.output).unwrap_or(&Scalar::Null);
            let order = value.compare(&guard.literal);
            if !order.is_some_and(|order| holds(guard.comparison, order)) {
                return Err(business(&guard.error));
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Calls a procedure; what it gives goes to `answer`. SQLite has none.
    ///
    /// # Errors
    ///
    /// [`Failure`]; `answer` is of no use then.
    pub(super) async fn call(
        &mut self,
        statement: &Statement<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<(), Failure> {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(session) => Box::pin(session.call(statement, answer)).await,
            #[cfg(feature = "oracle")]
            Self::Oracle(session) => Box::pin(session.call(statement, answer)).await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => {
                let source = sqlx::Error::InvalidArgument("SQLite has no procedures".into());
                Err(Failure::Refused(BackendError::Query { source }))
            }
        }
    }

    /// Runs a write with a `RETURNING`, and gives the rows that it returns to `rows`.
    ///
    /// - `returned`: the binds that Oracle gives the values back by, each with its column, in the statement's order.
    ///
    /// # Errors
    ///
    /// [`Failure`]; `rows` is of no use then.
    pub(super) async fn fetch_returned(
        &mut self,
        statement: &Statement<'_>,
        returned: &[(usize, &Column)],
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        #[cfg(feature = "oracle")]
        if let Self::Oracle(session) = self {
            return Box::pin(session.fetch_returned(statement, returned, rows)).await;
        }
        let _ = returned;
        self.fetch(statement, rows).await
    }

    /// Begins a transaction that takes no writes.
    ///
    /// # Errors
    ///
    /// The driver's; there is no transaction then.
    pub(super) async fn begin_reading(&mut self) -> Result<(), sqlx::Error> {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(session) => session.begin_reading().await,
            #[cfg(feature = "oracle")]
            Self::Oracle(session) => Box::pin(session.begin_reading()).await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(session) => session.run_text("BEGIN").await,
        }
    }
}

/// What a failure means by the template's own words: `@on raised`.
pub(super) fn meaning(procedure: &Procedure, failure: Failure) -> Failure {
    let Failure::Refused(BackendError::Query { source }) = failure else { return failure };
    let number = fault::number(&source);
    let raised = procedure.raised.iter().find(|raised| number == Some(i32::from(raised.number)));
    Failure::Refused(match raised {
        Some(raised) => business(&raised.error),
        None => BackendError::Query { source },
    })
}

fn business(error: &BusinessError) -> BackendError {
    BackendError::Business { error: Box::new(error.clone()), details: Box::new(Details::default()) }
}

/// Runs a call that reads.
///
/// # Errors
///
/// As [`super::run`]; nothing was changed.
pub(super) async fn read(
    pool: &Pool,
    template: &Template,
    (bound, supplied): (&Bound<'_>, &Supplied<'_>),
    limits: &Limits<'_>,
    deadline: Instant,
) -> Result<Outcome, BackendError> {
    let values = RunValues { bound, supplied: *supplied, row: None, steps: &[] };
    let statement = write_statement(&template.plan, template.dialect, &values)?;
    let mut lease = pool.acquire(deadline).await?;
    let started = Instant::now();
    let patience = template.timeout.unwrap_or_else(|| pool.config().query_timeout);
    let limit = deadline.min(started + patience);
    let mut is_second = false;
    let body = loop {
        lease.serve(&Purpose::of(template, supplied.trace, limit));
        let asked = ask(lease, template, &statement, limits.result_bytes_max);
        match tokio::time::timeout_at(limit.into(), asked).await {
            Ok(Ok(body)) => break body,
            Ok(Err(Failure::Lost(_))) if !is_second && Instant::now() < limit => {
                is_second = true;
                lease = pool.acquire(limit).await?;
            }
            Ok(Err(Failure::Lost(source))) => return Err(pool.unreachable(Some(source))),
            Ok(Err(Failure::Refused(error) | Failure::Unread(error))) => {
                return Err(refused(error, limit == deadline));
            }
            Err(_late) if limit == deadline => return Err(BackendError::Deadline),
            Err(_late) => return Err(BackendError::TimedOut),
        }
    };
    let etag = etag(template, &body);
    let stored = Stored::Present(Body { msgpack: body.into(), json: OnceLock::new(), etag });
    Ok(Outcome { stored, row_count: 1, elapsed: started.elapsed() })
}

/// One transaction that takes no writes, ended in any case: a lease that is dropped within one is closed.
async fn ask(
    mut lease: Lease,
    template: &Template,
    statement: &Statement<'_>,
    bytes_max: u32,
) -> Result<Vec<u8>, Failure> {
    let (Some(procedure), Some(mut answer)) =
        (&template.procedure, Answer::new(template, bytes_max))
    else {
        return Err(Failure::Refused(BackendError::Supply("there is no procedure".into())));
    };
    lease.begin_reading().await?;
    let called = lease.call(statement, &mut answer).await;
    let checked = called.map_err(|failure| meaning(procedure, failure)).and_then(|()| {
        answer.check(procedure).map_err(Failure::Refused)?;
        answer.finish(None).map_err(Failure::Refused)
    });
    if !matches!(checked, Err(Failure::Lost(_) | Failure::Unread(_))) {
        lease.rollback().await?;
    }
    checked
}

/// A write where none was declared is the template's fault, and no word on the database.
fn refused(error: BackendError, is_deadline: bool) -> BackendError {
    match error {
        BackendError::TimedOut if is_deadline => BackendError::Deadline,
        BackendError::NotWritable { source }
            if fault::number(&source) == Some(ER_READ_ONLY_TRANSACTION) =>
        {
            BackendError::Query { source }
        }
        error => error,
    }
}

/// A hash of the body, where somebody revalidates it.
fn etag(template: &Template, bytes: &[u8]) -> Box<str> {
    if template.cache.is_none() && template.http_cache.is_none() {
        return "".into();
    }
    let hash = Sha256::digest(bytes);
    let half = hash.first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half));
    format!("{half:032x}").into()
}

/// Gives rows to what takes them, each by the places of the declared columns.
#[cfg(feature = "oracle")]
pub(super) fn push_all<'n, R>(
    rows: &mut Rows<'_>,
    names: &(impl Iterator<Item = &'n str> + Clone),
    all: &[R],
    read: impl for<'c> Fn(&'c R, usize) -> Result<Cell<'c>, Box<str>>,
) -> Result<(), BackendError> {
    let places = rows.positions(names)?;
    for row in all {
        rows.push(|column| {
            let place = *places.get(column).ok_or("no place for the column")?;
            read(row, place)
        })?;
    }
    Ok(())
}
