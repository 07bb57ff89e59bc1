//! A refusal's body, the same on every transport: `{code, message, details?}`.
//!
//! `details` of a write that was refused: `row`, which row of its `rows(…)` parameter, from 0; `current`, what
//! stands in the database, in the form of the operation that read it.

use gateway_protocol::{Codec, json, msgpack};

use super::json_of;
use crate::backend::{Current, Details};
use crate::cache::{Body, Stored};
use crate::error::Error;

/// Appends the body of a refusal to `out`.
pub fn write_refusal(error: &Error, codec: Codec, out: &mut Vec<u8>) {
    let details = error.details().filter(|details| count(details) > 0);
    match codec {
        Codec::MsgPack => {
            msgpack::write_map_header(out, 2 + usize::from(details.is_some()));
            msgpack::write_str(out, "code");
            msgpack::write_uint(out, error.code().into());
            msgpack::write_str(out, "message");
            msgpack::write_str(out, &error.client_message());
            if let Some(details) = details {
                msgpack::write_str(out, "details");
                write_msgpack(details, out);
            }
        }
        Codec::Json => {
            out.extend_from_slice(b"{\"code\":");
            json::write_uint(out, error.code().into());
            out.extend_from_slice(b",\"message\":");
            json::write_str(out, &error.client_message());
            if let Some(details) = details {
                out.extend_from_slice(b",\"details\":");
                write_json(details, out);
            }
            out.push(b'}');
        }
    }
}

fn count(details: &Details) -> usize {
    usize::from(details.row.is_some()) + usize::from(current(details).is_some())
}

fn current(details: &Details) -> Option<(&Current, &Body)> {
    let current = details.current.as_ref()?;
    match &*current.stored {
        Stored::Present(body) => Some((current, body)),
        Stored::Absent => None,
    }
}

fn write_msgpack(details: &Details, out: &mut Vec<u8>) {
    msgpack::write_map_header(out, count(details));
    if let Some(row) = details.row {
        msgpack::write_str(out, "row");
        msgpack::write_uint(out, row as u64);
    }
    if let Some((_, body)) = current(details) {
        msgpack::write_str(out, "current");
        out.extend_from_slice(&body.msgpack);
    }
}

fn write_json(details: &Details, out: &mut Vec<u8>) {
    out.push(b'{');
    if let Some(row) = details.row {
        out.extend_from_slice(b"\"row\":");
        json::write_uint(out, row as u64);
    }
    if let Some((current, body)) = current(details) {
        if details.row.is_some() {
            out.push(b',');
        }
        out.extend_from_slice(b"\"current\":");
        match json_of(&current.operation, body) {
            Ok(json) => out.extend_from_slice(json),
            // The refusal stands, whatever became of its row.
            Err(_unfit) => json::write_null(out),
        }
    }
    out.push(b'}');
}
