//! Calls that look like one before: the same bytes, but for the parameters' values.
//!
//! A game server calls a few operations again and again, and its client writes each of them the same way. Of such a call only the
//! values are new: that the rest is a call in order, which operation it means, which names its parameters have and that none is missing was
//! found out for the one before. So a frontend thread remembers the bytes of a few calls with a hole for each value ([`Shape`]); a payload
//! that has the same bytes between its holes, and one scalar in each, is bound without being read anew.
//!
//! Invariant: a payload that a shape takes is bound to what [`Call::from_msgpack`](gateway_protocol::message::Call::from_msgpack) and [`bind_each`](crate::bind::bind_each) would bind it to; whatever they would
//! refuse, or leave out, no shape takes. Who may call is not remembered: every call is held against its own principal.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use gateway_protocol::msgpack::{Reader, Token};
use gateway_protocol::{PayloadError, Value};
use smallvec::SmallVec;

use super::{Recent, Routed};
use crate::bind::{Bound, fill_in_order, fills_in_order, has_required};
use crate::snapshot::{Game, Operation, Snapshot};

/// Shapes that a thread remembers: the busiest operations of a game server. Each is tried in turn, which costs a comparison.
const SHAPES_MAX: usize = 8;
/// Bytes of a shape, without its holes; a call with more is read anew each time.
const SHAPE_BYTES_MAX: usize = 256;

/// What a frontend thread remembers of its calls.
#[derive(Debug, Default)]
pub struct Learned(RefCell<Shapes>);

#[derive(Debug, Default)]
struct Shapes {
    /// Of the snapshot that they hold for.
    generation: u64,
    recent: Recent<Shape, SHAPES_MAX>,
}

/// A call's bytes with a hole for each of its values.
#[derive(Debug)]
pub struct Shape {
    game: Arc<Game>,
    operation: Arc<Operation>,
    /// The HELLO's game, where the call names none.
    login_game: Option<Box<str>>,
    /// What stands before each hole.
    literals: SmallVec<[Box<[u8]>; 4]>,
    /// Which slots have a hole; the holes are in their order.
    given: u64,
}

impl Learned {
    /// The call that a payload in MessagePack makes, if it looks like one before.
    ///
    /// - `login_game`: the game of calls that name none.
    /// - `bound`: takes the values, and is unspecified without such a call. Not returned: it is large, and moving it cost more than
    ///   filling it.
    pub fn find<'p>(
        &self,
        snapshot: &Snapshot,
        login_game: Option<&str>,
        payload: &'p [u8],
        bound: &mut Bound<'p>,
    ) -> Option<Rc<Shape>> {
        let mut known = self.0.try_borrow_mut().ok()?;
        if known.generation != snapshot.generation {
            *known = Shapes { generation: snapshot.generation, ..Shapes::default() };
            return None;
        }
        let is_one = |shape: &Shape| shape.fill(login_game, payload, bound).then_some(());
        known.recent.find(is_one).map(|(shape, ())| shape)
    }

    /// Remembers a call that was read and served, if it is time for another one.
    pub fn learn(
        &self,
        snapshot: &Snapshot,
        login_game: Option<&str>,
        routed: Routed<'_>,
        payload: &[u8],
    ) {
        let Ok(mut known) = self.0.try_borrow_mut() else { return };
        if known.generation == snapshot.generation {
            known.recent.learn(|| Shape::of(login_game, routed, payload));
        }
    }
}

