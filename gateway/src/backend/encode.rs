//! Rows to one MessagePack body, straight from the driver's rows.
//!
//! Columns stand in declared order, whatever order the statement has. Limits hold while rows come in:
//! what does not fit is refused before it is copied.

use gateway_protocol::msgpack;

use super::BackendError;
use super::cell::{self, Cell};
use super::connection::Sink;
use crate::catalog::{Column, KeysetColumn, Kind, Scalar};

/// What a result may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'t> {
    /// What the reply looks like.
    pub kind: Kind,
    /// Declared columns, in the reply's order.
    pub columns: &'t [Column],
    /// Index of the row's version in `columns`.
    pub version_column: Option<usize>,
    /// Most rows; one more is refused, or, for a page, says that there is a next one.
    pub row_count_max: u32,
    /// Most bytes of the body.
    pub bytes_max: u32,
    /// A page's order.
    pub keyset: &'t [KeysetColumn],
}

/// A body in the making.
#[derive(Debug)]
pub(super) struct Rows<'t> {
    shape: Shape<'t>,
    body: Vec<u8>,
    array_at: Option<usize>,
    count: u32,
    has_next: bool,
    seek: Vec<Scalar<'static>>,
    version: Option<Scalar<'static>>,
}

/// A result, encoded.
#[derive(Debug)]
pub(super) struct Encoded {
    /// The body; of a page without its `next`, see [`Encoded::add_next`].
    pub body: Vec<u8>,
    /// Rows in it.
    pub row_count: u32,
    /// The first row's version.
    pub version: Option<Scalar<'static>>,
    /// Where the page after this one begins: the last row's keyset values. Empty: nowhere.
    pub seek: Vec<Scalar<'static>>,
}

impl<'t> Rows<'t> {
    /// Begins a body.
    pub(super) fn new(shape: Shape<'t>) -> Self {
        let mut rows = Self {
            shape,
            body: Vec::with_capacity(256),
            array_at: None,
            count: 0,
            has_next: false,
            seek: Vec::new(),
            version: None,
        };
        rows.restart();
        rows
    }

    /// Forgets every row, for a second attempt.
    pub(super) fn restart(&mut self) {
        self.body.clear();
        self.count = 0;
        self.has_next = false;
        self.seek.clear();
        self.version = None;
        if self.shape.kind == Kind::Page {
            msgpack::write_map_header(&mut self.body, 1);
            msgpack::write_str(&mut self.body, "items");
        }
        self.array_at =
            matches!(self.shape.kind, Kind::Many | Kind::Page).then(|| open_array(&mut self.body));
    }

    /// Ends the body.
    pub(super) fn finish(mut self) -> Encoded {
        if let Some(at) = self.array_at {
            close_array(&mut self.body, at, self.count as usize);
        }
        if !self.has_next {
            self.seek.clear();
        }
        Encoded { body: self.body, row_count: self.count, version: self.version, seek: self.seek }
    }

    fn check_room(&self, bytes: usize) -> Result<(), BackendError> {
        let limit = self.shape.bytes_max;
        if self.body.len() + bytes > limit as usize {
            return Err(BackendError::TooLarge { limit: format!("{limit} bytes").into() });
        }
        Ok(())
    }

    fn note_version<'r>(
        &mut self,
        read: &impl Fn(usize) -> Result<Cell<'r>, Box<str>>,
    ) -> Result<(), BackendError> {
        if let (Some(index), 1) = (self.shape.version_column, self.count) {
            self.version = Some(self.scalar(index, read)?);
        }
        Ok(())
    }

    /// Keeps the keyset of the row that is the last one if the page is full.
    fn note_seek<'r>(
        &mut self,
        read: &impl Fn(usize) -> Result<Cell<'r>, Box<str>>,
    ) -> Result<(), BackendError> {
        if self.shape.kind != Kind::Page || self.count < self.shape.row_count_max {
            return Ok(());
        }
        for key in self.shape.keyset {
            let value = self.scalar(key.column, read)?;
            self.seek.push(value);
        }
        Ok(())
    }

    fn scalar<'r>(
        &self,
        index: usize,
        read: &impl Fn(usize) -> Result<Cell<'r>, Box<str>>,
    ) -> Result<Scalar<'static>, BackendError> {
        let Some(column) = self.shape.columns.get(index) else { return Ok(Scalar::Null) };
        read(index)
            .and_then(|cell| cell::scalar(&column.ty, cell))
            .map_err(|fault| BackendError::Column { column: column.name.clone(), fault })
    }
}

