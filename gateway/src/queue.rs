//! Bounded channels between the runtimes, and nothing else.
//!
//! A frontend never waits for room: a full queue refuses at once (code 1001). Every queue has a depth
//! and a count of refusals that the metrics read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

/// Where one answer arrives; await it.
pub type Answer<T> = oneshot::Receiver<T>;

/// Where one answer is given.
pub type Reply<T> = oneshot::Sender<T>;

/// Makes a queue that holds at most `depth_max` items.
pub fn bounded<T>(depth_max: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(depth_max);
    let gauge = Arc::new(Gauge { depth_max, ..Gauge::default() });
    (Sender { sender, gauge: Arc::clone(&gauge) }, Receiver { receiver, gauge })
}

/// Makes the way back of one request.
pub fn reply<T>() -> (Reply<T>, Answer<T>) {
    oneshot::channel()
}

/// How full a queue is.
#[derive(Debug, Default)]
pub struct Gauge {
    depth: AtomicUsize,
    depth_max: usize,
    refused: AtomicU64,
}

impl Gauge {
    /// Items in the queue now.
    pub fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Its bound.
    pub const fn depth_max(&self) -> usize {
        self.depth_max
    }

    /// Items refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The queue is full, or its reader is gone; the item comes back.
#[derive(Debug)]
pub struct Refused<T>(pub T);

/// The writing end.
#[derive(Debug)]
pub struct Sender<T> {
    sender: mpsc::Sender<T>,
    gauge: Arc<Gauge>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), gauge: Arc::clone(&self.gauge) }
    }
}

impl<T> Sender<T> {
    /// Puts an item in, without waiting.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the item when the queue is full or its reader is gone.
    pub fn offer(&self, item: T) -> Result<(), Refused<T>> {
        // Counted before it is sent: the reader may take it, and count it out, at once.
        self.gauge.depth.fetch_add(1, Ordering::Relaxed);
        self.sender.try_send(item).map_err(|error| {
            self.gauge.depth.fetch_sub(1, Ordering::Relaxed);
            self.gauge.refused.fetch_add(1, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(item) | mpsc::error::TrySendError::Closed(item) => {
                    Refused(item)
                }
            }
        })
    }

    /// Its gauge.
    pub const fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Receiver<T> {
    receiver: mpsc::Receiver<T>,
    gauge: Arc<Gauge>,
}

impl<T> Receiver<T> {
    /// Takes the next item; `None` when every sender is gone and the queue is empty.
    pub async fn take(&mut self) -> Option<T> {
        let item = self.receiver.recv().await?;
        self.gauge.depth.fetch_sub(1, Ordering::Relaxed);
        Some(item)
    }

    /// Takes the next item, if one is there.
    pub fn try_take(&mut self) -> Option<T> {
        let item = self.receiver.try_recv().ok()?;
        self.gauge.depth.fetch_sub(1, Ordering::Relaxed);
        Some(item)
    }

    /// Takes nothing more in: further offers are refused, what is in the queue can still be taken.
    pub fn close(&mut self) {
        self.receiver.close();
    }
}

/// What a thread says to the one that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It does its work.
    Ready,
    /// The process was told to stop.
    Stop,
    /// It ended, in whatever way.
    Ended,
}

/// Where a thread's notices go; [`Notice::Ended`] goes by itself when this is dropped.
#[derive(Debug)]
pub struct Notices(std::sync::mpsc::SyncSender<(String, Notice)>, String);

/// Makes the way of the notices of at most `thread_count_max` threads.
pub fn notices(
    thread_count_max: usize,
) -> (NoticeBoard, std::sync::mpsc::Receiver<(String, Notice)>) {
    // A thread has one notice of each kind, so none is ever refused.
    let (sender, receiver) = std::sync::mpsc::sync_channel(thread_count_max.saturating_mul(3));
    (NoticeBoard(sender), receiver)
}

/// Gives each thread its [`Notices`].
#[derive(Debug)]
pub struct NoticeBoard(std::sync::mpsc::SyncSender<(String, Notice)>);

impl NoticeBoard {
    /// The notices of a thread.
    pub fn of(&self, thread: impl Into<String>) -> Notices {
        Notices(self.0.clone(), thread.into())
    }
}

impl Notices {
    /// Says something.
    pub fn say(&self, notice: Notice) {
        // Refused only when nobody listens any more.
        let _heard = self.0.try_send((self.1.clone(), notice)).is_ok();
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.say(Notice::Ended);
    }
}

/// Makes a value that one side sets and many wait for.
pub fn signal<T>(first: T) -> (Signal<T>, Watch<T>) {
    let (sender, receiver) = watch::channel(first);
    (Signal(sender), Watch(receiver))
}

/// Sets a value that others wait for.
#[derive(Debug)]
pub struct Signal<T>(watch::Sender<T>);

impl<T> Signal<T> {
    /// Sets it, and wakes who waits.
    pub fn set(&self, value: T) {
        self.0.send_replace(value);
    }
}

/// Waits for a value that another side sets.
#[derive(Clone, Debug)]
pub struct Watch<T>(watch::Receiver<T>);

impl<T> Watch<T> {
    /// Waits until the value is as wanted, or nobody is left to set it.
    pub async fn until(&mut self, wanted: impl FnMut(&T) -> bool) {
        let _set_or_gone = self.0.wait_for(wanted).await.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_at_its_bound_refuses_at_once_and_counts_it() {
        let (sender, _receiver) = bounded(2);
        assert!(sender.offer(1).is_ok() && sender.offer(2).is_ok());
        let Err(Refused(item)) = sender.offer(3) else { panic!("the third fits") };
        assert_eq!(item, 3);
        assert_eq!((sender.gauge().depth(), sender.gauge().refused()), (2, 1));
    }

    #[test]
    fn closed_queue_refuses_and_gives_out_what_it_has() {
        let (sender, mut receiver) = bounded(2);
        assert!(sender.offer(1).is_ok());
        receiver.close();
        assert!(sender.offer(2).is_err());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut take =
            |receiver: &mut Receiver<i32>| std::pin::pin!(receiver.take()).poll(&mut context);
        assert_eq!(take(&mut receiver), std::task::Poll::Ready(Some(1)));
        assert_eq!(take(&mut receiver), std::task::Poll::Ready(None));
    }

    #[test]
    fn thread_that_panics_is_noticed_by_name() {
        let (board, heard) = notices(1);
        let own = board.of("fe-00");
        let thread = std::thread::spawn(move || {
            own.say(Notice::Ready);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(thread.join().is_err());
        let notices: Vec<_> = heard.try_iter().collect();
        assert_eq!(notices, [("fe-00".into(), Notice::Ready), ("fe-00".into(), Notice::Ended)]);
    }

    #[test]
    fn queue_without_a_reader_refuses() {
        let (sender, receiver) = bounded(1);
        drop(receiver);
        assert!(sender.offer(1).is_err());
    }
}
