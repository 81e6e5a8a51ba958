//! The writes of <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/>

use serde_json::{Value, json};

use super::{id, ids, is_it, is_of};
use crate::cache::{Tag, tag};
use crate::error::{Checks, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{
    CreateUserIdentityRequest, DeleteUserIdentityRequest, GetUserIdentityResponse, IdentityType,
    MakeUserIdentityPrimaryRequest, MakeUserIdentityPrimaryResponse, RequestUserIdentityVerificationRequest,
    UpdateUserIdentityRequest, UserIdentity, VerifyUserIdentityRequest,
};
use crate::rest::input::{self, envelope};
use crate::rest::{Changes, Whole, Write, nothing, nothing_but, optional_id, whole_list};
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

/// What a write to an identity changes: the user has the primary address and number, and is verified if an identity is. Who has a
/// verified address joins the organization that has its domain.
fn of_user(user: i64) -> Changes {
    Changes::to([tag::user(user), tag::users(), tag::every_organization_membership()])
}

/// What a write to one identity changes and is about.
macro_rules! changes_it {
    () => {
        fn changes(&self) -> Changes {
            of_user(self.user_id)
        }

        fn about(&self) -> Vec<Tag> {
            vec![tag::identity(self.id)]
        }
    };
}

/// False if an identity of this type has another value than the one that was sent.
fn may_be(row: &UserIdentity, kind: i32, sent: &str) -> bool {
    let is_same = |value: &String| value.trim().to_lowercase() == sent.trim().to_lowercase();
    // Zendesk may write a number or an account in its own way.
    kind != i32::from(IdentityType::Email) || row.value.as_ref().is_none_or(is_same)
}

/// Create Identity. <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#create-identity>
impl Write for CreateUserIdentityRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let user = checks.take(id("user_id", self.user_id));
        let input = checks.take(self.identity.as_ref().ok_or_else(|| input::absent("identity", None)));
        let body = input.and_then(|input| {
            input::check_identity(input, "identity", &mut checks);
            crate::json::body(input, None, "identity", &mut checks)
        });
        let brand = checks.take(optional_id("brand_id", self.brand_id)).flatten();
        let (user, mut body) = checks.end(user.zip(body))?;
        if self.skip_verify_email {
            body.insert("skip_verify_email".to_owned(), true.into());
        }
        let rest = Rest::post(path!["users", user, "identities"]).query_if("brand_id", brand);
        Ok(rest.json(&envelope("identity", body)))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let both = self.identity.as_ref().zip(reply.identity.as_ref());
        both.is_some_and(|(input, row)| {
            let is_of_kind = row.r#type.is_none_or(|kind| kind == 0 || kind == input.r#type);
            row.id > 0 && is_of_kind && may_be(row, input.r#type, &input.value) && is_of(row, self.user_id)
        })
    }

    fn changes(&self) -> Changes {
        of_user(self.user_id)
    }

    fn learnt(reply: &Self::Reply) -> Vec<Tag> {
        reply.identity.iter().map(|identity| tag::identity(identity.id)).collect()
    }

    fn whole(&self) -> Option<Whole> {
        let is_primary = self.identity.as_ref().is_some_and(|input| input.primary == Some(true));
        is_primary.then_some(Whole::AddressesOfUser(self.user_id))
    }
}

/// Update Identity. <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#update-identity>
impl Write for UpdateUserIdentityRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let ids = checks.take(ids(self.user_id, self.id));
        let body = checks.take(input::identity(self.identity.as_ref(), self.update_mask.as_ref()));
        let ((user, identity), body) = checks.end(ids.zip(body))?;
        Ok(Rest::put(path!["users", user, "identities", identity]).json(&envelope("identity", body)))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let Ok(sent) = input::identity(self.identity.as_ref(), self.update_mask.as_ref()) else { return false };
        let has_what_was_sent = |row: &UserIdentity| {
            let kind = row.r#type.unwrap_or_default();
            let is_verified = sent.get("verified").and_then(Value::as_bool);
            sent.get("value").and_then(Value::as_str).is_none_or(|value| may_be(row, kind, value))
                && is_verified.is_none_or(|sent| row.verified.is_none_or(|verified| verified == sent))
        };
        is_it(reply.identity.as_ref(), self.user_id, self.id) && reply.identity.as_ref().is_some_and(has_what_was_sent)
    }

    changes_it!();
}

/// Make Identity Primary. Zendesk answers all identities of the user; if the answer may be a part of them, the reply is empty.
/// <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#make-identity-primary>
impl Write for MakeUserIdentityPrimaryRequest {
    fn rest(&self) -> Result<Rest> {
        let (user, identity) = ids(self.user_id, self.id)?;
        Ok(Rest::put(path!["users", user, "identities", identity, "make_primary"]).json(&json!({})))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_primary = |row: &UserIdentity| (row.id == self.id).then_some(row.primary == Some(true));
        let identities = whole_list(body, self.user_id, is_primary)?.unwrap_or_default();
        Ok(Box::new(MakeUserIdentityPrimaryResponse { identities }))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.identities.iter().any(|row| row.id == self.id)
    }

    changes_it!();

    fn whole(&self) -> Option<Whole> {
        Some(Whole::AddressesOfUser(self.user_id))
    }
}

/// Verify Identity. An answer that does not say that it is verified is none.
/// <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#verify-identity>
impl Write for VerifyUserIdentityRequest {
    fn rest(&self) -> Result<Rest> {
        let (user, identity) = ids(self.user_id, self.id)?;
        Ok(Rest::put(path!["users", user, "identities", identity, "verify"]).json(&json!({})))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let identity = reply.identity.as_ref();
        is_it(identity, self.user_id, self.id) && identity.is_some_and(|row| row.verified == Some(true))
    }

    changes_it!();
}

/// Request User Verification. Answers an empty text.
/// <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#request-user-verification>
impl Write for RequestUserIdentityVerificationRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let ids = checks.take(ids(self.user_id, self.id));
        let brand = checks.take(optional_id("brand_id", self.brand_id)).flatten();
        let (user, identity) = checks.end(ids)?;
        let rest = Rest::put(path!["users", user, "identities", identity, "request_verification"]);
        Ok(rest.query_if("brand_id", brand).json(&json!({})))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        nothing::<Self>(body)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    fn changes(&self) -> Changes {
        Changes::default()
    }

    fn about(&self) -> Vec<Tag> {
        vec![tag::user(self.user_id), tag::identity(self.id)]
    }
}

/// Delete Identity. <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#delete-identity>
impl Write for DeleteUserIdentityRequest {
    fn rest(&self) -> Result<Rest> {
        let (user, identity) = ids(self.user_id, self.id)?;
        Ok(Rest::delete(path!["users", user, "identities", identity]))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_it = |reply: &GetUserIdentityResponse| is_it(reply.identity.as_ref(), self.user_id, self.id);
        nothing_but::<Self, _>(body, "identity", is_it)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    changes_it!();
}
