//! Writes a difference: with single requests if it is small, else with bulk jobs.

use tokio::time::Instant;

use super::difference::Difference;
use super::list::{self, Side};
use crate::deadline::last_moment;
use crate::error::{Error, Result, reason_name};
use crate::gateway::bulk::result_of;
use crate::gateway::write::Open;
use crate::gateway::{Context, Gateway};
use crate::proto::{
    BulkResult, CreateMembershipRequest, DeleteMembershipRequest, ErrorReason, GroupMembership, GroupMembershipInput,
    MembershipFailure, SetDefaultMembershipRequest,
};
use crate::rest::Write;
use crate::rest::bulk::{Chunk, Kind, Outcome};
use crate::rest::memberships::bulk as many;

/// Most memberships that are written with single requests: a job costs its own request and at least one poll.
const FEW: usize = 2;

/// The writes of one call.
pub struct Writing<'a> {
    gateway: &'a Gateway,
    context: &'a Context,
    side: Side,
    /// True once the call has changed something. From then on, failures are listed in the reply and do not fail the call.
    written: bool,
    failed: Vec<Failed>,
    _open: Open,
    /// When the call must be answered. No step begins later, although each has most of the time that is left then.
    until: Instant,
}

/// A step that failed, and what it was meant to bring about.
struct Failed {
    wanted: Wanted,
    failure: MembershipFailure,
}

/// What a step is meant to bring about for an id on the other side.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    There(i64),
    Gone(i64),
    Default(i64),
}

impl Wanted {
    fn id(self) -> i64 {
        match self {
            Self::There(id) | Self::Gone(id) | Self::Default(id) => id,
        }
    }

    /// True if the memberships are as this step wants them.
    fn holds(self, rows: &[GroupMembership], side: Side) -> bool {
        let there = |id| rows.iter().any(|row| side.other(row) == Some(id));
        match self {
            Self::There(id) => there(id),
            Self::Gone(id) => !there(id),
            Self::Default(id) => list::is_default(rows, id),
        }
    }
}

impl<'a> Writing<'a> {
    /// Begins the writes of a call.
    pub fn of(gateway: &'a Gateway, context: &'a Context, side: Side) -> Self {
        let (open, until) = (gateway.whole(), last_moment(context.deadline));
        Self { gateway, context, side, written: false, failed: Vec::new(), _open: open, until }
    }

    /// Notes that the call has changed something by other means.
    pub fn has_written(&mut self) {
        self.written = true;
    }

    /// Carries out one step, if there is time to tell its outcome.
    async fn carry<W: Write>(&self, request: &W) -> Result<W::Reply> {
        if Instant::now() >= self.until {
            return Err(Error::Deadline { sent: false });
        }
        self.gateway.carry(self.context, request).await
    }

    /// Creates the memberships that the difference adds.
    pub async fn add(&mut self, difference: &Difference) -> Result<()> {
        if difference.adds.len() > FEW {
            let inputs: Vec<GroupMembershipInput> = difference.adds.iter().map(|(_, input)| *input).collect();
            let wanted = difference.adds.iter().map(|(id, _)| Wanted::There(*id)).collect();
            return self.jobs(many::create(&inputs), Kind::Create, wanted).await;
        }
        for (id, input) in &difference.adds {
            let request = CreateMembershipRequest { group_membership: Some(*input), under_user: false };
            let wanted = Wanted::There(*id);
            let outcome = self.carry(&request).await;
            let is_told = |row: &GroupMembership| row.user_id.is_some() && row.group_id.is_some();
            let is_proven = outcome.as_ref().is_ok_and(|reply| reply.group_membership.as_ref().is_some_and(is_told));
            let is_doubted = outcome.is_ok() && !is_proven;
            self.note(wanted, outcome.map(drop)).await?;
            self.failed.extend(is_doubted.then(|| doubted(wanted)));
        }
        Ok(())
    }

    /// Deletes the memberships that the difference removes, and returns what failed. After an earlier failure nothing is
    /// removed: otherwise a group whose new agents could not be added might be left without any.
    pub async fn remove_unless_failed(&mut self, difference: &Difference) -> Result<Vec<MembershipFailure>> {
        let mut failures = self.failures().await;
        if failures.is_empty() {
            self.remove(difference).await?;
            failures = self.failures().await;
        } else {
            failures.extend(difference.removes().map(skipped));
        }
        Ok(failures)
    }

    /// Deletes the memberships that the difference removes.
    async fn remove(&mut self, difference: &Difference) -> Result<()> {
        if difference.removes.len() > FEW {
            let ids: Vec<i64> = difference.removes.iter().map(|(_, membership)| *membership).collect();
            let wanted = difference.removes().map(Wanted::Gone).collect();
            return self.jobs(many::destroy(&ids), Kind::Delete, wanted).await;
        }
        for (id, membership) in &difference.removes {
            let request = DeleteMembershipRequest { id: *membership, user_id: None };
            let outcome = match self.carry(&request).await {
                // The membership is gone, as wanted.
                Err(Error::NotFound(_)) => Ok(()),
                other => other.map(drop),
            };
            self.note(Wanted::Gone(*id), outcome).await?;
        }
        Ok(())
    }

