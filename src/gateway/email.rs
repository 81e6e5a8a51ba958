//! A user's primary e-mail address, set as a whole.
//!
//! Zendesk's own update adds an address beside the primary one, so that changing an address takes a list and up to four writes. The
//! gateway compares the present addresses with the wanted one and takes the steps that are missing, the removal last, so that the
//! user is never without an address. It keeps no state between calls.

use tokio::time::Instant;

use super::bulk::result_of;
use super::{Context, Gateway};
use crate::codec::Encoded;
use crate::deadline::last_moment;
use crate::error::{Checks, Error, Result};
use crate::proto::{
    BulkResult, ChangeUserEmailRequest, ChangeUserEmailResponse, CreateUserIdentityRequest, DeleteUserIdentityRequest,
    EmailFailure, EmailPlan, EmailStep, IdentityType, MakeUserIdentityPrimaryRequest, MakeUserIdentityPrimaryResponse,
    OldEmail, UserIdentity, UserIdentityInput, VerificationMethod, VerifyUserIdentityRequest,
};
use crate::rest::{Whole, identities};
use crate::upstream::rest::id;

impl Gateway {
    /// Makes an address the primary one of a user.
    pub async fn change_user_email(
        &self,
        context: &Context,
        request: ChangeUserEmailRequest,
    ) -> Result<Encoded<ChangeUserEmailResponse>> {
        check(&request)?;
        let in_turn = if request.validate_only {
            context.clone()
        } else {
            self.in_turn(context, Whole::AddressesOfUser(request.user_id)).await?
        };
        let rows = self.addresses(&in_turn, request.user_id).await?;
        let mut change = Change { gateway: self, context: &in_turn, rows, wanted: None, old: None, request };
        let plan = change.plan();
        let mut failures = Vec::new();
        if !change.request.validate_only {
            failures = change.carry_out(&plan).await?;
        }
        Ok(Encoded::new(&ChangeUserEmailResponse { identities: change.rows, plan: Some(plan), failures }))
    }

    /// Make Identity Primary, in turn with other calls that change the user's primary address.
    pub async fn make_user_identity_primary(
        &self,
        context: &Context,
        request: MakeUserIdentityPrimaryRequest,
    ) -> Result<Encoded<MakeUserIdentityPrimaryResponse>> {
        let all = || identities::all(request.user_id);
        self.carry_with_all(context, &request, all, |reply| &mut reply.identities).await
    }

    /// Reads all e-mail addresses of a user, past the cache.
    async fn addresses(&self, context: &Context, user: i64) -> Result<Vec<UserIdentity>> {
        let mut rows = self.all(context, identities::addresses(user)?, is_clear).await?;
        rows.retain(is_address);
        if rows.iter().filter(|row| row.primary == Some(true)).count() > 1 {
            return Err(Error::Incomplete {
                what: "the user's identities: two e-mail addresses are primary".to_owned(),
            });
        }
        Ok(rows)
    }
}

/// Checks what can be checked before anything is sent.
fn check(request: &ChangeUserEmailRequest) -> Result<()> {
    let mut checks = Checks::default();
    checks.take(id("user_id", request.user_id));
    let email = request.email.trim();
    let has_both = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !has_both || email.contains(|char: char| char.is_whitespace() || char.is_control()) {
        checks.refuse("email", "must be an e-mail address");
    }
    if OldEmail::try_from(request.old).is_err() {
        let problem = format!("is {}, and must be one of OLD_EMAIL_KEEP and OLD_EMAIL_REMOVE", request.old);
        checks.refuse("old", &problem);
    }
    match &request.old_email {
        Some(_) if request.old() != OldEmail::Remove => {
            checks.refuse("old_email", "goes with OLD_EMAIL_REMOVE only");
        }
        Some(old) if old.trim().is_empty() => checks.refuse("old_email", "must not be empty"),
        Some(old) if is_same(old, email) => checks.refuse("old_email", "must differ from email"),
        _ => {}
    }
    checks.end(Some(()))
}

/// True if everything that is acted on is told and could be read.
fn is_clear(row: &UserIdentity) -> bool {
    let acted_on = |field: &String| {
        ["user_id", "type", "value", "primary", "verified", "verification_method"].contains(&field.as_str())
    };
    let is_told = row.r#type.is_some() && row.value.is_some() && row.primary.is_some();
    is_told && !row.unreadable_fields.iter().any(acted_on)
}

/// True if two addresses are one to Zendesk.
fn is_same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// Zendesk calls the method the more accurate one, and the flag deprecated: one day it may be missing.
fn is_verified(row: &UserIdentity) -> bool {
    let by_method = || row.verification_method.is_some_and(|method| method > i32::from(VerificationMethod::None));
    row.verified.unwrap_or_else(by_method)
}

