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
