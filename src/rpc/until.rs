//! Ends a stream at its deadline, even while it waits for Zendesk, and the messages of a client stream that bring nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::deadline::latest;
use crate::error::Error;
use crate::upstream::call::Ledger;

/// Ends `messages` with [`Error::Deadline`] shortly before `deadline`: before the caller's own timer ends the call. `ledger` tells
/// whether anything was sent.
pub fn deadline<S, M>(
    messages: S,
    ledger: Arc<Ledger>,
    deadline: Instant,
) -> impl Stream<Item = Result<M, Error>> + Send
where
    S: Stream<Item = Result<M, Error>> + Send,
{
    Until { messages: Box::pin(messages), ledger, sleep: Box::pin(sleep_until(latest(deadline))), ended: false }
}

struct Until<S> {
    messages: Pin<Box<S>>,
    ledger: Arc<Ledger>,
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
            return Poll::Ready(Some(Err(self.ledger.too_late())));
        }
        self.messages.as_mut().poll_next(cx)
    }
}

/// Ends the messages of a client stream with [`Error::Idle`] if one does not come within `longest` after it was first asked for.
pub fn idle<S, M, E>(messages: S, longest: Duration) -> impl Stream<Item = Result<M, E>> + Send + Unpin
where
    S: Stream<Item = Result<M, E>> + Send + Unpin,
    E: From<Error>,
{
    Patient { messages, longest, patience: None }
}

struct Patient<S> {
    messages: S,
    longest: Duration,
    /// Runs while a message is waited for. Nearly all are there at once and need none.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S, M, E> Stream for Patient<S>
where
    S: Stream<Item = Result<M, E>> + Unpin,
    E: From<Error>,
{
    type Item = Result<M, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(next) = Pin::new(&mut this.messages).poll_next(context) {
            this.patience = None;
            return Poll::Ready(next);
        }
        let patience = this.patience.get_or_insert_with(|| Box::pin(sleep(this.longest)));
        patience.as_mut().poll(context).map(|()| Some(Err(Error::Idle { after: this.longest }.into())))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_stream_may_take_its_time_for_each_message_and_no_longer() {
        let minute = Duration::from_mins(1);
        let slow = stream::iter([50, 50, 70]).then(move |seconds| async move {
            sleep(Duration::from_secs(seconds)).await;
            Ok::<_, Error>(seconds)
        });
        let mut messages = idle(Box::pin(slow), minute);
        for _ in 0..2 {
            assert!(matches!(messages.next().await, Some(Ok(50))));
            // What nobody asks for is not waited for.
            sleep(minute * 3).await;
        }
        let began = Instant::now();
        assert!(matches!(messages.next().await, Some(Err(Error::Idle { .. }))));
        assert_eq!(began.elapsed(), minute);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_goes_on_while_others_are_polled_in_between() {
        let mut messages = idle(stream::pending::<Result<(), Error>>(), Duration::from_mins(1));
        for _ in 0..5 {
            assert!(timeout(Duration::from_secs(10), messages.next()).await.is_err(), "dropped and called again");
        }
        assert!(timeout(Duration::from_secs(11), messages.next()).await.is_ok());
    }
}
