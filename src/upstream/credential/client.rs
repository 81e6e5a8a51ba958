//! The access tokens of an OAuth client: always one at hand, renewed ahead of its end.
//!
//! One task owns the tokens, so there is one exchange at a time however many calls want the next token. It renews at three
//! quarters of a token's life, at a time that differs among replicas. While the endpoint fails, the last token stays in use to
//! its end, exchanges are spaced out, and calls without a usable token fail at once with the last failure.
//!
//! A call whose token Zendesk refused asks for the next one early. That is cheap to abuse: a token that is refused for
//! another reason than its age, such as a user who cannot be impersonated, would be renewed with every call. So only a
//! token that was accepted before is renewed whenever it is refused; for others there is one exchange per [`UNPROVEN`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::exchange::Issued;
use super::file::bearer;
use super::token::Token;
use crate::error::Error;
use crate::limits;
use crate::telemetry::view;
use crate::upstream::jitter::Jitter;

/// The share of its life after which a token is renewed, less up to a tenth of its life.
const SHARE: f64 = 0.8;
/// The first wait after a failed exchange; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Where the doubling ends.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Least time between two exchanges for refused tokens that were never accepted, or that were used for somebody else.
const UNPROVEN: Duration = Duration::from_secs(10);

/// Gets a token.
pub(super) type Get = Box<dyn Fn() -> BoxFuture<'static, Result<Issued, Error>> + Send + Sync>;

/// The client, as calls see it.
pub(super) struct Client {
    current: watch::Receiver<Current>,
    wanted: mpsc::UnboundedSender<Wanted>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    failed: AtomicU64,
}

/// The token that the task holds.
#[derive(Clone, Default)]
struct Current {
    token: Option<Arc<Token>>,
    /// When the token ends, by both clocks: one that tests can move, one to show.
    ends: Option<(Instant, SystemTime)>,
    /// What the last exchange failed with; none if it did not.
    failure: Option<Error>,
}

/// A call that needs a token, and not the refused one.
struct Wanted {
    refused: Option<Arc<Token>>,
    impersonating: bool,
    reply: oneshot::Sender<Result<Option<Arc<Token>>, Error>>,
}

impl Client {
    /// Starts to get tokens.
    pub(super) fn start(get: Get, jitter: Jitter) -> Self {
        let (shown, current) = watch::channel(Current::default());
        let (wanted, wishes) = mpsc::unbounded_channel();
        let counts = Arc::<Counts>::default();
        let task = Task {
            get,
            jitter,
            shown,
            counts: counts.clone(),
            unproven: None,
            next: Some(Instant::now()),
            failures: 0,
        };
        tokio::spawn(task.run(wishes));
        Self { current, wanted, counts }
    }

    /// Returns the token to begin a call with; none if there is none, or the clock says that it has ended.
    pub(super) fn current(&self) -> Option<Arc<Token>> {
        let current = self.current.borrow();
        let over = current.ends.is_some_and(|(ends, _)| ends <= Instant::now());
        current.token.clone().filter(|_| !over)
    }

    /// Returns a token that has not ended and is not the refused one; waits for an exchange if that can help. None if the last
    /// exchange for a refused token was less than [`UNPROVEN`] ago.
    ///
    /// # Errors
    /// What the exchange failed with.
    pub(super) async fn next(
        &self,
        refused: Option<&Arc<Token>>,
        impersonating: bool,
    ) -> Result<Option<Arc<Token>>, Error> {
        let (reply, answer) = oneshot::channel();
        let wanted = Wanted { refused: refused.cloned(), impersonating, reply };
        let gone = Error::ShuttingDown;
        self.wanted.send(wanted).map_err(|_| gone.clone())?;
        answer.await.unwrap_or(Err(gone))
    }

    /// Returns when the token ends, and what renewing it fails with.
    pub(super) fn state(&self) -> (Option<SystemTime>, Option<String>) {
        let current = self.current.borrow();
        (current.ends.map(|(_, ends)| ends), current.failure.as_ref().map(Error::kind))
    }

    pub(super) fn reload(&self) -> view::Reload {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        view::Reload {
            what: "access_token",
            taken: count(&self.counts.taken),
            failed: count(&self.counts.failed),
            failing: self.current.borrow().failure.is_some(),
        }
    }
}

