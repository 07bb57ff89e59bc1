//! Cache keys: everything that decides what a reading template answers, as bytes.
//!
//! The bytes are the same on every instance and every build: Redis keys are made of them. The hash
//! beside them is seeded per process and never leaves it. A [`KeySpec`] is made once per template;
//! what of the principal enters the key is read off the plan, not off a declaration that could lie.
//!
//! Invariant: two requests share a key only if no bind of the plan and no optional line can differ.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::RandomState;
use papaya::Equivalent;
use smallvec::SmallVec;

use crate::auth::{Claim, Principal};
use crate::bind::Bound;
use crate::catalog::{Piece, Scalar, Scope, Source, Template};

/// First byte of every key; raised when the layout below changes.
const LAYOUT: u8 = 1;

/// What of a request enters a template's keys; made once, at load.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// Layout, game, operation, version, scope.
    prefix: Box<[u8]>,
    /// Slots on optional lines: whether such a slot was given changes the SQL.
    optional: u64,
    /// Whether the caller's name enters the key.
    caller: bool,
    /// Claims that enter the key, sorted, each once.
    claims: Box<[Box<str>]>,
}

impl KeySpec {
    /// Reads off a template what its keys are made of.
    pub fn new(template: &Template) -> Self {
        Self::of(template, None)
    }

    /// The same of an operation whose game has a mirror: off both of its templates, whichever of them answers.
    pub fn mirrored(template: &Template, other: &Template) -> Self {
        Self::of(template, Some(other))
    }

    fn of(template: &Template, other: Option<&Template>) -> Self {
        let scope = template.cache.as_ref().map_or(Scope::Global, |policy| policy.scope);
        let mut prefix = vec![LAYOUT];
        put_bytes(&mut prefix, template.game.as_str().as_bytes());
        put_bytes(&mut prefix, template.op.as_str().as_bytes());
        // In an order of their own: which of the two databases is named first may change.
        let mut versions: SmallVec<[u64; 2]> = SmallVec::from_slice(&[template.version]);
        versions.extend(other.map(|other| other.version));
        versions.sort_unstable();
        versions.dedup();
        for version in versions {
            prefix.extend_from_slice(&version.to_be_bytes());
        }
        prefix.push(match scope {
            Scope::Global => 0,
            Scope::Principal => 1,
        });
        let mut uses = Uses { caller: scope == Scope::Principal, ..Uses::default() };
        uses.walk(&template.plan.pieces);
        if let Some(other) = other {
            uses.walk(&other.plan.pieces);
        }
        uses.claims.sort_unstable();
        uses.claims.dedup();
        Self {
            prefix: prefix.into_boxed_slice(),
            optional: uses.optional,
            caller: uses.caller,
            claims: uses.claims.into_boxed_slice(),
        }
    }

    /// Builds the key of one request in `scratch`, which is cleared first.
    ///
    /// - `owner_epoch`: raised when the game's data changes owner (another database, a restore).
    ///
    /// Cost: allocates only while `scratch` is shorter than the longest key it has held.
    pub fn build<'a>(
        &self,
        owner_epoch: u32,
        bound: &Bound<'_>,
        principal: &Principal,
        hasher: &KeyHasher,
        scratch: &'a mut Vec<u8>,
    ) -> KeyRef<'a> {
        scratch.clear();
        self.append(owner_epoch, bound, principal, scratch);
        KeyRef { hash: hasher.hash(scratch), bytes: scratch }
    }

    /// Appends the key of one request to `scratch`. As [`KeySpec::build`].
    fn append(
        &self,
        owner_epoch: u32,
        bound: &Bound<'_>,
        principal: &Principal,
        scratch: &mut Vec<u8>,
    ) {
        scratch.extend_from_slice(&self.prefix);
        scratch.extend_from_slice(&owner_epoch.to_be_bytes());
        if self.caller {
            put_bytes(scratch, principal.caller.as_bytes());
        }
        for name in &self.claims {
            put_claim(scratch, claim_of(principal, name));
        }
        scratch.extend_from_slice(&(bound.given & self.optional).to_be_bytes());
        put_count(scratch, bound.values.len());
        for value in &bound.values {
            put_scalar(scratch, value);
        }
    }

    /// Puts the key of one request behind those of others. As [`KeySpec::build`].
    pub fn build_in(
        &self,
        owner_epoch: u32,
        bound: &Bound<'_>,
        principal: &Principal,
        hasher: &KeyHasher,
        keys: &mut Keys,
    ) {
        let start = keys.bytes.len();
        self.append(owner_epoch, bound, principal, &mut keys.bytes);
        let bytes = keys.bytes.get(start..).unwrap_or_default();
        keys.ends.push((hasher.hash(bytes), keys.bytes.len()));
    }
}

