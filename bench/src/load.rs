//! The load: connections on one thread, each with a fixed number of calls in flight, or each call at its own time.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use monoio::{IoUringDriver, RuntimeBuilder};

use crate::connection::{Connection, Watch, connect};
use crate::failure::{Failure, Failures};
use crate::message::{self, Mode};
use crate::report::{Report, histogram};
use crate::timer::Timer;
use crate::{LoadArgs, cpu};

/// Counted by all connections.
struct Count {
    is_counting: Cell<bool>,
    is_over: Cell<bool>,
    answers: Cell<u64>,
    /// Calls without an answer that was hoped for.
    errors: RefCell<Failures>,
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
    let mut watches = Vec::with_capacity(busy.len());
    if args.wait {
        begin_when_told()?;
    }
    for (index, connection) in busy.into_iter().enumerate() {
        let own = LoadArgs { connection: u32::try_from(index)?, ..LoadArgs::clone(&args) };
        let (args, count) = (own, Rc::clone(&count));
        watches.push(Rc::clone(&connection.watch));
        tasks.push(monoio::spawn(async move {
            // Held open, silent, until the process ends.
            if args.mode.is_idle() {
                let _held = connection;
                return std::future::pending().await;
            }
            keep(connection, &args, &count, index).await
        }));
    }
    monoio::spawn(expire(watches, Duration::from_secs(args.timeout)));
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
    if !args.mode.is_idle() {
        for task in tasks {
            task.await?;
        }
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
        let mut connection = connect(args, index, Rc::default()).await?;
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
    fn fail(&self, failure: Failure, calls: u64) {
        *self.errors.borrow_mut().entry(failure).or_default() += calls;
    }

    /// Takes note of calls that went with their connection.
    fn lose(&self, calls: usize, failure: Failure) {
        if self.is_counting.get() {
            self.answers.set(self.answers.get() + calls as u64);
            self.fail(failure, calls as u64);
        }
    }
}

/// Says that all connections stand, and returns when whoever reads that says a line.
fn begin_when_told() -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "connected")?;
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// How long nothing is tried after a connection was lost, or could not be opened.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);

/// Ends connections that wait for too long.
async fn expire(watches: Vec<Rc<Watch>>, limit: Duration) {
    loop {
        monoio::time::sleep((limit / 4).min(Duration::from_millis(250))).await;
        for watch in &watches {
            watch.expire(limit);
        }
    }
}

/// Keeps a connection at work until the measurement is over: one that is lost is counted, and opened again.
async fn keep(
    first: Connection,
    args: &LoadArgs,
    count: &Count,
    index: usize,
) -> anyhow::Result<()> {
    let watch = Rc::clone(&first.watch);
    let mut caller = Caller::new(args, index as u64)?;
    let mut next = Some(first);
    while !count.is_over.get() {
        let connection = match next.take() {
            Some(connection) => Ok(connection),
            None => connect(args, index, Rc::clone(&watch)).await.map_err(not_opened),
        };
        let done = match connection {
            Ok(connection) if args.mode == Mode::Login => {
                log_in_and_out(connection, args, count, (index, &mut caller)).await
            }
            Ok(connection) => drive(connection, args, count, &mut caller).await,
            Err(error) => Err(error),
        };
        let Err(error) = done else { return Ok(()) };
        if count.is_over.get() {
            return Ok(());
        }
        let Some(failure) = error.downcast_ref::<Failure>() else { return Err(error) };
        count.lose(watch.left.take().max(1) * args.batch, *failure);
        monoio::time::sleep(REOPEN_PAUSE).await;
    }
    Ok(())
}

/// What became of a connection that does not stand.
fn not_opened(error: anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<Failure>().is_some() || error.downcast_ref::<std::io::Error>().is_none()
    {
        return error;
    }
    error.context(Failure::Connect)
}

/// What a connection sends next, whichever connection that is by now.
struct Caller {
    seed: u64,
    id: u32,
    pace: Pace,
}

impl Caller {
    fn new(args: &LoadArgs, index: u64) -> anyhow::Result<Self> {
        Ok(Self { seed: first_seed(index), id: 1, pace: Pace::new(args, index)? })
    }

    /// Appends a request.
    fn request(&mut self, args: &LoadArgs, out: &mut Vec<u8>) -> anyhow::Result<()> {
        self.seed = next_seed(self.seed);
        message::request(args, self.id, self.seed >> 33, out)?;
        self.id = self.id.wrapping_add(1).max(1);
        Ok(())
    }
}

