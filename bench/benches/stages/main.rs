//! What each stage of a request costs, without sockets: `cargo bench -p gateway-bench --bench stages`.
//!
//! Read `fastest`: on a machine that does other things, too, it is the figure that comes again. `hit` and `pipelined` are whole
//! requests, from the frame's bytes to the reply's, over one row that stays in the CPU's cache and over many that do not. With
//! `threads` two frontends ask for one row: what a thread needs for a hit must be its own, or the time grows. Allocations are shown
//! where there are any.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark stops at its first surprise"
)]

mod bed;

use std::cell::RefCell;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use divan::{AllocProfiler, Bencher};
use gateway::auth::Principal;
use gateway::bind::{Bound, Param, bind_each};
use gateway::cache::{Found, Hit, KeyHasher, Keys, Stored};
use gateway::catalog::{Form, Template, msgpack_to_json};
use gateway::error::Error;
use gateway::pipeline::{
    Core, Learned, Request, Routed, Served, Shape, Trace, Worker, route, unix_seconds,
};
use gateway::snapshot::{Operation, Snapshot};
use gateway_protocol::message::{Call, write_call};
use gateway_protocol::{
    Codec, FrameHeader, FrameKind, HEADER_BYTES, RequestId, Value, begin_frame, begin_reply,
    decode_header, finish_frame, finish_reply,
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Rows that are kept: more than the CPU's own cache holds.
const ROWS: i64 = 100_000;

/// Calls that arrive together.
const PIPELINED: usize = 16;

const FRAME_BYTES_MAX: u32 = 1 << 20;

/// Of a game server that may use `game1` until the year 2100.
static TOKEN: LazyLock<String> = LazyLock::new(token);
const SECRET: &str = "benchmark-signing-secret-of-no-worth";

static GATEWAY: LazyLock<Arc<Core>> = LazyLock::new(bed::core);

fn main() {
    divan::main();
}

/// One frontend thread's part, and somebody who asks.
struct Asker {
    worker: Worker,
    snapshot: Arc<Snapshot>,
    principal: Arc<Principal>,
    /// `None`: every call is read from its beginning.
    learned: Option<Learned>,
}

impl Asker {
    fn new(core: &Arc<Core>) -> Self {
        let worker = Worker::new(Arc::clone(core));
        let snapshot = Arc::clone(&worker.snapshot());
        let principal = worker.bearer(&snapshot, &TOKEN).unwrap();
        Self { worker, snapshot, principal, learned: Some(Learned::default()) }
    }

    fn routed(&self) -> Routed<'_> {
        route(&self.snapshot, "game1", "player.get").unwrap()
    }

    fn request(&self) -> Request<'_> {
        Request {
            principal: Some(&self.principal),
            trace: Trace::Numbered { connection: 1, request: 1 },
            peer: (Ipv4Addr::LOCALHOST, 1).into(),
            arrived: Instant::now(),
            deadline: None,
            dry_run: false,
        }
    }

    fn find<'p>(&self, payload: &'p [u8], bound: &mut Bound<'p>) -> Option<Rc<Shape>> {
        self.learned.as_ref()?.find(&self.snapshot, Some("game1"), payload, bound)
    }

    fn learn(&self, routed: Routed<'_>, payload: &[u8]) {
        if let Some(learned) = &self.learned {
            learned.learn(&self.snapshot, Some("game1"), routed, payload);
        }
    }

    /// Answers one frame, as a connection does.
    fn answer(&self, frame: &[u8], out: &mut Vec<u8>) {
        let header = decode_header(frame, FRAME_BYTES_MAX).unwrap().unwrap();
        let payload = &frame[HEADER_BYTES..header.frame_bytes()];
        let write = |_: &Operation, hit: &Hit<'_>| {
            write_reply(out, header.request_id, hit.msgpack().unwrap());
        };
        let request = self.request();
        let mut bound = Bound::default();
        let served = if let Some(shape) = self.find(payload, &mut bound) {
            self.worker.serve(&request, shape.routed(), |_| Ok(bound), write)
        } else {
            let call = Call::from_msgpack(payload).unwrap();
            let routed = route(&self.snapshot, "game1", &call.op).unwrap();
            self.learn(routed, payload);
            self.worker.serve(&request, routed, |template| bind_each(template, params(call)), write)
        };
        assert!(matches!(served, Ok(Served::Hit(()))), "not kept");
    }

    /// Answers frames that arrived together, as a connection does.
    fn answer_all(&self, frames: &[Vec<u8>], keys: &mut Keys, out: &mut Vec<u8>) {
        keys.clear();
        let request = self.request();
        let mut ids = [RequestId(0); PIPELINED];
        for (frame, id) in frames.iter().zip(&mut ids) {
            let header = decode_header(frame, FRAME_BYTES_MAX).unwrap().unwrap();
            let payload = &frame[HEADER_BYTES..header.frame_bytes()];
            let mut bound = Bound::default();
            let is_put = if let Some(shape) = self.find(payload, &mut bound) {
                self.worker.put_bound(&request, shape.routed(), &bound, keys)
            } else {
                let call = Call::from_msgpack(payload).unwrap();
                let routed = route(&self.snapshot, "game1", &call.op).unwrap();
                self.learn(routed, payload);
                let bind = |template: &Template| bind_each(template, params(call));
                self.worker.put_key(&request, routed, bind, keys)
            };
            assert!(is_put);
            *id = header.request_id;
        }
        let cache = &self.worker.core().cache;
        let reading = cache.l1().reading();
        let mut found: [Option<Found<'_>>; PIPELINED] = [None; PIPELINED];
        for (found, key) in found.iter_mut().zip(keys.iter()) {
            *found = reading.find(key);
        }
        found.iter().flatten().for_each(|found| found.fetch_ahead());
        let now_ms = cache.ms_at(request.arrived);
        for (found, id) in found.iter().zip(ids) {
            let served = reading.serve(found.unwrap(), now_ms, |hit| {
                write_reply(out, id, hit.msgpack().unwrap());
            });
            assert!(served.is_some(), "not kept");
        }
    }
}

