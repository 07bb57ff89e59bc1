//! The rounds: load, a kill at a random moment, the way back, and the judgement.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Gateway, Random, Redis, Server, Setup, sample, wait_until};
use serde_json::json;

use gateway_tests::load::{Client, Tally, Verifier, let_trade};

/// Connections that put load on the gateway.
const CLIENT_COUNT: usize = 6;

/// Latest moment of a kill after the load began, in microseconds.
const KILL_MICROS_MAX: u64 = 900_000;

/// How many streams a game's orders are in.
const STREAM_COUNT: usize = 4;

/// A process that may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    /// The gateway.
    Gateway,
    /// The database.
    Mariadb,
    /// Where orders wait that do not wait in the gateway's journal.
    Redis,
}

impl Process {
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Mariadb => "mariadb",
            Self::Redis => "redis",
        }
    }
}

/// What dies in a round, one a moment after the other.
type Victims = &'static [Process];

/// What may die while orders wait in the journal.
const OF_JOURNAL: [Victims; 3] =
    [&[Process::Gateway], &[Process::Mariadb], &[Process::Gateway, Process::Mariadb]];

/// What may die while they wait in Redis.
const OF_STREAM: [Victims; 6] = [
    &[Process::Gateway],
    &[Process::Redis],
    &[Process::Mariadb],
    &[Process::Gateway, Process::Redis],
    &[Process::Mariadb, Process::Redis],
    &[Process::Gateway, Process::Mariadb],
];

/// What a round was like.
#[derive(Debug)]
pub(crate) struct Round {
    /// What died, in words.
    pub(crate) killed: String,
    /// How often the gateway was killed a further time on its way back.
    pub(crate) relapses: u64,
    /// Orders that waited when everything was up again.
    pub(crate) backlog: u64,
    /// How long it took until everything was up again, every call had its answer, and the journal was applied.
    pub(crate) phases: [Duration; 3],
    /// What it proved.
    pub(crate) tally: Tally,
}

/// One gateway and its servers, continued from round to round: what a crash left behind is the next
/// round's beginning.
#[derive(Debug)]
pub(crate) struct Campaign<'s> {
    server: &'s Server,
    /// Where orders wait; `None`: in the gateway's journal.
    redis: Option<Redis>,
    gateway: Gateway<'s>,
    clients: Vec<Client>,
    verifier: Verifier,
    random: Random,
}

impl<'s> Campaign<'s> {
    /// Starts a gateway on an own database of `server`.
    ///
    /// - `redis`: the orders wait there.
    pub(crate) fn new(server: &'s Server, redis: Option<Redis>, seed: u64) -> Self {
        let database = "/database/connections/game1";
        let mut setup = Setup::on(server);
        if let Some(redis) = &redis {
            let queue = json!({ "url": redis.url(), "lease": "1s", "streams": STREAM_COUNT });
            setup = setup.set("/queue", queue).set("/games/game1/queue", json!("stream"));
        }
        let gateway = setup
            .set("/logging/requests", json!("errors"))
            // Of a write whose connection was lost nobody knows for so long; its client waits that long.
            .set("/games/game1/deadline", json!("2s"))
            .set(&format!("{database}/max_open_conns"), json!(16))
            .set(&format!("{database}/connect_timeout"), json!("500ms"))
            .set(&format!("{database}/health_interval"), json!("1s"))
            .start();
        let mut random = Random::new(seed);
        let address = gateway.tcp_address();
        let client = |index| Client::new(address, random.split(), index % 3 == 0);
        let clients = (0..CLIENT_COUNT).map(client).collect();
        let schema = gateway.schemas().unwrap().name(sample::GAME);
        let_trade(server, &schema);
        let verifier = Verifier::new(server, schema);
        Self { server, redis, gateway, clients, verifier, random }
    }

    /// The gateway's process: the watchdog's to end.
    pub(crate) fn gateway_pid(&self) -> u32 {
        self.gateway.pid()
    }

    /// Leaves the gateway's folder where it is; where that is.
    pub(crate) fn keep(&mut self) -> String {
        self.gateway.keep_folder().display().to_string()
    }

