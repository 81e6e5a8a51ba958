//! What a fetch waits for and for whom, so that whoever cannot wait for as long as the fetch does still learns the reason, and
//! nobody waits longer because somebody else began it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::select_all;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::error::Error;
use crate::share::Share;

/// What a fetch waits for, and who waits for it. Clones share it; of the default nothing is told, and nobody waits for it but the
/// caller who began it.
#[derive(Debug, Clone, Default)]
pub struct WaitsFor(SmallVec<[Arc<Noted>; 1]>);

#[derive(Debug)]
struct Noted {
    /// The error with which the fetch would end if it were given up now.
    why: Mutex<Error>,
    /// Who wants the answer. They stay here when they leave: few do before the answer comes.
    callers: Mutex<SmallVec<[Share; 1]>>,
    /// Told when there is one more.
    joined: Notify,
}

/// Nothing has been sent yet, whatever the fetch waits for.
impl Default for Noted {
    fn default() -> Self {
        let why = Mutex::new(Error::Deadline { sent: false });
        Self { why, callers: Mutex::default(), joined: Notify::new() }
    }
}

impl WaitsFor {
    /// Returns one that can be read, for a fetch that has sent nothing yet and that nobody has joined.
    pub fn noted() -> Self {
        Self(SmallVec::from_buf([Arc::default()]))
    }

    /// Notes what the fetch waits for: the error with which it would end if it were given up now.
    pub fn set(&self, why: &Error) {
        for noted in &self.0 {
            locked(&noted.why).clone_from(why);
        }
    }

    /// Returns what the fetch waits for. Of one of which nothing is told, Zendesk may have had the request, which is never false.
    pub fn get(&self) -> Error {
        self.0.first().map_or(Error::Deadline { sent: true }, |noted| locked(&noted.why).clone())
    }

    /// Notes that a caller wants the answer, too.
    pub fn serve(&self, caller: &Share) {
        for noted in &self.0 {
            let mut callers = locked(&noted.callers);
            if callers.iter().all(|known| known.id() != caller.id()) {
                callers.push(caller.clone());
                noted.joined.notify_one();
            }
        }
    }

    /// Returns who wants the answer besides the caller who began the fetch; that caller may be among them.
    pub fn callers(&self) -> SmallVec<[Share; 1]> {
        self.0.iter().flat_map(|noted| locked(&noted.callers).clone()).collect()
    }

    /// Returns the first of them for whom this holds.
    pub fn find(&self, holds: impl Fn(&Share) -> bool) -> Option<u64> {
        let first = |noted: &Arc<Noted>| locked(&noted.callers).iter().find(|caller| holds(caller)).map(Share::id);
        self.0.iter().find_map(first)
    }

    /// Completes when somebody more wants the answer than when this was last asked.
    pub async fn joined(&self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0.iter().map(|noted| Box::pin(noted.joined.notified()))).await;
    }

    /// Returns one that tells those of both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