/// Sends and receives until the measurement is over.
async fn drive(
    mut connection: Connection,
    args: &LoadArgs,
    count: &Count,
    caller: &mut Caller,
) -> anyhow::Result<()> {
    let mut out = Vec::with_capacity(args.pipeline * 128);
    while !count.is_over.get() {
        out.clear();
        let due = caller.pace.due().await?;
        for _ in 0..due.len() {
            caller.request(args, &mut out)?;
        }
        connection.wait(due.len(), Instant::now());
        out = connection.send(out).await?;
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
            connection.waits_for(left);
            if left > 0 {
                connection.read().await?;
            }
        }
    }
    Ok(())
}

/// Calls of one login.
const LOGIN_CALLS: usize = 8;

/// Connects, says who it is, calls, and closes, until the measurement is over. Connecting and HELLO count as one.
async fn log_in_and_out(
    first: Connection,
    args: &LoadArgs,
    count: &Count,
    (index, caller): (usize, &mut Caller),
) -> anyhow::Result<()> {
    let watch = Rc::clone(&first.watch);
    let mut next = Some(first);
    while !count.is_over.get() {
        let begun = Instant::now();
        let mut connection = match next.take() {
            Some(connection) => connection,
            None => connect(args, index, Rc::clone(&watch)).await.map_err(not_opened)?,
        };
        note(count, begun, (1, &[]))?;
        for _ in 0..LOGIN_CALLS {
            let mut out = Vec::with_capacity(128);
            caller.request(args, &mut out)?;
            let sent_at = Instant::now();
            connection.wait(1, sent_at);
            connection.send(out).await?;
            let errors = connection.receive(args).await?;
            connection.waits_for(0);
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
        count.fail(Failure::Code(*code), 1);
    }
    let good = calls.saturating_sub(errors.len()) as u64;
    let nanos = u64::try_from(sent_at.elapsed().as_nanos())?;
    count.latency.borrow_mut().saturating_record_n(nanos, good);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use clap::Parser as _;
    use socket2::SockRef;

    use super::*;
    use crate::{Command, Line};

    /// Puts one connection's load of 64-byte messages on a server.
    fn measured(serve: impl FnOnce(TcpListener) + Send + 'static) -> Option<Report> {
        // Where the kernel has no ring for us, no load is to be had.
        io_uring::IoUring::new(8).ok()?;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("--address={}", listener.local_addr().unwrap());
        std::thread::spawn(move || serve(listener));
        let line =
            ["gateway-bench", "load", &address, "--mode=echo", "--connections=1", "--timeout=1"];
        let Command::Load(args) = Line::try_parse_from(line).unwrap().command else { return None };
        Some(run(&args, Duration::ZERO, Duration::from_millis(1500)).unwrap())
    }

    #[track_caller]
    fn fails_by(report: Option<Report>, failure: Failure) {
        let Some(Report { errors, answers, .. }) = report else { return };
        assert_eq!(errors.keys().collect::<Vec<_>>(), [&failure]);
        assert_eq!(errors.get(&failure), Some(&answers));
    }

    fn message(stream: &mut std::net::TcpStream) {
        stream.read_exact(&mut [0; crate::echo::MESSAGE_BYTES]).unwrap();
    }

    #[test]
    fn connection_that_the_server_closes_is_counted_and_opened_again() {
        let report = measured(|listener| {
            listener.incoming().flatten().for_each(|mut stream| message(&mut stream));
        });
        assert!(report.as_ref().is_none_or(|report| report.answers > 1), "it was not opened again");
        fails_by(report, Failure::Closed);
    }

    #[test]
    fn connection_that_is_reset_is_counted_as_that() {
        let report = measured(|listener| {
            for mut stream in listener.incoming().flatten() {
                message(&mut stream);
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        });
        fails_by(report, Failure::Reset);
    }

    #[test]
    fn answer_that_does_not_come_is_given_up_after_its_time() {
        let report = measured(|listener| {
            let _held: Vec<_> = listener.incoming().collect();
        });
        fails_by(report, Failure::Timeout);
    }

    #[test]
    fn server_that_is_gone_is_counted_as_connections_that_cannot_be_opened() {
        let report = measured(|listener| {
            let (mut stream, _) = listener.accept().unwrap();
            drop(listener);
            message(&mut stream);
            stream.write_all(&[0x55; crate::echo::MESSAGE_BYTES]).unwrap();
            message(&mut stream);
        });
        let Some(Report { mut errors, answers, .. }) = report else { return };
        let refused = errors.remove(&Failure::Connect).unwrap_or(0);
        assert!(refused > 1, "{errors:?}");
        // The message that it was gone with, and the one that was answered, unless that was before anything counted.
        assert!(
            errors.values().sum::<u64>() <= 1 && answers - refused <= 2,
            "{errors:?} {answers}"
        );
    }
}
