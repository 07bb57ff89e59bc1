//! Random interleavings on two instances, each step checked against the promises.
//!
//! Steps are taken one at a time, so that what was acknowledged before a read began is known exactly;
//! reads that asked the database stay open over other steps and come back late with an old row.

use std::fmt;

use redis::aio::MultiplexedConnection;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

const ROWS: [&str; 3] = ["a", "b", "c"];
const STEPS: usize = 400;

/// A write that has begun.
struct OpenWrite {
    row: &'static str,
    write: WriteInFlight,
    /// Its version, once committed.
    committed: Option<u64>,
    /// Redis forgot it: a second fault would be more than what is promised.
    forgotten: bool,
}

/// A read that waits in the database.
struct OpenRead {
    row: &'static str,
    /// The newest version acknowledged before it began.
    known: u64,
    go: oneshot::Sender<()>,
    answer: JoinHandle<u64>,
}

struct Model {
    seed: u64,
    random: u64,
    server: RedisServer,
    control: MultiplexedConnection,
    instances: [Arc<Instance>; 2],
    database: Database,
    /// Newest version that was acknowledged, by row.
    acknowledged: HashMap<&'static str, u64>,
    /// Committed by writers that died while a read of the row was in the database: until that comes
    /// back others may join it, for nobody was told of the write.
    untold: HashMap<&'static str, u64>,
    version: u64,
    writes: Vec<OpenWrite>,
    reads: Vec<OpenRead>,
    log: Vec<String>,
}

impl Model {
    async fn new(server: RedisServer, seed: u64) -> Self {
        let instances =
            [Arc::new(Instance::on(&server).await), Arc::new(Instance::on(&server).await)];
        Self {
            seed,
            random: seed,
            control: server.connection().await,
            server,
            instances,
            database: Database::default(),
            acknowledged: HashMap::new(),
            untold: HashMap::new(),
            version: 0,
            writes: Vec::new(),
            reads: Vec::new(),
            log: Vec::new(),
        }
    }

    /// The next number below `bound`, by the `SplitMix64` generator.
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn note(&mut self, step: impl fmt::Display) {
        self.log.push(step.to_string());
    }

    async fn run(mut self) {
        for _ in 0..STEPS {
            match self.below(100) {
                0..30 => self.read().await,
                30..45 => self.open_read().await,
                45..60 => self.close_read().await,
                60..72 => self.begin().await,
                72..84 => self.commit(),
                84..94 => self.finish().await,
                94..96 => self.die().await,
                96..98 => self.cut_subscription().await,
                _ => self.forget().await,
            }
        }
        while !self.reads.is_empty() {
            self.close_read().await;
        }
        while !self.writes.is_empty() {
            self.finish().await;
        }
        for row in ROWS {
            for _ in 0..2 {
                self.read_row(0, row).await;
                self.read_row(1, row).await;
            }
        }
    }

