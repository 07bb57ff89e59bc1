//! Requests that look like one before: the same bytes, but for the parameters' values.
//!
//! A web server asks for a few paths again and again, and a client's header section is the same from one request to the next.
//! So a frontend thread remembers two things of the hits that it answered: the request line with a hole for each value
//! ([`Line`]), with where it leads and how its answers begin; and the header section as a whole ([`Section`]), with whose
//! credential stands in it. A request made of the two is answered without its fields being read anew.
//!
//! Invariant: a request that is taken here is answered in the bytes in which `hit` would answer it; whatever that would leave to
//! `exchange`, or answer otherwise, is not taken. A credential is compared as a whole, in constant time, and counts as long as its principal
//! is in time. Who may ask is not remembered: every request is held against its own principal.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::quality::RandomState;
use gateway_protocol::Value;
use hyper::header::{HeaderName, IF_NONE_MATCH};
use smallvec::SmallVec;

use super::hit::put_head;
use super::parse::{REQUEST_LINE_END, Request, TARGET_BYTES_MAX};
use crate::auth::{Principal, is_equal_in_constant_time};
use crate::bind::{Bound, fill_in_order, fills_in_order, has_required};
use crate::catalog::{PathSegment, Template, path_segments};
use crate::frontend::http::fields::Fields;
use crate::frontend::http::response::Content;
use crate::observe::Trace;
use crate::pipeline::{Recent, Routed, Seldom};
use crate::snapshot::{Game, Operation, Snapshot};

/// Request lines that a thread remembers. Each is tried in turn, which costs a comparison.
const LINES_MAX: usize = 8;
/// Header sections that a thread remembers: those of so many clients at a time.
const SECTIONS_MAX: usize = 1024;
/// Bytes of a header section; one with more is read anew each time.
const SECTION_BYTES_MAX: usize = 2 << 10;

/// Where the first part of a path of its own stands: behind nothing, `v1` and the game.
const OWN_SEGMENT: usize = 3;

/// What stands for the entity tag and for the request's id while an answer's head is taken apart.
const MARKS: [&str; 2] = ["%entity-tag%", "%request-id%"];

/// What a frontend thread remembers of the requests that L1 answered.
#[derive(Debug, Default)]
pub(in crate::frontend) struct Learned(RefCell<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Of the snapshot that it holds for.
    generation: u64,
    lines: Recent<Line, LINES_MAX>,
    /// By hash.
    sections: Vec<Option<Rc<Section>>>,
    displaced: Seldom,
    /// Keyed at random, so that nobody can choose sections that displace each other.
    hasher: RandomState,
}

/// Where a connection's header section may be remembered: compared, not believed.
pub(super) type SectionIndex = u16;

/// A request that looks like one before.
#[derive(Debug)]
pub(super) struct Alike {
    pub(super) line: Rc<Line>,
    pub(super) section: Rc<Section>,
    /// Bytes of the whole.
    pub(super) length: usize,
}

/// A GET's request line, with a hole for each of its values.
#[derive(Debug)]
pub(super) struct Line {
    game: Arc<Game>,
    operation: Arc<Operation>,
    /// What stands before each hole, and behind the last.
    literals: SmallVec<[Box<[u8]>; 4]>,
    /// Which slots have a hole; the holes are in their order.
    given: u64,
    /// The head of an answer, cut where entity tag and request id stand, without length and date.
    head: [Box<[u8]>; 3],
}

/// A header section, up to its empty line.
pub(super) struct Section {
    bytes: Box<[u8]>,
    pub(super) principal: Option<Arc<Principal>>,
}

impl std::fmt::Debug for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its bytes hold a credential.
        f.debug_struct("Section").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Fields of a request that asks for nothing special.
struct NoFields;

impl Fields for NoFields {
    fn all<'f>(&'f self, _name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
        std::iter::empty()
    }
}