struct Task {
    get: Get,
    jitter: Jitter,
    shown: watch::Sender<Current>,
    counts: Arc<Counts>,
    /// When a token was last renewed because it was refused, although it may not have been the token's fault.
    unproven: Option<Instant>,
    /// When the next one is due.
    next: Option<Instant>,
    /// Exchanges in a row that failed.
    failures: u32,
}

impl Task {
    /// Runs until the client is dropped.
    async fn run(mut self, mut wishes: mpsc::UnboundedReceiver<Wanted>) {
        loop {
            let due = self.next;
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // An exchange that is due comes first, because it serves the waiting calls, too.
                biased;
                () = due => self.exchange().await,
                wanted = wishes.recv() => match wanted {
                    Some(wanted) => self.serve(wanted).await,
                    None => return,
                },
            }
        }
    }

    async fn serve(&mut self, wanted: Wanted) {
        if wanted.reply.is_closed() {
            return;
        }
        let now = self.shown.borrow().clone();
        let good = |current: &Current| {
            let other =
                current.token.clone().filter(|token| !wanted.refused.as_ref().is_some_and(|it| Arc::ptr_eq(it, token)));
            other.filter(|_| current.ends.is_none_or(|(ends, _)| ends > Instant::now()))
        };
        if let Some(token) = good(&now) {
            let _ = wanted.reply.send(Ok(Some(token)));
            return;
        }
        if self.may_exchange(&wanted) {
            self.exchange().await;
        }
        let now = self.shown.borrow().clone();
        let answer = match (good(&now), now.failure) {
            (None, Some(failure)) => Err(failure),
            (token, _) => Ok(token),
        };
        // A call that has left meanwhile needs no answer.
        let _ = wanted.reply.send(answer);
    }

    fn may_exchange(&mut self, wanted: &Wanted) -> bool {
        match &wanted.refused {
            // No exchange during the wait after a failure: the wait ends with one that is due, and `run` puts that first.
            _ if self.failures > 0 => false,
            None => true,
            Some(token) if token.is_accepted() && !wanted.impersonating => true,
            Some(_) if self.unproven.is_some_and(|last| last.elapsed() < UNPROVEN) => false,
            Some(_) => {
                self.unproven = Some(Instant::now());
                true
            }
        }
    }

    async fn exchange(&mut self) {
        let outcome = (self.get)().await.and_then(|issued| {
            let token = Token::new(&bearer(&issued.token))
                .map_err(|_| Error::Internal { what: "an access token is no header value" })?;
            Ok((Arc::new(token), issued.lifetime))
        });
        let now = Instant::now();
        match outcome {
            Ok((token, lifetime)) => {
                self.failures = 0;
                self.counts.taken.fetch_add(1, Ordering::Relaxed);
                // A lifetime too long for the clock counts as none.
                let ends =
                    lifetime.and_then(|life| Some((now.checked_add(life)?, SystemTime::now().checked_add(life)?)));
                self.next = lifetime.filter(|_| ends.is_some()).map(|life| {
                    let life = life.mul_f64(SHARE).checked_sub(self.jitter.full(life / 10)).unwrap();
                    now + life.max(FIRST_WAIT)
                });
                self.shown.send_replace(Current { token: Some(token), ends, failure: None });
                info!(lifetime_s = lifetime.map(|life| life.as_secs()), "an access token for zendesk was issued");
            }
            Err(failure) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_WAIT);
                // At least half of it, so that there always is a wait.
                let wait = wait / 2 + self.jitter.full(wait / 2);
                let wait = failure.retry_after().map_or(wait, |asked| asked.min(limits::LONGEST_WAIT).max(wait));
                self.failures += 1;
                self.next = Some(now + wait);
                let cause = match &failure {
                    Error::Connect(chain) | Error::BrokenBody(chain) => Some(&*chain.text),
                    _ => None,
                };
                warn!({ "error.type" = failure.kind(), error.cause = cause, retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }, "no access token for zendesk was issued");
                self.shown.send_modify(|current| current.failure = Some(failure));
            }
        }
    }
}
