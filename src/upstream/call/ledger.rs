//! What a call has spent upstream, and what it may have brought about.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;
use crate::upstream::warnings::Warnings;

/// What one inbound call, or one of the calls it makes, has spent upstream, and whether its caller is known.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: AtomicU32,
    /// When a request was last sent, unless it was provably not processed.
    sent_at: Mutex<Option<Instant>>,
    harmless: AtomicU32,
    /// The same of those requests alone that are meant to change something.
    sent_changes: AtomicU32,
    harmless_changes: AtomicU32,
    /// It is that of a request that changes nothing.
    is_read: bool,
    closed: AtomicBool,
    /// When the answer to the attempt under way came in whole.
    came: Mutex<Option<Instant>>,
    progress: Mutex<Progress>,
    /// The name of its caller, once that is known.
    caller: OnceLock<Arc<str>>,
    watching: AtomicBool,
    /// It is that of a call that changes something.
    changes: AtomicBool,
    /// Another replica has the inbound call, or may have it.
    elsewhere: AtomicBool,
    forwarded: AtomicBool,
    /// Attempts begun, until one of them is answered.
    begun: AtomicU32,
    answered_once: AtomicBool,
    /// Status and `x-request-id` of each response to a write.
    answers: Mutex<Vec<(u16, Option<String>)>>,
    warnings: Mutex<Warnings>,
    within: Option<Arc<Ledger>>,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, Default)]
pub enum Progress {
    /// It waits for its first attempt.
    #[default]
    Waits,
    /// An attempt is under way since then.
    UnderWay(Instant),
    /// An attempt has ended, and there may be another one.
    Ended,
}

