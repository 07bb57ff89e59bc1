//! Dead letters of streams: listed, tried again and forgotten by an instance that owns nothing.

use super::*;
use crate::stream::{StreamBacklog, StreamLetter, Tried};

impl Bed {
    /// The keys of the orders that lie dead, and whether each would come behind later ones; in order of the keys.
    async fn letters(&self, instance: &Instance) -> Vec<(String, StreamLetter)> {
        let mut all = Vec::new();
        for stream in 0..3 {
            let letters = instance.streams.letters("game1", stream, 100).await.expect("readable");
            let key = |it: &StreamLetter| it.letter.draft.payload.key_text.to_string();
            all.extend(letters.into_iter().map(|letter| (key(&letter), letter)));
        }
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    async fn lane_count(&self) -> usize {
        self.redis.ask::<Vec<String>>(&["KEYS", "gwq:l:*"]).await.len()
    }
}

#[tokio::test]
async fn letter_says_why_and_is_tried_again_after_its_cause_is_mended() {
    let Some(bed) = Bed::new("st_letter").await else { return };
    let (mut one, other) = (bed.instance(""), bed.instance(""));
    one.apply();
    let order = ("a", 1, 5000);
    one.keep(order).await.expect("kept");
    bed.drained().await;
    let letters = bed.letters(&other).await;
    let (key, found) = &letters[0];
    let cause = &found.letter.cause;
    assert_eq!((&**key, cause.code, &*cause.message), ("a", 2103, "NO_GOLD"));
    assert!(!found.is_overtaken && letters.len() == 1);
    let counted = other.streams.backlog("game1").await.expect("counted");
    assert_eq!(counted[found.stream as usize], StreamBacklog { record_count: 0, dead_count: 1 });
    let sequence = found.letter.sequence;
    let again = other.streams.letter("game1", found.stream, sequence).await.expect("readable");
    assert_eq!(again.as_ref(), Some(found));
    assert_eq!(other.streams.letter("game1", found.stream, 999).await.expect("readable"), None);

    bed.run("UPDATE account SET gold = 9000 WHERE id = 1").await;
    let tried = other.streams.retry("game1", found, false).await.expect("done");
    assert!(matches!(tried, Tried::Again(number) if number > sequence), "{tried:?}");
    bed.applied(1).await;
    bed.drained().await;
    assert_eq!(other.streams.retry("game1", found, true).await.expect("asked"), Tried::Gone);
    assert!(bed.letters(&other).await.is_empty());
    assert_eq!(one.state(order).await, Some(StreamState::Applied));
    assert_eq!(bed.lane_count().await, 0, "its lane is forgotten");
    one.end().await;
}

#[tokio::test]
async fn letter_behind_later_orders_of_its_lane_is_tried_again_only_when_forced() {
    let Some(bed) = Bed::new("st_letter_lane").await else { return };
    let mut one = bed.instance("");
    one.apply();
    for order in [("a", 1, 5000), ("b", 1, 1), ("c", 2, 5000)] {
        one.keep(order).await.expect("kept");
    }
    bed.applied(1).await;
    bed.drained().await;
    let letters = bed.letters(&one).await;
    let overtaken: Vec<_> = letters.iter().map(|(key, it)| (&**key, it.is_overtaken)).collect();
    assert_eq!(overtaken, [("a", true), ("c", false)], "another lane's orders do not count");
    let letter = &letters[0].1;
    assert_eq!(one.streams.retry("game1", letter, false).await.expect("asked"), Tried::Overtaken);
    assert_eq!(bed.letters(&one).await.len(), 2);
    bed.run("UPDATE account SET gold = 9000 WHERE id = 1").await;
    let tried = one.streams.retry("game1", letter, true).await.expect("done");
    assert!(matches!(tried, Tried::Again(_)), "{tried:?}");
    bed.applied(2).await;
    bed.drained().await;
    // The other one waits for nobody, although its lane is remembered.
    one.streams.lane_settled(one.lane(2)).await;
    assert_eq!(bed.lane_count().await, 1);
    one.end().await;
}

#[tokio::test]
async fn forgotten_letter_leaves_its_key_free_and_nothing_in_redis() {
    let Some(bed) = Bed::new("st_letter_drop").await else { return };
    let mut one = bed.instance("");
    one.apply();
    one.keep(("a", 1, 5000)).await.expect("kept");
    bed.drained().await;
    assert!(one.keep(("a", 1, 5000)).await.expect("known").repeated);
    let letter = bed.letters(&one).await.remove(0).1;
    assert!(one.streams.forget("game1", &letter).await.expect("done"));
    assert!(!one.streams.forget("game1", &letter).await.expect("asked"), "it is gone");
    assert_eq!(one.state(("a", 1, 5000)).await, None);
    assert_eq!(bed.lane_count().await, 0);
    // With other parameters it is a new order.
    assert!(!one.keep(("a", 1, 1)).await.expect("kept").repeated);
    bed.applied(1).await;
    one.end().await;
}
