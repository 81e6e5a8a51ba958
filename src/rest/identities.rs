//! <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/>

use super::{Read, Style, id, known_word, list, names};
use crate::cache::{Policy, tag};
use crate::error::{Checks, Result};
use crate::path;
use crate::proto::{
    GetUserIdentityRequest, IdentityType, ListUserIdentitiesRequest, StreamUserIdentitiesRequest, UserIdentity,
};
use crate::upstream::rest::{Rest, Segment};

mod writes;

// List Identities. Every write to the user may change them, too, so the user's tag is theirs.
// <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#list-identities>
list!(ListUserIdentitiesRequest | StreamUserIdentitiesRequest => UserIdentity, Style::Cursor, |this| {
    let types = this.filter.as_ref().map(|filter| filter.types.as_slice()).unwrap_or_default();
    of_types(this.user_id, types)
}, Policy::list(tag::identities()).and(tag::user(this.user_id)));

/// List Identities, of these types if there are any.
fn of_types(user: i64, types: &[i32]) -> Result<Rest> {
    let mut checks = Checks::default();
    let rest = checks.take(id("user_id", user)).map(|user| Rest::get(path!["users", user, "identities"]));
    let mut words = Vec::with_capacity(types.len());
    for (index, number) in types.iter().enumerate() {
        let word = checks.take(known_word::<IdentityType>(&format!("filter.types[{index}]"), *number));
        words.extend(word.filter(|word| !words.contains(word)));
    }
    checks.end(rest.map(|rest| words.iter().fold(rest, |rest, word| rest.query("type[]", word))))
}

/// List Identities, only e-mail addresses.
/// <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#list-identities>
pub fn addresses(user: i64) -> Result<Rest> {
    of_types(user, &[IdentityType::Email.into()])
}

/// List Identities.
/// <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#list-identities>
pub fn all(user: i64) -> Result<Rest> {
    of_types(user, &[])
}

/// Show Identity. <https://developer.zendesk.com/api-reference/ticketing/users/user_identities/#show-identity>
impl Read for GetUserIdentityRequest {
    fn rest(&self) -> Result<Rest> {
        let (user, identity) = ids(self.user_id, self.id)?;
        Ok(Rest::get(path!["users", user, "identities", identity]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        is_it(reply.identity.as_ref(), self.user_id, self.id)
    }

    fn cache(&self) -> Policy {
        Policy::record(tag::identity(self.id)).and(tag::user(self.user_id))
    }
}

/// Checks the ids of a user and of an identity.
fn ids(user: i64, identity: i64) -> Result<(Segment, Segment)> {
    let mut checks = Checks::default();
    let (user, identity) = (checks.take(id("user_id", user)), checks.take(id("id", identity)));
    checks.end(user.zip(identity))
}

/// True if this is the identity with this id, and names no other user.
fn is_it(identity: Option<&UserIdentity>, user: i64, id: i64) -> bool {
    identity.is_some_and(|row| row.id == id && row.user_id.is_none_or(|whose| whose == user))
}

/// True if this is an identity of this user, or one whose user cannot be read.
fn is_of(row: &UserIdentity, user: i64) -> bool {
    names(user, row.user_id, "user_id", &row.unreadable_fields)
}
