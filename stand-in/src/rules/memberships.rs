//! Putting agents into groups and taking them out.

use super::Refusal;
use crate::clock::Time;
use crate::store::group::Membership;
use crate::store::tables::Tables;

/// Makes an agent a member of a group. The first membership is the default one.
pub fn create(tables: &mut Tables, user: i64, group: i64, as_default: bool, now: Time) -> Result<i64, Refusal> {
    // The words for missing users and groups are assumptions.
    let agent = tables.active_user(user);
    let agent = agent.ok_or_else(|| Refusal::invalid("user", "BlankValue", "User: cannot be blank"))?;
    if !agent.is_staff() {
        return Err(Refusal::invalid("user", "InvalidValue", "User: must be an agent"));
    }
    if tables.live_group(group).is_none() {
        return Err(Refusal::invalid("group", "BlankValue", "Group: cannot be blank"));
    }
    if tables.memberships_of(user).any(|place| place.group_id == group) {
        return Err(Refusal::invalid("user_id", "DuplicateValue", "User has already been taken"));
    }
    let first = tables.memberships_of(user).next().is_none();
    let id = tables.fresh_id();
    tables.put_membership(Membership {
        id,
        user_id: user,
        group_id: group,
        default: false,
        created_at: now,
        updated_at: Some(now),
        verbatim: None,
    });
    if first || as_default {
        make_default(tables, user, Some(id), now);
    }
    Ok(id)
}

/// Makes `membership` the agent's only default, or none, and sets the user's
/// default group accordingly.
pub fn make_default(tables: &mut Tables, user: i64, membership: Option<i64>, now: Time) {
    let places: Vec<Membership> = tables.memberships_of(user).cloned().collect();
    let mut default_group = None;
    for mut place in places {
        let default = Some(place.id) == membership;
        if default {
            default_group = Some(place.group_id);
        }
        if place.default != default {
            place.default = default;
            place.updated_at = Some(now);
            place.verbatim = None;
            tables.put_membership(place);
        }
    }
    if let Some(user) = tables.user(user)
        && user.default_group_id != default_group
    {
        let mut user = user.clone();
        user.default_group_id = default_group;
        user.verbatim = None;
        tables.put_user(user);
    }
}

/// Takes an agent out of a group. If it was the default, the oldest of the
/// other memberships becomes it (an assumption, as is that the last membership
/// may go).
pub fn delete(tables: &mut Tables, id: i64, now: Time) -> Result<(), Refusal> {
    let gone = tables.remove_membership(id).ok_or(Refusal::NotFound)?;
    if gone.default {
        let next = tables.memberships_of(gone.user_id).map(|place| place.id).next();
        make_default(tables, gone.user_id, next, now);
    }
    Ok(())
}

/// Takes a user out of all groups.
pub fn leave_all(tables: &mut Tables, user: i64) {
    let places: Vec<i64> = tables.memberships_of(user).map(|place| place.id).collect();
    for id in places {
        tables.remove_membership(id);
    }
}
