//! The load: connections on one thread, each with a fixed number of calls in flight, or each call at its own time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use monoio::{IoUringDriver, RuntimeBuilder};
use socket2::{Domain, Socket, Type};

use crate::message::{self, Mode};
use crate::report::{Report, histogram};
use crate::timer::Timer;
use crate::{LoadArgs, cpu};

/// Counted by all connections.
struct Count {
    is_counting: Cell<bool>,
    is_over: Cell<bool>,
    answers: Cell<u64>,
    /// Answers that were none that was hoped for, by code; lost connections under 0.
    errors: RefCell<BTreeMap<u16, u64>>,
    /// Of the others.
    latency: RefCell<Histogram<u64>>,
}

/// Runs one measurement.
pub(crate) fn run(args: &LoadArgs, warm_up: Duration, counted: Duration) -> anyhow::Result<Report> {
    let mut flags = io_uring::IoUring::builder();
    flags.setup_coop_taskrun().setup_single_issuer();
    let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(8192).uring_builder(flags);
    builder.enable_timer().build()?.block_on(measure(args.clone(), warm_up, counted))
}

async fn measure(args: LoadArgs, warm_up: Duration, counted: Duration) -> anyhow::Result<Report> {
    let count = Rc::new(Count {
        is_counting: Cell::new(false),
        is_over: Cell::new(false),
        answers: Cell::new(0),
        errors: RefCell::default(),
        latency: RefCell::new(histogram()?),
    });
    let before_bytes = cpu::resident_bytes_of(&args.pids)?;
    let args = Rc::new(args);
    let (busy, silent) = connect_all(&args).await?;
    let mut tasks = Vec::with_capacity(busy.len());
    if args.wait {
        begin_when_told()?;
    }
    for (index, connection) in busy.into_iter().enumerate() {
        let own = LoadArgs { connection: u32::try_from(index)?, ..LoadArgs::clone(&args) };
        let (args, count) = (own, Rc::clone(&count));
        tasks.push(monoio::spawn(async move {
            let done = match args.mode {
                // Held open, silent, until the process ends.
                mode if mode.is_idle() => std::future::pending().await,
                Mode::Login => log_in_and_out(connection, &args, &count, index as u64).await,
                _ => drive(connection, &args, &count, index as u64).await,
            };
            if let Err(error) = done
                && !count.is_over.get()
            {
                count.fail(0);
                return Err(error);
            }
            Ok(())
        }));
    }
    monoio::time::sleep(warm_up).await;
    let cpu_before = cpu::seconds_of(&args.pids)?;
    let started = Instant::now();
    count.is_counting.set(true);
    monoio::time::sleep(counted).await;
    count.is_counting.set(false);
    let elapsed = started.elapsed();
    let cpu_after = cpu::seconds_of(&args.pids)?;
    let after_bytes = cpu::resident_bytes_of(&args.pids)?;
    count.is_over.set(true);
    let mut first_error = None;
    if !args.mode.is_idle() {
        for task in tasks {
            if let Err(error) = task.await {
                first_error.get_or_insert(error);
            }
        }
    }
    if let Some(error) = first_error {
        let lost = count.errors.borrow().get(&0).copied().unwrap_or(0);
        return Err(error.context(format!("{lost} connections failed")));
    }
    drop(silent);
    let latency = count.latency.borrow().clone();
    Ok(Report {
        answers: count.answers.get(),
        errors: count.errors.borrow().clone(),
        elapsed,
        cpu_seconds: cpu_after.zip(cpu_before).map(|(after, before)| after - before),
        grown_bytes: after_bytes
            .zip(before_bytes)
            .map(|(after, before)| after.saturating_sub(before)),
        latency,
    })
}

/// Opens all connections: those that send, and those that are silent.
async fn connect_all(args: &LoadArgs) -> anyhow::Result<(Vec<Connection>, Vec<Connection>)> {
    let active = active(args);
    let (mut busy, mut silent) = (Vec::new(), Vec::new());
    let (started, apart) = (Instant::now(), apart(args));
    for index in 0..args.connections {
        monoio::time::sleep(at(index, apart).saturating_sub(started.elapsed())).await;
        let mut connection = connect(args, index).await?;
        // The active ones lie among the others.
        if busy.len() < active && index * active >= busy.len() * args.connections {
            busy.push(connection);
        } else {
            connection.received = Vec::new();
            silent.push(connection);
        }
    }
    Ok((busy, silent))
}

