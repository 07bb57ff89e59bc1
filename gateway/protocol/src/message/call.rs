//! CALL and BATCH: which operation, with which parameters.

use std::borrow::Cow;

use super::members::Members;
use crate::msgpack::{self, Entries, Reader};
use crate::{Codec, PayloadError, Value, json};

/// One operation to run.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The game; `None`: the HELLO's.
    pub game: Option<Cow<'a, str>>,
    /// The operation's name.
    pub op: Cow<'a, str>,
    /// Its parameters.
    pub params: Params<'a>,
}

/// The parameters of one call, names and values in the order they came. A name may stand twice.
///
/// After an item that is an error no other comes. MessagePack is read while it is iterated over, and
/// nothing is allocated for a scalar.
#[derive(Clone, Debug)]
pub struct Params<'a>(Source<'a>);

#[derive(Clone, Debug)]
enum Source<'a> {
    Packed(Entries<'a>),
    Decoded(std::vec::IntoIter<(Cow<'a, str>, Value<'a>)>),
}

impl Params<'_> {
    /// Parameters still to come.
    pub fn left(&self) -> usize {
        match &self.0 {
            Source::Packed(entries) => entries.left(),
            Source::Decoded(entries) => entries.len(),
        }
    }
}

impl<'a> From<Vec<(Cow<'a, str>, Value<'a>)>> for Params<'a> {
    fn from(entries: Vec<(Cow<'a, str>, Value<'a>)>) -> Self {
        Self(Source::Decoded(entries.into_iter()))
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Result<(Cow<'a, str>, Value<'a>), PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Packed(entries) => entries.next(),
            Source::Decoded(entries) => entries.next().map(Ok),
        }
    }
}

impl<'a> Call<'a> {
    /// Decodes a CALL's payload.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]; in MessagePack, what is wrong within the parameters is found by iterating.
    pub fn decode(codec: Codec, payload: &'a mut [u8]) -> Result<Self, PayloadError> {
        match codec {
            Codec::MsgPack => Self::from_msgpack(payload),
            Codec::Json => Self::from_value(json::decode(payload)?, true),
        }
    }

    /// Decodes a CALL's payload in MessagePack up to its parameters. Allocates nothing.
    ///
    /// # Errors
    ///
    /// As [`Call::decode`].
    pub fn from_msgpack(payload: &'a [u8]) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(payload);
        let game = match reader.array("CALL")? {
            2 => None,
            3 => Some(Cow::Borrowed(reader.str("the game")?)),
            _ => return Err(WRONG_LENGTH),
        };
        let op = Cow::Borrowed(reader.str("the operation")?);
        let params = Params(Source::Packed(Entries::last(&mut reader)?));
        Ok(Self { game, op, params })
    }

    fn from_value(value: Value<'a>, game_allowed: bool) -> Result<Self, PayloadError> {
        let wrong = if game_allowed { WRONG_LENGTH } else { WRONG_LENGTH_IN_BATCH };
        let items = list(value, "a call")?;
        let mut items = match items.len() {
            2 => items.into_iter(),
            3 if game_allowed => items.into_iter(),
            _ => return Err(wrong),
        };
        let game = if items.len() == 3 {
            items.next().map(|v| text(v, "the game")).transpose()?
        } else {
            None
        };
        let (Some(op), Some(params), None) = (items.next(), items.next(), items.next()) else {
            return Err(wrong);
        };
        let op = text(op, "the operation")?;
        let params = Members::open(params, "params")?.into_entries().into();
        Ok(Self { game, op, params })
    }
}

/// The calls of one BATCH, read one at a time.
///
/// After an item that is an error no other comes: the payload is broken from there on.
#[derive(Clone, Debug)]
pub struct Batch<'a>(Calls<'a>);

#[derive(Clone, Debug)]
enum Calls<'a> {
    Packed { reader: Reader<'a>, left: usize, closes: bool },
    Decoded(std::vec::IntoIter<Value<'a>>),
}

impl<'a> Batch<'a> {
    /// Opens a BATCH's payload.
    ///
    /// - `call_count_max`: the most calls it may announce.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]; what is wrong further on is found by iterating.
    pub fn decode(
        codec: Codec,
        payload: &'a mut [u8],
        call_count_max: usize,
    ) -> Result<Self, PayloadError> {
        let calls = match codec {
            Codec::MsgPack => {
                let mut reader = Reader::new(payload);
                let left = reader.array("BATCH")?;
                Calls::Packed { reader, left, closes: true }
            }
            Codec::Json => Calls::Decoded(list(json::decode(payload)?, "BATCH")?.into_iter()),
        };
        let batch = Self(calls);
        let (count, count_max) = (batch.left(), call_count_max);
        if count > count_max {
            return Err(PayloadError::BatchTooLong { count, count_max });
        }
        Ok(batch)
    }

    /// Calls still to come.
    pub fn left(&self) -> usize {
        match &self.0 {
            Calls::Packed { left, .. } => *left,
            Calls::Decoded(calls) => calls.len(),
        }
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = Result<Call<'a>, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let call = match &mut self.0 {
            Calls::Packed { reader, left: 0, closes } => {
                return if std::mem::take(closes) { reader.finish().err().map(Err) } else { None };
            }
            Calls::Packed { reader, left, .. } => {
                *left -= 1;
                packed_call(reader)
            }
            Calls::Decoded(calls) => Call::from_value(calls.next()?, false),
        };
        if call.is_err() {
            self.0 = Calls::Decoded(Vec::new().into_iter());
        }
        Some(call)
    }
}