impl Sink for Rows<'_> {
    fn positions<'n>(
        &self,
        names: &(impl Iterator<Item = &'n str> + Clone),
    ) -> Result<Vec<usize>, BackendError> {
        positions(self.shape.columns.iter().map(|column| &*column.name), names)
    }

    fn row_count_max(&self) -> u32 {
        self.shape.row_count_max
    }

    /// Appends a row. `read` gives the value of a declared column, by its index.
    ///
    /// # Errors
    ///
    /// [`BackendError::TooLarge`] for a row or byte too many, [`BackendError::Column`] for a value
    /// that does not have its declared form. The body is of no use then.
    fn push<'r>(
        &mut self,
        read: impl Fn(usize) -> Result<Cell<'r>, Box<str>>,
    ) -> Result<(), BackendError> {
        if self.count == self.shape.row_count_max {
            if self.shape.kind == Kind::Page {
                self.has_next = true;
                return Ok(());
            }
            return Err(BackendError::TooLarge {
                limit: format!("{} rows", self.shape.row_count_max).into(),
            });
        }
        msgpack::write_map_header(&mut self.body, self.shape.columns.len());
        for (index, column) in self.shape.columns.iter().enumerate() {
            let faulty = |fault| BackendError::Column { column: column.name.clone(), fault };
            let cell = read(index).map_err(faulty)?;
            self.check_room(column.name.len() + cell.bytes_max())?;
            msgpack::write_str(&mut self.body, &column.name);
            cell::write(&mut self.body, &column.ty, column.empty_as_null, cell).map_err(faulty)?;
        }
        self.count += 1;
        self.note_version(&read)?;
        self.note_seek(&read)
    }
}

impl Encoded {
    /// Adds a page's `next`.
    pub(super) fn add_next(&mut self, cursor: &str) {
        if let Some(header) = self.body.first_mut() {
            *header = 0x82;
        }
        msgpack::write_str(&mut self.body, "next");
        msgpack::write_str(&mut self.body, cursor);
    }
}

/// The body of a write: `{affected}`, with the `:_id` that it was given where its template uses one.
pub(super) fn outcome(affected: u64, id: Option<i64>) -> Vec<u8> {
    let mut body = Vec::with_capacity(32);
    msgpack::write_map_header(&mut body, if id.is_some() { 2 } else { 1 });
    msgpack::write_str(&mut body, "affected");
    msgpack::write_uint(&mut body, affected);
    // An id is 63 bits: never negative.
    if let Some(id) = id.and_then(|id| u64::try_from(id).ok()) {
        msgpack::write_str(&mut body, "id");
        msgpack::write_uint(&mut body, id);
    }
    body
}

/// Leaves room for a list's head, to be filled by [`close_array`] when its length is known. Returns
/// where it is.
fn open_array(out: &mut Vec<u8>) -> usize {
    msgpack::write_array_header(out, 0);
    out.len() - 1
}

/// Fills the head at `at`. More than 15 items move what follows it by two or four bytes, once.
fn close_array(out: &mut Vec<u8>, at: usize, count: usize) {
    let mut head = Vec::with_capacity(5);
    msgpack::write_array_header(&mut head, count);
    out.splice(at..=at, head);
}

