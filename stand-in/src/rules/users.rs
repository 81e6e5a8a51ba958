//! Creating, changing, merging, deleting and forgetting users.

mod change;

pub use change::{is_address, tags_of};

use serde_json::{Map, Value};

use super::Refusal;
use super::attributes::{Warnings, as_integer};
use super::memberships;
use crate::clock::Time;
use crate::store::identity::Identity;
use crate::store::tables::Tables;
use crate::store::user::{Life, Role, User};

/// A user that was saved.
#[derive(Debug)]
pub struct Saved {
    pub id: i64,
    pub created: bool,
    pub warnings: Warnings,
}

/// Creates a user; a name is all it takes.
pub fn create(tables: &mut Tables, given: Map<String, Value>, now: Time) -> Result<Saved, Refusal> {
    let id = tables.fresh_id();
    let warnings = change::save(tables, User::end_user(id, "", now), given, true)?;
    Ok(Saved { id, created: true, warnings })
}

/// Checks a user as [`create`] does, and creates none.
pub fn check(tables: &Tables, given: Map<String, Value>, now: Time) -> Result<Warnings, Refusal> {
    change::check(tables, User::end_user(0, "", now), given)
}

/// What [`update`] would leave out of a change.
pub fn left_out(tables: &Tables, given: Map<String, Value>) -> Warnings {
    change::left_out(tables, given)
}

/// Changes a user that is not deleted.
pub fn update(tables: &mut Tables, id: i64, given: Map<String, Value>, now: Time) -> Result<Saved, Refusal> {
    let mut user = tables.active_user(id).ok_or(Refusal::NotFound)?.clone();
    if user.shared {
        return Err(Refusal::Forbidden);
    }
    user.updated_at = now;
    user.verbatim = None;
    let warnings = change::save(tables, user, given, false)?;
    Ok(Saved { id, created: false, warnings })
}

/// Changes the user that has the id, the external id or the e-mail address
/// given, or creates one. That they are looked for in this order is an
/// assumption, and so is that nobody is created for an id that no user has.
pub fn create_or_update(tables: &mut Tables, given: Map<String, Value>, now: Time) -> Result<Saved, Refusal> {
    if let Some(id) = given.get("id").filter(|id| !id.is_null()) {
        return update(tables, as_integer(id).ok_or(Refusal::NotFound)?, given, now);
    }
    match find(tables, &given) {
        Some(id) => update(tables, id, given, now),
        None => create(tables, given, now),
    }
}

/// The user that attributes identify.
pub fn find(tables: &Tables, given: &Map<String, Value>) -> Option<i64> {
    let text = |key: &str| given.get(key).and_then(Value::as_str);
    let by_external_id = text("external_id").and_then(|id| tables.external_id_owner(id));
    by_external_id.or_else(|| tables.email_owner(text("email")?))
}

/// Deletes a user: inactive and without address from now on, out of groups,
/// its addresses free for others.
pub fn delete(tables: &mut Tables, id: i64, now: Time) -> Result<(), Refusal> {
    let mut user = tables.active_user(id).ok_or(Refusal::NotFound)?.clone();
    let open = tables.open_tickets(id);
    if open > 0 {
        let description = format!("User is requester on {open} ticket(s) that are not closed.");
        return Err(Refusal::invalid("base", "InvalidValue", description));
    }
    memberships::leave_all(tables, id);
    tables.take_identities(id);
    user.life = Life::Deleted;
    user.email = None;
    user.otherwise_verified = false;
    user.default_group_id = None;
    user.updated_at = now;
    user.verbatim = None;
    tables.put_user(user);
    Ok(())
}

/// Erases a deleted user's data for good; an empty record stays. A second request
/// for the same user is refused.
pub fn erase(tables: &mut Tables, id: i64, now: Time) -> Result<(), Refusal> {
    let user = tables.user(id).ok_or(Refusal::NotFound)?;
    match user.life {
        Life::Active => return Err(Refusal::NotFound),
        Life::Erased => {
            let description = "User Only one deletion request needed per user";
            return Err(Refusal::invalid("user_id", "DuplicateValue", description));
        }
        Life::Deleted => {}
    }
    let mut erased = User::end_user(id, "Permanently Deleted User", user.created_at);
    erased.become_role(user.role, user.custom_role_id);
    erased.life = Life::Erased;
    erased.updated_at = now;
    tables.put_user(erased);
    Ok(())
}

/// Moves what identifies one end user to another, and deletes the first. What
/// else is carried over is an assumption: tags are.
pub fn merge(tables: &mut Tables, from: i64, into: i64, now: Time) -> Result<(), Refusal> {
    let source = tables.active_user(from).ok_or(Refusal::NotFound)?.clone();
    let target = tables.active_user(into).ok_or(Refusal::NotFound)?.clone();
    let mergeable = |user: &User| user.role == Role::EndUser && !user.shared;
    if from == into || !mergeable(&source) || !mergeable(&target) {
        return Err(Refusal::invalid("base", "InvalidValue", "Only two different end users can be merged"));
    }
    let moved = tables.identities(from).to_vec();
    delete(tables, from, now)?;
    let mut target = target;
    let mut tags: Vec<&str> = target.tags.split(' ').chain(source.tags.split(' ')).collect();
    tags.retain(|tag| !tag.is_empty());
    tags.sort_unstable();
    tags.dedup();
    target.tags = tags.join(" ").into();
    target.updated_at = now;
    target.verbatim = None;
    let address = source.email.map(|address| Identity::email(&address, source.verified));
    for identity in address.into_iter().chain(moved) {
        if identity.is_email() && target.email.is_none() {
            target.email = Some(identity.value);
            target.verified |= identity.verified;
        } else {
            target.otherwise_verified |= identity.verified;
            tables.add_identity(into, identity, now);
        }
    }
    tables.put_user(target);
    Ok(())
}