/// Reads one `[operation, params]` and passes over its parameters.
fn packed_call<'a>(reader: &mut Reader<'a>) -> Result<Call<'a>, PayloadError> {
    if reader.array("a call")? != 2 {
        return Err(WRONG_LENGTH_IN_BATCH);
    }
    let op = Cow::Borrowed(reader.str("the operation")?);
    let from = reader.rest();
    reader.skip()?;
    let bytes = from.len() - reader.rest().len();
    let params = from.get(..bytes).ok_or(PayloadError::Truncated)?;
    let entries = Entries::last(&mut Reader::new(params))?;
    Ok(Call { game: None, op, params: Params(Source::Packed(entries)) })
}

const WRONG_LENGTH: PayloadError = PayloadError::Shape {
    place: "a call",
    expected: "[operation, params] or [game, operation, params]",
    got: "a list of another length",
};

const WRONG_LENGTH_IN_BATCH: PayloadError = PayloadError::Shape {
    place: "a call in a batch",
    expected: "[operation, params]",
    got: "a list of another length",
};

fn list<'a>(value: Value<'a>, place: &'static str) -> Result<Vec<Value<'a>>, PayloadError> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(PayloadError::Shape { place, expected: "a list", got: other.kind() }),
    }
}

fn text<'a>(value: Value<'a>, place: &'static str) -> Result<Cow<'a, str>, PayloadError> {
    match value {
        Value::Str(text) => Ok(text),
        other => Err(PayloadError::Shape { place, expected: "a string", got: other.kind() }),
    }
}

