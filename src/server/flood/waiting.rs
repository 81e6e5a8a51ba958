//! Limits the wait for a call's message: the number of waiting calls, of each caller and of all, the time, and, once the gateway
//! shuts down, to a second. It ends at once where the connection has to make room for another. Such a call has asked for nothing
//! yet, so nothing is lost when it is refused.
//!
//! Most messages come with the headers or right after them, so the limits begin only after [`MESSAGE_GRACE`]: calls that fill
//! the room keep out only calls that are as slow.
//!
//! To measure without it: [`MAX_WAITING`] of a million, and `server.message_timeout` of hours.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::gateway::Drain;
use crate::share::Share;
use crate::turns;

/// How long after the headers a message may come without counting as late.
pub const MESSAGE_GRACE: Duration = Duration::from_millis(100);
/// Most calls at a time that wait longer. Each holds a few kilobytes, and the part of its message that has come.
pub const MAX_WAITING: usize = 8192;
/// How long a call may still wait for its message once the gateway shuts down.
const GRACE_AT_SHUTDOWN: Duration = Duration::from_secs(1);

/// The room in which calls wait for their messages.
pub struct Waiting {
    room: Arc<Semaphore>,
    longest: Duration,
    drain: Drain,
}

/// One call's wait for its message. Completes with the error when the wait is over; dropped when the message comes.
pub type MessageWait = Pin<Box<dyn Future<Output = Error> + Send>>;

impl Waiting {
    /// Returns a room in which each call waits for at most `longest` after its headers.
    pub fn new(longest: Duration, drain: &Drain) -> Self {
        Self { room: Arc::new(Semaphore::new(MAX_WAITING)), longest, drain: drain.clone() }
    }

    /// Begins the wait of a call whose message has not come within [`MESSAGE_GRACE`]. If the room is full, or its caller has as
    /// many such calls as it may have calls at all, or once `leave` is cancelled, the wait ends at once.
    pub fn begin(&self, share: Option<&Share>, leave: CancellationToken) -> MessageWait {
        let among_own = share.map_or(Ok(None), |share| share.take_late().map(Some).ok_or(()));
        let place = among_own.and_then(|own| Ok((own, Arc::clone(&self.room).try_acquire_owned().map_err(drop)?)));
        let (left, drain) = (self.longest.saturating_sub(MESSAGE_GRACE), self.drain.clone());
        Box::pin(async move {
            let Ok(_place) = place else {
                // Thousands may be refused at once; other calls should not have to wait for that.
                turns::after_the_others().await;
                return Error::MessageMissing { crowded: true };
            };
            let leaving = async {
                drain.begun().await;
                sleep(GRACE_AT_SHUTDOWN).await;
            };
            tokio::select! {
                () = sleep(left) => {}
                () = leaving => return Error::ShuttingDown,
                () = leave.cancelled() => return Error::MessageMissing { crowded: true },
            }
            turns::after_the_others().await;
            Error::MessageMissing { crowded: false }
        })
    }
}
