//! One write: once it is sent, it runs to its end, even if its caller leaves.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use tokio::task::AbortHandle;
use tokio::time::timeout_at;
use tower::ServiceExt as _;

use super::audit::{Targets, Trail};
use super::offload::offload;
use super::turns::Turn;
use super::{Answered, Context, Gateway};
use crate::cache::{Snapshot, Tag, UNKNOWN_SETTLES_AFTER, WaitsFor, WriteGuard};
use crate::codec::Encoded;
use crate::contract::{Idempotency, Request as _};
use crate::deadline::{last_moment, latest};
use crate::error::{ConnectionError, Error, Refusal, Result};
use crate::proto::{GetJobResponse, LogoutUsersRequest, LogoutUsersResponse};
use crate::rest::{Changes, Whole, Write, is_nothing, nothing, users};
use crate::upstream::call::{Answer, Call, Ledger, Parse, Parsed, Priority};
use crate::upstream::rest::Rest;

/// Bytes of a request that is checked and translated in no long time, be it full of user fields.
const SHORT: usize = 32 << 10;

/// One change to send.
pub(super) struct Change {
    pub rest: Rest,
    pub idempotency: Idempotency,
    pub priority: Priority,
    pub parse: Parse,
    /// Returns the tags that only the parsed answer says were changed.
    pub learnt: fn(&(dyn Any + Send)) -> Vec<Tag>,
    /// The records it is about, for the audit log.
    pub targets: Targets,
    /// What to do with an answer that comes after the caller has left.
    pub late: Option<Late>,
}

/// Takes an answer that came too late for its caller.
pub(super) type Late = Box<dyn FnOnce(&Answer) + Send>;

/// Returns what a write's failure means. Where none of its requests was sent, nothing can have been carried out, whatever failed:
/// it may have been the exchange for a token.
fn of_write(error: Error, ledger: &Ledger) -> Error {
    match error {
        _ if ledger.requests() > 0 || !error.may_have_been_done() => error.as_write_error(),
        Error::Deadline { .. } => Error::Deadline { sent: false },
        // The next exchange may not be due yet.
        _ => {
            let retry_after = error.retry_after();
            Error::Connect(ConnectionError { retry_after, ..ConnectionError::new("no access token could be had") })
        }
    }
}

/// Returns what the caller of a write is told. If its answer had begun, what its head said is told, too.
fn told(error: Error, ledger: &Ledger) -> Error {
    match (error.as_write_error(), ledger.answers().pop()) {
        (Error::OutcomeUnknown(cause), Some((status @ 200..=299, request_id))) if cause.refusal().is_none() => {
            let said = Box::new(Refusal { status, request_id, ..Refusal::default() });
            Error::OutcomeUnknown(Box::new(Error::Begun { said, cause }))
        }
        (error, _) => error,
    }
}

/// Returns the request to send for a write, or what is wrong with it whatever anybody else says. It is made once, before anything
/// is waited for: of a large one that takes tens of milliseconds. The request itself is there once, however large it is.
pub(super) async fn rest<W: Write>(context: &Context, request: &Arc<W>) -> Result<Rest> {
    if request.encoded_len() <= SHORT {
        return request.rest();
    }
    let request = Arc::clone(request);
    offload(context.caller.share(), move || request.rest()).await
}

impl Gateway {
    /// Answers a write.
    pub async fn write<W: Write>(&self, context: &Context, request: W) -> Result<Answered<W::Reply>> {
        let request = Arc::new(request);
        let rest = rest(context, &request).await?;
        self.check_user_fields(context, &request.user_fields()).await?;
        let context = self.in_turn_of(context, &*request).await?;
        let (mut answer, since) = self.written(&context, &request, rest).await?;
        let parsed = std::mem::replace(&mut answer.parsed, Box::new(()));
        let mut reply = *parsed.downcast::<W::Reply>().expect("the write's own parse makes its reply");
        W::complete(&mut reply, &answer);
        self.keep(&context.credential, W::record(&reply), &since);
        Ok(Encoded::new(&reply).into())
    }