impl Shape {
    /// Where the call goes.
    pub fn routed(&self) -> Routed<'_> {
        Routed { game: &self.game, operation: &self.operation }
    }

    /// The shape of a call in MessagePack; `None`: it is of another kind than those that are worth it.
    fn of(login_game: Option<&str>, routed: Routed<'_>, payload: &[u8]) -> Option<Self> {
        let template = &routed.operation.template;
        if !fills_in_order(template) {
            return None;
        }
        let mut reader = Reader::new(payload);
        let has_game = match reader.array("CALL").ok()? {
            2 => false,
            3 => {
                reader.str("the game").ok()?;
                true
            }
            _ => return None,
        };
        reader.str("the operation").ok()?;
        let mut literals = SmallVec::new();
        let (mut given, mut next, mut bytes) = (0, 0, 0);
        let mut before = payload;
        for _ in 0..reader.map("params").ok()? {
            let name = reader.key().ok()?;
            let slot = template.slots.iter().position(|slot| *slot.name == *name)?;
            // In the slots' order, each once: then they can be filled from the first to the last.
            if slot < next || slot >= 64 {
                return None;
            }
            next = slot + 1;
            let literal = before.get(..before.len() - reader.rest().len())?;
            bytes += literal.len();
            scalar(&mut reader).ok()??;
            before = reader.rest();
            given |= 1 << slot;
            literals.push(literal.into());
        }
        let is_whole = reader.finish().is_ok() && !literals.is_empty() && bytes <= SHAPE_BYTES_MAX;
        if !is_whole || !has_required(template, given) {
            return None;
        }
        Some(Self {
            game: Arc::clone(routed.game),
            operation: Arc::clone(routed.operation),
            login_game: if has_game { None } else { Some(login_game?.into()) },
            literals,
            given,
        })
    }

    /// Fills in the values of a payload of this shape; whether it is one.
    fn fill<'p>(&self, login_game: Option<&str>, payload: &'p [u8], bound: &mut Bound<'p>) -> bool {
        let mut literals = self.literals.iter();
        let Some(literal) = literals.next() else { return false };
        let Some(mut rest) = payload.strip_prefix(&**literal) else { return false };
        if self.login_game.is_some() && self.login_game.as_deref() != login_game {
            return false;
        }
        let next = || {
            let mut reader = Reader::new(rest);
            let value = scalar(&mut reader).ok()??;
            rest = match literals.next() {
                Some(literal) => reader.rest().strip_prefix(&**literal)?,
                None => reader.rest(),
            };
            Some(value)
        };
        fill_in_order(&self.operation.template.slots, self.given, false, bound, next)
            && rest.is_empty()
    }
}

