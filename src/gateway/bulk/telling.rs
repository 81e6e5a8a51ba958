//! Tells a caller what happens in a bulk stream, as it happens.
//!
//! Whatever was told must reach the caller even if this process is killed right after. So telling completes only once the server
//! has handed the message to the caller's connection. Whether it has shows in how it polls the stream: it polls until there is no
//! message, sends what it has, and polls again once the caller's window is open.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{mpsc, watch};

use super::Leaving;
use super::event::{Event, Tell};
use crate::codec::Encoded;
use crate::error::Error;
use crate::proto::BulkEvent;

/// After this many polls in a row that found no message, the message before them was sent: see the module.
const SENT_AFTER: u8 = 2;

/// What a caller is told, or how the stream ends.
type Message<E> = Result<Option<Bytes>, E>;

/// Tells events to the caller of a stream.
pub struct Teller<E> {
    messages: mpsc::Sender<Message<E>>,
    encode: fn(Event) -> Bytes,
    /// How many messages were sent.
    sent: watch::Receiver<u64>,
    told: u64,
}

/// The messages of a stream. Dropping them tells the engine that the caller has left.
pub struct Replies<M, E> {
    messages: mpsc::Receiver<Message<E>>,
    sent: watch::Sender<u64>,
    given: u64,
    /// Polls without a message since the last one.
    idle: u8,
    has_ended: bool,
    _leaving: Leaving,
    message: PhantomData<fn() -> M>,
}

/// Returns both sides of a stream whose caller leaves with the replies.
pub fn telling<M, E>(leaving: Leaving) -> (Teller<E>, Replies<M, E>)
where
    M: prost::Message + From<BulkEvent>,
{
    let (sender, messages) = mpsc::channel(1);
    let (sent, receiver) = watch::channel(0);
    let replies =
        Replies { messages, sent, given: 0, idle: 0, has_ended: false, _leaving: leaving, message: PhantomData };
    let encode = |event: Event| M::from(event.into()).encode_to_vec().into();
    (Teller { messages: sender, encode, sent: receiver, told: 0 }, replies)
}

impl<E> Teller<E> {
    /// Ends the stream.
    pub async fn end(self, end: Result<(), E>) {
        // Whoever has left is told nothing.
        let _ = self.messages.send(end.map(|()| None)).await;
    }
}

impl<E: Send> Tell for Teller<E> {
    async fn tell(&mut self, event: Event) -> bool {
        let message = (self.encode)(event);
        if self.messages.send(Ok(Some(message))).await.is_err() {
            return false;
        }
        self.told += 1;
        let told = self.told;
        self.sent.wait_for(|sent| *sent >= told).await.is_ok()
    }
}

impl<M: prost::Message, E: From<Error>> Stream for Replies<M, E> {
    type Item = Result<Encoded<M>, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.has_ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(message) = this.messages.poll_recv(context) else {
            if this.idle < SENT_AFTER {
                this.idle += 1;
                if this.idle == SENT_AFTER {
                    this.sent.send_replace(this.given);
                } else {
                    // A reader that polls only when it is woken has to poll once more.
                    context.waker().wake_by_ref();
                }
            }
            return Poll::Pending;
        };
        (this.idle, this.given) = (0, this.given + 1);
        // The engine did not call `end`. Without an error, the caller would believe that all rows are done.
        let message = message.unwrap_or_else(|| Err(Error::Internal { what: "a bulk stream panicked" }.into()));
        this.has_ended = !matches!(message, Ok(Some(_)));
        Poll::Ready(message.map(|message| message.map(Encoded::from_bytes)).transpose())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Waker;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::proto::StreamBulkCreateUsersResponse;

    type Sides = (Teller<Error>, Replies<StreamBulkCreateUsersResponse, Error>);

    fn sides() -> (Sides, CancellationToken) {
        let left = CancellationToken::new();
        (telling(Leaving { ledger: Arc::default(), left: left.clone() }), left)
    }

    fn event() -> Event {
        Event::Violations(Vec::new())
    }

    /// Polls once, as the server does. True if there was a message.
    fn poll(replies: &mut Replies<StreamBulkCreateUsersResponse, Error>) -> bool {
        Pin::new(replies).poll_next(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test]
    async fn telling_completes_once_the_message_was_sent_and_not_when_it_was_taken() {
        let ((mut teller, mut replies), _) = sides();
        let told = tokio::spawn(async move { (teller.tell(event()).await, teller) });
        tokio::task::yield_now().await;
        for (step, wanted) in [("taken", true), ("nothing more, so it is sent", false)] {
            assert_eq!(poll(&mut replies), wanted);
            tokio::task::yield_now().await;
            assert!(!told.is_finished(), "{step}");
        }
        assert!(!poll(&mut replies));
        let (heard, mut teller) = told.await.expect("no panic");
        assert!(heard, "and the window is open again");
        // The next one is not taken for sent because the last one was.
        let told = tokio::spawn(async move { teller.tell(event()).await });
        tokio::task::yield_now().await;
        assert!(poll(&mut replies));
        tokio::task::yield_now().await;
        assert!(!told.is_finished());
    }

    #[tokio::test]
    async fn a_caller_who_leaves_hears_nothing_and_the_engine_learns_it() {
        let ((mut teller, replies), left) = sides();
        let told = tokio::spawn(async move { (teller.tell(event()).await, teller.tell(event()).await) });
        tokio::task::yield_now().await;
        drop(replies);
        assert_eq!(told.await.expect("no panic"), (false, false));
        assert!(left.is_cancelled());
    }

    #[tokio::test]
    async fn a_stream_that_nobody_ends_does_not_end_well() {
        let ((teller, mut replies), _) = sides();
        drop(teller);
        let next = std::future::poll_fn(|context| Pin::new(&mut replies).poll_next(context)).await;
        assert!(matches!(next, Some(Err(Error::Internal { .. }))));
        let ((teller, mut replies), _) = sides();
        teller.end(Ok(())).await;
        assert!(std::future::poll_fn(|context| Pin::new(&mut replies).poll_next(context)).await.is_none());
    }
}