/// For each wanted column, where a result has it, by name in any case.
///
/// # Errors
///
/// [`BackendError::Column`] for the first one that it does not have.
pub(super) fn positions<'w, 'n>(
    wanted: impl Iterator<Item = &'w str>,
    names: &(impl Iterator<Item = &'n str> + Clone),
) -> Result<Vec<usize>, BackendError> {
    let place = |column: &str| {
        names.clone().position(|name| name.eq_ignore_ascii_case(column)).ok_or_else(|| {
            BackendError::Column {
                column: column.into(),
                fault: "the result has no such column".into(),
            }
        })
    };
    wanted.map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Direction, Type};

    fn column(name: &str, ty: Type) -> Column {
        Column { name: name.into(), ty, json_string: false, empty_as_null: false }
    }

    fn shape(kind: Kind, columns: &[Column], row_count_max: u32) -> Shape<'_> {
        Shape {
            kind,
            columns,
            version_column: Some(0),
            row_count_max,
            bytes_max: 4096,
            keyset: &[],
        }
    }

    /// Pushes rows `1..=count` of one bigint column.
    fn push_all(rows: &mut Rows<'_>, count: i64) -> Result<(), BackendError> {
        (1..=count).try_for_each(|id| rows.push(|_| Ok(Cell::Int(id))))
    }

    #[test]
    fn one_row_is_a_map_and_keeps_its_version() {
        let columns = [column("id", Type::Bigint)];
        let mut rows = Rows::new(shape(Kind::One, &columns, 1));
        assert!(push_all(&mut rows, 1).is_ok());
        let encoded = rows.finish();
        assert_eq!(encoded.body, b"\x81\xa2id\x01");
        assert_eq!((encoded.row_count, encoded.version), (1, Some(Scalar::Int(1))));
    }

    #[test]
    fn list_head_is_patched_without_touching_the_items() {
        for (count, head) in [(0, &[0x90][..]), (15, &[0x9f]), (16, &[0xdc, 0, 16])] {
            let mut out = vec![0x81];
            let at = open_array(&mut out);
            out.resize(out.len() + count, 0xc3);
            close_array(&mut out, at, count);
            let expected = [&[0x81], head, &vec![0xc3; count][..]].concat();
            assert_eq!(out, expected, "{count}");
        }
    }

    #[test]
    fn rows_at_the_limit_pass_and_one_more_is_refused() {
        let columns = [column("id", Type::Bigint)];
        let mut rows = Rows::new(shape(Kind::Many, &columns, 2));
        assert!(push_all(&mut rows, 2).is_ok());
        assert!(matches!(push_all(&mut rows, 1), Err(BackendError::TooLarge { .. })));
        rows.restart();
        assert!(push_all(&mut rows, 2).is_ok());
        assert_eq!(rows.finish().body, b"\x92\x81\xa2id\x01\x81\xa2id\x02");
    }

    #[test]
    fn bytes_over_the_limit_are_refused_before_they_are_copied() {
        let columns = [column("name", Type::Str { chars_max: None })];
        let text = "a".repeat(8000);
        let mut rows = Rows::new(shape(Kind::Many, &columns, 2));
        let pushed = rows.push(|_| Ok(Cell::Text(&text)));
        assert!(matches!(pushed, Err(BackendError::TooLarge { .. })));
        assert!(rows.body.len() < 64);
    }

    #[test]
    fn full_page_names_its_last_row_only_when_another_follows() {
        let columns = [column("id", Type::Bigint)];
        let keyset = [KeysetColumn { sql: "id".into(), column: 0, direction: Direction::Asc }];
        let shape = Shape { keyset: &keyset, ..shape(Kind::Page, &columns, 2) };
        for (count, seek) in [(1, vec![]), (2, vec![]), (3, vec![Scalar::Int(2)])] {
            let mut rows = Rows::new(shape);
            assert!(push_all(&mut rows, count).is_ok());
            let encoded = rows.finish();
            assert_eq!(encoded.seek, seek, "{count}");
            assert_eq!(i64::from(encoded.row_count), count.min(2));
        }
        let mut rows = Rows::new(shape);
        assert!(push_all(&mut rows, 3).is_ok());
        let mut encoded = rows.finish();
        encoded.add_next("x");
        assert_eq!(encoded.body, b"\x82\xa5items\x92\x81\xa2id\x01\x81\xa2id\x02\xa4next\xa1x");
    }

    #[test]
    fn declared_columns_are_found_in_any_case_and_a_missing_one_is_named() {
        let wanted = || ["b", "a"].into_iter();
        assert_eq!(positions(wanted(), &["A", "x", "B"].into_iter()).ok(), Some(vec![2, 0]));
        let missing = positions(wanted(), &["A"].into_iter());
        assert!(matches!(missing, Err(BackendError::Column { column, .. }) if &*column == "b"));
    }
}
