//! Keeps a panic inside the connection that caused it.
//!
//! monoio ends its thread when a task panics. Every future of a connection, also of one of its calls, is
//! wrapped here, so that a bug costs one connection.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs a future to its end or its panic, and gives the panic's message.
///
/// Boxed at once, and no `async fn`: an argument that such a function moves on stands in its state twice,
/// for every idle connection.
pub(super) fn catch<F: Future>(future: F) -> impl Future<Output = Result<F::Output, String>> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| poll(future.as_mut(), context))
}

/// The same for a future that stands where it is.
pub(super) fn catch_pinned<F: Future>(
    mut future: Pin<&mut F>,
) -> impl Future<Output = Result<F::Output, String>> {
    std::future::poll_fn(move |context| poll(future.as_mut(), context))
}

fn poll<F: Future>(
    future: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Poll<Result<F::Output, String>> {
    match catch_sync(|| future.poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(message) => Poll::Ready(Err(message)),
    }
}

/// Runs what waits for nothing to its end or its panic, and gives the panic's message.
pub(super) fn catch_sync<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    // A connection's state is dropped with it; what threads share is made of atomics and is whole
    // between any two instructions.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "a panic without a message".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_is_caught_with_its_message_and_a_value_passes() {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut panics = std::pin::pin!(catch(async { panic!("on purpose") }));
        let caught: Poll<Result<(), String>> = panics.as_mut().poll(&mut context);
        assert_eq!(caught, Poll::Ready(Err("on purpose".to_owned())));
        let mut passes = std::pin::pin!(catch(async { 7 }));
        assert_eq!(passes.as_mut().poll(&mut context), Poll::Ready(Ok(7)));
        let mut stands = std::pin::pin!(async { panic!("where it stands") });
        let mut caught = std::pin::pin!(catch_pinned(stands.as_mut()));
        let polled: Poll<Result<(), String>> = caught.as_mut().poll(&mut context);
        assert_eq!(polled, Poll::Ready(Err("where it stands".to_owned())));
    }
}