    /// Waits for the call's turn, and returns a context that holds it.
    pub(super) async fn in_turn(&self, context: &Context, whole: Whole) -> Result<Context> {
        let until = last_moment(context.deadline);
        let turn = self.turns.take(whole, context.caller.share(), until).await?;
        // Whoever leads by now gets the call, and need not wait for what it would read here first.
        if !self.gate.lets_begin() {
            return Err(Error::NotLeader);
        }
        Ok(Context { turn: Some(turn), ..context.clone() })
    }

    /// Waits for the turn of a write, if it takes turns with others.
    pub(super) async fn in_turn_of<'a, W: Write>(&self, context: &'a Context, request: &W) -> Result<Cow<'a, Context>> {
        let Some(whole) = request.whole() else { return Ok(Cow::Borrowed(context)) };
        Ok(Cow::Owned(self.in_turn(context, whole).await?))
    }

    /// Carries out one write, for which `rest` is sent. Returns its answer, and the cache's snapshot after it.
    pub(super) async fn written<W: Write>(
        &self,
        context: &Context,
        request: &Arc<W>,
        rest: Rest,
    ) -> Result<(Answer, Snapshot)> {
        let (changes, asked) = (request.changes(), Arc::clone(request));
        // A deletion that is answered by nothing, as with 204, `null` or `{}`, is done.
        let may_be_empty = rest.method == http::Method::DELETE;
        let parse = move |body: &[u8]| {
            if may_be_empty && is_nothing(body) {
                return Ok(Box::new(W::Reply::default()) as Parsed);
            }
            asked.parse(body)
        };
        let change = Change {
            rest,
            idempotency: request.idempotency(),
            priority: Priority::Write,
            parse: Arc::new(parse),
            learnt: |parsed| parsed.downcast_ref::<W::Reply>().map(W::learnt).unwrap_or_default(),
            targets: Targets::of(request.about().iter().chain(&changes.tags)),
            late: None,
        };
        self.change(context, change, self.begin(&changes)).await
    }

    /// Logout many users, 100 at a time. Answers 202 and `null`.
    pub async fn logout_users(
        &self,
        context: &Context,
        request: LogoutUsersRequest,
    ) -> Result<Encoded<LogoutUsersResponse>> {
        let chunks = users::logout_many(&request)?;
        let _open = self.whole();
        for chunk in chunks {
            let change = Change {
                targets: Targets::of_chunk(&chunk),
                rest: chunk.rest,
                idempotency: LogoutUsersRequest::rpc().idempotency,
                priority: Priority::Write,
                parse: Arc::new(nothing::<LogoutUsersRequest>),
                learnt: |_| Vec::new(),
                late: None,
            };
            self.change(context, change, self.begin(&Changes::default())).await?;
        }
        Ok(Encoded::new(&LogoutUsersResponse {}))
    }

    /// Invalidates what a write changes: now, until the guard ends, and once more when it ends.
    pub(super) fn begin(&self, changes: &Changes) -> WriteGuard {
        let mut guard = self.cache.begin_write(&changes.tags);
        changes.if_unknown.iter().for_each(|tag| guard.add_tag_if_unknown(*tag));
        guard
    }

    /// Begins a call of several changes, which no hand-over comes between.
    pub(super) fn whole(&self) -> Open {
        Open(Some(self.begin(&Changes::default())))
    }

    /// Sends one change on a task of its own, so that a caller who leaves cannot cancel it half-way.
    pub(super) async fn change(
        &self,
        context: &Context,
        change: Change,
        mut guard: WriteGuard,
    ) -> Result<(Answer, Snapshot)> {
        let (ledger, waits_for) = (Ledger::within(&context.ledger), WaitsFor::noted());
        ledger.changes(true);
        context.turn.iter().for_each(Turn::begin);
        let call = Call {
            rest: change.rest.into(),
            idempotency: change.idempotency,
            priority: change.priority,
            deadline: context.deadline,
            wanted_by: context.deadline,
            share: context.caller.share().clone(),
            credential: context.credential.clone(),
            parse: change.parse,
            peek: None,
            waits_for: waits_for.clone(),
            ledger: ledger.clone(),
            trace: context.trace.clone(),
        };
        let (sent, over) = (self.reads.upstream.clone().oneshot(call), context.drain.over().clone());
        let turn = context.turn.clone();
        let record = Record { trail: context.trail.clone(), targets: change.targets, ledger: ledger.clone() };
        let mut task = tokio::spawn(async move {
            let sent = tokio::select! {
                biased;
                sent = sent => sent,
                // The process ends, and the change would leave no line.
                () = over.cancelled() => Err(record.ledger.cut_short()),
            };
            let sent = sent.map_err(|error| of_write(error, &record.ledger));
            let outcome = match sent.inspect_err(|error| record.failed(error)) {
                Ok(answer) => {
                    let learnt = (change.learnt)(&*answer.parsed);
                    record.done(&learnt, &answer);
                    for tag in learnt {
                        guard.add_tag(tag);
                    }
                    // Nobody awaits this change any more: its own ledger is closed. A closed one around it does not say so.
                    if let Some(late) = change.late.filter(|_| record.ledger.is_closed_itself()) {
                        late(&answer);
                    }
                    Ok((answer, guard.finish()))
                }
                // The guard is dropped unfinished: a read may show the record before or after the change, so the tags stay
                // unsettled for a while.
                Err(error @ Error::OutcomeUnknown(_)) => Err(error),
                Err(error) => {
                    guard.finish();
                    Err(error)
                }
            };
            // Zendesk may still carry the write out, so the next call's turn comes only after that.
            let open = matches!(outcome, Err(Error::OutcomeUnknown(_))) || record.ledger.has_lost_one();
            if turn.is_some() && open {
                tokio::spawn(async move {
                    tokio::time::sleep(UNKNOWN_SETTLES_AFTER).await;
                    drop(turn);
                });
            }
            outcome
        });
        let leaving = Leaving { ledger: ledger.as_ref(), task: task.abort_handle() };
        // In time for the caller to learn that the outcome is unknown. What was not sent may be refused at this very moment, with a
        // reason that says more.
        let (soon, latest) = (last_moment(context.deadline), latest(context.deadline));
        let mut ended = timeout_at(soon, &mut task).await;
        if ended.is_err() && !ledger.may_have_acted() {
            ended = timeout_at(latest, &mut task).await;
        }
        let outcome = match ended {
            Ok(Ok(outcome)) => outcome,
            // The task panicked; what it had sent may have been carried out.
            Ok(Err(_)) => Err(ledger.too_late()),
            Err(_) => {
                let sent = !ledger.close() && ledger.may_have_acted();
                // Of a write that was not sent, what it waited for says more than that its time is over.
                Err(if sent { Error::Deadline { sent } } else { waits_for.get() })
            }
        };
        drop(leaving);
        outcome.map_err(|error| told(error, &ledger))
    }
}