impl Ledger {
    /// Returns an empty ledger whose requests are counted in `outer`, too: one call's share of what its inbound call spends.
    pub fn within(outer: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { within: Some(Arc::clone(outer)), ..Self::default() })
    }

    /// The same for a request that changes something, or does not.
    pub fn of_request(outer: &Arc<Self>, is_read: bool) -> Arc<Self> {
        Arc::new(Self { within: Some(Arc::clone(outer)), is_read, ..Self::default() })
    }

    /// Counts one HTTP request. The transport calls it when a connection takes the request.
    ///
    /// # Errors
    /// [`Error::Deadline`] if the ledger was closed: then the request must not be sent.
    pub fn send(&self) -> Result<(), Error> {
        self.sent();
        if self.is_closed() {
            self.unsend();
            return Err(Error::Deadline { sent: false });
        }
        Ok(())
    }

    /// Notes whether the call changes something.
    pub fn changes(&self, changes: bool) {
        self.changes.store(changes, Ordering::Relaxed);
    }

    /// Notes whether another replica has the inbound call, or may have it.
    pub fn is_elsewhere(&self, elsewhere: bool) {
        self.elsewhere.store(elsewhere, Ordering::Relaxed);
    }

    /// Returns the error of a call that ends now for this reason, whatever is under way of it. If it changes something, and a
    /// change was sent, nobody will tell its caller what became of that.
    pub fn broken_off(&self, why: Error) -> Error {
        let is_open = self.changes.load(Ordering::Relaxed) && self.may_have_changed();
        if is_open { Error::OutcomeUnknown(Box::new(why)) } else { why }
    }

    /// Returns the error of a call whose deadline passes now.
    pub fn too_late(&self) -> Error {
        self.broken_off(Error::Deadline { sent: self.may_have_acted() })
    }

    /// Returns the error of a call that the gateway ends because it shuts down.
    pub fn cut_short(&self) -> Error {
        self.broken_off(Error::ShuttingDown)
    }

    /// Counts the first attempt of a request.
    pub fn begin(&self) {
        self.outermost().begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that Zendesk has answered the inbound call's request, or one of several.
    pub fn has_answer(&self) {
        self.outermost().answered_once.store(true, Ordering::Relaxed);
    }

    /// Counts one more attempt of a request, if there may be one: all requests of an inbound call together have at most so many
    /// while none of them has been answered. A call that is several requests would else load a Zendesk that is down several times.
    pub fn begin_again(&self, most: u32) -> bool {
        let all = self.outermost();
        let more = |begun: u32| (begun < most).then_some(begun + 1);
        all.answered_once.load(Ordering::Relaxed)
            || all.begun.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn outermost(&self) -> &Self {
        self.within.as_ref().map_or(self, |outer| outer.outermost())
    }

    /// Notes that the gateway knows whose call it is.
    pub fn identify(&self, caller: &Arc<str>) {
        self.caller.get_or_init(|| Arc::clone(caller));
    }

    /// Returns the name of the caller, if the gateway knows whose call it is.
    pub fn caller(&self) -> Option<&str> {
        self.caller.get().map(AsRef::as_ref)
    }

    /// Notes that the call has come from another replica, which measures it.
    pub fn forwarded(&self) {
        self.forwarded.store(true, Ordering::Relaxed);
    }

    /// True if the call has come from another replica.
    pub fn is_forwarded(&self) -> bool {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Notes whether the inbound call has been told all that there is so far, and waits for news.
    pub fn watches(&self, watches: bool) {
        self.outermost().watching.store(watches, Ordering::Relaxed);
    }

    /// True if the call only waits for news: then its deadline is no failure.
    pub fn is_watching(&self) -> bool {
        self.watching.load(Ordering::Relaxed)
    }

    /// Refuses every request from now on. Returns true if none was sent before. A request that a connection is taking at this
    /// moment makes it false, though that request is refused, too.
    pub fn close(&self) -> bool {
        self.closed.store(true, Ordering::SeqCst);
        self.sent.load(Ordering::SeqCst) == 0
    }

    /// True if this ledger, or the one around it, refuses every request.
    pub fn is_closed(&self) -> bool {
        self.is_closed_itself() || self.within.as_ref().is_some_and(|outer| outer.is_closed())
    }

    /// True if this ledger was closed, whatever became of the one around it.
    pub fn is_closed_itself(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Notes that an attempt begins.
    pub fn begins(&self) {
        *locked(&self.came) = None;
        self.is_at(Progress::UnderWay(Instant::now()));
    }

    /// Notes that the attempt under way has ended.
    pub fn ends(&self) {
        self.is_at(Progress::Ended);
    }

    fn is_at(&self, progress: Progress) {
        *locked(&self.progress) = progress;
        if let Some(outer) = &self.within {
            outer.is_at(progress);
        }
    }

    /// Returns how far a request is: of several, the one that was heard of last.
    pub fn progress(&self) -> Progress {
        *locked(&self.progress)
    }

    /// Notes that the answer to the attempt under way has come in whole: what follows is this process's work.
    pub fn came(&self) {
        *locked(&self.came) = Some(Instant::now());
    }

    /// True if the answer to the attempt under way has come in whole.
    pub fn has_come(&self) -> bool {
        locked(&self.came).is_some()
    }

    /// Returns when the request of the attempt that began then was sent, once more if it was not processed. What took time before
    /// says nothing of how long Zendesk takes.
    pub fn sent_since(&self, began: Instant) -> Option<Instant> {
        locked(&self.sent_at).filter(|sent| *sent >= began)
    }

    /// Returns how long the attempt that began then took or takes: until its answer has come in whole. What this process then does
    /// with it says nothing of Zendesk.
    pub fn took_since(&self, began: Instant) -> Duration {
        let came = locked(&self.came).filter(|came| *came >= began);
        came.unwrap_or_else(Instant::now).duration_since(began)
    }

    /// Counts one HTTP request.
    pub fn sent(&self) {
        self.add(self.is_read);
    }

    fn add(&self, is_read: bool) {
        self.sent_changes.fetch_add(u32::from(!is_read), Ordering::SeqCst);
        self.sent.fetch_add(1, Ordering::SeqCst);
        *locked(&self.sent_at) = Some(Instant::now());
        if let Some(outer) = &self.within {
            outer.add(is_read);
        }
    }

    /// Takes back one counted request that was not sent after all, or was provably not processed.
    pub fn unsend(&self) {
        self.take_back(self.is_read);
    }

    fn take_back(&self, is_read: bool) {
        self.sent_changes.fetch_sub(u32::from(!is_read), Ordering::SeqCst);
        self.sent.fetch_sub(1, Ordering::SeqCst);
        *locked(&self.sent_at) = None;
        if let Some(outer) = &self.within {
            outer.take_back(is_read);
        }
    }

    /// Records that `requests` of those sent cannot have changed anything: undelivered, or refused without acting.
    pub fn harmless(&self, requests: u32) {
        self.excuse(requests, self.is_read);
    }

    fn excuse(&self, requests: u32, is_read: bool) {
        self.harmless_changes.fetch_add(if is_read { 0 } else { requests }, Ordering::Relaxed);
        self.harmless.fetch_add(requests, Ordering::Relaxed);
        if let Some(outer) = &self.within {
            outer.excuse(requests, is_read);
        }
    }

    /// Records a response to a write, for the audit log.
    pub fn answered(&self, status: u16, request_id: Option<String>) {
        if let Some(outer) = &self.within {
            outer.answered(status, request_id.clone());
        }
        locked(&self.answers).push((status, request_id));
    }

    /// Returns status and `x-request-id` of each response to a write.
    pub fn answers(&self) -> Vec<(u16, Option<String>)> {
        locked(&self.answers).clone()
    }

    /// Records that Zendesk ignored a part of a write.
    pub fn warned(&self, warning: &str) {
        if let Some(outer) = &self.within {
            outer.warned(warning);
        }
        locked(&self.warnings).add(warning);
    }

    /// Returns what Zendesk ignored, as it wrote it.
    pub fn ignored(&self) -> Vec<String> {
        locked(&self.warnings).all()
    }

    /// Returns what Zendesk ignored, if anything, as one text for metadata, in at most so many bytes.
    pub fn warnings(&self, most: usize) -> Option<String> {
        locked(&self.warnings).text(most)
    }

    /// Whether a change that was sent, here or by another replica, may have been carried out.
    pub fn may_have_changed(&self) -> bool {
        self.sent_changes.load(Ordering::SeqCst) > self.harmless_changes.load(Ordering::Relaxed)
            || self.elsewhere.load(Ordering::Relaxed)
    }

    /// Whether a request that was sent may have been acted upon.
    pub fn may_have_acted(&self) -> bool {
        self.requests() > self.harmless.load(Ordering::Relaxed) || self.elsewhere.load(Ordering::Relaxed)
    }

    /// Whether more than one request may have been acted upon: an attempt was lost and may still be carried out.
    pub fn has_lost_one(&self) -> bool {
        self.requests() > self.harmless.load(Ordering::Relaxed) + 1
    }

    /// Returns how many HTTP requests were sent.
    pub fn requests(&self) -> u32 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
