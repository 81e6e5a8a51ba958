//! Reads small messages of a client stream ahead of whoever takes them.
//!
//! HTTP/2 lets a peer send as many bytes as the window has room for, and the server library ends the whole connection if they come
//! in many small pieces that nobody reads: h2 counts what each waiting DATA frame lacks of 256 bytes, and allows half of the
//! connection's window of that, which is some 270 frames. Nothing else sets it through hyper. A caller who sends a row per message
//! would lose all its calls with its stream. So while messages are small they are read as they come; and if too many wait here,
//! only their stream ends.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::error::Error;
use crate::gateway::Context as Call;
use crate::share::{FREE_MESSAGE, TRY_AGAIN};

/// Most bytes of messages that wait.
const MOST: usize = 1 << 20;
/// Bytes that a waiting message takes besides those that were sent.
const OVERHEAD: usize = 512;
/// How long messages that come after the end are still read, and dropped. A caller stops sending once it has heard of the end.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of waiting messages that are not charged to their caller.
const FREE: usize = 16 * OVERHEAD;

/// Reads `messages` of a call, of which the first has come. Small ones, which are not charged, are read ahead. Larger ones stay
/// in the window, which holds too few of them to end a connection.
pub fn read<S, M, E>(first: &M, mut messages: S, call: &Call) -> Ahead<M, E>
where
    S: Stream<Item = Result<M, E>> + Send + Unpin + 'static,
    M: prost::Message + 'static,
    E: From<Error> + Send + 'static,
{
    let (sender, queue) = mpsc::unbounded_channel();
    let shared = Arc::<Shared>::default();
    let (its, place, share) = (Arc::clone(&shared), call.place.clone(), call.caller.share().clone());
    let is_small = first.encoded_len() <= FREE_MESSAGE;
    tokio::spawn(async move {
        read_all(&mut messages, is_small, &its, &sender, || place.charge(&share, MOST)).await;
        // Messages after the end: see [`HEARD_WITHIN`].
        let dropped = async { while messages.next().await.is_some_and(|message| message.is_ok()) {} };
        timeout(HEARD_WITHIN, dropped).await.ok();
    });
    Ahead { queue, shared }
}

/// Reads until the messages end, too many wait, or nobody wants any more.
async fn read_all<S, M, E>(
    messages: &mut S,
    mut is_small: bool,
    shared: &Shared,
    queue: &mpsc::UnboundedSender<(usize, Result<M, E>)>,
    charge: impl Fn() -> crate::error::Result<()>,
) where
    S: Stream<Item = Result<M, E>> + Unpin,
    M: prost::Message,
    E: From<Error>,
{
    let mut charged = false;
    loop {
        // A large message is not read before it is wanted: its bytes are in the caller's window till then.
        while !is_small && !shared.state().is_wanted {
            tokio::select! {
                () = shared.wanted.notified() => {}
                () = queue.closed() => return,
            }
        }
        let Some(message) = messages.next().await else { return };
        let size = message.as_ref().map_or(0, M::encoded_len);
        is_small = size <= FREE_MESSAGE;
        let waiting = {
            let mut state = shared.state();
            state.is_wanted = false;
            state.waiting += size + OVERHEAD;
            state.waiting
        };
        if is_small && waiting > FREE && !charged {
            charged = true;
            if let Err(error) = charge() {
                let _ = queue.send((0, Err(error.into())));
                return;
            }
        }
        if is_small && waiting > MOST {
            let what = "small messages that Zendesk cannot take so fast: put a hundred rows into each";
            let _ = queue.send((0, Err(Error::CallerLimit { what, retry_after: TRY_AGAIN }.into())));
            return;
        }
        let is_over = message.is_err();
        if queue.send((size + OVERHEAD, message)).is_err() || is_over {
            return;
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wanted: Notify,
}

#[derive(Default)]
struct State {
    /// Bytes of the messages that wait.
    waiting: usize,
    /// True if somebody waits for a message.
    is_wanted: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages, in their order.
pub struct Ahead<M, E> {
    queue: mpsc::UnboundedReceiver<(usize, Result<M, E>)>,
    shared: Arc<Shared>,
}

impl<M, E> Stream for Ahead<M, E> {
    type Item = Result<M, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.queue.poll_recv(context);
        let mut state = self.shared.state();
        match &next {
            Poll::Ready(Some((bytes, _))) => state.waiting = state.waiting.saturating_sub(*bytes),
            Poll::Ready(None) => {}
            Poll::Pending => {
                state.is_wanted = true;
                self.shared.wanted.notify_one();
            }
        }
        drop(state);
        next.map(|next| next.map(|(_, message)| message))
    }
}
