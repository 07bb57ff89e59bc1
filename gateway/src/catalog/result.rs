//! A reply's second codec: JSON, written straight from the MessagePack.
//!
//! A reply is encoded once, as MessagePack, in the order of the declared columns. JSON is made of it
//! when somebody asks. The bytes say what almost every value is; the columns add the one thing
//! that they cannot: which integers JSON clients get as strings.

use gateway_protocol::msgpack::{Reader, Token};
use gateway_protocol::{DEPTH_MAX, PayloadError, json};

use super::{Column, Kind, Output, Returned, ReturnedValue, Template};

/// What a reply looks like, as far as its bytes do not say it.
#[derive(Clone, Copy, Debug)]
pub struct Form<'t> {
    /// A row, rows, a page of rows, or the outcome of a write.
    pub kind: Kind,
    /// The columns of the template that made it, in its order; members that are no column (an include)
    /// are written as they are.
    pub columns: &'t [Column],
    /// What a `tx` answers with.
    pub returns: &'t [Returned],
    /// What a `call` answers with, and an `exec` with a `RETURNING` besides.
    pub outputs: &'t [Output],
}

impl<'t> Form<'t> {
    /// The form of a template's replies.
    pub fn of(template: &'t Template) -> Self {
        let Template { kind, columns, outputs, write, .. } = template;
        Self { kind: *kind, columns, returns: &write.returns, outputs }
    }
}

/// Appends the JSON of a reply to `out`.
///
/// - `msgpack`: one whole reply; nil, "no row", becomes `null`.
///
/// Bytes become base64. Allocates only what `out` needs to grow.
///
/// # Errors
///
/// [`PayloadError`] when the bytes are not one MessagePack value; `out` is then as it was.
pub fn msgpack_to_json(
    form: Form<'_>,
    msgpack: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), PayloadError> {
    let start = out.len();
    out.reserve(msgpack.len() + msgpack.len() / 4);
    let mut writer = Transcoder { form, reader: Reader::new(msgpack), out };
    let written = match form.kind {
        Kind::One | Kind::Optional | Kind::Tx => writer.row(),
        Kind::Many => writer.rows(),
        Kind::Page => writer.page(),
        Kind::Exec | Kind::Call { .. } => writer.outcome(),
        Kind::Batch => writer.batch(),
    };
    let result = written.and_then(|()| writer.reader.finish());
    if result.is_err() {
        out.truncate(start);
    }
    result
}

struct Transcoder<'a> {
    form: Form<'a>,
    reader: Reader<'a>,
    out: &'a mut Vec<u8>,
}

