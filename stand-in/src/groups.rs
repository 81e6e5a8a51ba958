//! Groups: lists by name, counts, single ones.

pub mod write;

use std::borrow::Cow;

use crate::call::Call;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part, Sort};
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::group::Group;
use crate::store::tables::Tables;
use crate::users::list::counted;

/// `GET /groups`: live ones. The parameter `exclude_deleted` suggests that
/// deleted ones can appear; no recording shows any, so here they never do.
pub fn list(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    respond(call, &tables, live(&tables), Modes::Both)
}

/// `GET /groups/assignable`
pub fn assignable(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    respond(call, &tables, live(&tables), Modes::Both)
}

/// `GET /users/{user_id}/groups`
pub fn of_user(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let rows = groups_of_user(call, &tables)?;
    respond(call, &tables, rows, Modes::Both)
}

/// `GET /groups/count`
pub fn count(call: &Call) -> Reply {
    let tables = call.world.store.read();
    counted(call, live(&tables).len())
}

/// `GET /users/{user_id}/groups/count`
pub fn count_of_user(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    Ok(counted(call, groups_of_user(call, &tables)?.len()))
}

/// `GET /groups/{group_id}`, deleted or not.
pub fn show(call: &Call) -> Outcome {
    let id = call.id("group_id")?;
    let tables = call.world.store.read();
    let group = tables.group(id).ok_or_else(errors::not_found)?;
    let shown = call.links.group(group, &tables);
    let envelope = Envelope::new().raw("group", &shown);
    let envelope = beside(call, &tables, envelope, &[group]);
    Ok(Reply::ok(envelope.finish()))
}

fn live(tables: &Tables) -> Vec<&Group> {
    tables.groups().filter(|group| !group.deleted).collect()
}

fn groups_of_user<'t>(call: &Call, tables: &'t Tables) -> Result<Vec<&'t Group>, Reply> {
    let user = call.id("user_id")?;
    tables.active_user(user).ok_or_else(errors::not_found)?;
    let groups = tables.memberships_of(user).filter_map(|place| tables.group(place.group_id));
    Ok(groups.filter(|group| !group.deleted).collect())
}

fn respond(call: &Call, tables: &Tables, rows: Vec<&Group>, modes: Modes) -> Outcome {
    let order = order(call)?;
    let listing =
        Listing { name: "groups", rows: Cow::Owned(order.sort(rows)), order, has_more: HasMore::OnRequest, modes };
    let links = &call.links;
    pagination::page(
        call,
        &listing,
        |group| links.group(group, tables),
        |envelope, rows| beside(call, tables, envelope, rows),
    )
}

fn order<'a>(call: &Call) -> Result<Order<'a, &'a Group>, Reply> {
    let sort = Sort::of(call, &["name", "id", "created_at", "updated_at"])?;
    let part: fn(&Group) -> Option<Part> = match sort.field {
        "name" => |group| Some(Part::Text(group.name.to_string())),
        "created_at" => |group| Some(Part::Int(group.created_at.0.into())),
        "updated_at" => |group| Some(Part::Int(group.updated_at.0.into())),
        _ => |_| None,
    };
    let place = move |group: &&Group| {
        let first = part(group);
        first.into_iter().chain([Part::Int(group.id)]).collect()
    };
    Ok(Order { name: sort.name, key: Box::new(place) })
}

/// Adds `include=users`: the members of the groups.
fn beside(call: &Call, tables: &Tables, envelope: Envelope, groups: &[&Group]) -> Envelope {
    let names = call.query.list("include").unwrap_or_default();
    if !names.contains(&"users") {
        return envelope;
    }
    let places = groups.iter().flat_map(|group| tables.memberships_in(group.id));
    let mut ids: Vec<i64> = places.map(|place| place.user_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let users = ids.into_iter().filter_map(|id| tables.active_user(id));
    let links = &call.links;
    envelope.rows("users", users.map(|user| links.user(user)))
}
