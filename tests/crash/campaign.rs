//! The rounds: load, a kill at a random moment, the way back, and the judgement.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Gateway, Mariadb, Random, Setup, sample};
use serde_json::json;

use crate::book::Tally;
use crate::client::Client;
use crate::verify::Verifier;

/// Connections that put load on the gateway.
const CLIENT_COUNT: usize = 6;

/// Latest moment of a kill after the load began, in microseconds.
const KILL_MICROS_MAX: u64 = 900_000;

/// What dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The gateway's process.
    Gateway,
    /// The database's process.
    Mariadb,
    /// Both, a moment apart.
    Both,
}

impl Victim {
    const ALL: [Self; 3] = [Self::Gateway, Self::Mariadb, Self::Both];

    /// For a round's line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Mariadb => "mariadb",
            Self::Both => "both",
        }
    }
}

/// What a round was like.
#[derive(Debug)]
pub(crate) struct Round {
    /// What died.
    pub(crate) victim: Victim,
    /// How often the gateway was killed a further time on its way back.
    pub(crate) relapses: u64,
    /// Orders that waited in the journal when everything was up again.
    pub(crate) backlog: u64,
    /// How long it took until everything was up again, every call had its answer, and the journal was applied.
    pub(crate) phases: [Duration; 3],
    /// What it proved.
    pub(crate) tally: Tally,
}

/// One gateway and one database, continued from round to round: what a crash left behind is the next
/// round's beginning.
#[derive(Debug)]
pub(crate) struct Campaign<'s> {
    server: &'s Mariadb,
    gateway: Gateway<'s>,
    clients: Vec<Client>,
    verifier: Verifier,
    random: Random,
}

impl<'s> Campaign<'s> {
    /// Starts a gateway on an own database of `server`.
    pub(crate) fn new(server: &'s Mariadb, seed: u64) -> Self {
        let database = "/database/connections/game1";
        let gateway = Setup::mariadb(server)
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
        let verifier = Verifier::new(server, schema);
        Self { server, gateway, clients, verifier, random }
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
        let victim = *self.random.pick(&Victim::ALL);
        self.load_and_kill(victim);
        let killed = Instant::now();
        let relapses = self.come_back(victim, started);
        let backlog = sample::backlog(&self.gateway);
        let up = Instant::now();
        self.settle();
        let settled = Instant::now();
        sample::wait_applied(&self.gateway);
        let phases = [up - killed, settled - up, settled.elapsed()];
        let is_same_life = victim == Victim::Mariadb;
        self.on_every_client(|client| client.ask_again(is_same_life));
        sample::wait_applied(&self.gateway);
        let entries = self.clients.iter().flat_map(|client| &client.entries);
        let mut tally = self.verifier.judge(self.server, &prefix, entries);
        for client in &mut self.clients {
            tally.add(std::mem::take(&mut client.tally));
        }
        Round { victim, relapses, backlog, phases, tally }
    }

    /// Puts load on the gateway and kills at a random moment.
    fn load_and_kill(&mut self, victim: Victim) {
        let (moment, gap) = (self.moment(KILL_MICROS_MAX), self.moment(20_000));
        let gateway_first = self.random.chance(50);
        // Without its database the gateway goes on taking orders for a while.
        let afterwards = self.moment(300_000);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in &mut self.clients {
                scope.spawn(|| client.load(&stop));
            }
            pass(moment);
            match victim {
                Victim::Gateway => self.gateway.kill(),
                Victim::Mariadb => {
                    self.server.kill();
                    pass(afterwards);
                }
                Victim::Both if gateway_first => {
                    self.gateway.kill();
                    pass(gap);
                    self.server.kill();
                }
                Victim::Both => {
                    self.server.kill();
                    pass(gap);
                    self.gateway.kill();
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    /// Starts what was killed. In a third of the cases the gateway dies again, once or more, while it replays.
    fn come_back(&mut self, victim: Victim, started: &mut dyn FnMut(u32)) -> u64 {
        let mut relapses = 0;
        if victim != Victim::Mariadb {
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
        // The gateway starts without its database, and finds it later.
        if victim != Victim::Gateway {
            self.server.restart();
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