/// Memory that [`Keys`] keep for the next ones, in bytes.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// The keys of several requests, one behind the other.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    /// Hash of each, and where it ends.
    ends: Vec<(u64, usize)>,
}

impl Keys {
    /// Forgets them, and keeps the memory of keys of a usual length.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.ends.clear();
    }

    /// The keys, in the order in which they were put in.
    pub fn iter(&self) -> impl Iterator<Item = KeyRef<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |(hash, end)| {
            let bytes = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            KeyRef { hash: *hash, bytes }
        })
    }
}

/// Hashes keys for the maps of this process.
#[derive(Clone, Debug, Default)]
pub struct KeyHasher(RandomState);

impl KeyHasher {
    /// The hash of a key's bytes: seeded anew in every process, never stored or sent.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

/// A key in somebody's scratch space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef<'a> {
    /// Hash of the bytes, of this process.
    pub hash: u64,
    /// The key.
    pub bytes: &'a [u8],
}

impl KeyRef<'_> {
    /// Copies the key, to keep it or to send it to another thread.
    pub fn to_key(self) -> Key {
        Key { hash: self.hash, bytes: SmallVec::from_slice(self.bytes) }
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash && *self.bytes == *key.bytes
    }
}

/// Longest key that is kept in place, in bytes: a game, an operation and two or three numbers.
const INLINE_BYTES: usize = 96;

/// A key that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    hash: u64,
    /// In place for the usual lengths: the comparison that ends a look-up then reads the map's own memory.
    bytes: SmallVec<[u8; INLINE_BYTES]>,
}

impl Key {
    /// The key, borrowed.
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { hash: self.hash, bytes: &self.bytes }
    }

    /// Memory of a key too long to be kept in place, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        if self.bytes.spilled() { self.bytes.capacity() } else { 0 }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Hands the hash that a [`Key`] carries to the map.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CarriedHash(u64);

impl Hasher for CarriedHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys write one u64; anything else is still hashed, badly.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl BuildHasher for CarriedHash {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

/// What a plan uses besides its slots.
#[derive(Default)]
struct Uses {
    optional: u64,
    caller: bool,
    claims: Vec<Box<str>>,
}

impl Uses {
    fn walk(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            match piece {
                Piece::Bind(Source::Caller) => self.caller = true,
                Piece::Bind(Source::Claim(name)) => self.claims.push(name.clone()),
                Piece::Optional { slots, pieces } => {
                    for slot in slots.iter().filter(|slot| **slot < 64) {
                        self.optional |= 1 << slot;
                    }
                    self.walk(pieces);
                }
                // Slots are all in the key; the moment, the id and the trace are the request's own.
                Piece::Bind(
                    Source::Slot(_)
                    | Source::Now
                    | Source::Id
                    | Source::Trace
                    | Source::Field { .. }
                    | Source::Step { .. }
                    | Source::Out(_),
                )
                | Piece::Text(_)
                | Piece::List(_)
                | Piece::Keyset
                | Piece::Sort => {}
            }
        }
    }
}

fn claim_of<'a>(principal: &'a Principal, name: &str) -> Option<&'a Claim> {
    principal.claims.iter().find(|(claim, _)| **claim == *name).map(|(_, value)| value)
}

