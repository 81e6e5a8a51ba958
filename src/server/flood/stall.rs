//! Hands a reply to its peer in small pieces, and ends the call if the peer takes none for too long.
//!
//! hyper polls a body for its next piece only when the peer has room for it, so a body never learns that its peer has
//! stopped reading. The task that sends the reply can tell: the body has given a piece and is not polled again. [`Reply`]
//! notes what happens to the body, and [`Guarded`], around hyper's task, starts the timeout. Dropping the task resets the
//! stream and frees what it held.
//!
//! To measure without it: [`PIECE`] of `usize::MAX`, and `server.send_timeout` of hours.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::body::Body;
use tonic::{Code, Status};

use super::activity::Activity;
use crate::gateway::Drain;
use crate::server::trace::reset::{self, Why};

/// Most bytes that are handed on at once. A reply that is handed on as a whole is done for its task, which then cannot notice
/// that the peer does not read: the reply would wait in hyper as long as the connection lasts.
const PIECE: usize = 16 << 10;
/// How long a peer that does not read still has once the gateway shuts down.
const TIMEOUT_AT_SHUTDOWN: Duration = Duration::from_secs(5);

/// Whenever such a call ends, it ends because its peer does not read.
const REASON: &str = "REPLY_NOT_READ";
const UNREAD: Why = Why { code: Code::Aborted, reason: REASON };
const PAST_DEADLINE: Why = Why { code: Code::DeadlineExceeded, reason: REASON };
const SHUTTING_DOWN: Why = Why { code: Code::Unavailable, reason: REASON };

thread_local! {
    /// What the body did in the current poll of its task.
    static BODY: Cell<Did> = const { Cell::new(Did::Nothing) };
}

#[derive(Clone, Copy)]
enum Did {
    /// The body was not polled.
    Nothing,
    /// The body was polled and had nothing yet, so the peer has room.
    Wait,
    /// The body gave a piece of a reply with this deadline.
    Give(Option<Instant>),
}

/// A reply's body.
pub struct Reply {
    body: Body,
    /// What is still to be given of the latest message.
    left: Bytes,
    deadline: Option<Instant>,
}

