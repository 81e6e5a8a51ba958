//! The moment at which a connection takes a request.
//!
//! Between the decision to send a request and its first byte on a connection lie seconds: a name to resolve, a connection to
//! open, a handshake. A caller who leaves then, or whose deadline passes, is told that nothing was sent, and that has to stay
//! true. So a request can be withdrawn until a connection takes it, and never both.
//!
//! What shows that moment is the request's body. The client asks it whether it has ended when it writes the head, and neither
//! before nor without it: by that it decides what the head says of the body. It asks so for requests without a body, too, and
//! it drops a connection, unwritten, or resets the stream, whose body fails. (An observation about hyper 1, which a test
//! holds on to; one that asked earlier would only make "not sent" into "not known".)

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::upstream::call::Ledger;

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// A request on its way to a connection. Dropping it withdraws the request, unless it was taken.
pub struct Handover(Arc<State>);

struct State {
    ledger: Arc<Ledger>,
    stands: AtomicU8,
}

impl Handover {
    /// Counts in `ledger` when a connection takes the request, which may not happen once the ledger was closed.
    pub fn new(ledger: &Arc<Ledger>) -> Self {
        Self(Arc::new(State { ledger: Arc::clone(ledger), stands: AtomicU8::new(WAITING) }))
    }

    /// Returns the request's body, which tells when a connection takes the request.
    pub fn of(&self, body: reqwest::Body) -> reqwest::Body {
        reqwest::Body::wrap(Watched { body, state: Arc::clone(&self.0) })
    }

    /// Whether a connection has taken the request, so that it may have been delivered.
    pub fn is_taken(&self) -> bool {
        self.0.stands.load(Ordering::SeqCst) == TAKEN
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        let _ = self.0.stands.compare_exchange(WAITING, WITHDRAWN, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl State {
    /// Takes the request, and returns whether it may be sent.
    fn take(&self) -> bool {
        match self.stands.load(Ordering::SeqCst) {
            WAITING => {}
            stands => return stands == TAKEN,
        }
        // Counted first: who sees it withdrawn must not see it counted for good.
        let open = self.ledger.send().is_ok();
        let to = if open { TAKEN } else { WITHDRAWN };
        let stood = self.stands.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst);
        if open && stood.is_err() {
            self.ledger.unsend();
        }
        open && stood.is_ok()
    }
}

struct Watched {
    body: reqwest::Body,
    state: Arc<State>,
}

/// What a withdrawn request's body fails with.
#[derive(Debug, thiserror::Error)]
#[error("the request was withdrawn before a connection took it")]
struct Withdrawn;

impl Body for Watched {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if !self.state.take() {
            return Poll::Ready(Some(Err(Withdrawn.into())));
        }
        Pin::new(&mut self.body).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        // A withdrawn request pretends to have a body, which then fails.
        self.state.take() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