/// Time from one connection to the next.
fn apart(args: &LoadArgs) -> Duration {
    let count = u32::try_from(args.connections).unwrap_or(u32::MAX).max(1);
    Duration::from_secs(args.ramp.into()) / count
}

/// When a connection is opened, from the first one on.
fn at(index: usize, apart: Duration) -> Duration {
    apart * u32::try_from(index).unwrap_or(u32::MAX)
}

/// How many connections send anything.
pub(crate) const fn active(args: &LoadArgs) -> usize {
    if args.active == 0 { args.connections } else { args.active }
}

impl Count {
    fn fail(&self, code: u16) {
        *self.errors.borrow_mut().entry(code).or_default() += 1;
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// Says that all connections stand, and returns when whoever reads that says a line.
fn begin_when_told() -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "connected")?;
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// The first ports that connections come from, where their address is chosen: those of the second row where one of the
/// first is somebody else's.
const PORTS: [u16; 2] = [2_000, 33_000];

/// - `index`: which connection it is.
async fn open(args: &LoadArgs, index: usize) -> anyhow::Result<TcpStream> {
    let Some(source) = args.source else {
        return Ok(TcpStream::connect_addr(args.address).await?);
    };
    // On loopback a connection stands, or does not, before anybody waits for it. The port is named: left to the kernel,
    // each is looked for among all that are taken, which takes seconds for the last thousands.
    let socket = Socket::new(Domain::for_address(args.address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    let bound = PORTS.iter().find_map(|first| {
        let port = first.checked_add(u16::try_from(index).ok()?)?;
        socket.bind(&SocketAddr::new(source, port).into()).ok()
    });
    bound.context("the port is taken, or there are more connections than ports")?;
    socket.connect(&args.address.into())?;
    Ok(TcpStream::from_std(socket.into())?)
}

async fn connect(args: &LoadArgs, index: usize) -> anyhow::Result<Connection> {
    let stream = open(args, index).await?;
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream, received: Vec::with_capacity(64 << 10) };
    if let Some(hello) = message::hello(args)? {
        let (sent, _) = connection.stream.write_all(hello).await;
        sent?;
        let errors = connection.receive(args).await?;
        anyhow::ensure!(errors.is_empty(), "the hello was refused: {errors:?}");
    }
    Ok(connection)
}

impl Connection {
    /// Takes the next answer, waiting for its bytes. Returns its errors.
    async fn receive(&mut self, args: &LoadArgs) -> anyhow::Result<Vec<u16>> {
        loop {
            if let Some(answer) = message::answer(args.mode, args.batch, &self.received)? {
                self.received.drain(..answer.length);
                return Ok(answer.errors);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let buffer = std::mem::take(&mut self.received);
        let (filled, capacity) = (buffer.len(), buffer.capacity().max(buffer.len() + 4096));
        let mut buffer = buffer;
        buffer.reserve(capacity - filled);
        let slice = monoio::buf::SliceMut::new(buffer, filled, capacity);
        let (read, slice) = self.stream.read(slice).await;
        self.received = slice.into_inner();
        anyhow::ensure!(read? > 0, "the server closed the connection");
        Ok(())
    }
}

/// Sends and receives until the measurement is over.
async fn drive(
    mut connection: Connection,
    args: &LoadArgs,
    count: &Count,
    index: u64,
) -> anyhow::Result<()> {
    let mut seed = first_seed(index);
    let mut id = 1_u32;
    let mut out = Vec::with_capacity(args.pipeline * 128);
    let mut pace = Pace::new(args, index)?;
    while !count.is_over.get() {
        out.clear();
        let due = pace.due().await?;
        for _ in 0..due.len() {
            seed = next_seed(seed);
            message::request(args, id, seed >> 33, &mut out)?;
            id = id.wrapping_add(1).max(1);
        }
        let (sent, buffer) = connection.stream.write_all(out).await;
        sent?;
        out = buffer;
        let mut left = due.len();
        while left > 0 {
            let mut taken = 0;
            while let Some(answer) = message::answer(
                args.mode,
                args.batch,
                connection.received.get(taken..).unwrap_or_default(),
            )? {
                taken += answer.length;
                // Answers may change places; of calls that were due together it does not matter which is which.
                let sent_at = due.get(due.len() - left).copied().unwrap_or_else(Instant::now);
                left -= 1;
                note(count, sent_at, (args.batch, &answer.errors))?;
                if left == 0 {
                    break;
                }
            }
            connection.received.drain(..taken);
            if left > 0 {
                connection.read().await?;
            }
        }
    }
    Ok(())
}

/// Calls of one login.
const LOGIN_CALLS: u32 = 8;

/// Connects, says who it is, calls, and closes, until the measurement is over. Connecting and HELLO count as one.
async fn log_in_and_out(
    first: Connection,
    args: &LoadArgs,
    count: &Count,
    index: u64,
) -> anyhow::Result<()> {
    let mut seed = first_seed(index);
    let mut next = Some(first);
    while !count.is_over.get() {
        let begun = Instant::now();
        let mut connection = match next.take() {
            Some(connection) => connection,
            None => connect(args, usize::try_from(index)?).await?,
        };
        note(count, begun, (1, &[]))?;
        for id in 1..=LOGIN_CALLS {
            seed = next_seed(seed);
            let mut out = Vec::with_capacity(128);
            let sent_at = Instant::now();
            message::request(args, id, seed >> 33, &mut out)?;
            let (sent, _) = connection.stream.write_all(out).await;
            sent?;
            let errors = connection.receive(args).await?;
            note(count, sent_at, (1, &errors))?;
        }
    }
    Ok(())
}

const fn first_seed(index: u64) -> u64 {
    index.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}

/// A linear congruential step (Knuth's MMIX): which row is asked for need not be better.
const fn next_seed(seed: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// When a connection's calls are due.
struct Pace {
    /// Between two of its calls; zero: `pipeline` of them whenever the last ones are answered.
    gap: Duration,
    next: Instant,
    /// `None`: not needed.
    timer: Option<Timer>,
    pipeline: usize,
}

impl Pace {
    fn new(args: &LoadArgs, index: u64) -> anyhow::Result<Self> {
        let active = active(args);
        let gap = Duration::from_secs((active * args.batch) as u64)
            .checked_div(u32::try_from(args.rate).unwrap_or(u32::MAX))
            .unwrap_or_default();
        // Spread over the gap, so that not all connections send at once.
        let active = u32::try_from(active).unwrap_or(u32::MAX).max(1);
        let offset = gap / active * (u32::try_from(index).unwrap_or(0) % active);
        let timer = (!gap.is_zero()).then(Timer::new).transpose()?;
        Ok(Self { gap, next: Instant::now() + offset, timer, pipeline: args.pipeline })
    }

    /// Waits until a call is due; the times of all that are by then, at least one.
    async fn due(&mut self) -> anyhow::Result<Vec<Instant>> {
        let Some(timer) = &self.timer else {
            return Ok(vec![Instant::now(); self.pipeline]);
        };
        timer.until(self.next).await?;
        let mut due = Vec::new();
        while due.is_empty() || self.next <= Instant::now() {
            due.push(self.next);
            self.next += self.gap;
        }
        Ok(due)
    }
}

/// Takes note of an answer.
///
/// - `calls`: how many it answers, and the codes of those that failed.
fn note(count: &Count, sent_at: Instant, (calls, errors): (usize, &[u16])) -> anyhow::Result<()> {
    if !count.is_counting.get() {
        return Ok(());
    }
    count.answers.set(count.answers.get() + calls as u64);
    for code in errors {
        count.fail(*code);
    }
    let good = calls.saturating_sub(errors.len()) as u64;
    let nanos = u64::try_from(sent_at.elapsed().as_nanos())?;
    count.latency.borrow_mut().saturating_record_n(nanos, good);
    Ok(())
}