impl Reply {
    /// Gives `body` in small pieces.
    pub fn new(body: Body, deadline: Option<Instant>) -> Self {
        Self { body, left: Bytes::new(), deadline }
    }
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.left.is_empty() {
            BODY.set(Did::Wait);
            let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => this.left = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
        BODY.set(Did::Give(this.deadline));
        let piece = this.left.split_to(PIECE.min(this.left.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Runs the calls of one connection.
#[derive(Clone)]
pub struct Calls {
    activity: Activity,
    patience: Patience,
}

/// How long a peer may take nothing of a reply.
#[derive(Clone)]
struct Patience {
    timeout: Duration,
    drain: Drain,
}

impl Patience {
    /// Completes when the time of a peer that has just stopped reading is over, with the reason for ending its call.
    async fn end(self, deadline: Option<Instant>) -> Why {
        let until = Instant::now() + self.timeout;
        let (until, why) = match deadline {
            Some(deadline) if deadline < until => (deadline, PAST_DEADLINE),
            _ => (until, UNREAD),
        };
        let leaving = async {
            self.drain.begun().await;
            sleep(TIMEOUT_AT_SHUTDOWN).await;
        };
        tokio::select! {
            () = sleep_until(until) => why,
            () = leaving => SHUTTING_DOWN,
        }
    }
}

impl Calls {
    /// Ends calls whose peer takes nothing of the reply for `timeout`, or, once the gateway shuts down, for a shorter time.
    pub fn new(activity: Activity, timeout: Duration, drain: &Drain) -> Self {
        Self { activity, patience: Patience { timeout, drain: drain.clone() } }
    }

    /// Completes when no call is under way.
    pub async fn done(&self) {
        let tasks = self.activity.calls();
        tasks.close();
        tasks.wait().await;
    }

    /// True if no call is under way.
    pub fn is_empty(&self) -> bool {
        self.activity.calls().is_empty()
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Calls {
    fn execute(&self, call: F) {
        let guarded = Guarded { call: Some(call), patience: self.patience.clone(), stalled: None };
        self.activity.calls().spawn(guarded);
    }
}

pin_project! {
    struct Guarded<F> {
        #[pin]
        call: Option<F>,
        patience: Patience,
        stalled: Option<Pin<Box<dyn Future<Output = Why> + Send>>>,
    }
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        BODY.set(Did::Nothing);
        if this.call.as_mut().as_pin_mut().is_none_or(|call| call.poll(context).is_ready()) {
            return Poll::Ready(());
        }
        match BODY.get() {
            Did::Nothing => {}
            Did::Wait => *this.stalled = None,
            Did::Give(deadline) => *this.stalled = Some(Box::pin(this.patience.clone().end(deadline))),
        }
        if let Some(stalled) = this.stalled {
            let why = ready!(stalled.as_mut().poll(context));
            reset::because(why, || this.call.set(None));
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::{Arc, Mutex};

    use http_body::Body as _;
    use http_body_util::{BodyExt as _, Full};
    use hyper::rt::Executor as _;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn reply(bytes: usize, deadline: Option<Instant>) -> Reply {
        Reply::new(Body::new(Full::new(Bytes::from(vec![7; bytes]))), deadline)
    }

    #[tokio::test]
    async fn a_reply_is_handed_on_in_small_pieces() {
        let mut reply = reply(2 * PIECE + 5, None);
        let mut pieces = Vec::new();
        while let Some(frame) = reply.frame().await {
            pieces.push(frame.expect("a piece").into_data().expect("data").len());
        }
        assert_eq!(pieces, [PIECE, PIECE, 5]);
        assert!(reply.is_end_stream());
    }

    /// Notes why it was dropped.
    struct Seen(Arc<Mutex<Vec<Option<Why>>>>);

    impl Drop for Seen {
        fn drop(&mut self) {
            self.0.lock().expect("no panic inside").push(reset::why());
        }
    }

    /// Sends one piece of a reply to a peer that then stops reading; returns what the call ends with, and when.
    async fn unread(deadline: Option<Duration>, drain: Drain) -> (Option<Why>, Duration) {
        let (began, ends) = (Instant::now(), Arc::<Mutex<Vec<_>>>::default());
        let seen = Seen(Arc::clone(&ends));
        let calls = Calls::new(Activity::begin(), MINUTE, &drain);
        let mut reply = reply(2 * PIECE, deadline.map(|time| began + time));
        calls.execute(async move {
            let _seen = seen;
            reply.frame().await.expect("a piece").expect("it is there");
            pending::<()>().await;
        });
        calls.done().await;
        let why = ends.lock().expect("no panic inside").pop().expect("it was dropped");
        (why, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_when_its_peer_stops_reading_and_says_why() {
        let leaving = Drain::default();
        leaving.begin();
        for (deadline, drain, why, time) in [
            (None, Drain::default(), UNREAD, MINUTE),
            (Some(MINUTE * 2), Drain::default(), UNREAD, MINUTE),
            (Some(MINUTE / 2), Drain::default(), PAST_DEADLINE, MINUTE / 2),
            (None, leaving, SHUTTING_DOWN, TIMEOUT_AT_SHUTDOWN),
        ] {
            let (seen, took) = unread(deadline, drain).await;
            assert_eq!(seen, Some(why));
            assert!(took.abs_diff(time) < Duration::from_millis(10), "{took:?} for {why:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_has_nothing_to_send_yet_is_left_alone() {
        let calls = Calls::new(Activity::begin(), MINUTE, &Drain::default());
        let slow = futures_util::stream::pending::<Result<Frame<Bytes>, Status>>();
        let mut reply = Reply::new(Body::new(http_body_util::StreamBody::new(slow)), None);
        calls.execute(async move {
            poll_fn(|context| Pin::new(&mut reply).poll_frame(context)).await;
        });
        assert!(tokio::time::timeout(MINUTE * 10, calls.done()).await.is_err(), "the peer has room");
    }
}
