//! What a record holds: everything that its application needs when the request is long over.
//!
//! Invariant: decoding is total; any bytes are a value or `None`.

use smallvec::SmallVec;

use crate::auth::Claim;
use crate::bind::Bound;
use crate::catalog::Scalar;
use crate::identity::{Lane, RequestKey};

/// Version of a record's form.
const VERSION: u8 = 1;

/// Most ids, claims and values of a record that are read back.
const COUNT_MAX: usize = 65_536;

/// An order that asks to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Which request it is.
    pub key: RequestKey,
    /// Whose order it keeps.
    pub lane: Option<Lane>,
    /// What it asks for.
    pub payload: Payload,
}

/// What an order asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    /// The game.
    pub game: Box<str>,
    /// The operation.
    pub op: Box<str>,
    /// [`crate::catalog::Template::contract`] of the template that took it.
    pub contract: u64,
    /// That template's version.
    pub version: u64,
    /// Whether it goes before others.
    pub is_urgent: bool,
    /// `:_now`, in Unix microseconds: when it was asked for.
    pub now_micros: i64,
    /// `:_id` values, given out already: a repeat of the application uses the same.
    pub ids: SmallVec<[i64; 1]>,
    /// `:_caller`.
    pub caller: Box<str>,
    /// What `:_claim.x` takes.
    pub claims: Box<[(Box<str>, Claim)]>,
    /// The request's id.
    pub trace: Box<str>,
    /// The idempotency key's value as text, for people and status answers.
    pub key_text: Box<str>,
    /// The parameters.
    pub bound: Bound<'static>,
}

/// Which operation a record asks for, read without decoding the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked<'b> {
    pub(super) game: &'b str,
    pub(super) op: &'b str,
    pub(super) contract: u64,
}

impl<'b> Asked<'b> {
    /// No operation at all.
    pub(super) const NONE: Self = Self { game: "", op: "", contract: 0 };

    /// Reads the beginning of what [`Draft::encode`] wrote. `None`: it is something else.
    pub(super) fn read(bytes: &'b [u8]) -> Option<Self> {
        let mut input = bytes;
        let ([VERSION], _key) = (take::<1>(&mut input)?, take::<32>(&mut input)?) else {
            return None;
        };
        match take::<1>(&mut input)? {
            [0] => {}
            _ => drop(take::<8>(&mut input)?),
        }
        let (game, op) = (str_of(&mut input)?, str_of(&mut input)?);
        let _caller_trace_key = (str_of(&mut input)?, str_of(&mut input)?, str_of(&mut input)?);
        Some(Self { game, op, contract: u64::from_le_bytes(take(&mut input)?) })
    }
}

impl Payload {
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked { game: &self.game, op: &self.op, contract: self.contract }
    }
}

/// A record as it was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place in the order of all records.
    pub sequence: u64,
    /// Which request it is.
    pub key: RequestKey,
    /// Whose order it keeps.
    pub lane: Option<Lane>,
    /// What it asks for.
    pub payload: Payload,
}

impl Draft {
    /// As bytes, which stand in segments and dead letters.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(320);
        out.push(VERSION);
        out.extend_from_slice(&self.key.request);
        out.extend_from_slice(&self.key.params);
        match self.lane {
            None => out.push(0),
            Some(Lane(lane)) => {
                out.push(1);
                out.extend_from_slice(&lane.to_le_bytes());
            }
        }
        self.payload.encode(&mut out);
        out
    }

    /// Reads what [`Draft::encode`] wrote. `None`: it is something else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = bytes;
        let [VERSION] = take::<1>(&mut input)? else { return None };
        let key = RequestKey { request: take(&mut input)?, params: take(&mut input)? };
        let lane = match take::<1>(&mut input)? {
            [0] => None,
            [1] => Some(Lane(u64::from_le_bytes(take(&mut input)?))),
            _ => return None,
        };
        let payload = Payload::decode(&mut input)?;
        input.is_empty().then_some(Self { key, lane, payload })
    }
}

