//! The wait for a call's message, where it did not come together with the headers: for so many calls, for so long, and
//! hardly at all once the gateway leaves. Such a call has asked for nothing yet, so nothing is lost with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::error::{Error, Result};
use crate::gateway::Drain;

/// Most calls that wait at a time; each holds some 10 KB.
pub(super) const MOST: usize = 8192;
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

    /// Completes with the reason when a call that waits, and perhaps has just begun to, does so in vain.
    pub fn poll(&self, patience: &mut Option<Patience>, context: &mut Context<'_>) -> Poll<Error> {
        let patience = match patience {
            Some(patience) => patience,
            None => match self.begin() {
                Ok(begun) => patience.insert(begun),
                Err(error) => return Poll::Ready(error),
            },
        };
        patience.as_mut().poll(context)
    }

    fn begin(&self) -> Result<Patience> {
        let place = Arc::clone(&self.room).try_acquire_owned();
        let place = place.map_err(|_| Error::Overloaded { what: "too many calls wait for their messages" })?;
        let (longest, drain) = (self.longest, self.drain.clone());
        Ok(Box::pin(async move {
            let _place = place;
            let leaving = async {
                drain.begun().await;
                sleep(ON_ITS_WAY).await;
            };
            tokio::select! {
                () = sleep(longest) => Error::Deadline { sent: false },
                () = leaving => Error::ShuttingDown,
            }
        }))
    }
}
