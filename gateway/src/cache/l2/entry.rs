//! Entries in Redis: how they are written, and how one round trip tells whether one is valid.
//!
//! An entry carries the generations of its tags from before its fetch (its [`Stamp`]). It is valid
//! while they are what Redis has now and no writer of a tag is in flight. So nothing has to be
//! refused when it is written: a fill that raced a write is dead on arrival, and so is one that was
//! late on its way.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError};

use super::{GENERATION_LIFE_MS, L2Error, LookUp, Names, random};
use crate::cache::{Body, KeyRef, Stored, Tag};

/// First byte of every entry; raised when the layout changes.
const LAYOUT: u8 = 1;
const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// The generations of an entry's tags, [`Tag::EVERYTHING`] first, from before its fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cache) struct Stamp {
    tags: Box<[Tag]>,
    generations: Box<[u64]>,
}

/// What one question says: entry and generations, writers in flight, the entry's life.
type Answer = (Vec<Option<Vec<u8>>>, u64, i64);

/// Asks for generations, writers and entry. A generation that is not there is made, in a second
/// round trip, so that what is fetched next has something to be stamped with.
///
/// The generations are read before the writers: a write that begins in between is seen as a writer,
/// one that ends in between has made the generations old.
pub(super) async fn look_up(
    connection: &mut MultiplexedConnection,
    names: &Names,
    key: KeyRef<'_>,
    tags: &[Tag],
) -> Result<LookUp, RedisError> {
    let entry = names.entry(key);
    let tags: Box<[Tag]> = std::iter::once(Tag::EVERYTHING)
        .chain(tags.iter().copied().filter(|tag| *tag != Tag::EVERYTHING))
        .collect();

    let mut question = Pipeline::new();
    ask(&mut question, names, &entry, &tags);
    let (values, writer_count, left_ms): Answer = question.query_async(connection).await?;
    if writer_count > 0 {
        return Ok(LookUp::Closed);
    }
    let mut values = values.into_iter();
    let value = values.next().flatten();
    let found: Vec<Option<u64>> = values.map(generation).collect();
    if let Some(generations) = complete(&found, &tags) {
        let left = u64::try_from(left_ms).ok().filter(|left_ms| *left_ms > 0);
        return Ok(match value.zip(left) {
            Some((value, left_ms)) => match decode(value.into(), &generations) {
                Some(stored) => LookUp::Hit { stored, left: Duration::from_millis(left_ms) },
                None => LookUp::Miss(Stamp { tags, generations }),
            },
            None => LookUp::Miss(Stamp { tags, generations }),
        });
    }

    let mut question = Pipeline::new();
    // Without random numbers nothing can be kept, and nothing is.
    let Ok(()) = make_missing(&mut question, names, &tags, &found) else {
        return Ok(LookUp::Closed);
    };
    ask(&mut question, names, &entry, &tags);
    let (values, writer_count, _): Answer = question.query_async(connection).await?;
    let found: Vec<Option<u64>> = values.into_iter().skip(1).map(generation).collect();
    Ok(match complete(&found, &tags) {
        Some(generations) if writer_count == 0 => LookUp::Miss(Stamp { tags, generations }),
        _ => LookUp::Closed,
    })
}

/// What writes an entry and lets its generations outlive it.
pub(super) fn fill(
    names: &Names,
    key: KeyRef<'_>,
    stored: &Stored,
    stamp: &Stamp,
    ttl_ms: u64,
) -> Pipeline {
    let mut pipeline = Pipeline::new();
    let value = encode(stored, &stamp.generations);
    pipeline.cmd("SET").arg(names.entry(key)).arg(value).arg("PX").arg(ttl_ms).ignore();
    let life_ms = GENERATION_LIFE_MS.max(ttl_ms.saturating_mul(2));
    for tag in &stamp.tags {
        pipeline.cmd("PEXPIRE").arg(names.generation(*tag)).arg(life_ms).ignore();
    }
    pipeline
}

fn ask(question: &mut Pipeline, names: &Names, entry: &str, tags: &[Tag]) {
    let command = question.cmd("MGET").arg(entry);
    for tag in tags {
        command.arg(names.generation(*tag));
    }
    let command = question.cmd("EXISTS");
    for tag in tags {
        command.arg(names.writers(*tag));
    }
    question.cmd("PTTL").arg(entry);
}

