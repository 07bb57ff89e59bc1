//! Tags: the names under which writes make reads stale.
//!
//! A template declares patterns (`player:{player_id}`); a request's values make them texts
//! (`player:1001`), and with the game in front a text is hashed to a [`Tag`]. Writer and reader may
//! declare a slot with different types: the text of a value is the same whatever its type.
//!
//! Invariant: a read whose tags cannot be told exactly is not kept; a write whose tags cannot be told
//! exactly makes everything stale.

use gateway_protocol::GameId;
use sha2::{Digest, Sha256};

use crate::bind::Bound;
use crate::catalog::{Scalar, TagPart, TagPattern};

/// Most tags of one operation; a list slot makes one tag an item.
pub const TAG_COUNT_MAX: usize = 256;

/// A tag: the first 128 bits of SHA-256 over game and text, the same on every instance and build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub [u8; 16]);

impl Tag {
    /// The tag that every entry of the namespace has: its generation is the namespace's epoch.
    pub const EVERYTHING: Self = Self([0xff; 16]);

    /// A tag of a game by its text: `player:1001`.
    pub fn new(game: &GameId, text: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(game.as_str().as_bytes());
        // No game's name has a slash, so no two pairs make one text.
        digest.update(b"/");
        digest.update(text.as_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        Self(*digest.first_chunk::<16>().unwrap_or(&[0; 16]))
    }

    /// Bits that choose a counter of this process.
    pub(crate) fn bits(self) -> u64 {
        u64::from_be_bytes(*self.0.first_chunk().unwrap_or(&[0; 8]))
    }
}

/// The tags of a read; `None`: they cannot be told exactly, and the result must not be kept.
///
/// That is so when a slot in a pattern is null or not given, a list is empty, or there would be more
/// than [`TAG_COUNT_MAX`].
pub fn read_tags(game: &GameId, patterns: &[TagPattern], bound: &Bound<'_>) -> Option<Box<[Tag]>> {
    expand(game, patterns, bound).ok()
}

/// The tags that a write makes stale; [`Tag::EVERYTHING`] where they cannot be told exactly.
pub fn write_tags(game: &GameId, patterns: &[TagPattern], bound: &Bound<'_>) -> Box<[Tag]> {
    expand(game, patterns, bound).unwrap_or_else(|Inexact| Box::new([Tag::EVERYTHING]))
}

/// The values do not tell the tags.
struct Inexact;

fn expand(
    game: &GameId,
    patterns: &[TagPattern],
    bound: &Bound<'_>,
) -> Result<Box<[Tag]>, Inexact> {
    let mut tags = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        for text in texts(pattern, bound)? {
            tags.push(Tag::new(game, &text));
        }
        if tags.len() > TAG_COUNT_MAX {
            return Err(Inexact);
        }
    }
    // Sorted, so that equal sets are equal lists on every instance.
    tags.sort_unstable();
    tags.dedup();
    Ok(tags.into_boxed_slice())
}

/// The texts of one pattern: one, or one an item where a slot is a list.
fn texts(pattern: &TagPattern, bound: &Bound<'_>) -> Result<Vec<String>, Inexact> {
    let mut texts = vec![String::new()];
    for part in &pattern.parts {
        match part {
            TagPart::Text(text) => texts.iter_mut().for_each(|tag| tag.push_str(text)),
            TagPart::Slot(index) => match bound.values.get(*index) {
                Some(Scalar::List(items)) => texts = product(&texts, &items.iter().map(Some))?,
                Some(value) => {
                    for tag in &mut texts {
                        put_text(tag, value)?;
                    }
                }
                None => return Err(Inexact),
            },
            TagPart::Field { slot, field } => {
                let Some(Scalar::List(rows)) = bound.values.get(*slot) else { return Err(Inexact) };
                let values = rows.iter().map(|row| match row {
                    Scalar::List(fields) => fields.get(*field),
                    _ => None,
                });
                texts = product(&texts, &values)?;
            }
        }
    }
    Ok(texts)
}

/// Each text with each value behind it.
fn product<'v>(
    texts: &[String],
    values: &(impl ExactSizeIterator<Item = Option<&'v Scalar<'v>>> + Clone),
) -> Result<Vec<String>, Inexact> {
    if values.len() == 0 {
        return Err(Inexact);
    }
    let mut product = Vec::with_capacity(texts.len() * values.len());
    for text in texts {
        for value in values.clone() {
            let mut tag = text.clone();
            put_text(&mut tag, value.ok_or(Inexact)?)?;
            product.push(tag);
        }
    }
    // Many rows of one player are one tag.
    product.sort_unstable();
    product.dedup();
    if product.len() > TAG_COUNT_MAX {
        return Err(Inexact);
    }
    Ok(product)
}

