//! How fast this disk makes groups durable, by the way they are written. Run by hand:
//! `cargo test -p gateway --lib journal::tests::speed -- --ignored --nocapture`

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use super::*;

const GROUPS: u64 = 2000;

/// Writes groups one after the other and prints how long each took.
fn measure(way: &str, bytes: usize, mut write: impl FnMut(u64) -> io::Result<()>) {
    let mut times: Vec<u128> = (0..GROUPS)
        .map(|group| {
            let begun = Instant::now();
            write(group * bytes as u64).unwrap();
            begun.elapsed().as_micros()
        })
        .collect();
    let sum: u128 = times.iter().sum();
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100];
    let rate = u128::from(GROUPS) * 1_000_000 / sum;
    println!("{way:<28} {bytes:>6} bytes: {rate:>6}/s, p50 {} us, p99 {} us", at(50), at(99));
}

#[test]
#[ignore = "prints figures of this machine's disk"]
fn groups_by_the_way_they_are_written() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("segment");
    for bytes in [4 << 10, 32 << 10] {
        segment::prepare(&path, GROUPS * bytes as u64).unwrap();
        let memory = vec![7; bytes + 4096];
        let start = memory.as_ptr().align_offset(4096);
        let group = &memory[start..start + bytes];
        let open = |flags| File::options().write(true).custom_flags(flags).open(&path).unwrap();
        let file = open(0);
        measure("write + fdatasync", bytes, |at| {
            file.write_all_at(group, at).and_then(|()| file.sync_data())
        });
        let file = open(libc::O_DIRECT);
        measure("O_DIRECT + fdatasync", bytes, |at| {
            file.write_all_at(group, at).and_then(|()| file.sync_data())
        });
        let file = open(libc::O_DIRECT | libc::O_DSYNC);
        measure("O_DIRECT | O_DSYNC", bytes, |at| file.write_all_at(group, at));
        let (runtime, driver) = ring(bytes).unwrap();
        let device = driver.device(open(0));
        measure("io_uring fixed + fdatasync", bytes, |at| {
            runtime.block_on(async {
                device.write(group, at).await?;
                device.sync().await
            })
        });
    }
}

/// CPU time that this process' threads of a name have used, in microseconds.
fn cpu_micros(name: &str) -> u64 {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let folder = task.unwrap().path();
        let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        if read("comm").trim() == name {
            let stat = read("stat");
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            // utime and stime: fields 14 and 15, of which the first two are cut off.
            ticks += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        }
    }
    ticks * 10_000
}

#[test]
#[ignore = "prints figures of this machine"]
fn what_an_order_costs_the_thread() {
    const ORDERS: u64 = 200_000;
    let folder = tempfile::tempdir_in(".").unwrap();
    let config = JournalConfig {
        segment_bytes: 64 << 20,
        group_bytes_max: 1 << 20,
        bytes_max: 1 << 30,
        records_max: 2_000_000,
        keys_max: 1_000_000,
        queue_max: 16_384,
        ..config(folder.path())
    };
    let journal = Driven::open(&config);
    let mut done = 0;
    let mut open = std::collections::VecDeque::new();
    let begun = Instant::now();
    for number in 0..ORDERS {
        open.push_back(journal.send(draft(&format!("k{number}"), Some(number % 1000))));
        while open.len() > 8_000 || (number + 1 == ORDERS && !open.is_empty()) {
            let accepted = block_on(open.pop_front().unwrap()).unwrap().unwrap();
            done += 1;
            // An applier that keeps up, in batches.
            if done % 500 == 0 {
                let applied: Vec<u64> = (accepted.sequence - 499..=accepted.sequence).collect();
                journal.journal.applied(&applied);
            }
        }
    }
    let elapsed = begun.elapsed();
    let per_order = |micros: u64| micros * 1000 / ORDERS;
    println!(
        "{ORDERS} orders in {elapsed:?}: {} ns of the journal's thread an order, {} syncs",
        per_order(cpu_micros("journal")),
        journal.journal.stats.syncs(),
    );
    journal.close();
}
