//! What tests of hits stand on: a connection without its threads.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Instant;

use super::hit::{serve, serve_alike};
use super::learned::SectionIndex;
use super::parse::parse;
use super::write::{Dates, Moment};
use crate::auth::new_key;
use crate::backend::Job;
use crate::bind::bind_each;
use crate::cache::{Body, Load, Stored, read_tags};
use crate::frontend::http::Connection;
use crate::frontend::registry::{Phase, PhaseLimits, Place, Registry};
use crate::frontend::worker::Thread;
use crate::pipeline::testing::core;
use crate::pipeline::{self, Served, Trace, Worker};
use crate::queue;

/// Sun, 06 Nov 1994 08:49:37 GMT.
pub(super) const NOW: u64 = 784_111_777;
/// When the key of [`Bed`] expires: 2100-01-01.
pub(super) const EXPIRED: u64 = 4_102_444_800;

/// A connection to a gateway of one game whose row 7 is in L1, without its threads.
pub(super) struct Bed {
    pub(super) connection: Connection,
    key: String,
    dates: Dates,
    pub(super) out: Vec<u8>,
    pub(super) section: SectionIndex,
    _jobs: queue::Receiver<Job>,
    _place: Place,
    _folder: tempfile::TempDir,
}

impl Bed {
    pub(super) fn new(template: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = new_key("gm").unwrap();
        let sections = format!(
            "logging: {{requests: 'off'}}\n\
             auth: {{roles: {{gm: {{}}}}, api_keys: [{{id: gm, hash: '{}', roles: [gm], games: ['*'], expires: 2100-01-01}}]}}\n",
            key.hash
        );
        let (core, mut jobs) = core(folder.path(), template, &sections, 4);
        let worker = Worker::new(core);
        fill(&worker, &mut jobs, key.key.expose());
        let thread = Thread::bare(worker);
        let limits = PhaseLimits { idle: 9, reading: 9, writing: 9, greeting: 9 };
        let place = Rc::new(Registry::default()).join(-1, limits, Phase::Reading);
        let presence = Rc::clone(place.presence());
        let peer = (Ipv4Addr::LOCALHOST, 1).into();
        Self {
            connection: Connection { thread: Rc::new(thread), presence, peer },
            key: key.key.expose().to_owned(),
            dates: Dates::default(),
            out: Vec::with_capacity(4096),
            section: 0,
            _jobs: jobs,
            _place: place,
            _folder: folder,
        }
    }

    /// Whether a request is answered by reading it.
    pub(super) fn ask(&mut self, bytes: &[u8]) -> bool {
        let request = parse(bytes, 16 << 10).unwrap();
        let moment = Moment { dates: &self.dates, unix_seconds: NOW, is_last: false };
        self.out.clear();
        let when = (Instant::now(), moment);
        let section = &mut self.section;
        let is_hit = serve(&self.connection, &request, when, bytes, section, &mut self.out);
        assert_eq!(is_hit, !self.out.is_empty());
        is_hit
    }

    /// The answer to a request that looks like one before, and its length.
    pub(super) fn ask_alike(&mut self, bytes: &[u8], unix_seconds: u64) -> Option<usize> {
        let moment = Moment { dates: &self.dates, unix_seconds, is_last: false };
        self.out.clear();
        let when = (Instant::now(), moment);
        let served = serve_alike(&self.connection, when, bytes, self.section, &mut self.out);
        assert_eq!(served.is_some(), !self.out.is_empty());
        served
    }

    pub(super) fn request(&self, method: &str, id: impl std::fmt::Display, more: &str) -> Vec<u8> {
        let key = &self.key;
        format!("{method} /v1/game1/t/{id} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n{more}\r\n")
            .into_bytes()
    }

    /// Passes over the request whose stages are timed.
    pub(super) fn pass_sample(&self) {
        let recorder = &self.connection.thread.worker.recorder;
        while recorder.unsampled_next() == 0 {
            recorder.samples_stages();
        }
    }
}

/// Puts row 7 into L1. The credential is known to the worker from here on.
fn fill(worker: &Worker, jobs: &mut queue::Receiver<Job>, key: &str) {
    let snapshot = worker.snapshot();
    let principal = worker.api_key(&snapshot, key).unwrap();
    let request = pipeline::Request {
        principal: Some(&principal),
        trace: Trace::Text("test"),
        peer: (Ipv4Addr::LOCALHOST, 1).into(),
        arrived: Instant::now(),
        deadline: None,
        dry_run: false,
    };
    let routed = pipeline::route(&snapshot, "game1", "t.get").unwrap();
    let value = gateway_protocol::Value::Int(7);
    let params = [Ok(crate::bind::Param { name: "id".into(), value, untyped: false })];
    let served =
        worker.serve(&request, routed, |template| bind_each(template, params), |_, _| ()).unwrap();
    assert!(matches!(served, Served::Wait(_)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let job = std::pin::pin!(jobs.take()).poll(&mut context);
    let std::task::Poll::Ready(Some(Job::Run(run))) = job else { panic!("no job") };
    let policy = run.operation.template.cache.as_ref().unwrap();
    let tags = read_tags(&run.operation.template.game, &policy.tags, &run.bound);
    let load = Load { key: run.key.as_ref().unwrap(), tags: tags.as_deref(), policy };
    let msgpack = vec![0x81, 0xa2, b'i', b'd', 7];
    let body = Body { msgpack: msgpack.into(), json: OnceLock::new(), etag: "e1".into() };
    let fill = worker.core().cache.load(load, || async { Ok(Stored::Present(body)) });
    let stored = std::pin::pin!(fill).poll(&mut context);
    assert!(matches!(stored, std::task::Poll::Ready(Ok(_))));
}