    /// Makes a group the user's default; `before` are the memberships from before this call wrote anything.
    pub async fn make_default(&mut self, user_id: i64, group: i64, before: Vec<GroupMembership>) -> Result<()> {
        // `before` is out of date once this call has written, and when another client has added the membership meanwhile.
        let known = !self.written && before.iter().any(|row| row.group_id == Some(group));
        let wanted = Wanted::Default(group);
        let rows = if known { Ok(before) } else { self.gateway.memberships(self.context, self.side).await };
        let rows = match rows {
            Ok(rows) => rows,
            // This step was not begun, whatever the error says of the look.
            Err(error) if self.written => {
                let failure = MembershipFailure { result: BulkResult::NotSent.into(), ..failure(group, &error) };
                self.failed.push(Failed { wanted, failure });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Some(row) = rows.iter().find(|row| row.group_id == Some(group)) else {
            self.failed.push(Failed { wanted, failure: skipped(group) });
            return Ok(());
        };
        let request = SetDefaultMembershipRequest { id: row.id, user_id };
        let outcome = self.carry(&request).await;
        // Zendesk may answer a part of the memberships, without this one.
        let is_doubted = outcome.as_ref().is_ok_and(|reply| reply.group_memberships.is_empty());
        self.note(wanted, outcome.map(drop)).await?;
        self.failed.extend(is_doubted.then(|| doubted(wanted)));
        Ok(())
    }

    /// Returns the failures so far, without those whose goal is met all the same: another client may have made the same change.
    pub async fn failures(&mut self) -> Vec<MembershipFailure> {
        if !self.failed.is_empty()
            && let Ok(rows) = self.look_again().await
        {
            self.failed.retain(|failed| !failed.wanted.holds(&rows, self.side));
        }
        std::mem::take(&mut self.failed).into_iter().map(|failed| failed.failure).collect()
    }

    /// Reads the memberships after the writes. It leaves time to tell the caller what was written.
    pub async fn look_again(&self) -> Result<Vec<GroupMembership>> {
        let deadline = self.until;
        if Instant::now() >= deadline {
            return Err(Error::Deadline { sent: false });
        }
        self.gateway.memberships(&Context { deadline, ..self.context.clone() }, self.side).await
    }

    /// Notes how one step went. While the call has changed nothing, a failure fails the call, unless Zendesk refused the step
    /// and the memberships are as wanted already.
    async fn note(&mut self, wanted: Wanted, outcome: Result<()>) -> Result<()> {
        let Err(error) = outcome else {
            self.written = true;
            return Ok(());
        };
        if self.written {
            self.failed.push(Failed { wanted, failure: failure(wanted.id(), &error) });
            return Ok(());
        }
        let refused =
            matches!(error, Error::RecordInvalid(_) | Error::Duplicate(_) | Error::NotFound(_) | Error::Conflict(_));
        if refused && wanted.holds(&self.gateway.memberships(self.context, self.side).await?, self.side) {
            return Ok(());
        }
        Err(error)
    }

    async fn jobs(&mut self, chunks: Vec<Chunk>, kind: Kind, wanted: Vec<Wanted>) -> Result<()> {
        let run = self.gateway.run_bulk(self.context, chunks, &many::everything(), kind, true).await;
        let Outcome { outcomes, .. } = match run {
            Ok(outcome) => outcome,
            Err(error) if self.written => {
                let failed = |wanted: Wanted| Failed { wanted, failure: failure(wanted.id(), &error) };
                self.failed.extend(wanted.into_iter().map(failed));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.written = true;
        debug_assert_eq!(outcomes.len(), wanted.len(), "each input has an outcome");
        for (outcome, wanted) in outcomes.into_iter().zip(wanted) {
            let went_well = matches!(outcome.result(), BulkResult::Created | BulkResult::Updated | BulkResult::Deleted);
            if !went_well {
                let (id, result, job_id) = (wanted.id(), outcome.result, outcome.job_id);
                let failure = MembershipFailure { id, result, error: outcome.error, details: outcome.details, job_id };
                self.failed.push(Failed { wanted, failure });
            }
        }
        Ok(())
    }
}

fn failure(id: i64, error: &Error) -> MembershipFailure {
    let (result, code, details) = result_of(error);
    MembershipFailure { id, result: result.into(), error: Some(code), details: Some(details), job_id: None }
}

/// Returns the failure of a step whose answer does not prove it, until a look at the memberships does.
fn doubted(wanted: Wanted) -> Failed {
    let details = Some("Zendesk's answer does not show whether it was done".to_owned());
    let (result, error) = (BulkResult::Unknown.into(), Some(reason_name(ErrorReason::UpstreamMalformed).to_owned()));
    Failed { wanted, failure: MembershipFailure { id: wanted.id(), result, error, details, job_id: None } }
}

/// Returns the failure of a step that was left out because one before it failed.
fn skipped(id: i64) -> MembershipFailure {
    let details = Some("left out, because a step before it failed".to_owned());
    let (result, error) = (BulkResult::NotSent.into(), Some("CONFLICT".to_owned()));
    MembershipFailure { id, result, error, details, job_id: None }
}