impl Learned {
    /// The request at the beginning of `bytes`, if it looks like one before.
    ///
    /// - `place`: where its header section may be remembered.
    /// - `now`: Unix seconds.
    /// - `bound`: takes its parameters, and is unspecified without such a request.
    pub(super) fn find<'b>(
        &self,
        snapshot: &Snapshot,
        bytes: &'b [u8],
        place: SectionIndex,
        now: u64,
        bound: &mut Bound<'b>,
    ) -> Option<Alike> {
        let mut known = self.0.try_borrow_mut().ok()?;
        known.turn_to(snapshot.generation);
        let section = Rc::clone(known.sections.get(usize::from(place))?.as_ref()?);
        let (line, rest) = known.lines.find(|line| line.fill(bytes, bound))?;
        let begun = rest.get(..section.bytes.len())?;
        if !is_equal_in_constant_time(begun, &section.bytes) || !section.is_in_time(now) {
            return None;
        }
        let length = bytes.len() - rest.len() + section.bytes.len();
        Some(Alike { line, section, length })
    }

    /// Remembers a request that was read, and a hit that no field changed, if it is time for another one. Returns where its header
    /// section is remembered; `None`: nowhere.
    ///
    /// - `bytes`: the request.
    pub(super) fn learn(
        &self,
        snapshot: &Snapshot,
        routed: Routed<'_>,
        principal: Option<&Arc<Principal>>,
        request: &Request<'_>,
        bytes: &[u8],
    ) -> Option<SectionIndex> {
        if request.has(&IF_NONE_MATCH) {
            // Not looked at where there is no row; where there is one it counts.
            return None;
        }
        let mut known = self.0.try_borrow_mut().ok()?;
        known.turn_to(snapshot.generation);
        known.learn_line(snapshot, routed, request.target, bytes);
        known.learn_section(bytes.get(request.line_bytes..request.length)?, principal)
    }
}

impl Known {
    /// Forgets what holds for another snapshot.
    fn turn_to(&mut self, generation: u64) {
        if generation != self.generation {
            *self = Self { generation, ..Self::default() };
        }
    }

    fn learn_line(&mut self, snapshot: &Snapshot, routed: Routed<'_>, target: &str, bytes: &[u8]) {
        if self.lines.find(|line| line.fill(bytes, &mut Bound::default())).is_none() {
            self.lines.learn(|| Line::of(snapshot, routed, target));
        }
    }

    fn learn_section(
        &mut self,
        bytes: &[u8],
        principal: Option<&Arc<Principal>>,
    ) -> Option<SectionIndex> {
        if bytes.len() > SECTION_BYTES_MAX {
            return None;
        }
        let place =
            SectionIndex::try_from(self.hasher.hash_one(bytes) % SECTIONS_MAX as u64).ok()?;
        let index = usize::from(place);
        self.sections.resize(SECTIONS_MAX, None);
        let known = self.sections.get_mut(index)?;
        if let Some(section) = known {
            // With the principal of now: the one before may be out of time.
            let is_same = is_equal_in_constant_time(&section.bytes, bytes)
                && section.principal.as_ref().map(Arc::as_ptr) == principal.map(Arc::as_ptr);
            if is_same {
                return Some(place);
            }
            if !self.displaced.is_time() {
                return None;
            }
        }
        *known = Some(Rc::new(Section { bytes: bytes.into(), principal: principal.cloned() }));
        Some(place)
    }
}

impl Section {
    fn is_in_time(&self, now: u64) -> bool {
        self.principal.as_ref().is_none_or(|principal| principal.check_time(now).is_ok())
    }
}

