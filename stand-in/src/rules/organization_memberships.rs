//! Putting users into organizations and taking them out.

use super::Refusal;
use crate::clock::Time;
use crate::store::tables::Tables;
use crate::store::user::Role;

/// Makes a user a member of an organization. The first membership is the default one.
pub fn create(
    tables: &mut Tables,
    caller: Option<i64>,
    user: i64,
    organization: i64,
    as_default: bool,
    now: Time,
) -> Result<i64, Refusal> {
    // The words for missing users and organizations are assumptions, as is the field that a repetition is told of.
    let held =
        tables.active_user(user).ok_or_else(|| Refusal::invalid("user", "BlankValue", "User: cannot be blank"))?;
    let is_first = held.organization_id.is_none();
    may_place(tables, caller, user)?;
    if tables.organization(organization).is_none() {
        return Err(Refusal::invalid("organization", "BlankValue", "Organization: cannot be blank"));
    }
    let id = tables.join_organization(user, organization, now);
    let taken = || Refusal::invalid("user_id", "DuplicateValue", "User has already been taken");
    let id = id.ok_or_else(taken)?;
    if is_first || as_default {
        make_default(tables, user, Some(organization), now);
    }
    Ok(id)
}

/// Makes an organization the user's default one.
pub fn make_default(tables: &mut Tables, user: i64, organization: Option<i64>, now: Time) {
    let Some(mut user) = tables.user(user).filter(|user| user.organization_id != organization).cloned() else { return };
    (user.organization_id, user.updated_at, user.verbatim) = (organization, now, None);
    tables.put_user(user);
}

/// Takes a user out of an organization. If it was the default, that of the
/// oldest other membership becomes it (an assumption).
pub fn delete(tables: &mut Tables, caller: Option<i64>, id: i64, now: Time) -> Result<(), Refusal> {
    let membership = tables.organization_membership(id).ok_or(Refusal::NotFound)?;
    may_place(tables, caller, membership.user_id)?;
    remove(tables, id, now);
    Ok(())
}

/// Ends all memberships in an organization.
pub fn leave(tables: &mut Tables, organization: i64, now: Time) {
    let ids: Vec<i64> = tables.memberships_in_organization(organization).map(|membership| membership.id).collect();
    for id in ids {
        remove(tables, id, now);
    }
}

/// Agents place end users only.
pub fn may_place(tables: &Tables, caller: Option<i64>, user: i64) -> Result<(), Refusal> {
    let role = |id: i64| tables.user(id).map(|user| user.role);
    let may = caller.and_then(role) == Some(Role::Admin) || role(user) == Some(Role::EndUser);
    if may { Ok(()) } else { Err(Refusal::Forbidden) }
}

fn remove(tables: &mut Tables, id: i64, now: Time) {
    let Some(gone) = tables.remove_organization_membership(id) else { return };
    if tables.user(gone.user_id).is_some_and(|user| user.organization_id == Some(gone.organization_id)) {
        let next = tables.organizations_of(gone.user_id).map(|membership| membership.organization_id).next();
        make_default(tables, gone.user_id, next, now);
    }
}
