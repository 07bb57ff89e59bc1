//! Keeps a panic inside the connection that caused it.
//!
//! monoio ends its thread when a task panics. Every connection's future is wrapped here, so that a bug
//! costs one connection.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs a future to its end or its panic, and gives the panic's message.
///
/// Boxed, because a future that is moved into another one stands in both: twice its memory for every
/// connection.
pub(super) async fn catch<F: Future<Output = ()>>(mut future: Pin<Box<F>>) -> Result<(), String> {
    std::future::poll_fn(move |context| poll(future.as_mut(), context)).await
}

fn poll<F: Future<Output = ()>>(
    future: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Poll<Result<(), String>> {
    // A connection's state is dropped with it; what threads share is made of atomics and is whole
    // between any two instructions.
    match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Poll::Ready(Err(text.unwrap_or_else(|| "a panic without a message".to_owned())))
        }
    }
}