    /// Waits until nothing is owed and every message told so far has been heard: a message of the
    /// test's own, which is none of theirs, has come after it.
    async fn settle(&mut self) {
        for index in 0..2 {
            let instance = Arc::clone(&self.instances[index]);
            instance.ready().await;
            let before = instance.l2().messages_malformed;
            let deadline = tokio::time::Instant::now() + PATIENCE;
            while instance.l2().messages_malformed == before {
                assert!(tokio::time::Instant::now() < deadline, "messages never arrive");
                let told = redis::cmd("PUBLISH").arg("gw:stale").arg("marker").clone();
                told.exec_async(&mut self.control).await.unwrap();
                for _ in 0..20 {
                    if instance.l2().messages_malformed > before {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }

    async fn read(&mut self) {
        let (index, row) = (self.below(2), ROWS[self.below(ROWS.len())]);
        self.read_row(index, row).await;
    }

    async fn read_row(&mut self, index: usize, row: &'static str) {
        // A read that joins an open one would wait for it.
        if self.reads.iter().any(|read| read.row == row) {
            return;
        }
        self.settle().await;
        let known = self.acknowledged.get(row).copied().unwrap_or(0);
        let (seen, outcome) = self.instances[index].read(&self.database, row).await;
        self.note(format_args!("{index} reads {row}: {seen} from {outcome:?}, known {known}"));
        self.check(known, seen, row);
        if self.below(2) == 0 {
            self.instances[index].filled().await;
        }
    }

    async fn open_read(&mut self) {
        let (index, row) = (self.below(2), ROWS[self.below(ROWS.len())]);
        self.settle().await;
        let known = self.acknowledged.get(row).copied().unwrap_or(0);
        let (go, gate) = oneshot::channel();
        let (asked, has_asked) = oneshot::channel();
        let (instance, database) = (Arc::clone(&self.instances[index]), self.database.clone());
        let answer = tokio::spawn(async move {
            let fetch = || async {
                let version = database.get(row);
                asked.send(()).unwrap();
                gate.await.unwrap();
                Ok(stored(version))
            };
            instance.read_by(row, fetch).await.unwrap().0
        });
        // Until it has asked the database, was answered without, or waits for one that has.
        let waited = tokio::time::timeout(Duration::from_millis(20), has_asked).await;
        self.note(format_args!("{index} opens a read of {row}, known {known}: {waited:?}"));
        self.reads.push(OpenRead { row, known, go, answer });
    }

    async fn close_read(&mut self) {
        if self.reads.is_empty() {
            return;
        }
        let picked = self.below(self.reads.len());
        let row = self.reads[picked].row;
        // Those of one row may wait for each other: let them all go.
        let (closing, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.reads).into_iter().partition(|read| read.row == row);
        self.reads = rest;
        let mut answers = Vec::new();
        for read in closing {
            // It does not listen where it was answered without the database.
            let _was_waiting = read.go.send(()).is_ok();
            answers.push((read.known, read.answer));
        }
        for (known, answer) in answers {
            let seen = answer.await.unwrap();
            self.note(format_args!("a read of {row} comes back: {seen}, known {known}"));
            self.check(known, seen, row);
        }
        if let Some(version) = self.untold.remove(row) {
            self.know(row, version);
        }
    }

    fn know(&mut self, row: &'static str, version: u64) {
        let known = self.acknowledged.entry(row).or_default();
        *known = version.max(*known);
    }

    async fn begin(&mut self) {
        let (index, row) = (self.below(2), ROWS[self.below(ROWS.len())]);
        // The database's row lock: one writer a row at a time.
        if self.writes.iter().any(|open| open.row == row) {
            return;
        }
        self.note(format_args!("{index} begins to write {row}"));
        let write = self.instances[index].begin(row, WINDOW).await;
        // One that could not tell Redis is as good as forgotten there.
        let forgotten = !self.instances[index].l2().up;
        self.writes.push(OpenWrite { row, write, committed: None, forgotten });
    }

    fn commit(&mut self) {
        let Some(open) = self.writes.iter_mut().find(|open| open.committed.is_none()) else {
            return;
        };
        self.version += 1;
        open.committed = Some(self.version);
        self.database.set(open.row, self.version);
        self.log.push(format!("{} becomes {}", open.row, self.version));
    }

    async fn finish(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let picked = self.below(self.writes.len());
        let open = self.writes.swap_remove(picked);
        open.write.finish().await;
        self.note(format_args!("the write of {} is finished: {:?}", open.row, open.committed));
        if let Some(version) = open.committed {
            self.know(open.row, version);
        }
    }

    /// A writer vanishes. Nothing older than what it committed may be served from here on.
    async fn die(&mut self) {
        let Some(picked) = self.writes.iter().position(|open| !open.forgotten) else { return };
        // Its step 1 has arrived everywhere.
        self.settle().await;
        let open = self.writes.swap_remove(picked);
        self.note(format_args!("the writer of {} dies: {:?}", open.row, open.committed));
        drop(open.write);
        if let Some(version) = open.committed {
            if self.reads.iter().any(|read| read.row == open.row) {
                self.untold.insert(open.row, version);
            } else {
                self.know(open.row, version);
            }
        }
    }

    async fn cut_subscription(&mut self) {
        self.note("the subscriptions are cut");
        self.server.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    }

    /// Redis loses everything it has.
    async fn forget(&mut self) {
        self.note("redis forgets everything");
        self.server.run(&["FLUSHALL"]).await;
        self.writes.iter_mut().for_each(|open| open.forgotten = true);
    }

    fn check(&self, known: u64, seen: u64, row: &str) {
        assert!(
            seen >= known,
            "seed {}: {row} was read as {seen} after {known} was acknowledged\n{}",
            self.seed,
            self.log.join("\n")
        );
    }
}

/// `CACHE_MODEL_SEED` repeats one run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stale_row_is_found_in_random_interleavings() {
    let seeds = match std::env::var("CACHE_MODEL_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..4).map(|_| super::super::random().unwrap()).collect::<Vec<u64>>(),
    };
    for seed in seeds {
        println!("seed {seed}");
        let Some(server) = RedisServer::start().await else { return };
        Model::new(server, seed).await.run().await;
    }
}
