//! What other instances tell: their writes make our entries stale.
//!
//! On a connection of its own, with a ping a second. A pong confirms that everything told before it
//! has arrived; while that is not known L1 is blind. When it is known again everything kept before is
//! stale: something may have been told meanwhile.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use redis::Msg;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{L2, L2Error, message};
use crate::cache::{Shared, Tag};
use crate::observe::Event;

/// From one ping to the next, and longest wait for a pong.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// How long a pong confirms, from its ping on: the next two, and some.
const CONFIRMED_MS: u64 = 2500;
/// Pauses between attempts to subscribe, the first and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(2);

/// Listens for ever.
pub(super) async fn listen(shared: &Shared, l2: &L2) {
    let mut pause = RETRY_FIRST;
    let mut told_lost = false;
    loop {
        let lost = match l2.server.subscribe(&l2.names.channel()).await {
            Ok((sink, stream)) => {
                // Everything told from now on arrives; what was told before may not have.
                shared.generations.advance(&[Tag::EVERYTHING]);
                shared.generations.confirm(shared.clock.now_ms() + CONFIRMED_MS);
                l2.subscribed.store(true, Ordering::Relaxed);
                (l2.events)(&Event::SubscriptionConfirmed);
                (pause, told_lost) = (RETRY_FIRST, false);
                follow(shared, l2, sink, stream).await
            }
            Err(error) => error,
        };
        shared.generations.confirm(0);
        l2.subscribed.store(false, Ordering::Relaxed);
        if !std::mem::replace(&mut told_lost, true) {
            (l2.events)(&Event::SubscriptionLost { reason: &lost.to_string() });
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// Hears messages until the connection is lost.
async fn follow(
    shared: &Shared,
    l2: &L2,
    mut sink: PubSubSink,
    mut stream: PubSubStream,
) -> L2Error {
    loop {
        let pinged = Instant::now();
        let confirmed_ms = shared.clock.now_ms() + CONFIRMED_MS;
        let deadline = pinged + PING_INTERVAL;
        let pong = timeout_at(deadline, sink.ping::<redis::Value>());
        tokio::pin!(pong);
        loop {
            tokio::select! {
                biased;
                message = next(&mut stream) => match message {
                    Some(message) => hear(shared, l2, &message),
                    None => return L2Error::Down,
                },
                pong = &mut pong => match pong {
                    Ok(Ok(_)) => break,
                    Ok(Err(error)) => return error.into(),
                    Err(_late) => return L2Error::Timeout(PING_INTERVAL),
                },
            }
        }
        // What was told before the pong stands in the stream already.
        while let Some(message) = ready(&mut stream).await {
            hear(shared, l2, &message);
        }
        shared.generations.confirm(confirmed_ms);
        loop {
            tokio::select! {
                message = next(&mut stream) => match message {
                    Some(message) => hear(shared, l2, &message),
                    None => return L2Error::Down,
                },
                () = sleep_until(deadline) => break,
            }
        }
    }
}

fn hear(shared: &Shared, l2: &L2, message: &Msg) {
    match message::decode(message.get_payload_bytes()) {
        // Our own: done already, before it was told.
        Some((instance, _)) if instance == l2.instance => {}
        Some((_, tags)) => {
            shared.generations.advance(&tags);
            l2.messages_heard.fetch_add(1, Ordering::Release);
        }
        None => {
            l2.messages_malformed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The next message; `None`: the connection is lost.
async fn next(stream: &mut PubSubStream) -> Option<Msg> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// The next message if it is here.
async fn ready(stream: &mut PubSubStream) -> Option<Msg> {
    std::future::poll_fn(|context| match Pin::new(&mut *stream).poll_next(context) {
        Poll::Ready(message) => Poll::Ready(message),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
