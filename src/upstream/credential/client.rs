//! The access tokens of an OAuth client: always one at hand, renewed ahead of its end.
//!
//! One task owns the tokens, so there is one exchange at a time however many calls want the next token. It renews at three
//! quarters of a token's life, at a time that differs among replicas. While the endpoint fails, the last token stays in use to
//! its end, exchanges are spaced out, and calls without a usable token fail at once with the last failure.
//!
//! A call whose token Zendesk refused asks for the next one early. That is cheap to abuse: a token that is refused for
//! another reason than its age, such as a user who cannot be impersonated, would be renewed with every call. So only a
//! token that was accepted before is renewed whenever it is refused, and that is spaced out, too, when the call is refused with the
//! next token as well: an account may accept each token for some calls and none for others. For all other tokens there is one
//! exchange per [`UNPROVEN`].
//!
//! Whoever gets no token is told when the next one is asked for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::exchange::{Issued, Secret};
use super::file::bearer;
use super::token::Token;
use crate::error::Error;
use crate::telemetry::view;
use crate::upstream::jitter::Jitter;

/// The share of its life after which a token is renewed, less up to a tenth of its life.
const SHARE: f64 = 0.8;
/// The first wait after a failed exchange, and after one whose token was refused like the one before; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Where the doubling ends, and the longest that the endpoint may ask to wait: the API is asked about a pause of hours sooner, too, and a
/// single answer must not end all calls for as long as it says.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Where it ends while calls fail for want of a token.
const LONGEST_URGENT_WAIT: Duration = Duration::from_secs(15);
/// The shortest life of a token that is believed: a shorter one is used until Zendesk refuses it.
const SHORTEST_LIFE: Duration = Duration::from_secs(15);
/// Least time between two exchanges for refused tokens that were never accepted, or that were used for somebody else.
const UNPROVEN: Duration = Duration::from_secs(10);

/// Gets a token.
pub(super) type Get = Box<dyn Fn() -> BoxFuture<'static, Result<Issued, Error>> + Send + Sync>;

/// The client, as calls see it.
pub(super) struct Client {
    current: watch::Receiver<Current>,
    wanted: mpsc::UnboundedSender<Wanted>,
    counts: Arc<Counts>,
    vain: Arc<Mutex<Vain>>,
}

/// When a token that was accepted may next be renewed because it was refused, and how long not after that; none if the last one
/// that replaced it was accepted.
type Vain = Option<(Instant, Duration)>;

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
    /// When the next exchange is due after that.
    again: Option<Instant>,
    /// When a call last failed for want of a token.
    lacked: Option<Instant>,
    /// When a refused token may be renewed, if it was refused before that.
    renewable: Option<Instant>,
}

/// A call that needs a token, and not the refused one.
struct Wanted {
    refused: Option<Arc<Token>>,
    impersonating: bool,
    reply: oneshot::Sender<Result<Option<Arc<Token>>, Error>>,
}

impl Client {
    /// Starts to get tokens, and gets another whenever there is a new `secret`: so operators learn at once whether it is right.
    pub(super) fn start(get: Get, secret: Secret, jitter: Jitter) -> Self {
        let (shown, current) = watch::channel(Current::default());
        let (wanted, wishes) = mpsc::unbounded_channel();
        let (counts, vain) = (Arc::<Counts>::default(), Arc::<Mutex<Vain>>::default());
        let task = Task {
            get,
            secret,
            jitter,
            shown,
            counts: counts.clone(),
            vain: vain.clone(),
            unproven: None,
            next: Some(Instant::now()),
            failures: 0,
            is_wanted: false,
        };
        tokio::spawn(task.run(wishes));
        Self { current, wanted, counts, vain }
    }

    /// Returns the token to begin a call with; none if there is none, or the clock says that it has ended.
    pub(super) fn current(&self) -> Option<Arc<Token>> {
        let current = self.current.borrow();
        let over = current.ends.is_some_and(|(ends, _)| ends <= Instant::now());
        current.token.clone().filter(|_| !over)
    }

    /// Returns a token that has not ended and is not the refused one; waits for an exchange if that can help. None if it is too
    /// soon after the last exchange for a refused token: see [`Client::renewable_in`].
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

    /// Notes that a call was refused with the next token, too: its renewal has not helped.
    pub(super) fn in_vain(&self) {
        let now = Instant::now();
        let mut vain = self.vain.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = match *vain {
            // Another call has said so of the same renewal.
            Some((until, _)) if now < until => return,
            Some((until, wait)) if now < until + LONGEST_WAIT => wait,
            _ => FIRST_WAIT,
        };
        *vain = Some((now + wait, (wait * 2).min(LONGEST_WAIT)));
    }

