//! Asks the kernel whether frontends could have a ring, as they would ask.

use std::io;

use super::worker::ring_flags;

/// Submissions of the ring that is made and thrown away.
const ENTRIES: u32 = 8;

/// What the kernel says, by the names of the checks in `kernel-tuning/checks`: whether there may be a ring at all, and
/// whether with the flags of newer kernels. The second is empty when the first is a no.
pub fn probe_ring() -> [(&'static str, String); 2] {
    let plain = io_uring::IoUring::new(ENTRIES).map(drop);
    let setup = plain.as_ref().map_or_else(refused, |()| "allowed".to_owned());
    let flags = plain.ok().map(|()| ring_flags().build(ENTRIES).map(drop));
    let flags =
        flags.map(|built| built.map_or_else(|error| refused(&error), |()| "supported".into()));
    [("io_uring.setup", setup), ("io_uring.flags", flags.unwrap_or_default())]
}

fn refused(error: &io::Error) -> String {
    format!("refused: {error}")
}
