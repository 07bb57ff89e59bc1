//! This driver beside the other one, on a real server, and against servers that are none.

mod alike;
mod hostile;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::super::super::connection::Statement;
use super::super::super::encode::{Rows, Shape};
use super::super::super::fault::Failure;
use super::super::super::testing::template;
use super::{Opened, Query, Session, Step, open};
use crate::catalog::{Column, Dialect, Kind, Template, Type};
use crate::config::ConnectionConfig;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection with a thread that blocks.
struct Direct {
    socket: TcpStream,
    session: Session,
}

impl Direct {
    async fn open(config: &ConnectionConfig) -> Result<Self, sqlx::Error> {
        let Opened { socket, session } = open(config).await?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, session })
    }

    /// Runs a query to its end.
    fn fetch(
        &mut self,
        statement: &Statement<'_>,
        template: &Arc<Template>,
        rows: &mut Rows<'_>,
    ) -> Result<(), Failure> {
        let mut query = Query::new(Arc::clone(&statement.sql), Arc::clone(template));
        loop {
            match self.session.lead(&mut query, &statement.binds, rows)? {
                Step::Done => return Ok(()),
                Step::Send => {
                    let out = self.session.outbox();
                    self.socket.write_all(&out).map_err(sqlx::Error::Io)?;
                    self.session.sent(out);
                }
                Step::Receive => {}
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<(), Failure> {
        let mut buffer = self.session.inbox();
        let filled = buffer.len();
        buffer.resize(buffer.capacity(), 0);
        let read = self.socket.read(buffer.get_mut(filled..).unwrap_or_default());
        let read = read.map_err(sqlx::Error::Io)?;
        buffer.truncate(filled + read);
        self.session.received(buffer);
        if read == 0 {
            let cut = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(sqlx::Error::Io(cut).into());
        }
        Ok(())
    }
}

fn column(name: &str, ty: Type) -> Column {
    Column { name: name.into(), ty, json_string: false, empty_as_null: false }
}

/// A read of many rows with these columns.
fn read_of(columns: Vec<Column>) -> Arc<Template> {
    Arc::new(Template { columns, ..template(Dialect::Mysql, Kind::Many) })
}

fn shape(template: &Template, row_count_max: u32, bytes_max: u32) -> Shape<'_> {
    let (kind, columns) = (template.kind, &*template.columns);
    Shape { kind, columns, version_column: None, row_count_max, bytes_max, keyset: &[] }
}
