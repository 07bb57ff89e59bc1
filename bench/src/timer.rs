//! A timer that is exact to the microsecond.
//!
//! The runtime's own timers have steps of 1 ms, and round up: at a fixed rate they would send in bursts, and
//! count their own lateness as the server's latency.

use std::os::fd::OwnedFd;
use std::time::Instant;

use monoio::fs::File;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// One `timerfd` (`timerfd_create(2)`), read through the ring.
pub(crate) struct Timer {
    timer: OwnedFd,
    /// The same, as the ring reads it.
    file: File,
}

impl Timer {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let file = File::from_std(std::fs::File::from(timer.try_clone()?))?;
        Ok(Self { timer, file })
    }

    /// Waits until `at`; returns at once when that is over.
    pub(crate) async fn until(&self, at: Instant) -> anyhow::Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        // A timer that is set to zero never rings.
        if left.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec::try_from(left)?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        let (read, _) = self.file.read_at(vec![0; 8], 0).await;
        read?;
        Ok(())
    }
}
