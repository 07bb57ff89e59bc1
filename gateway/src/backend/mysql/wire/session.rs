//! A connection that is logged in: the bytes of one query after the other.

use std::sync::Arc;

use super::super::super::connection::Sink;
use super::super::super::fault::Failure;
use super::super::super::intake::Intake;
use super::bind::put_execute;
use super::column::{COLUMN_COUNT_MAX, Column};
use super::ending::{ended, refusal, result_ended};
use super::fields::Fields;
use super::packet::{Inbox, put};
use super::row::{cell, split};
use super::statements::{Description, Statements};
use super::{Unfit, login};
use crate::catalog::{Scalar, Template};

const COM_QUIT: u8 = 0x01;
const COM_PING: u8 = 0x0e;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_CLOSE: u8 = 0x19;

const OK: u8 = 0x00;
const END: u8 = 0xfe;
const REFUSED: u8 = 0xff;
const LOCAL_FILE: u8 = 0xfb;

/// An outbox that grew beyond this is freed.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// What a query needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// That [`Session::outbox`] is sent, and then as [`Step::Receive`].
    Send,
    /// More bytes, behind those of [`Session::inbox`].
    Receive,
    /// Nothing: its result is whole, and the connection is free.
    Done,
}

/// A session's state, apart from its socket.
#[derive(Debug)]
pub struct Session {
    inbox: Inbox,
    outbox: Vec<u8>,
    statements: Statements,
    /// Whether results end with one packet instead of two.
    ends_once: bool,
    server_number: u64,
}

/// A query under way.
#[derive(Debug)]
pub(in crate::backend) struct Query {
    sql: Arc<str>,
    template: Arc<Template>,
    state: State,
    slot: usize,
    intake: Intake,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing was sent.
    Begin,
    /// The statement is being prepared.
    Prepare,
    /// Packets that say nothing new, before it can run.
    Skip {
        left: usize,
    },
    /// It runs.
    Head,
    /// Its columns, and an end if `left` is 0.
    Columns {
        left: usize,
    },
    ColumnsEnd,
    Rows,
}

impl Query {
    /// - `template`: whose columns the rows have.
    pub(in crate::backend) fn new(sql: Arc<str>, template: Arc<Template>) -> Self {
        Self { sql, template, state: State::Begin, slot: 0, intake: Intake::default() }
    }
}

impl Session {
    pub(super) fn new(inbox: Inbox, server: login::Server, statement_count_max: usize) -> Self {
        Self {
            inbox,
            outbox: Vec::new(),
            statements: Statements::new(statement_count_max),
            ends_once: server.ends_once,
            server_number: server.number,
        }
    }

    /// The connection's number on the server.
    pub(in crate::backend) const fn server_number(&self) -> u64 {
        self.server_number
    }