    /// Returns when a refused token may be renewed, if it may not be now.
    pub(super) fn renewable_in(&self) -> Option<Duration> {
        self.current.borrow().renewable.and_then(|at| at.checked_duration_since(Instant::now()))
    }

    /// Returns what the status page shows of it.
    pub(super) fn view(&self, kind: String) -> view::Credential {
        let (current, now) = (self.current.borrow(), Instant::now());
        view::Credential {
            kind,
            expires: current.ends.map(|(_, ends)| ends),
            renewed: true,
            failing: current.failure.as_ref().map(Error::kind),
            again_in: current.again.map(|at| at.saturating_duration_since(now)),
            lacked_ago: current.lacked.map(|at| now.saturating_duration_since(at)),
        }
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
    secret: Secret,
    jitter: Jitter,
    shown: watch::Sender<Current>,
    counts: Arc<Counts>,
    /// When a token was last renewed because it was refused, although it may not have been the token's fault.
    unproven: Option<Instant>,
    vain: Arc<Mutex<Vain>>,
    /// When the next one is due.
    next: Option<Instant>,
    /// Exchanges in a row that failed.
    failures: u32,
    /// Whether a call has failed for it.
    is_wanted: bool,
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
                // Whatever came of the last one.
                Ok(()) = self.secret.changed() => self.exchange().await,
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
        match self.renewable(&wanted) {
            Ok(()) => self.exchange().await,
            Err(at) => self.shown.send_modify(|current| current.renewable = at),
        }
        let now = self.shown.borrow().clone();
        let wait = self.next.unwrap_or_else(Instant::now).saturating_duration_since(Instant::now());
        let answer = match (good(&now), now.failure) {
            (None, Some(failure)) => {
                self.is_wanted = true;
                self.shown.send_modify(|current| current.lacked = Some(Instant::now()));
                Err(failure.come_back_after(wait))
            }
            (token, _) => Ok(token),
        };
        // A call that has left meanwhile needs no answer.
        let _ = wanted.reply.send(answer);
    }

    /// Whether there may be an exchange for a call now, or when.
    fn renewable(&mut self, wanted: &Wanted) -> Result<(), Option<Instant>> {
        let now = Instant::now();
        let until = |at: Instant| if now < at { Err(Some(at)) } else { Ok(()) };
        match &wanted.refused {
            // No exchange during the wait after a failure: the wait ends with one that is due, and `run` puts that first.
            _ if self.failures > 0 => return Err(self.next),
            None => {}
            Some(token) if token.is_accepted() && !wanted.impersonating => {
                let vain = *self.vain.lock().unwrap_or_else(PoisonError::into_inner);
                until(vain.map_or(now, |(until, _)| until))?;
            }
            Some(_) => {
                until(self.unproven.map_or(now, |last| last + UNPROVEN))?;
                self.unproven = Some(now);
            }
        }
        Ok(())
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
                (self.failures, self.is_wanted) = (0, false);
                self.counts.taken.fetch_add(1, Ordering::Relaxed);
                let lifetime = lifetime.map(|life| life.max(SHORTEST_LIFE));
                // A lifetime too long for the clock counts as none.
                let ends =
                    lifetime.and_then(|life| Some((now.checked_add(life)?, SystemTime::now().checked_add(life)?)));
                self.next = lifetime.filter(|_| ends.is_some()).map(|life| {
                    let life = life.mul_f64(SHARE).saturating_sub(self.jitter.full(life / 10));
                    now + life
                });
                self.shown.send_modify(|current| {
                    *current = Current { token: Some(token), ends, lacked: current.lacked, ..Current::default() };
                });
                info!(lifetime_s = lifetime.map(|life| life.as_secs()), "an access token for zendesk was issued");
            }
            Err(failure) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                let longest = if self.is_wanted { LONGEST_URGENT_WAIT } else { LONGEST_WAIT };
                let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.failures)).min(longest);
                // At least half of it, so that there always is a wait.
                let wait = wait / 2 + self.jitter.full(wait / 2);
                let wait = failure.retry_after().map_or(wait, |asked| asked.min(LONGEST_WAIT).max(wait));
                self.failures += 1;
                let again = now + wait;
                self.next = Some(again);
                let cause = match &failure {
                    Error::Connect(chain) | Error::BrokenBody(chain) => Some(&*chain.text),
                    _ => None,
                };
                warn!({ "error.type" = failure.kind(), error.cause = cause, retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }, "no access token for zendesk was issued");
                self.shown.send_modify(|current| (current.failure, current.again) = (Some(failure), Some(again)));
            }
        }
    }
}
