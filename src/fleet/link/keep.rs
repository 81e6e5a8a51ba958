//! Looks for the leader, and looks after the connection to it.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{AGAIN, Course, Inner, Leads, Link, Route, TELL};
use crate::cache::Changes;
use crate::fleet::hop::{Lines, Open, Refused, Way};
use crate::fleet::wire::{ALL, INVALIDATE, VOID};
use crate::telemetry::findings::{FINDINGS, Kind};

impl Link {
    /// Returns what deserves attention at the leader, and whether it is a problem.
    pub fn found(&self) -> Vec<(Kind, bool)> {
        self.0.inner.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    /// Makes this replica act alone, unless it does.
    fn be_alone(&self, why: Refused) {
        if !matches!(*self.course.borrow(), Course::Alone(_)) {
            self.cache.invalidate_all();
        }
        self.set(Course::Alone(why));
    }

    /// Has calls go to whoever leads, for ever.
    pub(super) async fn keep(self: Arc<Self>, mut leads: watch::Receiver<Leads>) {
        let mut lost = Instant::now();
        loop {
            let now = leads.borrow_and_update().clone();
            match now {
                Leads::Own(term) => {
                    self.go(None);
                    self.set(Course::Own(term));
                    changed(&mut leads).await;
                    lost = Instant::now();
                    // The one who leads next may have begun already.
                    self.course.send_if_modified(|course| std::mem::replace(course, Course::Held) != Course::Held);
                }
                Leads::Nobody => {
                    self.go(None);
                    if timeout(self.patience(lost), changed(&mut leads)).await.is_err() {
                        self.be_alone(Refused::Silent);
                    }
                }
                Leads::Other(way) => {
                    self.go(Some(&way));
                    tokio::select! {
                        biased;
                        () = changed(&mut leads) => {
                            if matches!(*self.course.borrow(), Course::Leader(_)) {
                                lost = Instant::now();
                                self.set(Course::Held);
                            }
                            *self.control.lock().unwrap_or_else(PoisonError::into_inner) = None;
                        }
                        () = self.look_after(&way, &mut lost) => {}
                    }
                }
            }
        }
    }

    /// How long this replica still waits for a leader before it acts alone, if it does not yet.
    fn patience(&self, lost: Instant) -> Duration {
        let left = (lost + self.alone_after).saturating_duration_since(Instant::now());
        if matches!(*self.course.borrow(), Course::Alone(_)) { Duration::MAX } else { left }
    }

    /// Has calls go this way, or none.
    fn go(&self, way: Option<&Arc<Way>>) {
        let mut route = self.route.write().unwrap_or_else(PoisonError::into_inner);
        let is_same = route.as_ref().zip(way).is_some_and(|(route, way)| Arc::ptr_eq(&route.way, way));
        if !is_same {
            *route = way.map(|way| Arc::new(Route { way: Arc::clone(way), lines: Lines::new(self.threads) }));
        }
    }

    /// Looks for the leader, and looks after it, for ever.
    async fn look_after(&self, way: &Way, lost: &mut Instant) {
        loop {
            let steps = self.cache.changes().steps;
            let void = (steps != self.told.load(SeqCst)).then_some(ALL);
            // Not beyond the time at which this replica acts alone, unless it does already.
            let held = *self.course.borrow() == Course::Held;
            match timeout(self.patience(*lost), way.open(void)).await.unwrap_or(Err(Refused::Silent)) {
                Ok(open) => {
                    self.told.fetch_max(steps, SeqCst);
                    self.follow(&open).await;
                    *lost = Instant::now();
                }
                Err(
                    why @ (Refused::Silent
                    | Refused::BadCertificate
                    | Refused::NotLeading
                    | Refused::NotReady
                    | Refused::Untrusted),
                ) => {
                    let says_more = *self.course.borrow() == Course::Alone(Refused::Silent) && why != Refused::Silent;
                    if says_more || held && lost.elapsed() >= self.alone_after {
                        self.be_alone(why);
                    }
                }
                // A newer contract gets the lead.
                Err(Refused::OtherContract) if self.elected.is_some() && lost.elapsed() < self.alone_after => {}
                Err(other) => self.be_alone(other),
            }
            sleep(AGAIN.min(self.alone_after)).await;
        }
    }

    /// Has calls go to the leader until it does not answer any more.
    async fn follow(&self, open: &Open) {
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.clone());
        // From here on no answer to a write that was begun alone is given before the leader was told of it; so what the leader was
        // not told of now is told before any call goes there.
        self.course.send_if_modified(|course| std::mem::replace(course, Course::Held) != Course::Held);
        if self.tell().await {
            // A doubt from before this connection says nothing of it.
            self.doubted.notified().now_or_never();
            self.set(Course::Leader(open.term));
            self.watch(open).await;
            self.found(None);
        }
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.set(Course::Held);
    }

    /// Completes when the leader does not answer any more. Until then, tells it of this replica's own writes as long as any is
    /// under way.
    async fn watch(&self, open: &Open) {
        let mut open_ended = !self.cache.changes().settled;
        loop {
            tokio::select! {
                () = open.closed() => return,
                () = self.renounced.notified() => return,
                // It would be refused now, too: certificates have been replaced, or the token is not taken any more.
                () = self.doubted.notified() => return,
                said = async { sleep(TELL).await; open.findings().await } => self.found(said.as_ref()),
            }
            let Changes { steps, settled, .. } = self.cache.changes();
            if steps != self.told.load(SeqCst) || open_ended {
                if !self.void(open).await {
                    return;
                }
                open_ended = !settled;
            }
        }
    }

    /// Takes in what deserves attention at the leader. A newer one may find what this replica does not know.
    fn found(&self, said: Option<&HeaderValue>) {
        let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
        let known = |kind: &str| FINDINGS.iter().copied().find(|known| known.name == kind);
        let one = |text: &str| Some((known(text.trim_start_matches('!'))?, text.starts_with('!')));
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = said.split(',').filter_map(one).collect();
    }

    /// Tells the leader of this replica's own writes so far; false if it does not answer.
    pub(super) async fn tell(&self) -> bool {
        let Some(open) = self.control() else { return false };
        while self.cache.changes().steps != self.told.load(SeqCst) {
            if !self.void(&open).await {
                return false;
            }
        }
        true
    }

    async fn void(&self, open: &Open) -> bool {
        let steps = self.cache.changes().steps;
        let done = Self::ask_void(open, ALL).await;
        if done {
            self.told.fetch_max(steps, SeqCst);
        }
        done
    }

    pub(super) async fn ask_void(open: &Open, what: HeaderValue) -> bool {
        open.ask(INVALIDATE, HeaderMap::from_iter([(VOID, what)])).await
    }
}

/// Completes when another leads, or nobody any more; never where the settings say who does.
async fn changed(leads: &mut watch::Receiver<Leads>) {
    if leads.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