impl Transcoder<'_> {
    /// A map, each of its members written by `member`, which knows its place and name; anything else as it is.
    fn members(
        &mut self,
        member: impl Fn(&mut Self, usize, &str) -> Result<(), PayloadError>,
    ) -> Result<(), PayloadError> {
        let count = match self.reader.token()? {
            Token::Map(count) => count as usize,
            other => return self.token(&other, DEPTH_MAX),
        };
        self.out.push(b'{');
        for index in 0..count {
            let name = self.reader.key()?;
            self.name(index, name);
            member(self, index, name)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// A map of columns.
    fn row(&mut self) -> Result<(), PayloadError> {
        self.members(|own, index, name| {
            if own.is_string(index, name) {
                own.string_or_value()
            } else {
                own.value(DEPTH_MAX - 1)
            }
        })
    }

    fn rows(&mut self) -> Result<(), PayloadError> {
        self.each(Self::row)
    }

    /// A list of what `item` writes; anything else as it is.
    fn each(
        &mut self,
        item: impl Fn(&mut Self) -> Result<(), PayloadError>,
    ) -> Result<(), PayloadError> {
        let count = match self.reader.token()? {
            Token::Array(count) => count,
            other => return self.token(&other, DEPTH_MAX),
        };
        self.out.push(b'[');
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            item(self)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn page(&mut self) -> Result<(), PayloadError> {
        self.members(|own, _, name| match name {
            "items" => own.rows(),
            _ => own.value(DEPTH_MAX - 1),
        })
    }

    /// What a write or a procedure answers: what it gives back in its declared form, and its `id`, of 63 bits, as
    /// a string, since JSON numbers lose digits.
    fn outcome(&mut self) -> Result<(), PayloadError> {
        let outputs = self.form.outputs;
        self.members(|own, _, name| match outputs.iter().find(|output| output.name() == name) {
            Some(Output::Rows { columns, .. }) => {
                let around = std::mem::replace(&mut own.form.columns, columns);
                let written = own.rows();
                own.form.columns = around;
                written
            }
            Some(Output::Value(column)) if column.json_string => own.string_or_value(),
            None if name == "id" => own.string_or_value(),
            _ => own.value(DEPTH_MAX - 1),
        })
    }

    /// What a batch answers: the sum, and an outcome a row.
    fn batch(&mut self) -> Result<(), PayloadError> {
        self.members(|own, _, name| match name {
            "rows" => own.each(Self::outcome),
            _ => own.value(DEPTH_MAX - 1),
        })
    }

    fn name(&mut self, index: usize, name: &str) {
        if index > 0 {
            self.out.push(b',');
        }
        json::write_str(self.out, name);
        self.out.push(b':');
    }

    /// Whether the member is a column whose integers are strings, or the request's id. Members stand in the
    /// columns' order, so the first look is nearly always right.
    fn is_string(&self, index: usize, name: &str) -> bool {
        let Form { columns, returns, .. } = self.form;
        let here = columns.get(index).filter(|column| *column.name == *name);
        match here.or_else(|| columns.iter().find(|column| *column.name == *name)) {
            Some(column) => column.json_string,
            None => returns.iter().any(|own| *own.name == *name && own.value == ReturnedValue::Id),
        }
    }

    fn string_or_value(&mut self) -> Result<(), PayloadError> {
        match self.reader.token()? {
            token @ (Token::Int(_) | Token::UInt(_)) => {
                self.out.push(b'"');
                self.token(&token, DEPTH_MAX - 1)?;
                self.out.push(b'"');
                Ok(())
            }
            other => self.token(&other, DEPTH_MAX - 1),
        }
    }

    fn value(&mut self, depth_left: usize) -> Result<(), PayloadError> {
        let token = self.reader.token()?;
        self.token(&token, depth_left)
    }

    fn token(&mut self, token: &Token<'_>, depth_left: usize) -> Result<(), PayloadError> {
        match *token {
            Token::Nil => json::write_null(self.out),
            Token::Bool(value) => json::write_bool(self.out, value),
            Token::Int(value) => json::write_int(self.out, value),
            Token::UInt(value) => json::write_uint(self.out, value),
            Token::Float(value) => json::write_f64(self.out, value),
            Token::Str(text) => json::write_str(self.out, text),
            Token::Bytes(bytes) => json::write_base64(self.out, bytes),
            Token::Array(count) => {
                let within = depth_left.checked_sub(1).ok_or(PayloadError::Depth)?;
                self.out.push(b'[');
                for index in 0..count {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.value(within)?;
                }
                self.out.push(b']');
            }
            Token::Map(count) => {
                let within = depth_left.checked_sub(1).ok_or(PayloadError::Depth)?;
                self.out.push(b'{');
                for index in 0..count as usize {
                    let name = self.reader.key()?;
                    self.name(index, name);
                    self.value(within)?;
                }
                self.out.push(b'}');
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gateway_protocol::{Value, msgpack};

    use super::*;
    use crate::catalog::{StepValue, Type};

    fn columns() -> Vec<Column> {
        let column = |name: &str, ty: Type, json_string: bool| Column {
            name: name.into(),
            ty,
            json_string,
            empty_as_null: false,
        };
        vec![
            column("player_id", Type::Bigint, true),
            column("level", Type::Int, false),
            column("avatar", Type::Bytes { bytes_max: None }, false),
        ]
    }

    fn row(id: Value<'static>) -> Value<'static> {
        let avatar = Value::Bytes(vec![1, 2, 3].into());
        Value::Map(vec![
            ("player_id".into(), id),
            ("level".into(), Value::Int(7)),
            ("avatar".into(), avatar),
        ])
    }

    fn form(kind: Kind, columns: &[Column]) -> Form<'_> {
        Form { kind, columns, returns: &[], outputs: &[] }
    }

    #[track_caller]
    fn check(kind: Kind, value: &Value<'_>, expected: &str) {
        let mut bytes = Vec::new();
        msgpack::write_value(&mut bytes, value);
        let mut out = b"kept:".to_vec();
        assert_eq!(msgpack_to_json(form(kind, &columns()), &bytes, &mut out), Ok(()));
        assert_eq!(String::from_utf8(out).unwrap(), format!("kept:{expected}"));
    }

    #[test]
    fn row_becomes_an_object_in_column_order_with_its_bigints_as_strings() {
        let expected = r#"{"player_id":"9007199254740993","level":7,"avatar":"AQID"}"#;
        check(Kind::One, &row(Value::Int(9_007_199_254_740_993)), expected);
        let largest = r#"{"player_id":"18446744073709551615","level":7,"avatar":"AQID"}"#;
        check(Kind::Optional, &row(Value::UInt(u64::MAX)), largest);
        let negative = r#"{"player_id":"-1","level":7,"avatar":"AQID"}"#;
        check(Kind::One, &row(Value::Int(-1)), negative);
        let null = r#"{"player_id":null,"level":7,"avatar":"AQID"}"#;
        check(Kind::One, &row(Value::Null), null);
    }

    #[test]
    fn no_row_is_null() {
        check(Kind::Optional, &Value::Null, "null");
        check(Kind::One, &Value::Null, "null");
    }

    #[test]
    fn rows_and_pages_hold_rows_of_the_same_form() {
        let one = r#"{"player_id":"1","level":7,"avatar":"AQID"}"#;
        let rows = Value::Array(vec![row(Value::Int(1)), row(Value::Int(1))]);
        check(Kind::Many, &rows, &format!("[{one},{one}]"));
        check(Kind::Many, &Value::Array(vec![]), "[]");
        let page =
            Value::Map(vec![("items".into(), rows), ("next".into(), Value::Str("c".into()))]);
        check(Kind::Page, &page, &format!(r#"{{"items":[{one},{one}],"next":"c"}}"#));
        check(
            Kind::Page,
            &Value::Map(vec![("items".into(), Value::Array(vec![]))]),
            r#"{"items":[]}"#,
        );
    }

    #[test]
    fn outcome_of_a_write_is_written_as_it_is_with_its_id_as_a_string() {
        let outcome = Value::Map(vec![
            ("affected".into(), Value::Int(1)),
            ("id".into(), Value::Int(9_007_199_254_740_993)),
        ]);
        check(Kind::Exec, &outcome, r#"{"affected":1,"id":"9007199254740993"}"#);
    }

    #[test]
    fn values_of_a_transaction_have_the_form_of_their_columns_and_its_id_is_a_string() {
        let outcome = Value::Map(vec![
            ("order_id".into(), 9_007_199_254_740_993_i64.into()),
            ("player_id".into(), 1.into()),
            ("level".into(), 7.into()),
            ("id".into(), 2.into()),
        ]);
        let mut bytes = Vec::new();
        msgpack::write_value(&mut bytes, &outcome);
        let returned = |name: &str, value| Returned { name: name.into(), value, column: None };
        let count = ReturnedValue::Step { step: 0, value: StepValue::Affected };
        let returns = [returned("order_id", ReturnedValue::Id), returned("id", count)];
        let columns = columns();
        let form = Form { kind: Kind::Tx, columns: &columns, returns: &returns, outputs: &[] };
        let mut out = Vec::new();
        assert_eq!(msgpack_to_json(form, &bytes, &mut out), Ok(()));
        let expected = r#"{"order_id":"9007199254740993","player_id":"1","level":7,"id":2}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        check(Kind::Tx, &Value::Map(Vec::new()), "{}");
    }

    #[test]
    fn outputs_of_a_procedure_have_their_declared_forms_in_rows_too() {
        let columns = columns();
        let rows = Output::Rows { name: "items".into(), columns: columns.clone().into() };
        let outputs = [Output::Value(columns[0].clone()), rows];
        let outcome = Value::Map(vec![
            ("player_id".into(), 7.into()),
            ("items".into(), Value::Array(vec![row(Value::Int(1)), row(Value::Null)])),
            ("id".into(), 5.into()),
        ]);
        let mut bytes = Vec::new();
        msgpack::write_value(&mut bytes, &outcome);
        let kind = Kind::Call { writes: true };
        let form = Form { kind, columns: &[], returns: &[], outputs: &outputs };
        let mut out = Vec::new();
        assert_eq!(msgpack_to_json(form, &bytes, &mut out), Ok(()));
        let one = |id| format!(r#"{{"player_id":{id},"level":7,"avatar":"AQID"}}"#);
        let items = format!("[{},{}]", one("\"1\""), one("null"));
        let expected = format!(r#"{{"player_id":"7","items":{items},"id":"5"}}"#);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn batch_is_written_with_an_outcome_a_row() {
        let done = Value::Map(vec![("affected".into(), 1.into()), ("id".into(), 5.into())]);
        let refused =
            Value::Map(vec![("code".into(), 2022.into()), ("message".into(), "duplicate".into())]);
        let outcome = Value::Map(vec![
            ("affected".into(), 1.into()),
            ("rows".into(), Value::Array(vec![done, refused])),
        ]);
        let rows = r#"[{"affected":1,"id":"5"},{"code":2022,"message":"duplicate"}]"#;
        check(Kind::Batch, &outcome, &format!(r#"{{"affected":1,"rows":{rows}}}"#));
    }

    #[test]
    fn members_out_of_order_or_beside_the_columns_keep_their_place() {
        let included = Value::Array(vec![Value::Map(vec![("player_id".into(), Value::Int(2))])]);
        let value = Value::Map(vec![
            ("level".into(), Value::Int(7)),
            ("player_id".into(), Value::Int(1)),
            ("items".into(), included),
        ]);
        check(Kind::One, &value, r#"{"level":7,"player_id":"1","items":[{"player_id":2}]}"#);
    }

    #[test]
    fn values_of_another_shape_than_the_kind_are_written_as_they_are() {
        for kind in [Kind::One, Kind::Many, Kind::Page, Kind::Exec, Kind::Tx, Kind::Batch] {
            check(kind, &Value::Bool(true), "true");
            check(kind, &Value::Str("\"".into()), r#""\"""#);
        }
        check(Kind::Many, &row(Value::Int(1)), r#"{"player_id":1,"level":7,"avatar":"AQID"}"#);
    }

    #[test]
    fn broken_bytes_are_an_error_and_leave_the_buffer_as_it_was() {
        let mut bytes = Vec::new();
        let rows = Value::Array(vec![row(Value::Int(1 << 40)), row(Value::Null)]);
        msgpack::write_value(&mut bytes, &rows);
        for kind in [Kind::One, Kind::Many, Kind::Page, Kind::Exec, Kind::Tx, Kind::Batch] {
            let mut out = b"kept".to_vec();
            for length in 0..bytes.len() {
                let written = msgpack_to_json(form(kind, &columns()), &bytes[..length], &mut out);
                assert_eq!(written, Err(PayloadError::Truncated), "{length}");
                assert_eq!(out, b"kept");
            }
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                out.truncate(4);
                if msgpack_to_json(form(kind, &columns()), &flipped, &mut out).is_ok() {
                    let json = out.split_off(4);
                    assert!(
                        serde_json::from_slice::<serde_json::Value>(&json).is_ok(),
                        "bit {bit}"
                    );
                }
                assert_eq!(out, b"kept");
            }
            let trailing = [bytes.clone(), vec![0xc0]].concat();
            let written = msgpack_to_json(form(kind, &columns()), &trailing, &mut out);
            assert_eq!(written, Err(PayloadError::Trailing { bytes: 1 }));
        }
    }

    #[test]
    fn depth_at_the_limit_is_written_and_one_more_is_refused() {
        let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        let mut out = Vec::new();
        assert_eq!(msgpack_to_json(form(Kind::Exec, &[]), &nested(DEPTH_MAX), &mut out), Ok(()));
        let refused = msgpack_to_json(form(Kind::Exec, &[]), &nested(DEPTH_MAX + 1), &mut out);
        assert_eq!(refused, Err(PayloadError::Depth));
    }
}
