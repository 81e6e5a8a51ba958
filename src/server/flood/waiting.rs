//! The wait for a call's message: for so many calls, for so long, and hardly at all once the gateway leaves. Such a call has
//! asked for nothing yet, so nothing is lost with it.
//!
//! Most messages come with the headers or right after them, so nothing of this is begun within [`SOON`]: whoever fills the
//! room keeps out only those who wait as long themselves.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::turns;
use crate::error::Error;
use crate::gateway::Drain;

/// When a message has come that does so in the usual way.
pub const SOON: Duration = Duration::from_millis(100);
/// Most calls that wait longer at a time. Each holds a few kilobytes, and what there is of its message.
pub const MOST: usize = 8192;
/// How long a message may still be on its way once the gateway leaves.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Where calls wait for their messages.
pub struct Waiting {
    room: Arc<Semaphore>,
    longest: Duration,
    drain: Drain,
}

/// Completes with the reason when there is no more use in waiting.
pub type Patience = Pin<Box<dyn Future<Output = Error> + Send>>;

impl Waiting {
    /// Lets each wait for at most `longest`.
    pub fn new(longest: Duration, drain: &Drain) -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)), longest, drain: drain.clone() }
    }

    /// Begins the wait of a call whose message has not come soon. If too many wait already, it is short.
    pub fn begin(&self) -> Patience {
        let place = Arc::clone(&self.room).try_acquire_owned();
        let (rest, drain) = (self.longest.saturating_sub(SOON), self.drain.clone());
        Box::pin(async move {
            let Ok(_place) = place else {
                // There may be thousands at once, which nobody else should have to wait for.
                turns::after_the_others().await;
                return Error::Overloaded { what: "too many calls wait for their messages" };
            };
            let leaving = async {
                drain.begun().await;
                sleep(ON_ITS_WAY).await;
            };
            tokio::select! {
                () = sleep(rest) => {}
                () = leaving => return Error::ShuttingDown,
            }
            turns::after_the_others().await;
            Error::Deadline { sent: false }
        })
    }
}
