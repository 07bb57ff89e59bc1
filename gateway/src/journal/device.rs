//! What groups are written through: `io_uring` with a registered buffer, or plain positional writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::buf::fixed::FixedBufRegistry;

/// How devices are made.
pub(super) enum Driver {
    /// On the thread's ring, through its registered buffer.
    Ring(FixedBufRegistry<Vec<u8>>),
    /// System calls.
    Plain,
    /// System calls that fail when told to.
    #[cfg(test)]
    Faulty(Arc<Faults>),
}

/// Error numbers that the next write, sync or preparation ends with; 0: none does. A sync waits while `stalled`
/// is held, as on a disk that does not answer.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) stalled: std::sync::Mutex<()>,
    pub(super) write: std::sync::atomic::AtomicI32,
    pub(super) sync: std::sync::atomic::AtomicI32,
    pub(super) prepare: std::sync::atomic::AtomicI32,
}

#[cfg(test)]
impl Faults {
    pub(super) fn check(fault: &std::sync::atomic::AtomicI32) -> io::Result<()> {
        match fault.load(std::sync::atomic::Ordering::Relaxed) {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

/// The segment that groups are written to.
pub(super) enum Device {
    Ring(tokio_uring::fs::File, FixedBufRegistry<Vec<u8>>),
    Plain(File),
    #[cfg(test)]
    Faulty(File, Arc<Faults>),
}

impl Driver {
    /// A registered buffer on the calling thread's ring.
    ///
    /// # Errors
    ///
    /// When the kernel does not register it: too little may be locked in memory.
    pub(super) fn ring(buffer_bytes: usize) -> io::Result<Self> {
        let registry = FixedBufRegistry::new([vec![0; buffer_bytes]]);
        registry.register()?;
        Ok(Self::Ring(registry))
    }

    pub(super) fn device(&self, file: File) -> Device {
        match self {
            Self::Ring(registry) => {
                Device::Ring(tokio_uring::fs::File::from_std(file), registry.clone())
            }
            Self::Plain => Device::Plain(file),
            #[cfg(test)]
            Self::Faulty(faults) => Device::Faulty(file, Arc::clone(faults)),
        }
    }
}

impl Device {
    /// Writes all bytes at an offset.
    pub(super) async fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Ring(file, registry) => write_fixed(file, registry, bytes, offset).await,
            Self::Plain(file) => file.write_all_at(bytes, offset),
            #[cfg(test)]
            Self::Faulty(file, faults) => {
                Faults::check(&faults.write)?;
                file.write_all_at(bytes, offset)
            }
        }
    }

    /// Makes what was written last.
    pub(super) async fn sync(&self) -> io::Result<()> {
        match self {
            Self::Ring(file, _) => file.sync_data().await,
            Self::Plain(file) => file.sync_data(),
            #[cfg(test)]
            Self::Faulty(file, faults) => {
                drop(faults.stalled.lock());
                Faults::check(&faults.sync)?;
                file.sync_data()
            }
        }
    }
}

async fn write_fixed(
    file: &tokio_uring::fs::File,
    registry: &FixedBufRegistry<Vec<u8>>,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    let mut rest = bytes;
    let mut at = offset;
    while !rest.is_empty() {
        // One group is in flight at a time, so the buffer is free.
        let Some(mut buffer) = registry.check_out(0) else {
            return Err(io::Error::other("the registered buffer is in use"));
        };
        let length = rest.len().min(buffer.len());
        let (now, later) = rest.split_at(length);
        if let Some(place) = buffer.get_mut(..length) {
            place.copy_from_slice(now);
        }
        let (written, _buffer) = file.write_fixed_all_at(buffer.slice(..length), at).await;
        written?;
        (rest, at) = (later, at + length as u64);
    }
    Ok(())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on the calling thread, which sleeps while it waits.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