fn put_claim(out: &mut Vec<u8>, claim: Option<&Claim>) {
    match claim {
        None => out.push(0),
        Some(Claim::Str(text)) => {
            out.push(1);
            put_bytes(out, text.as_bytes());
        }
        Some(Claim::Int(number)) => {
            out.push(2);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Some(Claim::Bool(truth)) => out.extend_from_slice(&[3, u8::from(*truth)]),
    }
}

fn put_scalar(out: &mut Vec<u8>, value: &Scalar<'_>) {
    match value {
        Scalar::Null => out.push(0),
        Scalar::Bool(truth) => out.extend_from_slice(&[1, u8::from(*truth)]),
        Scalar::Int(number) => put_tagged(out, 2, &number.to_be_bytes()),
        Scalar::Float(number) => put_tagged(out, 3, &number.to_bits().to_be_bytes()),
        Scalar::Decimal(text) => put_tagged_bytes(out, 4, text.as_bytes()),
        Scalar::Str(text) => put_tagged_bytes(out, 5, text.as_bytes()),
        Scalar::Bytes(bytes) => put_tagged_bytes(out, 6, bytes),
        Scalar::Date(days) => put_tagged(out, 7, &days.to_be_bytes()),
        Scalar::Timestamp(micros) => put_tagged(out, 8, &micros.to_be_bytes()),
        Scalar::Json(text) => put_tagged_bytes(out, 9, text.as_bytes()),
        Scalar::List(items) => {
            out.push(10);
            put_count(out, items.len());
            for item in items {
                put_scalar(out, item);
            }
        }
    }
}

/// A value whose length its tag tells.
fn put_tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn put_tagged_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_bytes(out, bytes);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // 64 bits: no length is ever cut, so no two values can meet.
    out.extend_from_slice(&(count as u64).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use smallvec::smallvec;

    use super::*;
    use crate::cache::testing::{principal, template};

    fn key(spec: &KeySpec, bound: &Bound<'_>, principal: &Principal) -> Vec<u8> {
        let mut scratch = Vec::new();
        spec.build(1, bound, principal, &KeyHasher::default(), &mut scratch).bytes.to_vec()
    }

    fn ints(values: &[i64]) -> Bound<'static> {
        Bound { values: values.iter().map(|value| Scalar::Int(*value)).collect(), given: !0 }
    }

    /// The worst bug this design can have: one player's row served to another.
    #[test]
    fn per_player_result_never_stands_under_a_global_key() {
        let optional = |inner| Piece::Optional { slots: vec![0], pieces: vec![inner] };
        let (one, two) = (principal("jwt:1", "1"), principal("jwt:2", "2"));
        let bound = ints(&[7]);
        for scope in [Scope::Global, Scope::Principal] {
            for source in [Source::Caller, Source::Claim("sub".into())] {
                for piece in
                    [Piece::Bind(source.clone()), optional(optional(Piece::Bind(source.clone())))]
                {
                    let spec = KeySpec::new(&template("player.get", scope, vec![piece]));
                    assert_ne!(key(&spec, &bound, &one), key(&spec, &bound, &two), "{source:?}");
                    assert_eq!(key(&spec, &bound, &one), key(&spec, &bound, &one));
                }
            }
        }
        let spec = KeySpec::new(&template("player.get", Scope::Principal, Vec::new()));
        assert_ne!(key(&spec, &bound, &one), key(&spec, &bound, &two));
    }

    #[test]
    fn global_result_without_the_principal_in_its_sql_is_shared() {
        let spec = KeySpec::new(&template("shop.list", Scope::Global, Vec::new()));
        let (one, two) = (principal("jwt:1", "1"), principal("jwt:2", "2"));
        assert_eq!(key(&spec, &ints(&[7]), &one), key(&spec, &ints(&[7]), &two));
    }

    #[test]
    fn absent_claim_and_claims_of_other_types_are_other_keys() {
        let piece = Piece::Bind(Source::Claim("guild".into()));
        let spec = KeySpec::new(&template("guild.get", Scope::Global, vec![piece]));
        let with = |claim: Option<Claim>| {
            let mut asked = principal("jwt:1", "1");
            asked.claims = claim.map(|claim| ("guild".into(), claim)).into_iter().collect();
            key(&spec, &Bound::default(), &asked)
        };
        let keys = [
            with(None),
            with(Some(Claim::Str("1".into()))),
            with(Some(Claim::Int(1))),
            with(Some(Claim::Bool(true))),
            with(Some(Claim::Str("".into()))),
        ];
        for (index, left) in keys.iter().enumerate() {
            assert!(keys.iter().skip(index + 1).all(|right| left != right));
        }
    }

    #[test]
    fn values_that_print_alike_are_other_keys() {
        let spec = KeySpec::new(&template("player.get", Scope::Global, Vec::new()));
        let text = |text| Scalar::Str(Cow::Borrowed(text));
        let bounds: Vec<SmallVec<[Scalar<'static>; 8]>> = vec![
            smallvec![Scalar::Int(1)],
            smallvec![text("1")],
            smallvec![Scalar::Decimal(Cow::Borrowed("1"))],
            smallvec![Scalar::Json(Cow::Borrowed("1"))],
            smallvec![Scalar::Bytes(Cow::Borrowed(b"1"))],
            smallvec![Scalar::Bool(true)],
            smallvec![Scalar::Float(1.0)],
            smallvec![Scalar::Date(1)],
            smallvec![Scalar::Timestamp(1)],
            smallvec![Scalar::Null],
            smallvec![Scalar::List(vec![Scalar::Int(1)])],
            smallvec![Scalar::List(Vec::new())],
            smallvec![text("ab"), text("c")],
            smallvec![text("a"), text("bc")],
            smallvec![Scalar::List(vec![text("a"), text("b")]), text("c")],
            smallvec![Scalar::List(vec![text("a")]), text("b"), text("c")],
            smallvec![],
        ];
        let asked = principal("public", "");
        let keys: Vec<Vec<u8>> = bounds
            .into_iter()
            .map(|values| key(&spec, &Bound { values, given: 0 }, &asked))
            .collect();
        for (index, left) in keys.iter().enumerate() {
            assert!(keys.iter().skip(index + 1).all(|right| left != right), "{index}");
        }
    }

    #[test]
    fn given_slot_of_an_optional_line_is_another_key_and_of_no_line_is_not() {
        let line = Piece::Optional { slots: vec![1], pieces: vec![Piece::Bind(Source::Slot(1))] };
        let spec = KeySpec::new(&template("x.search", Scope::Global, vec![line]));
        let asked = principal("public", "");
        let with = |given| key(&spec, &Bound { given, ..ints(&[1, 2]) }, &asked);
        assert_ne!(with(0b11), with(0b01));
        assert_eq!(with(0b11), with(0b10));
    }

    #[test]
    fn keys_behind_one_another_are_those_of_each_alone() {
        let spec = KeySpec::new(&template("a.b", Scope::Global, Vec::new()));
        let (asked, hasher) = (principal("k", ""), KeyHasher::default());
        let mut keys = Keys::default();
        for _ in 0..2 {
            keys.clear();
            let values: [&[i64]; 3] = [&[1], &[], &[2, 3]];
            for values in values {
                spec.build_in(1, &ints(values), &asked, &hasher, &mut keys);
            }
            assert_eq!(keys.iter().count(), 3);
            for (values, key) in values.into_iter().zip(keys.iter()) {
                let mut scratch = Vec::new();
                assert_eq!(spec.build(1, &ints(values), &asked, &hasher, &mut scratch), key);
            }
        }
    }

    #[test]
    fn memory_of_long_keys_is_given_back() {
        let mut keys = Keys::default();
        keys.bytes.reserve(KEPT_BYTES_MAX + 1);
        keys.clear();
        assert_eq!(keys.bytes.capacity(), KEPT_BYTES_MAX);
    }

    #[test]
    fn other_game_operation_version_or_owner_is_another_key() {
        let asked = principal("public", "");
        let mut scratch = Vec::new();
        let mut keys = Vec::new();
        let base = template("player.get", Scope::Global, Vec::new());
        let mut others = vec![base.clone(), base.clone(), base.clone(), base];
        others[1].game = gateway_protocol::GameId::new("game2").unwrap();
        others[2].op = gateway_protocol::OpId::new("player.got").unwrap();
        others[3].version += 1;
        for one in &others {
            keys.push(key(&KeySpec::new(one), &ints(&[1]), &asked));
        }
        let spec = KeySpec::new(&others[0]);
        let hasher = KeyHasher::default();
        keys.push(spec.build(2, &ints(&[1]), &asked, &hasher, &mut scratch).bytes.to_vec());
        for (index, left) in keys.iter().enumerate() {
            assert!(keys.iter().skip(index + 1).all(|right| left != right), "{index}");
        }
    }

    /// Instances of different builds share Redis: these bytes may change only with [`LAYOUT`].
    #[test]
    fn layout_is_the_same_on_every_build() {
        let piece = Piece::Bind(Source::Caller);
        let spec = KeySpec::new(&template("a.b", Scope::Global, vec![piece]));
        let bytes = key(&spec, &ints(&[5]), &principal("k", ""));
        let length = |count: u8| [0, 0, 0, 0, 0, 0, 0, count];
        let expected = [
            &[1][..],
            &length(5),
            b"game1",
            &length(3),
            b"a.b",
            &[0, 0, 0, 0, 0, 0, 0, 9],
            &[0],
            &[0, 0, 0, 1],
            &length(1),
            b"k",
            &[0; 8],
            &length(1),
            &[2, 0, 0, 0, 0, 0, 0, 0, 5],
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn key_and_its_reference_meet_in_a_map() {
        let map = papaya::HashMap::with_hasher(CarriedHash::default());
        let hasher = KeyHasher::default();
        let reference = KeyRef { hash: hasher.hash(b"key"), bytes: b"key" };
        map.pin().insert(reference.to_key(), 1);
        assert_eq!(map.pin().get(&reference), Some(&1));
        let other = KeyRef { hash: reference.hash, bytes: b"kez" };
        assert_eq!(map.pin().get(&other), None);
    }
}
