//! Ends a stream at its deadline, even while it waits for Zendesk.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::Error;

/// Ends `messages` with [`Error::Deadline`] once `deadline` has passed.
pub fn deadline<S, M>(messages: S, deadline: Instant) -> impl Stream<Item = Result<M, Error>> + Send
where
    S: Stream<Item = Result<M, Error>> + Send,
{
    Until { messages: Box::pin(messages), sleep: Box::pin(sleep_until(deadline)), ended: false }
}

struct Until<S> {
    messages: Pin<Box<S>>,
    sleep: Pin<Box<Sleep>>,
    ended: bool,
}

impl<S, M> Stream for Until<S>
where
    S: Stream<Item = Result<M, Error>>,
{
    type Item = Result<M, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.sleep.as_mut().poll(cx).is_ready() {
            self.ended = true;
            // Whether a request is under way is not known here. "It may be" is never false, and harmless: streams only read.
            return Poll::Ready(Some(Err(Error::Deadline { sent: true })));
        }
        self.messages.as_mut().poll_next(cx)
    }
}