    /// Gives away what is to be sent.
    pub fn outbox(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outbox)
    }

    /// Takes the buffer back that was sent.
    pub fn sent(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BYTES_MAX {
            buffer.clear();
            self.outbox = buffer;
        }
    }

    /// Gives away the buffer to receive into: behind its length, where there is room.
    pub fn inbox(&mut self) -> Vec<u8> {
        self.inbox.drain()
    }

    /// Takes the buffer back, with what was received.
    pub fn received(&mut self, buffer: Vec<u8>) {
        self.inbox.refill(buffer);
    }

    /// Whether nothing was received that nobody asked for: servers say good-bye that way.
    pub fn is_silent(&self) -> bool {
        self.inbox.rest().is_empty()
    }

    /// Begins to ask whether the server is there.
    pub fn ping(&mut self) {
        self.command(&[COM_PING]);
    }

    /// Whether it answered; `None`: not yet.
    ///
    /// # Errors
    ///
    /// When what it answered is something else.
    pub fn pinged(&mut self) -> Option<bool> {
        match self.inbox.next() {
            Ok(None) => None,
            Ok(Some([OK, ..])) => Some(true),
            _ => Some(false),
        }
    }

    /// The bytes that say good-bye.
    pub fn quit(&mut self) -> Vec<u8> {
        self.command(&[COM_QUIT]);
        self.outbox()
    }

    /// Puts a command without anything that could be too long.
    fn command(&mut self, payload: &[u8]) {
        self.inbox.expect(1);
        let [a, b, c, ..] = (payload.len() as u64).to_le_bytes();
        self.outbox.extend_from_slice(&[a, b, c, 0]);
        self.outbox.extend_from_slice(payload);
    }

    /// Leads a query on, with what has been received.
    ///
    /// # Errors
    ///
    /// [`Failure`], which also says what became of the connection.
    pub(in crate::backend) fn lead(
        &mut self,
        query: &mut Query,
        binds: &[Scalar<'_>],
        rows: &mut impl Sink,
    ) -> Result<Step, Failure> {
        loop {
            match query.state {
                State::Begin => return Ok(self.begin(query, binds)?),
                State::Prepare => {
                    let Some(left) = self.prepared(query, binds)? else { return Ok(Step::Receive) };
                    query.state = State::Skip { left };
                }
                State::Skip { left: 0 } => return Ok(self.execute(query, binds)?),
                State::Skip { left } => {
                    if self.inbox.next()?.is_none() {
                        return Ok(Step::Receive);
                    }
                    query.state = State::Skip { left: left - 1 };
                }
                State::Head => match self.head(query)? {
                    Step::Receive => return Ok(Step::Receive),
                    Step::Done => return settle(query),
                    Step::Send => {}
                },
                State::Columns { .. } | State::ColumnsEnd => {
                    if !self.columns(query)? {
                        return Ok(Step::Receive);
                    }
                }
                State::Rows => {
                    let step = self.rows(query, rows)?;
                    return if step == Step::Done { settle(query) } else { Ok(step) };
                }
            }
        }
    }

    fn begin(&mut self, query: &mut Query, binds: &[Scalar<'_>]) -> Result<Step, Unfit> {
        if let Some(slot) = self.statements.find(&query.sql) {
            query.slot = slot;
            return self.execute(query, binds);
        }
        self.inbox.expect(1);
        put::<Unfit>(&mut self.outbox, 0, |out| {
            out.push(COM_STMT_PREPARE);
            out.extend_from_slice(query.sql.as_bytes());
            Ok(())
        })?;
        query.state = State::Prepare;
        Ok(Step::Send)
    }

    /// Reads the answer to a preparation. Returns how many packets follow it; `None`: it is not there yet.
    fn prepared(
        &mut self,
        query: &mut Query,
        binds: &[Scalar<'_>],
    ) -> Result<Option<usize>, Failure> {
        let Some(packet) = self.inbox.next()? else { return Ok(None) };
        let mut fields = Fields::new(packet);
        let read = match fields.u8() {
            Some(REFUSED) => return Err(refusal(packet)),
            Some(OK) => fields.u32().zip(fields.u16()).zip(fields.u16()),
            _ => None,
        };
        let Some(((id, columns), params)) = read else {
            return Err(Unfit::OutOfStep("a preparation that is not understood").into());
        };
        if usize::from(params) != binds.len() {
            return Err(Unfit::NotHad("another number of binds than the statement has").into());
        }
        let (slot, closed) = self.statements.insert(Arc::clone(&query.sql), id);
        query.slot = slot;
        if let Some(closed) = closed {
            // Nothing answers to that.
            put::<Unfit>(&mut self.outbox, 0, |out| {
                out.push(COM_STMT_CLOSE);
                out.extend_from_slice(&closed.to_le_bytes());
                Ok(())
            })?;
        }
        let ends = |count: u16| usize::from(count > 0 && !self.ends_once);
        Ok(Some(usize::from(params) + ends(params) + usize::from(columns) + ends(columns)))
    }

    fn execute(&mut self, query: &mut Query, binds: &[Scalar<'_>]) -> Result<Step, Unfit> {
        let prepared = self.statements.get_mut(query.slot).ok_or(FORGOTTEN)?;
        self.inbox.expect(1);
        put(&mut self.outbox, 0, |out| put_execute(out, prepared.id, binds))?;
        query.state = State::Head;
        Ok(Step::Send)
    }

    /// Reads the first packet of a result, and passes over its columns where they are those of the last one.
    fn head(&mut self, query: &mut Query) -> Result<Step, Failure> {
        let Some(packet) = self.inbox.next()? else { return Ok(Step::Receive) };
        match packet.first() {
            Some(&REFUSED) => return Err(refusal(packet)),
            Some(&LOCAL_FILE) => return Err(Unfit::NotHad("a file is asked for").into()),
            Some(&OK) => {
                ended(packet)?;
                return Ok(Step::Done);
            }
            _ => {}
        }
        let count = Fields::new(packet).number().and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| (1..=COLUMN_COUNT_MAX).contains(count));
        let count = count.ok_or(Unfit::OutOfStep("a result without a number of columns"))?;
        let known = &mut self.statements.get_mut(query.slot).ok_or(FORGOTTEN)?.result;
        let is_known = known.is_kept && known.columns.len() == count;
        let packet_count = count + usize::from(!self.ends_once);
        // Numbers of packets wrap.
        let [steps, ..] = packet_count.to_le_bytes();
        if is_known && self.inbox.skip(&known.packets, steps) {
            query.state = State::Rows;
            return Ok(Step::Send);
        }
        known.clear();
        query.state = State::Columns { left: count };
        Ok(Step::Send)
    }

    /// Reads the columns of a result; false: more has to arrive.
    fn columns(&mut self, query: &mut Query) -> Result<bool, Unfit> {
        let known = &mut self.statements.get_mut(query.slot).ok_or(FORGOTTEN)?.result;
        while let State::Columns { left } = query.state {
            let before = self.inbox.position();
            let Some(packet) = self.inbox.next()? else { return Ok(false) };
            let column = Column::read(packet)?;
            known.columns.push(column);
            known.keep(self.inbox.since(before));
            query.state = match left {
                ..=1 if self.ends_once => State::Rows,
                ..=1 => State::ColumnsEnd,
                _ => State::Columns { left: left - 1 },
            };
        }
        if matches!(query.state, State::ColumnsEnd) {
            let before = self.inbox.position();
            match self.inbox.next()? {
                None => return Ok(false),
                Some([END, ..]) => {}
                Some(_) => return Err(Unfit::OutOfStep("columns without an end")),
            }
            known.keep(self.inbox.since(before));
            query.state = State::Rows;
        }
        Ok(true)
    }

    /// Gives the rows that are there to `rows`.
    fn rows(&mut self, query: &mut Query, rows: &mut impl Sink) -> Result<Step, Failure> {
        let known = &mut self.statements.get_mut(query.slot).ok_or(FORGOTTEN)?.result;
        while let Some(packet) = self.inbox.next()? {
            match packet.first() {
                Some(&REFUSED) => return Err(refusal(packet)),
                Some(&END) => {
                    result_ended(packet, self.ends_once)?;
                    return Ok(Step::Done);
                }
                _ => {}
            }
            split(packet, &known.columns, &mut known.spans)?;
            query.intake.row(|| {
                place(known, &query.template, rows)?;
                rows.push(|wanted| {
                    let index = *known.places.get(wanted).ok_or("no place for the column")?;
                    let column = known.columns.get(index).ok_or("no such column")?;
                    let span = known.spans.get(index).ok_or("no such value")?;
                    cell(packet, span, column.native)
                })
            })?;
        }
        Ok(Step::Receive)
    }
}

const FORGOTTEN: Unfit = Unfit::OutOfStep("a statement that is not prepared");

/// Finds the template's columns among those of the result, if they are not those of the last one.
fn place(
    known: &mut Description,
    template: &Arc<Template>,
    rows: &impl Sink,
) -> Result<(), super::super::super::BackendError> {
    if known.template.as_ref().is_some_and(|own| Arc::ptr_eq(own, template)) {
        return Ok(());
    }
    known.places = rows.positions(&known.columns.iter().map(|column| &*column.name))?;
    known.template = Some(Arc::clone(template));
    Ok(())
}

fn settle(query: &mut Query) -> Result<Step, Failure> {
    std::mem::take(&mut query.intake).settle()?;
    Ok(Step::Done)
}