impl Payload {
    fn encode(&self, out: &mut Vec<u8>) {
        for text in [&self.game, &self.op, &self.caller, &self.trace, &self.key_text] {
            put_text(out, text);
        }
        out.extend_from_slice(&self.contract.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.push(self.is_urgent.into());
        out.extend_from_slice(&self.now_micros.to_le_bytes());
        put_count(out, self.ids.len());
        for id in &self.ids {
            out.extend_from_slice(&id.to_le_bytes());
        }
        put_count(out, self.claims.len());
        for (name, claim) in &self.claims {
            put_text(out, name);
            match claim {
                Claim::Str(text) => Scalar::Str((&**text).into()).encode(out),
                Claim::Int(value) => Scalar::Int(*value).encode(out),
                Claim::Bool(value) => Scalar::Bool(*value).encode(out),
            }
        }
        out.extend_from_slice(&self.bound.given.to_le_bytes());
        put_count(out, self.bound.values.len());
        for value in &self.bound.values {
            value.encode(out);
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let (game, op) = (text(input)?, text(input)?);
        let (caller, trace, key_text) = (text(input)?, text(input)?, text(input)?);
        let contract = u64::from_le_bytes(take(input)?);
        let version = u64::from_le_bytes(take(input)?);
        let is_urgent = match take::<1>(input)? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let now_micros = i64::from_le_bytes(take(input)?);
        let mut ids = SmallVec::new();
        for _ in 0..count(input)? {
            ids.push(i64::from_le_bytes(take(input)?));
        }
        let mut claims = Vec::new();
        for _ in 0..count(input)? {
            let name = text(input)?;
            let claim = match Scalar::decode(input)? {
                Scalar::Str(text) => Claim::Str(text.into()),
                Scalar::Int(value) => Claim::Int(value),
                Scalar::Bool(value) => Claim::Bool(value),
                _ => return None,
            };
            claims.push((name, claim));
        }
        let given = u64::from_le_bytes(take(input)?);
        let mut values = SmallVec::new();
        for _ in 0..count(input)? {
            values.push(Scalar::decode(input)?.into_owned());
        }
        let bound = Bound { values, given };
        let claims = claims.into();
        Some(Self {
            game,
            op,
            contract,
            version,
            is_urgent,
            now_micros,
            ids,
            caller,
            claims,
            trace,
            key_text,
            bound,
        })
    }
}

impl Record {
    /// Reads a record's bytes.
    pub(super) fn decode(sequence: u64, bytes: &[u8]) -> Option<Self> {
        let Draft { key, lane, payload } = Draft::decode(bytes)?;
        Some(Self { sequence, key, lane, payload })
    }

    /// The draft that it was.
    pub fn draft(&self) -> Draft {
        Draft { key: self.key, lane: self.lane, payload: self.payload.clone() }
    }
}

/// Records are bounded far below 4 GiB, so every length fits.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Takes `N` bytes from the start of `input`.
pub(super) fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*first)
}

/// A count of items that each have at least a byte.
fn count(input: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(u32::from_le_bytes(take(input)?)).ok()?;
    (count <= COUNT_MAX && count <= input.len()).then_some(count)
}

pub(super) fn text(input: &mut &[u8]) -> Option<Box<str>> {
    str_of(input).map(Box::from)
}

fn str_of<'b>(input: &mut &'b [u8]) -> Option<&'b str> {
    let length = usize::try_from(u32::from_le_bytes(take(input)?)).ok()?;
    let (first, rest) = input.split_at_checked(length)?;
    *input = rest;
    std::str::from_utf8(first).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::draft;
    use super::*;

    #[test]
    fn draft_comes_back_as_it_was() {
        let mut draft = draft("order-1", Some(7));
        draft.payload.claims =
            [("sub".into(), Claim::Int(7)), ("x".into(), Claim::Bool(true))].into();
        assert_eq!(Draft::decode(&draft.encode()), Some(draft));
    }

    #[test]
    fn operation_is_read_without_the_rest() {
        for lane in [None, Some(7)] {
            let draft = draft("order-1", lane);
            assert_eq!(Asked::read(&draft.encode()), Some(draft.payload.asked()));
        }
        assert_eq!(Asked::read(b"\x01"), None);
    }

    #[test]
    fn draft_cut_at_any_byte_is_none_and_with_any_bit_flipped_a_draft_or_none() {
        let written = draft("order-1", None).encode();
        for end in 0..written.len() {
            assert_eq!(Draft::decode(&written[..end]), None, "cut at {end}");
        }
        for bit in 0..written.len() * 8 {
            let mut flipped = written.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _draft_or_none = Draft::decode(&flipped);
        }
        let longer = [&written[..], &[0]].concat();
        assert_eq!(Draft::decode(&longer), None);
    }
}
