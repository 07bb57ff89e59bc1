//! What instances tell each other: tags that became stale.
//!
//! Version, who tells (8 bytes), tags (16 bytes each). [`Tag::EVERYTHING`] stands for the epoch.

use bytes::{Buf, BufMut};

use crate::cache::Tag;

/// First byte; raised when the layout changes.
const LAYOUT: u8 = 1;
const TAG_BYTES: usize = 16;
/// Most tags of one message.
pub(super) const MESSAGE_TAGS_MAX: usize = 256;

/// Encodes a message; of more than [`MESSAGE_TAGS_MAX`] tags it makes everything stale.
pub(super) fn encode(instance: u64, tags: &[Tag]) -> Vec<u8> {
    let everything = [Tag::EVERYTHING];
    let tags = if tags.len() > MESSAGE_TAGS_MAX { &everything } else { tags };
    let mut out = Vec::with_capacity(9 + TAG_BYTES * tags.len());
    out.put_u8(LAYOUT);
    out.put_u64(instance);
    for tag in tags {
        out.put_slice(&tag.0);
    }
    out
}

/// Reads a message: who tells, and the tags. `None`: it is none of ours.
pub(super) fn decode(mut message: &[u8]) -> Option<(u64, Vec<Tag>)> {
    if message.try_get_u8().ok()? != LAYOUT {
        return None;
    }
    let instance = message.try_get_u64().ok()?;
    let (tags, rest) = message.as_chunks::<TAG_BYTES>();
    if !rest.is_empty() || tags.is_empty() || tags.len() > MESSAGE_TAGS_MAX {
        return None;
    }
    Some((instance, tags.iter().map(|tag| Tag(*tag)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_comes_back_up_to_the_limit_and_is_everything_above() {
        let tags = vec![Tag([7; 16]); MESSAGE_TAGS_MAX];
        assert_eq!(decode(&encode(5, &tags)), Some((5, tags.clone())));
        let more = vec![Tag([7; 16]); MESSAGE_TAGS_MAX + 1];
        assert_eq!(decode(&encode(5, &more)), Some((5, vec![Tag::EVERYTHING])));
    }

    #[test]
    fn message_cut_at_every_byte_is_refused() {
        let whole = encode(5, &[Tag([1; 16]), Tag([2; 16])]);
        for length in 0..whole.len() {
            let is_one_tag = length == 9 + TAG_BYTES;
            assert_eq!(decode(&whole[..length]).is_some(), is_one_tag, "{length}");
        }
    }

    #[test]
    fn message_of_another_layout_or_too_long_is_refused() {
        let mut other = encode(5, &[Tag([1; 16])]);
        other[0] = 2;
        assert_eq!(decode(&other), None);
        let long = [&[LAYOUT][..], &[0; 8], &[1; TAG_BYTES * (MESSAGE_TAGS_MAX + 1)]].concat();
        assert_eq!(decode(&long), None);
    }
}