/// The canonical text of a value: equal values of different declared types read alike.
fn put_text(out: &mut String, value: &Scalar<'_>) -> Result<(), Inexact> {
    match value {
        Scalar::Null | Scalar::List(_) => return Err(Inexact),
        Scalar::Bool(truth) => out.push(if *truth { '1' } else { '0' }),
        Scalar::Int(number) => put_display(out, number),
        Scalar::Float(number) => put_display(out, number),
        Scalar::Date(days) => put_display(out, days),
        Scalar::Timestamp(micros) => put_display(out, micros),
        Scalar::Decimal(text) | Scalar::Str(text) | Scalar::Json(text) => out.push_str(text),
        Scalar::Bytes(bytes) => {
            for byte in bytes.iter() {
                put_display(out, &format_args!("{byte:02x}"));
            }
        }
    }
    Ok(())
}

fn put_display(out: &mut String, value: &impl std::fmt::Display) {
    out.push_str(&value.to_string());
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use smallvec::smallvec;

    use super::*;

    fn game() -> GameId {
        GameId::new("game1").unwrap()
    }

    fn pattern(parts: &[TagPart]) -> TagPattern {
        TagPattern { parts: parts.to_vec() }
    }

    fn player() -> TagPattern {
        pattern(&[TagPart::Text("player:".into()), TagPart::Slot(0)])
    }

    fn bound(value: Scalar<'static>) -> Bound<'static> {
        Bound { values: smallvec![value], given: 1 }
    }

    fn list(count: usize) -> Scalar<'static> {
        Scalar::List((0..count).map(|item| Scalar::Int(item.try_into().unwrap())).collect())
    }

    #[test]
    fn number_and_text_of_equal_writing_are_one_tag() {
        let of = |value| read_tags(&game(), &[player()], &bound(value)).unwrap();
        let expected = vec![Tag::new(&game(), "player:1001")].into_boxed_slice();
        assert_eq!(of(Scalar::Int(1001)), expected);
        assert_eq!(of(Scalar::Str(Cow::Borrowed("1001"))), expected);
    }

    #[test]
    fn games_do_not_share_tags() {
        let other = GameId::new("game2").unwrap();
        assert_ne!(Tag::new(&game(), "player:1"), Tag::new(&other, "player:1"));
    }

    #[test]
    fn list_makes_one_tag_an_item_up_to_the_limit_and_none_above() {
        let of = |count| read_tags(&game(), &[player()], &bound(list(count)));
        assert_eq!(of(3).unwrap().len(), 3);
        assert!(of(3).unwrap().contains(&Tag::new(&game(), "player:2")));
        assert_eq!(of(TAG_COUNT_MAX).unwrap().len(), TAG_COUNT_MAX);
        assert!(of(TAG_COUNT_MAX + 1).is_none());
        assert!(of(0).is_none());
    }

    #[test]
    fn field_makes_one_tag_for_each_value_that_the_rows_have() {
        let owner = TagPart::Field { slot: 0, field: 1 };
        let tags = [pattern(&[TagPart::Text("player:".into()), owner])];
        let row = |player: i64| Scalar::List(vec![Scalar::Int(7), Scalar::Int(player)]);
        let of = |players: &mut dyn Iterator<Item = i64>| {
            read_tags(&game(), &tags, &bound(Scalar::List(players.map(row).collect())))
        };
        let two = of(&mut (0..1000).map(|index| index % 2)).unwrap();
        assert_eq!(two.len(), 2);
        assert!(two.contains(&Tag::new(&game(), "player:1")));
        let limit = i64::try_from(TAG_COUNT_MAX).unwrap();
        assert!(of(&mut (0..limit)).is_some() && of(&mut (0..=limit)).is_none());
        assert!(of(&mut std::iter::empty()).is_none());
    }

    #[test]
    fn several_patterns_together_keep_the_limit() {
        let two = [player(), pattern(&[TagPart::Text("x:".into()), TagPart::Slot(0)])];
        let of = |count| read_tags(&game(), &two, &bound(list(count)));
        assert_eq!(of(TAG_COUNT_MAX / 2).unwrap().len(), TAG_COUNT_MAX);
        assert!(of(TAG_COUNT_MAX / 2 + 1).is_none());
    }

    #[test]
    fn inexact_tags_keep_no_read_and_make_everything_stale() {
        for value in [Scalar::Null, list(TAG_COUNT_MAX + 1), list(0)] {
            assert!(read_tags(&game(), &[player()], &bound(value.clone())).is_none());
            assert_eq!(*write_tags(&game(), &[player()], &bound(value)), [Tag::EVERYTHING]);
        }
    }

    #[test]
    fn tags_come_sorted_and_each_once() {
        let tags = write_tags(&game(), &[player(), player()], &bound(list(9)));
        assert_eq!(tags.len(), 9);
        assert!(tags.is_sorted());
    }

    /// Instances of different builds share Redis: this may never change.
    #[test]
    fn tag_is_the_same_on_every_build() {
        let digest = Sha256::digest(b"game1/player:1001");
        assert_eq!(Tag::new(&game(), "player:1001").0, digest[..16]);
    }
}
