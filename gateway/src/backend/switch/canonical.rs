//! The one sequence of bytes that equal rows have, whichever database they are from.

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::pair::{Pair, PairColumn};
use super::rows::{Cell, Row};
use crate::catalog::Scalar;

/// Bytes kept of a digest.
const DIGEST_BYTES: usize = 16;

/// A row's digest: equal rows, equal digests.
pub(super) type RowDigest = [u8; DIGEST_BYTES];

/// The digest of a row.
///
/// - `columns`: those of the row's values.
pub(super) fn digest<'c>(columns: impl Iterator<Item = &'c PairColumn>, row: &Row) -> RowDigest {
    let mut bytes = Vec::with_capacity(256);
    for (column, cell) in columns.zip(row) {
        canonical(column, cell, &mut bytes);
    }
    short(&Sha256::digest(&bytes))
}

/// The digest of many rows: equal only when the same rows come in the same order.
pub(super) fn fold(digests: impl Iterator<Item = RowDigest>) -> RowDigest {
    let mut all = Sha256::new();
    for digest in digests {
        all.update(digest);
    }
    short(&all.finalize())
}

/// Which columns of two rows differ, by their places.
pub(super) fn differing(pair: &Pair, one: &Row, other: &Row) -> Vec<usize> {
    let text = |column: &PairColumn, cell: Option<&Cell>| {
        let mut bytes = Vec::new();
        if let Some(cell) = cell {
            canonical(column, cell, &mut bytes);
        }
        bytes
    };
    let columns = pair.columns.iter().enumerate();
    columns
        .filter(|(index, column)| text(column, one.get(*index)) != text(column, other.get(*index)))
        .map(|(index, _)| index)
        .collect()
}

/// Appends a value's canonical bytes: a tag, a length, a text.
pub(super) fn canonical(column: &PairColumn, cell: &Cell, out: &mut Vec<u8>) {
    let value = match cell {
        Ok(value) => value,
        // Of no form that both sides have: equal to nothing that has it.
        Err(fault) => return put(out, b'!', fault.as_bytes()),
    };
    match value {
        Scalar::Null => put(out, b'0', b""),
        Scalar::Str(text) if text.is_empty() && column.empty_is_null => put(out, b'0', b""),
        Scalar::Bytes(bytes) => put(out, b'b', bytes),
        Scalar::Json(text) => put(out, b't', sorted(text).as_bytes()),
        // Minus zero equals zero.
        Scalar::Float(value) => put(out, b't', ryu::Buffer::new().format(value + 0.0).as_bytes()),
        other => {
            let mut text = String::new();
            other.tag_text(&mut text);
            put(out, b't', text.as_bytes());
        }
    }
}

fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// JSON with its members in the order of their names: MySQL keeps it so, others as it was written.
pub(super) fn sorted(text: &str) -> String {
    match serde_json::from_str::<Json>(text) {
        Ok(mut value) => {
            value.sort_all_objects();
            value.to_string()
        }
        Err(_) => text.to_owned(),
    }
}

fn short(digest: &[u8]) -> RowDigest {
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Type;

    fn bytes(ty: Type, empty_is_null: bool, value: &Cell) -> Vec<u8> {
        let (name, padded, null_as_empty, local) = ("c".into(), false, false, None);
        let column = PairColumn { name, ty, padded, empty_is_null, null_as_empty, local };
        let mut out = Vec::new();
        canonical(&column, value, &mut out);
        out
    }

    #[test]
    fn empty_text_equals_null_only_where_one_side_is_an_oracle() {
        let text = || Type::Str { chars_max: None };
        let (empty, null) = (Ok(Scalar::Str("".into())), Ok(Scalar::Null));
        assert_eq!(bytes(text(), true, &empty), bytes(text(), true, &null));
        assert_ne!(bytes(text(), false, &empty), bytes(text(), false, &null));
    }

    #[test]
    fn json_equals_its_members_in_any_order_and_no_other() {
        let json = |text: &'static str| bytes(Type::Json, false, &Ok(Scalar::Json(text.into())));
        assert_eq!(
            json(r#"{"a": [1, {"y":2,"x":1}], "b":2}"#),
            json(r#"{"b":2,"a":[1,{"x":1,"y":2}]}"#)
        );
        assert_ne!(json(r#"{"a":[1,2]}"#), json(r#"{"a":[2,1]}"#));
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let text = |value: &'static str| Ok(Scalar::Str(value.into()));
        let columns: Vec<PairColumn> = ["a", "b"]
            .map(|name| PairColumn {
                name: name.into(),
                ty: Type::Str { chars_max: None },
                padded: false,
                empty_is_null: false,
                null_as_empty: false,
                local: None,
            })
            .into();
        let row = |one, other| vec![text(one), text(other)];
        let of = |row: Row| digest(columns.iter(), &row);
        assert_ne!(of(row("ab", "c")), of(row("a", "bc")));
        assert_eq!(of(row("ab", "c")), of(row("ab", "c")));
        // What could not be read equals nothing that could.
        let unread: Row = vec![Err("x".into()), text("c")];
        assert_ne!(of(unread), of(row("x", "c")));
    }
}
