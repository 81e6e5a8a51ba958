//! Creating, deleting and preferring memberships.

use axum::http::StatusCode;
use serde_json::Map;

use crate::bulk::{enqueue, new_items};
use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::rules::attributes::Attributes;
use crate::rules::memberships;
use crate::store::group::Membership;
use crate::store::job::{Item, Target, Task};

/// `POST /group_memberships`
pub fn create(call: &Call) -> Outcome {
    let mut given = Attributes::new("group_membership", call.object("group_membership")?);
    let user = given.integer("user_id").value().unwrap_or_default();
    create_for(call, user, given)
}

/// `POST /users/{user_id}/group_memberships`: the body names no user.
pub fn create_of_user(call: &Call) -> Outcome {
    let user = call.id("user_id")?;
    let given = Attributes::new("group_membership", call.object("group_membership")?);
    create_for(call, user, given)
}

fn create_for(call: &Call, user: i64, mut given: Attributes) -> Outcome {
    let group = given.integer("group_id").value().unwrap_or_default();
    given.not_null(&["default"]);
    let default = given.boolean("default").unwrap_or(false);
    given.check()?;
    let mut tables = call.world.store.write();
    let id = memberships::create(&mut tables, user, group, default, call.world.clock.now())?;
    let membership = tables.membership(id).ok_or_else(errors::not_found)?;
    let links = &call.asked;
    let body = Envelope::new().raw("group_membership", &links.membership(membership)).finish();
    let reply = Reply::json(StatusCode::CREATED, body);
    let reply = reply.header("location", links.url("group_memberships", id).to_string());
    Ok(reply.warning(given.finish().header("group_memberships", "create")))
}

/// `DELETE /group_memberships/{group_membership_id}`
pub fn delete(call: &Call) -> Outcome {
    let id = call.id("group_membership_id")?;
    let mut tables = call.world.store.write();
    let deleted = memberships::delete(&mut tables, id, call.world.clock.now());
    let reply = deleted.map_or_else(Reply::from, |()| Reply::no_content());
    Ok(call.with_body_warning(reply, "group_memberships", "destroy"))
}

/// `DELETE /users/{user_id}/group_memberships/{group_membership_id}`
pub fn delete_of_user(call: &Call) -> Outcome {
    of_user(call)?;
    delete(call)
}

/// `PUT /users/{user_id}/group_memberships/{group_membership_id}/make_default`:
/// answers with all memberships of the user.
pub fn make_default(call: &Call) -> Outcome {
    let membership = of_user(call)?;
    let user = membership.user_id;
    let mut tables = call.world.store.write();
    memberships::make_default(&mut tables, user, Some(membership.id), call.world.clock.now());
    let links = &call.links;
    let rows = tables.memberships_of(user).map(|place| links.membership(place));
    Ok(Reply::ok(Envelope::new().rows("group_memberships", rows).finish()))
}

/// The membership in the path, if it is the user's.
fn of_user(call: &Call) -> Result<Membership, Reply> {
    let (user, id) = (call.id("user_id")?, call.id("group_membership_id")?);
    let tables = call.world.store.read();
    let membership = tables.membership(id).filter(|place| place.user_id == user);
    membership.cloned().ok_or_else(errors::not_found)
}

/// `POST /group_memberships/create_many`
pub fn create_many(call: &Call) -> Outcome {
    enqueue(call, Task::CreateMemberships, new_items(call.objects("group_memberships")?))
}

/// `DELETE /group_memberships/destroy_many`
pub fn destroy_many(call: &Call) -> Outcome {
    let ids = call.ids("ids")?.ok_or_else(|| errors::parameter_missing("ids"))?;
    let items = ids.into_iter().map(|id| Item { target: Target::Id(id), attributes: Map::new() });
    let queued = enqueue(call, Task::DeleteMemberships, items.collect())?;
    Ok(call.with_body_warning(queued, "group_memberships", "destroy_many"))
}