fn make_missing(
    question: &mut Pipeline,
    names: &Names,
    tags: &[Tag],
    found: &[Option<u64>],
) -> Result<(), L2Error> {
    for (tag, _) in tags.iter().zip(found).filter(|(_, generation)| generation.is_none()) {
        let generation = random()?.to_be_bytes();
        question
            .cmd("SET")
            .arg(names.generation(*tag))
            .arg(&generation)
            .arg("NX")
            .arg("PX")
            .arg(GENERATION_LIFE_MS)
            .ignore();
    }
    Ok(())
}

/// A generation as Redis has it; `None` also for what is none of ours.
fn generation(value: Option<Vec<u8>>) -> Option<u64> {
    Some(u64::from_be_bytes(value?.try_into().ok()?))
}

/// Every tag's generation, if every tag has one.
fn complete(found: &[Option<u64>], tags: &[Tag]) -> Option<Box<[u64]>> {
    let generations: Option<Box<[u64]>> = found.iter().copied().collect();
    generations.filter(|generations| generations.len() == tags.len())
}

/// Layout, kind, count of generations, generations; for a body then its etag with length, and it.
fn encode(stored: &Stored, generations: &[u64]) -> Vec<u8> {
    let body_bytes = match stored {
        Stored::Present(body) => body.msgpack.len() + body.etag.len() + 4,
        Stored::Absent => 0,
    };
    let mut out = Vec::with_capacity(4 + 8 * generations.len() + body_bytes);
    out.put_u8(LAYOUT);
    out.put_u8(if matches!(stored, Stored::Absent) { ABSENT } else { PRESENT });
    out.put_u16(u16::try_from(generations.len()).unwrap_or(0));
    for generation in generations {
        out.put_u64(*generation);
    }
    if let Stored::Present(body) = stored {
        // A length that does not fit is told as one that never decodes.
        out.put_u32(u32::try_from(body.etag.len()).unwrap_or(u32::MAX));
        out.put_slice(body.etag.as_bytes());
        out.put_slice(&body.msgpack);
    }
    out
}

/// Reads an entry; `None`: it is not valid under these generations, or no entry of this layout.
fn decode(mut value: Bytes, generations: &[u64]) -> Option<Stored> {
    if value.try_get_u8().ok()? != LAYOUT {
        return None;
    }
    let kind = value.try_get_u8().ok()?;
    if usize::from(value.try_get_u16().ok()?) != generations.len() {
        return None;
    }
    for generation in generations {
        if value.try_get_u64().ok()? != *generation {
            return None;
        }
    }
    match kind {
        ABSENT if value.is_empty() => Some(Stored::Absent),
        PRESENT => {
            let etag_bytes = value.try_get_u32().ok()? as usize;
            if etag_bytes > value.len() {
                return None;
            }
            let etag = value.split_to(etag_bytes);
            let etag = std::str::from_utf8(&etag).ok()?.into();
            Some(Stored::Present(Body { msgpack: value, json: OnceLock::new(), etag }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::{bytes_of, present};

    #[test]
    fn entry_comes_back_under_its_generations_and_under_no_others() {
        let value = Bytes::from(encode(&present(b"body"), &[1, 2]));
        let Some(Stored::Present(body)) = decode(value.clone(), &[1, 2]) else {
            panic!("a valid entry was refused");
        };
        assert_eq!((&*body.msgpack, &*body.etag), (&b"body"[..], "e"));
        for others in [&[1, 3][..], &[1], &[1, 2, 3], &[]] {
            assert!(decode(value.clone(), others).is_none());
        }
        let absent = Bytes::from(encode(&Stored::Absent, &[1]));
        assert!(matches!(decode(absent, &[1]), Some(Stored::Absent)));
    }

    /// Redis is shared with other builds and other programs.
    #[test]
    fn every_prefix_and_every_flipped_bit_is_a_value_or_refused() {
        let whole = encode(&present(b"body"), &[7]);
        for length in 0..whole.len() {
            if let Some(stored) = decode(Bytes::copy_from_slice(&whole[..length]), &[7]) {
                assert!(b"body".starts_with(&bytes_of(&stored)));
            }
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let in_header = bit / 8 < 12;
            assert!(!in_header || decode(flipped.into(), &[7]).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn generation_of_another_length_is_none() {
        assert_eq!(generation(Some(vec![0; 8])), Some(0));
        for broken in [None, Some(vec![0; 7]), Some(vec![0; 9]), Some(b"".to_vec())] {
            assert_eq!(generation(broken), None);
        }
    }
}