impl Line {
    /// Where it leads.
    pub(super) fn routed(&self) -> Routed<'_> {
        Routed { game: &self.game, operation: &self.operation }
    }

    /// Appends the head of an answer, up to its length.
    pub(super) fn put_head(&self, etag: &str, trace: &str, out: &mut Vec<u8>) {
        let [begin, between, end] = &self.head;
        for part in [begin, etag.as_bytes(), between, trace.as_bytes(), end] {
            out.extend_from_slice(part);
        }
    }

    /// The line of a request that led to an operation; `None`: it is of another kind than those that are worth it.
    fn of(snapshot: &Snapshot, routed: Routed<'_>, target: &str) -> Option<Self> {
        let Routed { game, operation } = routed;
        let template = &operation.template;
        let route = template.http.as_ref()?;
        if !fills_in_order(template) || !game.is_only_route(&route.path) {
            return None;
        }
        let mut line =
            Holes { template, literals: SmallVec::new(), open: b"GET ".to_vec(), given: 0 };
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        line.path(path, &route.path)?;
        line.query(query)?;
        line.open.extend_from_slice(REQUEST_LINE_END);
        line.literals.push(line.open.into());
        let (literals, given) = (line.literals, line.given);
        has_required(template, given).then_some(())?;
        let head = head_of(snapshot, operation)?;
        Some(Self {
            game: Arc::clone(game),
            operation: Arc::clone(operation),
            literals,
            given,
            head,
        })
    }

    /// Fills in the values of a request with this line, and returns what stands behind it; `None`: it has another one.
    fn fill<'b>(&self, bytes: &'b [u8], bound: &mut Bound<'b>) -> Option<&'b [u8]> {
        let mut literals = self.literals.iter();
        let mut rest = bytes.strip_prefix(&**literals.next()?)?;
        let next = || {
            let end = rest.iter().position(|byte| !is_unreserved(*byte)).filter(|end| *end > 0)?;
            let (value, behind) = rest.split_at_checked(end)?;
            rest = behind.strip_prefix(&**literals.next()?)?;
            Some(Value::Str(std::str::from_utf8(value).ok()?.into()))
        };
        let is_filled =
            fill_in_order(&self.operation.template.slots, self.given, true, bound, next);
        let is_short = bytes.len() - rest.len() <= TARGET_BYTES_MAX;
        (is_filled && is_short).then_some(rest)
    }
}

/// A request line that is being cut at its values.
struct Holes<'t> {
    template: &'t Template,
    literals: SmallVec<[Box<[u8]>; 4]>,
    /// What stands behind the last hole.
    open: Vec<u8>,
    given: u64,
}

