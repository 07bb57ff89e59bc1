//! The load: connections on one thread, each with a fixed number of calls in flight.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use monoio::{IoUringDriver, RuntimeBuilder};

use crate::message::{self, Mode};
use crate::report::Report;
use crate::timer::Timer;
use crate::{LoadArgs, cpu};

/// Counted by all connections.
struct Count {
    is_counting: Cell<bool>,
    is_over: Cell<bool>,
    answers: Cell<u64>,
    /// Answers that were none that was hoped for, by code; lost connections under 0.
    errors: RefCell<BTreeMap<u16, u64>>,
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
        latency: RefCell::new(Histogram::new_with_bounds(1, 60_000_000_000, 3)?),
    });
    let before_bytes = args.pid.map(cpu::resident_bytes).transpose()?;
    let args = Rc::new(args);
    let mut tasks = Vec::with_capacity(args.connections);
    for index in 0..args.connections {
        let connection = connect(&args).await?;
        let own = LoadArgs { connection: u32::try_from(index)?, ..LoadArgs::clone(&args) };
        let (args, count) = (own, Rc::clone(&count));
        tasks.push(monoio::spawn(async move {
            let done = drive(connection, &args, &count, index as u64).await;
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
    let cpu_before = args.pid.map(cpu::seconds).transpose()?;
    let started = Instant::now();
    count.is_counting.set(true);
    monoio::time::sleep(counted).await;
    count.is_counting.set(false);
    let elapsed = started.elapsed();
    let cpu_after = args.pid.map(cpu::seconds).transpose()?;
    let after_bytes = args.pid.map(cpu::resident_bytes).transpose()?;
    count.is_over.set(true);
    let mut first_error = None;
    if args.mode != Mode::Idle {
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

impl Count {
    fn fail(&self, code: u16) {
        *self.errors.borrow_mut().entry(code).or_default() += 1;
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

async fn connect(args: &LoadArgs) -> anyhow::Result<Connection> {
    let stream = TcpStream::connect_addr(args.address).await?;
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream, received: Vec::with_capacity(64 << 10) };
    if let Some(hello) = message::hello(args)? {
        let (sent, _) = connection.stream.write_all(hello).await;
        sent?;
        let is_good = connection.receive(args.mode).await?;
        anyhow::ensure!(is_good, "the hello was refused");
    }
    if args.mode == Mode::Idle {
        connection.received = Vec::new();
    }
    Ok(connection)
}

impl Connection {
    /// Takes the next answer, waiting for its bytes.
    async fn receive(&mut self, mode: Mode) -> anyhow::Result<bool> {
        loop {
            if let Some(answer) = message::answer(mode, &self.received)? {
                self.received.drain(..answer.length);
                return Ok(answer.error.is_none());
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
    if args.mode == Mode::Idle {
        // Held open, silent, until the process ends.
        std::future::pending::<()>().await;
    }
    let mut seed = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut id = 1_u32;
    let mut out = Vec::with_capacity(args.pipeline * 128);
    let mut pace = Pace::new(args, index)?;
    while !count.is_over.get() {
        out.clear();
        let due = pace.due().await?;
        for _ in 0..due.len() {
            // A linear congruential step (Knuth's MMIX): which row is asked for need not be better.
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            message::request(args, id, seed >> 33, &mut out)?;
            id = id.wrapping_add(1).max(1);
        }
        let (sent, buffer) = connection.stream.write_all(out).await;
        sent?;
        out = buffer;
        let mut left = due.len();
        while left > 0 {
            let mut taken = 0;
            while let Some(answer) =
                message::answer(args.mode, connection.received.get(taken..).unwrap_or_default())?
            {
                taken += answer.length;
                // Answers may change places; of calls that were due together it does not matter which is which.
                let sent_at = due.get(due.len() - left).copied().unwrap_or_else(Instant::now);
                left -= 1;
                note(count, sent_at, answer.error)?;
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
        let gap = Duration::from_secs(args.connections as u64)
            .checked_div(u32::try_from(args.rate).unwrap_or(u32::MAX))
            .unwrap_or_default();
        // Spread over the gap, so that not all connections send at once.
        let share =
            u32::try_from(index).unwrap_or(0) % u32::try_from(args.connections).unwrap_or(1);
        let offset = gap / u32::try_from(args.connections).unwrap_or(1) * share;
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

fn note(count: &Count, sent_at: Instant, error: Option<u16>) -> anyhow::Result<()> {
    if !count.is_counting.get() {
        return Ok(());
    }
    count.answers.set(count.answers.get() + 1);
    if let Some(code) = error {
        count.fail(code);
    }
    let nanos = u64::try_from(sent_at.elapsed().as_nanos())?;
    count.latency.borrow_mut().saturating_record(nanos);
    Ok(())
}