/// Reads a value that is neither null nor a container; `None`: it is one.
#[inline]
fn scalar<'p>(reader: &mut Reader<'p>) -> Result<Option<Value<'p>>, PayloadError> {
    Ok(match reader.token()? {
        Token::Bool(value) => Some(Value::Bool(value)),
        Token::Int(value) => Some(Value::Int(value)),
        Token::UInt(value) => Some(Value::UInt(value)),
        Token::Float(value) => Some(Value::Float(value)),
        Token::Str(text) => Some(Value::Str(text.into())),
        Token::Bytes(bytes) => Some(Value::Bytes(bytes.into())),
        Token::Nil | Token::Array(_) | Token::Map(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use gateway_protocol::Codec;
    use gateway_protocol::message::{Call, write_call};

    use super::super::recent::MISSES_PER_LEARNED;
    use super::super::testing::{core, reload};
    use super::super::{Worker, route};
    use super::*;
    use crate::bind::{Param, bind_each};
    use crate::error::Error;

    const TEMPLATE: &str = "-- @desc a row\n-- @kind one\n-- @param id bigint min=1 max=1000000\n-- @param name string(4) optional\n\
        -- @param level int default=3\n-- @param exact bool optional\n-- @result id bigint\n-- @allow gm\n-- @cache l1=1m tag=t:{id}\n\
        SELECT t.id FROM t WHERE t.id = :id AND t.level = :level\n  AND t.name = :name -- ?\n  AND t.exact = :exact -- ?\n";

    /// A gateway whose one operation has parameters of several kinds.
    struct Gateway {
        worker: Worker,
        learned: Learned,
        _folder: tempfile::TempDir,
    }

    impl Gateway {
        fn new(template: &str) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let (core, _jobs) = core(folder.path(), template, "auth: {roles: {gm: {}}}\n", 1);
            Self { worker: Worker::new(core), learned: Learned::default(), _folder: folder }
        }

        /// What reading from the beginning makes of a payload, and where it leads.
        fn read<'p>(
            snapshot: &'p Snapshot,
            payload: &'p [u8],
        ) -> Result<(Routed<'p>, Bound<'p>), Error> {
            let call = Call::from_msgpack(payload)?;
            let routed = route(snapshot, call.game.as_deref().unwrap_or("game1"), &call.op)?;
            let params = call.params.map(|entry| Ok::<_, Error>(Param::from(entry?)));
            let bound = bind_each(&routed.operation.template, params)?;
            Ok((routed, bound))
        }

        /// Learns a call; whether it was of a kind that is learned.
        fn learn(&self, payload: &[u8]) -> bool {
            let snapshot = self.worker.snapshot();
            let (routed, _) = Self::read(&snapshot, payload).expect("a call in order");
            for _ in 0..=MISSES_PER_LEARNED {
                if self.is_known(payload) {
                    return true;
                }
                self.learned.learn(&snapshot, Some("game1"), routed, payload);
            }
            self.is_known(payload)
        }

        fn is_known(&self, payload: &[u8]) -> bool {
            let mut bound = Bound::default();
            let snapshot = self.worker.snapshot();
            self.learned.find(&snapshot, Some("game1"), payload, &mut bound).is_some()
        }

        /// Holds what was learned of a payload against reading it. Returns whether anything was.
        fn compare(&self, payload: &[u8]) -> bool {
            let snapshot = self.worker.snapshot();
            let mut bound = Bound::default();
            let found = self.learned.find(&snapshot, Some("game1"), payload, &mut bound);
            let Some(shape) = found else { return false };
            let (routed, read) =
                Self::read(&snapshot, payload).expect("what a shape takes is in order");
            assert_eq!(bound, read, "{payload:02x?}");
            assert!(Arc::ptr_eq(routed.operation, shape.routed().operation));
            true
        }
    }

    fn payload(game: Option<&str>, params: &[(&str, Value<'_>)]) -> Vec<u8> {
        let mut out = Vec::new();
        write_call(&mut out, Codec::MsgPack, game, "t.get", params);
        out
    }

    #[test]
    fn call_that_looks_like_one_before_is_bound_to_what_reading_it_would_bind() {
        let gateway = Gateway::new(TEMPLATE);
        assert!(gateway.learn(&payload(None, &[("id", Value::Int(7)), ("name", "é".into())])));
        assert!(gateway.learn(&payload(Some("game1"), &[("id", Value::Int(7))])));
        for id in [1, 127, 128, 255, 65_535, 65_536, 1_000_000] {
            let values = [("id", Value::Int(id)), ("name", "".into())];
            assert!(gateway.compare(&payload(None, &values)), "{id}");
            let values = [("id", Value::Str(id.to_string().into())), ("name", "abcd".into())];
            assert!(gateway.compare(&payload(None, &values)), "{id}");
            assert!(gateway.compare(&payload(Some("game1"), &[("id", Value::Int(id))])), "{id}");
        }
    }

    #[test]
    fn call_that_reading_would_refuse_or_bind_otherwise_is_left_to_it() {
        let gateway = Gateway::new(TEMPLATE);
        let seven = || ("id", Value::Int(7));
        assert!(gateway.learn(&payload(None, &[seven(), ("name", "é".into())])));
        for params in [
            vec![("id", Value::Int(0)), ("name", "a".into())],
            vec![("id", Value::Int(1_000_001)), ("name", "a".into())],
            vec![("id", Value::Bool(true)), ("name", "a".into())],
            vec![("id", Value::Null), ("name", "a".into())],
            vec![seven(), ("name", "abcde".into())],
            vec![seven(), ("name", Value::Null)],
            vec![seven(), ("name", Value::Array(vec![]))],
            vec![seven()],
            vec![seven(), ("nama", "a".into())],
            vec![seven(), ("name", "a".into()), ("level", Value::Int(1))],
            vec![("name", "a".into()), seven()],
            vec![],
        ] {
            assert!(!gateway.is_known(&payload(None, &params)), "{params:?}");
        }
        let named = payload(Some("game1"), &[seven(), ("name", "a".into())]);
        assert!(!gateway.is_known(&named), "it names its game");
        let whole = payload(None, &[seven(), ("name", "a".into())]);
        let snapshot = gateway.worker.snapshot();
        for other in [None, Some("game2"), Some("")] {
            let found = gateway.learned.find(&snapshot, other, &whole, &mut Bound::default());
            assert!(found.is_none(), "{other:?}");
        }
        assert!(gateway.is_known(&whole));
        assert!(!gateway.is_known(&[&*whole, &[0xc0]].concat()), "a byte too many");
        for length in 0..whole.len() {
            assert!(!gateway.is_known(&whole[..length]), "{length}");
        }
    }

    #[test]
    fn no_change_of_a_byte_makes_a_known_call_mean_anything_else_than_reading_it() {
        let gateway = Gateway::new(TEMPLATE);
        let calls = [
            payload(None, &[("id", Value::Int(70_000)), ("name", "abc".into())]),
            payload(Some("game1"), &[("id", "12".into()), ("level", Value::Int(-3))]),
            payload(None, &[("id", Value::Int(1)), ("exact", Value::Bool(true))]),
        ];
        for call in &calls {
            assert!(gateway.learn(call));
        }
        let mut taken = 0;
        for call in &calls {
            for (at, byte) in (0..call.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                let mut changed = call.clone();
                changed[at] = byte;
                taken += usize::from(gateway.compare(&changed));
            }
        }
        assert!(taken > 500, "{taken}");
    }

    #[test]
    fn what_is_checked_as_a_whole_has_containers_or_no_parameters_is_not_learned() {
        let required =
            TEMPLATE.replace("-- @allow", "-- @require level <= id else 2100 TOO_HIGH\n-- @allow");
        let listed = TEMPLATE
            .replace("-- @param exact bool optional", "-- @param ids list(int) max_items=3")
            .replace("t.exact = :exact -- ?", "t.id IN (:ids)");
        let ids = Value::Array(vec![Value::Int(1)]);
        for (template, params) in [
            (required, vec![("id", Value::Int(7))]),
            (listed, vec![("id", Value::Int(7)), ("ids", ids)]),
        ] {
            let gateway = Gateway::new(&template);
            assert!(!gateway.learn(&payload(None, &params)), "{template}");
        }
        let gateway = Gateway::new(TEMPLATE);
        assert!(!gateway.learn(&payload(None, &[("level", Value::Int(1)), ("id", Value::Int(7))])));
    }

    /// The same call in bytes that differ: lengths may be written with more bytes than they need.
    fn spellings() -> Vec<Vec<u8>> {
        let lists: [&[u8]; 3] = [&[0x92], &[0xdc, 0, 2], &[0xdd, 0, 0, 0, 2]];
        let maps: [&[u8]; 3] = [&[0x81], &[0xde, 0, 1], &[0xdf, 0, 0, 0, 1]];
        let texts = |length: u8| {
            [
                vec![0xa0 | length],
                vec![0xd9, length],
                vec![0xda, 0, length],
                vec![0xdb, 0, 0, 0, length],
            ]
        };
        let mut spellings = Vec::new();
        for (list, map) in lists.iter().flat_map(|list| maps.map(|map| (list, map))) {
            for (op, name) in texts(5).iter().zip(texts(2)) {
                spellings.push([*list, op, b"t.get", map, &name, b"id", &[7]].concat());
            }
        }
        spellings
    }

    #[test]
    fn calls_of_ever_other_looks_are_learned_seldom_and_what_is_found_stays() {
        let gateway = Gateway::new(TEMPLATE);
        let snapshot = gateway.worker.snapshot();
        let spellings = spellings();
        let busy = &spellings[0];
        assert!(gateway.learn(busy));
        let (mut misses, mut learned) = (0, 0);
        for other in spellings[1..].iter().cycle().take(40 * MISSES_PER_LEARNED as usize) {
            assert!(gateway.is_known(busy));
            if gateway.compare(other) {
                continue;
            }
            misses += 1;
            let (routed, _) = Gateway::read(&snapshot, other).expect("a call in order");
            gateway.learned.learn(&snapshot, Some("game1"), routed, other);
            // To look is a miss, too.
            let is_learned = gateway.is_known(other);
            learned += u32::from(is_learned);
            misses += u32::from(!is_learned);
        }
        assert!(
            learned > 10 && learned <= misses / MISSES_PER_LEARNED + 1,
            "{learned} of {misses}"
        );
    }

    #[test]
    fn what_was_learned_holds_for_its_snapshot_only() {
        let gateway = Gateway::new(TEMPLATE);
        let call = payload(None, &[("id", Value::Int(7))]);
        assert!(gateway.learn(&call));
        reload(gateway.worker.core());
        assert!(!gateway.is_known(&call));
        assert!(gateway.learn(&call));
        assert!(gateway.compare(&call), "it leads to the new snapshot's operation");
    }
}