impl Holes<'_> {
    /// Takes a path, cut as its route's is.
    fn path(&mut self, path: &str, route: &str) -> Option<()> {
        let (mut segments, mut names) = (path.split('/'), path_segments(route));
        for index in 0_usize.. {
            let (segment, name) = match (segments.next(), names.next()) {
                (None, None) => break,
                (segment, name) => (segment?, name?),
            };
            if index > 0 {
                self.open.push(b'/');
            }
            match name {
                PathSegment::Param { name: "game", verb: "" } => {
                    self.open.extend_from_slice(segment.as_bytes());
                }
                // What may stand directly behind a game is `batch` and `call`, too.
                PathSegment::Param { name, verb: "" } if index > OWN_SEGMENT => {
                    self.value(name, segment)?;
                }
                PathSegment::Text(text) if text == segment => {
                    self.open.extend_from_slice(text.as_bytes());
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn query(&mut self, query: Option<&str>) -> Option<()> {
        let Some(query) = query else { return Some(()) };
        for (index, pair) in query.split('&').enumerate() {
            self.open.push(if index == 0 { b'?' } else { b'&' });
            let (name, value) = pair.split_once('=')?;
            self.open.extend_from_slice(name.as_bytes());
            self.open.push(b'=');
            self.value(name, value)?;
        }
        Some(())
    }

    /// A hole for a slot's value. Slots come in their order, each once: then they can be filled from the first to the last.
    fn value(&mut self, name: &str, value: &str) -> Option<()> {
        let slot = self.template.slots.iter().position(|slot| *slot.name == *name)?;
        let is_next = slot < 64 && self.given >> slot == 0;
        let is_plain = !value.is_empty() && value.bytes().all(is_unreserved);
        (is_next && is_plain).then_some(())?;
        self.given |= 1 << slot;
        self.literals.push(std::mem::take(&mut self.open).into());
        Some(())
    }
}

/// The head of an operation's answers, cut at the marks. `None`: something else in it looks like one.
fn head_of(snapshot: &Snapshot, operation: &Operation) -> Option<[Box<[u8]>; 3]> {
    let [etag, trace] = MARKS;
    let mut bytes = Vec::new();
    let content = Content::whole(b"", etag);
    put_head(snapshot, operation, content, Trace::Text(trace), &NoFields, &mut bytes);
    let text = String::from_utf8(bytes).ok()?;
    let (begin, rest) = text.split_once(etag)?;
    let (between, end) = rest.split_once(trace)?;
    let parts = [begin, between, end];
    let is_marked = |part: &&str| MARKS.iter().any(|mark| part.contains(mark));
    (!parts.iter().any(is_marked)).then(|| parts.map(|part| part.as_bytes().into()))
}

/// What stands for itself in a path and in a query (RFC 3986, section 2.3).
const fn is_unreserved(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::super::testing::{Bed, EXPIRED, NOW};
    use super::*;
    use crate::bind::bind_each;
    use crate::error::Error;
    use crate::frontend::http::exchange::{Target, target};
    use crate::frontend::http::request;

    const TEMPLATE: &str = "-- @desc a row\n-- @kind one\n-- @param id bigint min=1 max=1000000\n-- @param name string(4) optional\n\
        -- @param level int default=3\n-- @result id bigint\n-- @allow gm\n-- @http GET /v1/{game}/t/{id}\n\
        -- @cache l1=1m tag=t:{id}\nSELECT t.id FROM t WHERE t.id = :id AND t.level = :level\n  AND t.name = :name -- ?\n";

    fn bed() -> Bed {
        let bed = Bed::new(TEMPLATE);
        bed.pass_sample();
        bed
    }

    /// An answer without its request's id, which each has of its own.
    fn masked(answer: &[u8]) -> String {
        let text = std::str::from_utf8(answer).unwrap();
        let (before, rest) = text.split_once("x-request-id: ").unwrap();
        let (id, after) = rest.split_once('\r').unwrap();
        assert_eq!(id.len(), 16, "{text}");
        format!("{before}{after}")
    }

    /// What reading a request from its beginning binds.
    fn read<'b>(snapshot: &'b Snapshot, bytes: &'b [u8]) -> Result<Bound<'b>, Error> {
        let parsed = parse(bytes, 16 << 10).unwrap();
        let (path, query) = parsed.path_and_query();
        let Target::Operation { routed, matched: Some(matched) } =
            target(snapshot, &parsed.method, path)?
        else {
            panic!("a route");
        };
        let mut params = request::Params::new();
        request::path_params(&matched, &mut params)?;
        request::query_params(query, &mut params)?;
        let params = params.into_iter();
        bind_each(&routed.operation.template, params.map(Ok))
    }

    #[test]
    fn request_that_looks_like_one_before_is_answered_in_the_same_bytes_without_an_allocation() {
        let mut bed = bed();
        let whole = bed.request("GET", "7", "Accept: */*\r\n");
        assert_eq!(bed.ask_alike(&whole, NOW), None);
        assert!(bed.ask(&whole));
        let expected = masked(&bed.out);
        let followed = [&*whole, b"GET /"].concat();
        assert_eq!(bed.ask_alike(&followed, NOW), Some(whole.len()));
        assert_eq!(masked(&bed.out), expected);
        let counted = allocation_counter::measure(|| {
            (0..20).for_each(|_| assert!(bed.ask_alike(&whole, NOW).is_some()));
        });
        assert_eq!(counted.count_total, 0, "{counted:?}");
        bed.ask(&whole);
        assert_eq!(masked(&bed.out), expected);
    }

    #[test]
    fn no_byte_can_be_changed_without_the_request_being_read_anew_or_meaning_the_same() {
        let mut bed = bed();
        let whole = bed.request("GET", "7?level=3", "Accept: */*\r\n");
        assert!(bed.ask(&whole));
        let mut taken = 0;
        for at in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut changed = whole.clone();
                changed[at] = byte;
                bed.pass_sample();
                if bed.ask_alike(&changed, NOW).is_none() {
                    continue;
                }
                taken += 1;
                let answer = masked(&bed.out);
                bed.pass_sample();
                assert!(bed.ask(&changed), "{}", changed.escape_ascii());
                assert_eq!(masked(&bed.out), answer, "{}", changed.escape_ascii());
            }
            bed.pass_sample();
            assert_eq!(bed.ask_alike(&whole[..at], NOW), None, "{at}");
        }
        // Each time the byte that it was.
        assert_eq!(taken, whole.len());
    }

    #[test]
    fn values_are_bound_as_reading_binds_them_or_left_to_it() {
        let mut bed = bed();
        let learned = bed.request("GET", "7", "");
        assert!(bed.ask(&learned));
        let snapshot = bed.connection.thread.worker.snapshot();
        let routed = crate::pipeline::route(&snapshot, "game1", "t.get").unwrap();
        for query in ["?level=3", "?name=ab&level=3"] {
            let target = format!("/v1/game1/t/7{query}");
            let line = Line::of(&snapshot, routed, &target).unwrap();
            bed.connection.thread.alike.0.borrow_mut().lines.take(line);
        }
        let mut taken = 0;
        let values = [
            "1",
            "7",
            "1000000",
            "1000001",
            "0",
            "-1",
            "07",
            "7.0",
            "a",
            "~",
            "%37",
            "",
            "7/8",
            "7;8",
            "99999999999999999999",
        ];
        let queries = [
            "",
            "?level=4",
            "?level=-2147483648",
            "?level=2147483648",
            "?level=",
            "?level=4&level=5",
            "?level=%34",
            "?name=abcd&level=1",
            "?name=abcde&level=1",
            "?level=1&name=a",
            "?name=a+b&level=1",
            "?name=&level=1",
            "?name=a",
            "?nama=a&level=1",
            "?",
        ];
        for (value, query) in values.iter().flat_map(|value| queries.map(|query| (value, query))) {
            let bytes = bed.request("GET", format!("{value}{query}"), "");
            let mut bound = Bound::default();
            let (alike, section) = (&bed.connection.thread.alike, bed.section);
            if let Some(found) = alike.find(&snapshot, &bytes, section, NOW, &mut bound) {
                taken += 1;
                assert_eq!(found.length, bytes.len());
                assert_eq!(bound, read(&snapshot, &bytes).unwrap(), "{value}{query}");
            }
        }
        // 1, 7, 1000000 and 07, with each of the queries that were learned and fit: none, a level, and a level with a name.
        assert_eq!(taken, 4 * 4);
    }

    #[test]
    fn request_whose_fields_change_its_answer_is_not_learned() {
        for more in [
            "If-None-Match: \"x\"\r\n",
            "X-Request-Id: 0123456789abcdef\r\n",
            "X-Deadline-Ms: 9\r\n",
        ] {
            let mut bed = bed();
            let whole = bed.request("GET", "7", more);
            assert!(bed.ask(&whole), "{more}");
            assert_eq!(bed.ask_alike(&whole, NOW), None, "{more}");
        }
    }

    #[test]
    fn credential_counts_as_long_as_it_is_in_time() {
        let mut bed = bed();
        let whole = bed.request("GET", "7", "");
        assert!(bed.ask(&whole));
        assert!(bed.ask_alike(&whole, EXPIRED - 1).is_some());
        assert_eq!(bed.ask_alike(&whole, EXPIRED), None);
    }

    #[test]
    fn another_snapshot_begins_with_nothing() {
        let mut bed = bed();
        let whole = bed.request("GET", "7", "");
        assert!(bed.ask(&whole));
        assert!(bed.ask_alike(&whole, NOW).is_some());
        crate::pipeline::testing::reload(bed.connection.thread.worker.core());
        bed.pass_sample();
        assert_eq!(bed.ask_alike(&whole, NOW), None);
    }

    #[test]
    fn part_behind_the_game_is_never_a_value_because_batch_and_call_stand_there() {
        let template = TEMPLATE.replace("/t/{id}", "/{id}");
        let bed = Bed::new(&template);
        let snapshot = bed.connection.thread.worker.snapshot();
        let routed = crate::pipeline::route(&snapshot, "game1", "t.get").unwrap();
        assert!(Line::of(&snapshot, routed, "/v1/game1/7").is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_changes_seldom() {
        let principal = None;
        let mut known = Known::default();
        let learned = (0..100_000_u32)
            .filter(|number| known.learn_section(&number.to_be_bytes(), principal).is_some());
        let learned = learned.count();
        assert!((SECTIONS_MAX..SECTIONS_MAX + 100_000 / 16).contains(&learned), "{learned}");
        assert_eq!(known.sections.len(), SECTIONS_MAX);
        for (bytes, is_kept) in [(SECTION_BYTES_MAX, true), (SECTION_BYTES_MAX + 1, false)] {
            let mut known = Known::default();
            assert_eq!(known.learn_section(&vec![b'a'; bytes], None).is_some(), is_kept, "{bytes}");
        }
    }
}
