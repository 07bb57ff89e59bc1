//! How fast a disk makes groups durable, by the way they are written: what the journal's design rests on.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Instant;

use tokio_uring::buf::BoundedBuf as _;
use tokio_uring::buf::fixed::FixedBufRegistry;

/// Groups begin at such an offset and memory, which `O_DIRECT` asks for.
const ALIGNMENT: usize = 4096;

/// Times of a way to write, sorted, in microseconds.
struct Times(Vec<u64>);

impl Times {
    /// Writes group after group; each is durable when its time ends.
    fn measure(
        groups: u64,
        bytes: usize,
        mut write: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut times = Vec::new();
        for group in 0..groups {
            let begun = Instant::now();
            write(group * bytes as u64)?;
            times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        times.sort_unstable();
        Ok(Self(times))
    }

    /// The time that so many of a thousand are not above.
    fn at(&self, per_mille: usize) -> u64 {
        self.0.get(self.0.len() * per_mille / 1000).copied().unwrap_or(0)
    }

    #[expect(clippy::print_stdout, reason = "this is the figure that was asked for")]
    fn print(&self, way: &str, bytes: usize) {
        let sum: u64 = self.0.iter().sum();
        let rate = self.0.len() as u64 * 1_000_000 / sum.max(1);
        let (p50, p99, p999) = (self.at(500), self.at(990), self.at(999));
        println!(
            "{way:<34} {bytes:>7} bytes {rate:>7}/s  p50 {p50:>5}  p99 {p99:>5}  p99.9 {p999:>6} us"
        );
    }
}

/// Measures every way with every size.
///
/// - `folder`: on the disk in question; a file of `groups` times the largest size is made there, and removed.
pub(crate) fn run(folder: &Path, groups: u64, sizes: &[usize]) -> anyhow::Result<()> {
    let path = folder.join(format!("gateway-bench-disk.{}", std::process::id()));
    let measured = sizes.iter().try_for_each(|bytes| measure(&path, groups, *bytes));
    std::fs::remove_file(&path)?;
    measured
}

fn measure(path: &Path, groups: u64, bytes: usize) -> anyhow::Result<()> {
    anyhow::ensure!(
        bytes > 0 && bytes.is_multiple_of(ALIGNMENT),
        "sizes are multiples of {ALIGNMENT}"
    );
    fill(path, groups, bytes)?;
    let memory = vec![7; bytes + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    let group = memory.get(start..start + bytes).unwrap_or_default();
    let open = |flags| File::options().write(true).custom_flags(flags).open(path);

    let file = open(0)?;
    let synced = |at| file.write_all_at(group, at).and_then(|()| file.sync_data());
    Times::measure(groups, bytes, synced)?.print("write + fdatasync", bytes);
    let file = open(libc::O_DIRECT)?;
    let synced = |at| file.write_all_at(group, at).and_then(|()| file.sync_data());
    Times::measure(groups, bytes, synced)?.print("O_DIRECT + fdatasync", bytes);
    let file = open(libc::O_DIRECT | libc::O_DSYNC)?;
    Times::measure(groups, bytes, |at| file.write_all_at(group, at))?
        .print("O_DIRECT | O_DSYNC", bytes);
    read_back("  and read back", path, &open(0)?, group, groups)?;
    read_back("  and read back after O_DIRECT", path, &open(libc::O_DIRECT)?, group, groups)?;
    ring("io_uring, registered", open(0)?, (groups, bytes), true)?;
    ring("io_uring, registered, O_DIRECT", open(libc::O_DIRECT)?, (groups, bytes), true)?;
    ring("  the same, O_DSYNC", open(libc::O_DIRECT | libc::O_DSYNC)?, (groups, bytes), false)
}

/// Reads each group back when it is durable, as whoever applies it does: what was written directly is not in the
/// kernel's memory.
fn read_back(way: &str, path: &Path, file: &File, group: &[u8], groups: u64) -> anyhow::Result<()> {
    let reader = File::open(path)?;
    let mut read = vec![0; group.len()];
    let mut times = Vec::new();
    for at in (0..groups).map(|number| number * group.len() as u64) {
        file.write_all_at(group, at)?;
        file.sync_data()?;
        let begun = Instant::now();
        reader.read_exact_at(&mut read, at)?;
        times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    Times(times).print(way, group.len());
    Ok(())
}

/// Through a ring with one registered buffer, as the journal does it.
fn ring(
    way: &str,
    file: File,
    (groups, bytes): (u64, usize),
    is_synced: bool,
) -> anyhow::Result<()> {
    let runtime = tokio_uring::Runtime::new(tokio_uring::builder().entries(8))?;
    let file = tokio_uring::fs::File::from_std(file);
    // Room to begin at an aligned address.
    let memory = vec![7; bytes + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    let registry = FixedBufRegistry::new([memory]);
    runtime.block_on(async { registry.register() })?;
    let times = Times::measure(groups, bytes, |at| {
        runtime.block_on(async {
            let buffer = registry.check_out(0);
            let buffer = buffer.ok_or_else(|| io::Error::other("the buffer is in use"))?;
            let (written, _buffer) =
                file.write_fixed_all_at(buffer.slice(start..start + bytes), at).await;
            written?;
            if is_synced { file.sync_data().await } else { Ok(()) }
        })
    })?;
    times.print(way, bytes);
    // Closing waits on the ring.
    runtime.block_on(file.close())?;
    Ok(())
}

/// Fills the file ahead, as segments are: no write changes its length.
fn fill(path: &Path, groups: u64, bytes: usize) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; bytes];
    for group in 0..groups {
        file.write_all_at(&zeros, group * bytes as u64)?;
    }
    file.sync_all()
}