    /// One round.
    ///
    /// - `started`: told each time that a gateway was started.
    pub(crate) fn round(&mut self, number: u64, started: &mut dyn FnMut(u32)) -> Round {
        let prefix = format!("R{number:05}-");
        for (index, client) in self.clients.iter_mut().enumerate() {
            client.begin(format!("{prefix}{index}"));
        }
        let all: &[Victims] = if self.redis.is_some() { &OF_STREAM } else { &OF_JOURNAL };
        let victims = *self.random.pick(all);
        self.load_and_kill(victims);
        let killed = Instant::now();
        let relapses = self.come_back(victims, started);
        let backlog = self.backlog();
        let up = Instant::now();
        self.settle();
        let settled = Instant::now();
        self.wait_applied();
        let phases = [up - killed, settled - up, settled.elapsed()];
        // Redis knows every key, whichever gateway asks.
        let knows_keys = self.redis.is_some() || !victims.contains(&Process::Gateway);
        self.on_every_client(|client| client.ask_again(knows_keys));
        self.wait_applied();
        let entries = self.clients.iter().flat_map(|client| &client.entries);
        let mut tally = self.verifier.judge(self.server, &prefix, entries);
        for client in &mut self.clients {
            tally.add(std::mem::take(&mut client.tally));
        }
        let names: Vec<&str> = victims.iter().map(|victim| victim.name()).collect();
        Round { killed: names.join(" and "), relapses, backlog, phases, tally }
    }

    /// Orders that wait to be applied.
    fn backlog(&self) -> u64 {
        let Some(redis) = &self.redis else { return sample::backlog(&self.gateway) };
        let waiting = |stream| -> Option<u64> {
            let answer = redis.command(&format!("XLEN gwq:s:{}:{stream}", sample::GAME))?;
            answer.strip_prefix(':')?.parse().ok()
        };
        (0..STREAM_COUNT).map(|stream| waiting(stream).unwrap()).sum()
    }

    fn wait_applied(&self) {
        wait_until("everything is applied", || (self.backlog() == 0).then_some(()));
    }

    /// Puts load on the gateway and kills at a random moment.
    fn load_and_kill(&mut self, victims: Victims) {
        let (moment, gap) = (self.moment(KILL_MICROS_MAX), self.moment(20_000));
        let is_reversed = self.random.chance(50);
        // Without its database the gateway goes on taking orders for a while.
        let afterwards = self.moment(300_000);
        let mut order = victims.to_vec();
        if is_reversed {
            order.reverse();
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in &mut self.clients {
                scope.spawn(|| client.load(&stop));
            }
            pass(moment);
            for (index, victim) in order.iter().enumerate() {
                if index > 0 {
                    pass(gap);
                }
                match victim {
                    Process::Gateway => self.gateway.kill(),
                    Process::Mariadb => self.server.kill(),
                    Process::Redis => self.redis.as_mut().unwrap().kill(),
                }
            }
            if !victims.contains(&Process::Gateway) {
                pass(afterwards);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    /// Starts what was killed. In a third of the cases the gateway dies again, once or more, while it replays.
    fn come_back(&mut self, victims: Victims, started: &mut dyn FnMut(u32)) -> u64 {
        let mut relapses = 0;
        if victims.contains(&Process::Gateway) {
            self.gateway.launch();
            while self.random.chance(33) {
                started(self.gateway.pid());
                let moment = self.moment(400_000);
                pass(moment);
                self.gateway.kill();
                self.gateway.launch();
                relapses += 1;
            }
            started(self.gateway.pid());
        }
        // The gateway starts without what it needs, and finds it later.
        if victims.contains(&Process::Mariadb) {
            self.server.restart();
        }
        if victims.contains(&Process::Redis) {
            self.redis.as_mut().unwrap().restart();
        }
        self.gateway.wait_ready();
        relapses
    }

    fn settle(&mut self) {
        self.on_every_client(Client::settle);
    }

    fn on_every_client(&mut self, work: impl Fn(&mut Client) + Sync) {
        std::thread::scope(|scope| {
            for client in &mut self.clients {
                scope.spawn(|| work(client));
            }
        });
    }

    fn moment(&mut self, micros_max: u64) -> Duration {
        Duration::from_micros(self.random.below(micros_max))
    }
}

/// Lets time pass: the moment of a kill is the seed's choice.
#[expect(
    clippy::disallowed_methods,
    reason = "a kill's moment is drawn; nothing waits for a state here"
)]
fn pass(moment: Duration) {
    let end = Instant::now() + moment;
    while let Some(rest) = end.checked_duration_since(Instant::now()) {
        std::thread::sleep(rest);
    }
}