fn params(call: Call<'_>) -> impl Iterator<Item = Result<Param<'_>, Error>> {
    call.params.map(|entry| Ok(Param::from(entry?)))
}

fn write_reply(out: &mut Vec<u8>, id: RequestId, body: &[u8]) {
    let start = begin_reply(out, id, Codec::MsgPack, 0);
    out.extend_from_slice(body);
    finish_reply(out, start, 0).unwrap();
}

fn frame(id: i64) -> Vec<u8> {
    let header = FrameHeader {
        length: 0,
        kind: FrameKind::Call,
        codec: Codec::MsgPack,
        flags: 0,
        request_id: RequestId(7),
        deadline_ms_or_code: 0,
    };
    let mut out = Vec::new();
    let start = begin_frame(&mut out, &header);
    let params = [("player_id", Value::Int(id))];
    write_call(&mut out, Codec::MsgPack, None, "player.get", &params);
    finish_frame(&mut out, start).unwrap();
    out
}

/// Calls for rows of which `rows` are asked for, in no order.
fn frames(rows: i64) -> Vec<Vec<u8>> {
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(seed >> 33).unwrap() % rows + 1
    };
    (0..16_384).map(|_| frame(next())).collect()
}

#[divan::bench]
fn decode_frame(bencher: Bencher<'_, '_>) {
    let frame = frame(7);
    bencher.bench_local(|| decode_header(black_box(&frame), FRAME_BYTES_MAX));
}

#[divan::bench]
fn decode_call(bencher: Bencher<'_, '_>) {
    let frame = frame(7);
    bencher.bench_local(|| {
        let call = Call::from_msgpack(black_box(&frame[HEADER_BYTES..])).unwrap();
        params(call).map(Result::unwrap).count()
    });
}

#[divan::bench]
fn bind(bencher: Bencher<'_, '_>) {
    let asker = Asker::new(&GATEWAY);
    let template = &asker.routed().operation.template;
    bencher.bench_local(|| {
        let value = black_box(Value::Int(7));
        let param = Param { name: "player_id".into(), value, untyped: false };
        bind_each(template, [Ok::<_, Error>(param)]).unwrap()
    });
}

#[divan::bench]
fn make_key(bencher: Bencher<'_, '_>) {
    let asker = Asker::new(&GATEWAY);
    let operation = asker.routed().operation;
    let param = Param { name: "player_id".into(), value: Value::Int(7), untyped: false };
    let bound = bind_each(&operation.template, [Ok::<_, Error>(param)]).unwrap();
    let (hasher, mut scratch) = (KeyHasher::default(), Vec::new());
    bencher.bench_local(|| {
        operation.key_spec.build(0, black_box(&bound), &asker.principal, &hasher, &mut scratch).hash
    });
}

/// A look-up alone: key at hand, body copied.
#[divan::bench(args = [1, ROWS])]
fn l1_hit(bencher: Bencher<'_, '_>, rows: i64) {
    let asker = Asker::new(&GATEWAY);
    let mut keys = Keys::default();
    for frame in frames(rows) {
        let call = Call::from_msgpack(&frame[HEADER_BYTES..]).unwrap();
        let bind = |template: &Template| bind_each(template, params(call));
        assert!(asker.worker.put_key(&asker.request(), asker.routed(), bind, &mut keys));
    }
    let keys: Vec<_> = keys.iter().collect();
    let mut keys = keys.iter().cycle();
    let cache = &GATEWAY.cache;
    let (now_ms, mut out) = (cache.now_ms(), Vec::with_capacity(512));
    bencher.bench_local(|| {
        out.clear();
        let key = *keys.next().unwrap();
        cache.l1().read(key, now_ms, |hit| out.extend_from_slice(hit.msgpack().unwrap())).unwrap();
    });
}

