//! Frames that arrive together say the same as each of them alone.

use std::collections::BTreeMap;

use gateway_tests::{
    ADMIN_KEY, BATCH, CALL, Codec, Credential, Frame, PING, Random, Setup, Wire, frame,
};
use serde_json::{Value, json};

/// A reply without its id.
type Told = (u8, u8, u8, u16, Value);

fn told(reply: &Frame) -> Told {
    let value = if reply.payload.is_empty() { Value::Null } else { reply.value() };
    (reply.kind, reply.codec, reply.flags, reply.number, value)
}

/// A CALL in a codec and with flags.
fn call(codec: Codec, flags: u8, value: &Value) -> Frame {
    Frame { codec: codec.number(), flags, ..frame(CALL, 1, codec.encode(value)) }
}

/// Frames of every sort, most of them calls that the cache answers.
fn frames() -> Vec<Frame> {
    let hit = |player_id: i64| json!(["player.get", { "player_id": player_id }]);
    let plain = |value: &Value| call(Codec::Msgpack, 0, value);
    let mut frames: Vec<Frame> = (1001..1041).map(|player_id| plain(&hit(player_id))).collect();
    frames.extend([
        call(Codec::Json, 0, &hit(1001)),
        call(Codec::Json, 2, &hit(1002)),
        call(Codec::Msgpack, 2, &hit(1003)),
        call(Codec::Msgpack, 1, &hit(1004)),
        call(Codec::Msgpack, 64, &hit(1005)),
        plain(&json!(["game1", "player.get", { "player_id": 1006 }])),
        plain(&json!(["game9", "player.get", { "player_id": 1006 }])),
        plain(&json!(["no.such", {}])),
        plain(&json!(["player.get", {}])),
        plain(&json!(["player.get", { "player_id": "seven" }])),
        plain(&json!(["player.get", { "player_id": 1007, "other": 1 }])),
        // No such row: the cache keeps that, too.
        plain(&hit(987_654_321)),
        plain(&json!(["item.list_by_player", { "player_id": 1001 }])),
        plain(&json!("no call")),
        frame(CALL, 1, vec![0xc1]),
        frame(77, 1, vec![1, 2, 3]),
        frame(PING, 1, vec![0xa1, b'p']),
        frame(BATCH, 1, Codec::Msgpack.encode(&json!([hit(1008), hit(987_654_321)]))),
    ]);
    for (id, frame) in (1000..).zip(&mut frames) {
        frame.id = id;
    }
    frames
}

fn answers(wire: &mut Wire, count: usize) -> BTreeMap<u32, Told> {
    let replies = (0..count).map(|_| wire.expect_frame());
    replies.map(|reply| (reply.id, told(&reply))).collect()
}

#[test]
fn frames_in_one_segment_are_answered_as_each_of_them_alone() {
    let gateway = Setup::sqlite().start();
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let mut wire = gateway.connect("game1", &admin, Codec::Msgpack);
    let mut frames = frames();
    let mut alone = BTreeMap::new();
    // Twice: the second time whatever is kept is there.
    for frame in frames.iter().chain(&frames) {
        alone.insert(frame.id, told(&wire.exchange(frame)));
    }
    let codes: std::collections::BTreeSet<u16> = alone.values().map(|reply| reply.3).collect();
    assert!(codes.len() > 6, "not every sort is there: {codes:?}");
    let mut random = Random::new(7);
    for _ in 0..40 {
        for index in (1..frames.len()).rev() {
            let other = usize::try_from(random.below(index as u64 + 1)).unwrap();
            frames.swap(index, other);
        }
        wire.send_bytes(&frames.iter().flat_map(Frame::bytes).collect::<Vec<_>>());
        assert_eq!(answers(&mut wire, frames.len()), alone);
    }
}

#[test]
fn hits_that_arrive_together_are_counted_one_by_one() {
    let gateway = Setup::sqlite().start();
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let mut wire = gateway.connect("game1", &admin, Codec::Msgpack);
    let calls: Vec<Frame> = (1001..1101)
        .map(|player_id| wire.request(CALL, &json!(["player.get", { "player_id": player_id }])))
        .collect();
    for call in &calls {
        wire.exchange(call);
    }
    let hits = || {
        gateway
            .metric("gateway_cache_lookups_total", &["operation=\"player.get\"", "outcome=\"l1\""])
    };
    let before = hits();
    wire.send_bytes(&calls.iter().flat_map(Frame::bytes).collect::<Vec<_>>());
    assert_eq!(answers(&mut wire, 100).len(), 100);
    let counted = hits() - before;
    assert!((counted - 100.0).abs() < f64::EPSILON, "{counted}");
}

#[test]
fn frame_that_ends_in_the_next_segment_waits_and_those_before_it_do_not() {
    let gateway = Setup::sqlite().start();
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let mut wire = gateway.connect("game1", &admin, Codec::Msgpack);
    let calls: Vec<Frame> = (1001..1005)
        .map(|player_id| wire.request(CALL, &json!(["player.get", { "player_id": player_id }])))
        .collect();
    for call in &calls {
        wire.exchange(call);
    }
    let bytes: Vec<u8> = calls.iter().flat_map(Frame::bytes).collect();
    for cut in bytes.len() - calls[3].bytes().len()..bytes.len() {
        wire.send_bytes(&bytes[..cut]);
        assert_eq!(answers(&mut wire, 3).len(), 3, "{cut}");
        wire.send_bytes(&bytes[cut..]);
        assert_eq!(wire.expect_frame().id, calls[3].id, "{cut}");
    }
}