fn is_address(row: &UserIdentity) -> bool {
    row.r#type == Some(IdentityType::Email.into())
}

/// The change of one user's address.
struct Change<'a> {
    gateway: &'a Gateway,
    context: &'a Context,
    request: ChangeUserEmailRequest,
    /// The user's addresses as Zendesk last answered them.
    rows: Vec<UserIdentity>,
    /// The identity with the wanted address, once the user has it.
    wanted: Option<i64>,
    /// The identity to remove, and its address.
    old: Option<(i64, String)>,
}

impl Change<'_> {
    /// Returns the user's identity with this address.
    fn with(&self, address: &str) -> Option<&UserIdentity> {
        self.rows.iter().find(|row| row.value.as_ref().is_some_and(|value| is_same(value, address)))
    }

    /// Notes which identities have the wanted and the old address, and returns the steps that are missing.
    fn plan(&mut self) -> EmailPlan {
        self.wanted = self.with(&self.request.email).map(|row| row.id);
        let old = match &self.request.old_email {
            Some(address) => self.with(address),
            None => self.rows.iter().find(|row| row.primary == Some(true)),
        };
        let removed = old.filter(|row| self.request.old() == OldEmail::Remove && Some(row.id) != self.wanted);
        self.old = removed.map(|row| (row.id, row.value.clone().unwrap_or_default()));
        let all = [EmailStep::Add, EmailStep::Verify, EmailStep::MakePrimary, EmailStep::RemoveOld];
        let steps = all.into_iter().filter(|step| !self.is_done(*step)).map(Into::into).collect();
        EmailPlan { steps, identity_id: self.wanted, old_identity_id: self.old.as_ref().map(|(id, _)| *id) }
    }

    /// Returns the identity with this id, unless it has another address now.
    fn still(&self, id: i64, address: &str) -> Option<&UserIdentity> {
        let is_it =
            |row: &&UserIdentity| row.id == id && row.value.as_ref().is_none_or(|value| is_same(value, address));
        self.rows.iter().find(is_it)
    }

    /// True if the addresses are as a step wants them.
    fn is_done(&self, step: EmailStep) -> bool {
        let wanted = self.wanted.and_then(|wanted| self.still(wanted, &self.request.email));
        match step {
            EmailStep::Add => wanted.is_some(),
            EmailStep::Verify => !self.request.verified || wanted.is_some_and(is_verified),
            EmailStep::MakePrimary => wanted.is_some_and(|row| row.primary == Some(true)),
            EmailStep::RemoveOld => self.old.as_ref().is_none_or(|(id, address)| self.still(*id, address).is_none()),
            EmailStep::Unspecified => true,
        }
    }

    /// Takes the steps. A failure before anything was written fails the call; one after that ends the steps and is told.
    async fn carry_out(&mut self, plan: &EmailPlan) -> Result<Vec<EmailFailure>> {
        let _open = self.gateway.whole();
        let mut failures: Vec<EmailFailure> = Vec::new();
        let (mut written, until) = (false, last_moment(self.context.deadline));
        for step in plan.steps() {
            let unclear = if written && failures.is_empty() { self.look_if_unclear().await.err() } else { None };
            if !failures.is_empty() {
                failures.push(in_conflict(step, BulkResult::NotSent, "left out, because a step before it failed"));
            } else if let Some(error) = unclear {
                failures.push(failure_as(BulkResult::NotSent, step, &error));
            } else if written && !self.is_done(EmailStep::Add) {
                failures.push(in_conflict(
                    EmailStep::Add,
                    BulkResult::Unknown,
                    "zendesk took it, and does not list it",
                ));
                failures.push(in_conflict(step, BulkResult::NotSent, "left out, because a step before it failed"));
            } else if !self.is_done(step) {
                // A step that begins later has no time left in which its outcome could be told.
                let in_time = Instant::now() < until;
                let taken = if in_time { self.take(step).await } else { Err(Error::Deadline { sent: false }) };
                match taken {
                    Ok(wrote) => {
                        written |= wrote;
                        failures.extend(self.doubt(step).await);
                    }
                    Err(error) if written => failures.push(failure(step, &error)),
                    Err(error) => return Err(error),
                }
            }
        }
        if !failures.is_empty() {
            // It leaves time to tell the caller what was written.
            let context = Context { deadline: until, ..self.context.clone() };
            let looked = self.gateway.addresses(&context, self.request.user_id).await;
            let is_known = looked.is_ok();
            self.rows = looked.unwrap_or_default();
            self.wanted = self.with(&self.request.email).map(|row| row.id);
            // Another client may have made the same change, or the lost answer was that of a success.
            failures.retain(|failure| !is_known || !self.is_done(failure.step()));
        }
        Ok(failures)
    }

    /// Reads the addresses again if the last answer does not tell what is acted on.
    async fn look_if_unclear(&mut self) -> Result<()> {
        if !self.rows.iter().all(is_clear) {
            self.rows = self.gateway.addresses(self.context, self.request.user_id).await?;
        }
        Ok(())
    }

    /// Returns why a step that Zendesk took is not taken for done. Whatever is the matter, it was sent and not refused.
    async fn doubt(&mut self, step: EmailStep) -> Option<EmailFailure> {
        // The answer itself says that the address was added, however little it tells of what comes next.
        if step == EmailStep::Add && self.is_done(step) {
            return None;
        }
        if let Err(error) = self.look_if_unclear().await {
            return Some(failure_as(BulkResult::Unknown, step, &error));
        }
        // Zendesk may answer with another address under the identity's id, and two clients may change a user at once.
        let is_done = self.is_done(EmailStep::Add) && self.is_done(step);
        (!is_done)
            .then(|| in_conflict(step, BulkResult::Unknown, "the user's addresses are not as this step leaves them"))
    }

    /// Takes one step, and returns whether that changed anything.
    async fn take(&mut self, step: EmailStep) -> Result<bool> {
        let (gateway, context, user_id) = (self.gateway, self.context, self.request.user_id);
        let wanted = self.wanted.unwrap_or_default();
        match step {
            EmailStep::Add => return self.add().await,
            EmailStep::Verify => {
                let reply = gateway.carry(context, &VerifyUserIdentityRequest { user_id, id: wanted }).await?;
                let known = self.rows.iter_mut().find(|row| row.id == wanted);
                known.into_iter().zip(reply.identity).for_each(|(known, row)| *known = row);
            }
            EmailStep::MakePrimary => {
                let request = MakeUserIdentityPrimaryRequest { user_id, id: wanted };
                let identities = gateway.carry(context, &request).await?.identities;
                if identities.is_empty() {
                    // Zendesk answered only a part of them: nothing is known of which one is the primary one now.
                    self.rows.iter_mut().for_each(|row| row.primary = None);
                } else {
                    let known = std::mem::take(&mut self.rows);
                    self.rows = identities.into_iter().filter(is_address).collect();
                    // An answer without the old one does not say that it is gone.
                    let is_left_out = |row: &UserIdentity| {
                        self.old.as_ref().is_some_and(|(id, _)| row.id == *id)
                            && self.rows.iter().all(|other| other.id != row.id)
                    };
                    let left_out = known.into_iter().find(is_left_out);
                    self.rows.extend(left_out);
                }
            }
            EmailStep::RemoveOld => {
                let id = self.old.as_ref().map_or(0, |(id, _)| *id);
                let outcome = gateway.carry(context, &DeleteUserIdentityRequest { user_id, id }).await;
                // It is gone, as wanted.
                let is_gone = matches!(outcome, Err(Error::NotFound(_)));
                if !is_gone {
                    outcome?;
                }
                self.rows.retain(|row| row.id != id);
                return Ok(!is_gone);
            }
            EmailStep::Unspecified => return Ok(false),
        }
        Ok(true)
    }

    /// Adds the address, and returns whether it was not there.
    async fn add(&mut self) -> Result<bool> {
        let (user_id, verified) = (self.request.user_id, self.request.verified);
        let identity = UserIdentityInput {
            r#type: IdentityType::Email.into(),
            value: self.request.email.trim().to_owned(),
            verified: verified.then_some(true),
            ..UserIdentityInput::default()
        };
        let request = CreateUserIdentityRequest {
            user_id,
            identity: Some(identity),
            skip_verify_email: verified,
            brand_id: None,
        };
        match self.gateway.carry(self.context, &request).await {
            Ok(reply) => {
                self.wanted = reply.identity.as_ref().map(|row| row.id);
                self.rows.extend(reply.identity);
                Ok(true)
            }
            Err(error @ (Error::RecordInvalid(_) | Error::Duplicate(_) | Error::Conflict(_))) => {
                // Another client may have added it to this very user meanwhile.
                self.rows = self.gateway.addresses(self.context, user_id).await?;
                self.wanted = self.with(&self.request.email).map(|row| row.id);
                if self.wanted.is_some() { Ok(false) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }
}

fn failure(step: EmailStep, error: &Error) -> EmailFailure {
    let (result, error, details) = result_of(error);
    EmailFailure { step: step.into(), result: result.into(), error, details }
}

/// The same of a step that ends in this way, whatever the error was about.
fn failure_as(result: BulkResult, step: EmailStep, error: &Error) -> EmailFailure {
    EmailFailure { result: result.into(), ..failure(step, error) }
}

/// Returns the failure of a step that was left out, or did not do what it was for.
fn in_conflict(step: EmailStep, result: BulkResult, details: &str) -> EmailFailure {
    EmailFailure { step: step.into(), result: result.into(), error: "CONFLICT".to_owned(), details: details.to_owned() }
}