/// Appends a CALL's payload to `out`.
///
/// - `game`: `None`: the HELLO's.
/// - `params`: names and values.
pub fn write_call(
    out: &mut Vec<u8>,
    codec: Codec,
    game: Option<&str>,
    op: &str,
    params: &[(&str, Value<'_>)],
) {
    match codec {
        Codec::MsgPack => {
            msgpack::write_array_header(out, 2 + usize::from(game.is_some()));
            for name in game.into_iter().chain([op]) {
                msgpack::write_str(out, name);
            }
            msgpack::write_map_header(out, params.len());
            for (name, value) in params {
                msgpack::write_str(out, name);
                msgpack::write_value(out, value);
            }
        }
        Codec::Json => {
            out.push(b'[');
            for name in game.into_iter().chain([op]) {
                json::write_str(out, name);
                out.push(b',');
            }
            out.push(b'{');
            for (index, (name, value)) in params.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json::write_str(out, name);
                out.push(b':');
                json::write_value(out, value);
            }
            out.extend_from_slice(b"}]");
        }
    }
}

/// Appends a BATCH's payload to `out`: operations and their parameters.
pub fn write_batch(out: &mut Vec<u8>, codec: Codec, calls: &[(&str, &[(&str, Value<'_>)])]) {
    match codec {
        Codec::MsgPack => {
            msgpack::write_array_header(out, calls.len());
            for (op, params) in calls {
                write_call(out, codec, None, op, params);
            }
        }
        Codec::Json => {
            out.push(b'[');
            for (index, (op, params)) in calls.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_call(out, codec, None, op, params);
            }
            out.push(b']');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Codec; 2] = [Codec::MsgPack, Codec::Json];

    /// A call whose every part has been read.
    type Read = (Option<String>, String, Vec<(Cow<'static, str>, Value<'static>)>);

    fn whole(call: Call<'_>) -> Result<Read, PayloadError> {
        let (game, op) = (call.game.map(Cow::into_owned), call.op.into_owned());
        let owned = |(name, value): (Cow<'_, str>, Value<'_>)| {
            (Cow::Owned(name.into_owned()), value.into_owned())
        };
        let params = call.params.map(|entry| entry.map(owned)).collect::<Result<_, _>>()?;
        Ok((game, op, params))
    }

    fn read(codec: Codec, bytes: &[u8]) -> Result<Read, PayloadError> {
        whole(Call::decode(codec, &mut bytes.to_vec())?)
    }

    fn read_batch(codec: Codec, bytes: &[u8]) -> Result<Vec<Read>, PayloadError> {
        Batch::decode(codec, &mut bytes.to_vec(), 100)?.map(|call| whole(call?)).collect()
    }

    fn params() -> Vec<(&'static str, Value<'static>)> {
        let ids = Value::Array(vec![Value::Int(1), Value::Int(2)]);
        vec![("player_id", Value::Int(1001)), ("name", Value::Str("é".into())), ("ids", ids)]
    }

    fn owned() -> Vec<(Cow<'static, str>, Value<'static>)> {
        params().into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect()
    }

    fn written(codec: Codec, game: Option<&str>) -> Vec<u8> {
        let mut out = Vec::new();
        write_call(&mut out, codec, game, "player.get", &params());
        out
    }

    #[test]
    fn calls_read_back_in_both_codecs_with_and_without_a_game() {
        for codec in BOTH {
            for game in [None, Some("game1")] {
                let expected = (game.map(String::from), "player.get".to_owned(), owned());
                assert_eq!(read(codec, &written(codec, game)), Ok(expected));
            }
        }
    }

    #[test]
    fn parameters_given_twice_are_kept_twice() {
        for codec in BOTH {
            let mut out = Vec::new();
            let twice = [("a", Value::Int(1)), ("a", Value::Int(2))];
            write_call(&mut out, codec, None, "x", &twice);
            assert_eq!(read(codec, &out).unwrap().2.len(), 2);
        }
    }

    #[test]
    fn batches_read_back_in_both_codecs() {
        for codec in BOTH {
            let mut out = Vec::new();
            write_batch(&mut out, codec, &[("player.get", &params()), ("item.list", &[])]);
            let one = (None, "player.get".to_owned(), owned());
            let two = (None, "item.list".to_owned(), vec![]);
            assert_eq!(read_batch(codec, &out), Ok(vec![one, two]));
            out.clear();
            write_batch(&mut out, codec, &[]);
            assert_eq!(read_batch(codec, &out), Ok(vec![]));
        }
    }

    #[test]
    fn batch_at_the_limit_opens_and_one_call_more_is_refused() {
        for codec in BOTH {
            let mut out = Vec::new();
            write_batch(&mut out, codec, &[("a", &[]), ("b", &[]), ("c", &[])]);
            assert_eq!(Batch::decode(codec, &mut out.clone(), 3).unwrap().left(), 3);
            let refused = Batch::decode(codec, &mut out, 2).unwrap_err();
            assert_eq!(refused, PayloadError::BatchTooLong { count: 3, count_max: 2 });
        }
    }

    #[test]
    fn calls_of_another_shape_are_refused() {
        for json in
            ["{}", "[]", r#"["a"]"#, r#"["g","a",{},1]"#, r#"["a",[]]"#, r"[1,{}]", r#"[1,"a",{}]"#]
        {
            assert!(matches!(read(Codec::Json, json.as_bytes()), Err(PayloadError::Shape { .. })));
            let mut packed = Vec::new();
            msgpack::write_value(
                &mut packed,
                &json::decode(&mut json.as_bytes().to_vec()).unwrap(),
            );
            let result = read(Codec::MsgPack, &packed);
            assert!(matches!(result, Err(PayloadError::Shape { .. })), "{json}: {result:?}");
        }
        for json in [r#"[["g","a",{}]]"#, r#"[["a"]]"#, "[1]", r#"[["a",1]]"#, r#"["a",{}]"#] {
            assert!(matches!(
                read_batch(Codec::Json, json.as_bytes()),
                Err(PayloadError::Shape { .. })
            ));
            let mut packed = Vec::new();
            msgpack::write_value(
                &mut packed,
                &json::decode(&mut json.as_bytes().to_vec()).unwrap(),
            );
            let result = read_batch(Codec::MsgPack, &packed);
            assert!(matches!(result, Err(PayloadError::Shape { .. })), "{json}: {result:?}");
        }
    }

    #[test]
    fn bytes_after_a_call_or_a_batch_are_refused() {
        let call = [written(Codec::MsgPack, None), vec![0xc0]].concat();
        assert_eq!(read(Codec::MsgPack, &call), Err(PayloadError::Trailing { bytes: 1 }));
        assert_eq!(
            read_batch(Codec::MsgPack, &[0x90, 0xc0]),
            Err(PayloadError::Trailing { bytes: 1 })
        );
    }

    #[test]
    fn every_prefix_is_an_error_and_every_bit_flip_a_call_or_an_error() {
        for codec in BOTH {
            let call = written(codec, Some("game1"));
            let mut batch = Vec::new();
            write_batch(&mut batch, codec, &[("player.get", &params()), ("item.list", &[])]);
            for length in 0..call.len() {
                assert!(read(codec, &call[..length]).is_err(), "{codec:?} {length}");
            }
            for length in 0..batch.len() {
                assert!(read_batch(codec, &batch[..length]).is_err(), "{codec:?} {length}");
            }
            let (mut refused, mut accepted) = (0, 0);
            for bytes in [call, batch] {
                for bit in 0..bytes.len() * 8 {
                    let mut flipped = bytes.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    let reads =
                        read(codec, &flipped).is_ok() || read_batch(codec, &flipped).is_ok();
                    *(if reads { &mut accepted } else { &mut refused }) += 1;
                }
            }
            assert!(refused > 50 && accepted > 50, "{codec:?}: {refused} {accepted}");
        }
    }
}