/// A call of several changes, until it is dropped.
pub(super) struct Open(Option<WriteGuard>);

impl Drop for Open {
    fn drop(&mut self) {
        // What of it goes on has a guard of its own.
        drop(self.0.take().map(WriteGuard::finish));
    }
}

/// What the audit log says about one change once its outcome is known.
struct Record {
    trail: Option<Arc<Trail>>,
    targets: Targets,
    ledger: Arc<Ledger>,
}

impl Record {
    fn done(&self, learnt: &[Tag], answer: &Answer) {
        let Some(trail) = &self.trail else { return };
        let mut targets = self.targets.clone();
        targets.add_all(learnt);
        let job = answer.parsed.downcast_ref::<GetJobResponse>().and_then(|reply| reply.job_status.as_ref());
        trail.change(&targets, job.map(|job| job.id.as_str()), &self.ledger, None);
    }

    fn failed(&self, error: &Error) {
        if let Some(trail) = &self.trail {
            trail.change(&self.targets, None, &self.ledger, Some(error));
        }
    }
}

/// When dropped, ends the task if nothing was sent yet; a request that was sent runs to its end.
struct Leaving<'a> {
    ledger: &'a Ledger,
    task: AbortHandle,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.ledger.close() {
            self.task.abort();
        }
    }
}
