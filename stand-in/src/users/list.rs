//! Lists and counts of users: all, in a group, in an organization.

use std::borrow::Cow;

use crate::call::Call;
use crate::clock::Time;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part, Sort};
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::tables::Tables;
use crate::store::user::{Role, User};

use super::sideload;

/// `GET /users`
pub fn all(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let rows = filtered(call, &tables, Cow::Borrowed(tables.live()))?;
    let order = order(call, &tables)?;
    let rows = if order.name == "id" { rows } else { Cow::Owned(order.sort(rows.into_owned())) };
    respond(call, &tables, rows, order, HasMore::OnRequest)
}

/// `GET /groups/{group_id}/users`
pub fn in_group(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let rows = group_members(call, &tables)?;
    let rows = filtered(call, &tables, Cow::Owned(rows))?;
    respond(call, &tables, rows, by_id(), HasMore::Always)
}

/// `GET /organizations/{organization_id}/users`
pub fn in_organization(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let rows = organization_members(call, &tables)?;
    let rows = filtered(call, &tables, Cow::Owned(rows))?;
    respond(call, &tables, rows, by_id(), HasMore::Always)
}

/// `GET /users/count`
pub fn count(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let rows = filtered(call, &tables, Cow::Borrowed(tables.live()))?;
    Ok(counted(call, rows.len()))
}

/// `GET /groups/{group_id}/users/count`
pub fn count_in_group(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let rows = group_members(call, &tables)?;
    let rows = filtered(call, &tables, Cow::Owned(rows))?;
    Ok(counted(call, rows.len()))
}

/// `GET /organizations/{organization_id}/users/count`
pub fn count_in_organization(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let rows = organization_members(call, &tables)?;
    let rows = filtered(call, &tables, Cow::Owned(rows))?;
    Ok(counted(call, rows.len()))
}

fn group_members(call: &Call, tables: &Tables) -> Result<Vec<i64>, Reply> {
    let group = call.id("group_id")?;
    tables.group(group).ok_or_else(errors::not_found)?;
    let members = tables.memberships_in(group).map(|place| place.user_id);
    let mut members: Vec<i64> = members.filter(|id| tables.active_user(*id).is_some()).collect();
    members.sort_unstable();
    members.dedup();
    Ok(members)
}

fn organization_members(call: &Call, tables: &Tables) -> Result<Vec<i64>, Reply> {
    let organization = call.id("organization_id")?;
    tables.organization(organization).ok_or_else(errors::not_found)?;
    Ok(tables.members_of(organization).collect())
}

/// Applies `role`, `role[]`, `permission_set` and `external_id`.
fn filtered<'t>(call: &Call, tables: &Tables, rows: Cow<'t, [i64]>) -> Result<Cow<'t, [i64]>, Reply> {
    let query = &call.query;
    let roles: Vec<&str> = query.all("role").chain(query.all("role[]")).collect();
    let permission_set = match query.get("permission_set") {
        Some(id) => {
            Some(id.parse::<i64>().map_err(|_| errors::invalid_attribute("permission_set", "must be an integer"))?)
        }
        None => None,
    };
    if let Some(external_id) = query.get("external_id") {
        let owner = tables.external_id_owner(external_id);
        let owner = owner.filter(|id| rows.binary_search(id).is_ok());
        return Ok(Cow::Owned(Vec::from_iter(owner)));
    }
    if roles.is_empty() && permission_set.is_none() {
        return Ok(rows);
    }
    let wanted = |user: &User| {
        let by_role = roles.is_empty() || roles.contains(&user.role.name());
        by_role && (permission_set.is_none() || user.custom_role_id == permission_set)
    };
    let end_users_too = permission_set.is_none() && roles.contains(&Role::EndUser.name());
    // Both lists are sorted, so one walk tells staff from end users without
    // looking at a million records.
    let mut staff = tables.staff().peekable();
    let found = rows.iter().copied().filter(|id| {
        while staff.next_if(|other| other < id).is_some() {}
        if staff.peek() == Some(id) { tables.user(*id).is_some_and(wanted) } else { end_users_too }
    });
    Ok(Cow::Owned(found.collect()))
}

fn respond(call: &Call, tables: &Tables, rows: Cow<'_, [i64]>, order: Order<'_, i64>, has_more: HasMore) -> Outcome {
    let listing = Listing { name: "users", rows, order, has_more, modes: Modes::Both };
    pagination::page(
        call,
        &listing,
        |id| render(call, tables, *id),
        |envelope, rows| sideload::beside(call, tables, envelope, rows),
    )
}

/// One user as a row.
pub fn render(call: &Call, tables: &Tables, id: i64) -> Vec<u8> {
    let user = tables.user(id);
    user.map_or_else(|| b"null".to_vec(), |user| call.links.user(user))
}

fn by_id<'a>() -> Order<'a, i64> {
    Order { name: "id".into(), key: Box::new(|id| vec![Part::Int(*id)]) }
}

/// The order that `sort` asks for.
pub fn order<'t>(call: &Call, tables: &'t Tables) -> Result<Order<'t, i64>, Reply> {
    let sort = Sort::of(call, &["id", "name", "created_at", "updated_at"])?;
    let part: fn(&User) -> Part = match sort.field {
        "name" => |user| Part::Text(user.name.to_string()),
        "created_at" => |user| Part::Int(user.created_at.0.into()),
        "updated_at" => |user| Part::Int(user.updated_at.0.into()),
        _ => {
            return Ok(Order { name: sort.name, ..by_id() });
        }
    };
    let place = move |id: &i64| {
        let first = tables.user(*id).map(part);
        first.into_iter().chain([Part::Int(*id)]).collect()
    };
    Ok(Order { name: sort.name, key: Box::new(place) })
}

/// The largest number that a count reports. Beyond it a background job counts,
/// and until that is done, `refreshed_at` is null, as it always is here. The
/// specification says so; no recording shows such a count, so the cap at
/// exactly this number and the lasting null are assumptions.
const LARGEST_COUNT: usize = 100_000;

/// The envelope of a count.
pub fn counted(call: &Call, count: usize) -> Reply {
    #[derive(serde::Serialize)]
    struct Count {
        value: usize,
        refreshed_at: Option<Time>,
    }
    let count = Count {
        value: count.min(LARGEST_COUNT),
        refreshed_at: (count <= LARGEST_COUNT).then(|| call.world.clock.now()),
    };
    Reply::ok(Envelope::new().value("count", &count).finish())
}