/// One request after the other.
#[divan::bench(args = [1, ROWS])]
fn hit(bencher: Bencher<'_, '_>, rows: i64) {
    answer_alone(bencher, rows, &Asker::new(&GATEWAY));
}

/// The same without what was learned of the calls before.
#[divan::bench(args = [1, ROWS])]
fn hit_read_anew(bencher: Bencher<'_, '_>, rows: i64) {
    answer_alone(bencher, rows, &Asker { learned: None, ..Asker::new(&GATEWAY) });
}

fn answer_alone(bencher: Bencher<'_, '_>, rows: i64, asker: &Asker) {
    let (frames, mut out) = (frames(rows), Vec::with_capacity(512));
    let mut frames = frames.iter().cycle();
    bencher.bench_local(|| {
        out.clear();
        asker.answer(frames.next().unwrap(), &mut out);
    });
}

/// Sixteen that arrived together; the time is that of one.
#[divan::bench(args = [1, ROWS])]
fn pipelined(bencher: Bencher<'_, '_>, rows: i64) {
    answer_together(bencher, rows, &Asker::new(&GATEWAY));
}

/// The same without what was learned of the calls before.
#[divan::bench(args = [1, ROWS])]
fn pipelined_read_anew(bencher: Bencher<'_, '_>, rows: i64) {
    answer_together(bencher, rows, &Asker { learned: None, ..Asker::new(&GATEWAY) });
}

fn answer_together(bencher: Bencher<'_, '_>, rows: i64, asker: &Asker) {
    let (frames, mut out, mut keys) = (frames(rows), Vec::with_capacity(8192), Keys::default());
    let mut batches = frames.chunks(PIPELINED).cycle();
    bencher.counter(divan::counter::ItemsCount::new(PIPELINED)).bench_local(|| {
        out.clear();
        asker.answer_all(batches.next().unwrap(), &mut keys, &mut out);
    });
}

/// Frontends on several threads, all asking for one row.
#[divan::bench(threads = [1, 2])]
fn one_hot_row(bencher: Bencher<'_, '_>) {
    const HITS: usize = 64;
    thread_local! {
        static ASKER: (Asker, Vec<u8>, RefCell<Vec<u8>>) =
            (Asker::new(&GATEWAY), frame(7), RefCell::default());
    }
    bencher.counter(divan::counter::ItemsCount::new(HITS)).bench(|| {
        ASKER.with(|(asker, frame, out)| {
            let mut out = out.borrow_mut();
            for _ in 0..HITS {
                out.clear();
                asker.answer(frame, &mut out);
            }
        });
    });
}

/// A token that was not seen before.
#[divan::bench]
fn verify_token(bencher: Bencher<'_, '_>) {
    let asker = Asker::new(&GATEWAY);
    bencher.bench_local(|| {
        asker.snapshot.authenticator.bearer(black_box(&TOKEN), unix_seconds()).unwrap()
    });
}

/// A token that this thread verified before.
#[divan::bench]
fn remember_token(bencher: Bencher<'_, '_>) {
    let asker = Asker::new(&GATEWAY);
    bencher.bench_local(|| asker.worker.bearer(&asker.snapshot, black_box(&TOKEN)).unwrap());
}

/// JSON of a row, which is kept with it.
#[divan::bench]
fn render_json(bencher: Bencher<'_, '_>) {
    let asker = Asker::new(&GATEWAY);
    let template = &asker.routed().operation.template;
    let Stored::Present(body) = bed::stored(7) else { panic!("there is one") };
    let mut out = Vec::with_capacity(1024);
    bencher.bench_local(|| {
        out.clear();
        msgpack_to_json(Form::of(template), black_box(&body.msgpack), &mut out).unwrap();
    });
}

/// A row as MessagePack.
#[divan::bench]
fn encode_row(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(1024);
    bencher.bench_local(|| {
        out.clear();
        bed::write_row(&mut out, black_box(7));
    });
}

/// A reply around a body.
#[divan::bench]
fn encode_reply(bencher: Bencher<'_, '_>) {
    let Stored::Present(body) = bed::stored(7) else { panic!("there is one") };
    let mut out = Vec::with_capacity(1024);
    bencher.bench_local(|| {
        out.clear();
        write_reply(&mut out, RequestId(7), black_box(&body.msgpack));
    });
}

fn token() -> String {
    let claims = serde_json::json!({
        "sub": "1", "roles": ["game_server"], "games": ["game1"], "exp": 4_102_444_800_u64
    });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}
