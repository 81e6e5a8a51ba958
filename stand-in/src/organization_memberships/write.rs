//! Creating, deleting and preferring memberships in organizations.

use axum::http::StatusCode;
use serde_json::Map;

use super::{enveloped, id_of_user};
use crate::bulk::{enqueue, new_items};
use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::rules::attributes::Attributes;
use crate::rules::organization_memberships as rules;
use crate::store::job::{Item, Target, Task};

/// `POST /organization_memberships`
pub fn create(call: &Call) -> Outcome {
    let mut given = Attributes::new("organization_membership", call.object("organization_membership")?);
    let user = given.integer("user_id").value().unwrap_or_default();
    create_for(call, user, given)
}

/// `POST /users/{user_id}/organization_memberships`: the body names no user.
pub fn create_of_user(call: &Call) -> Outcome {
    let user = call.id("user_id")?;
    let given = Attributes::new("organization_membership", call.object("organization_membership")?);
    create_for(call, user, given)
}

fn create_for(call: &Call, user: i64, mut given: Attributes) -> Outcome {
    let organization = given.integer("organization_id").value().unwrap_or_default();
    let default = given.boolean("default").unwrap_or(false);
    given.check()?;
    let mut tables = call.world.store.write();
    let id = rules::create(&mut tables, call.caller, user, organization, default, call.world.clock.now())?;
    let reply = Reply::json(StatusCode::CREATED, enveloped(call, &tables, id));
    let reply = reply.header("location", call.asked.url("organization_memberships", id).to_string());
    Ok(reply.warning(given.finish().header("organization_memberships", "create")))
}

/// `DELETE /organization_memberships/{organization_membership_id}`
pub fn delete(call: &Call) -> Outcome {
    let id = call.id("organization_membership_id")?;
    rules::delete(&mut call.world.store.write(), call.caller, id, call.world.clock.now())?;
    Ok(Reply::no_content())
}

/// `DELETE /users/{user_id}/organization_memberships/{organization_membership_id}`
pub fn delete_of_user(call: &Call) -> Outcome {
    id_of_user(call)?;
    delete(call)
}

/// `DELETE /users/{user_id}/organizations/{organization_id}`
pub fn unassign(call: &Call) -> Outcome {
    let id = id_by_organization(call)?;
    rules::delete(&mut call.world.store.write(), call.caller, id, call.world.clock.now())?;
    Ok(Reply::no_content())
}

/// `PUT /users/{user_id}/organization_memberships/{organization_membership_id}/make_default`:
/// answers with all memberships of the user.
pub fn make_default(call: &Call) -> Outcome {
    let id = id_of_user(call)?;
    let user = prefer(call, id)?;
    let tables = call.world.store.read();
    let rows = tables.organizations_of(user).map(|row| call.links.organization_membership(row, &tables));
    Ok(Reply::ok(Envelope::new().rows("organization_memberships", rows).finish()))
}

/// `PUT /users/{user_id}/organizations/{organization_id}/make_default`: answers
/// with the membership.
pub fn make_organization_default(call: &Call) -> Outcome {
    let id = id_by_organization(call)?;
    prefer(call, id)?;
    Ok(Reply::ok(enveloped(call, &call.world.store.read(), id)))
}

/// Makes a membership its user's default. Returns the user.
fn prefer(call: &Call, id: i64) -> Result<i64, Reply> {
    let mut tables = call.world.store.write();
    let membership = tables.organization_membership(id).cloned().ok_or_else(errors::not_found)?;
    rules::may_place(&tables, call.caller, membership.user_id)?;
    let organization = Some(membership.organization_id);
    rules::make_default(&mut tables, membership.user_id, organization, call.world.clock.now());
    Ok(membership.user_id)
}

/// The membership of the user in the path in the organization in the path.
fn id_by_organization(call: &Call) -> Result<i64, Reply> {
    let (user, organization) = (call.id("user_id")?, call.id("organization_id")?);
    let tables = call.world.store.read();
    let found = tables.organizations_of(user).find(|membership| membership.organization_id == organization);
    found.map(|membership| membership.id).ok_or_else(errors::not_found)
}

/// `POST /organization_memberships/create_many`
pub fn create_many(call: &Call) -> Outcome {
    let items = new_items(call.objects("organization_memberships")?);
    enqueue(call, Task::CreateOrganizationMemberships, items)
}

/// `DELETE /organization_memberships/destroy_many`
pub fn destroy_many(call: &Call) -> Outcome {
    let ids = call.ids("ids")?.ok_or_else(|| errors::parameter_missing("ids"))?;
    let items = ids.into_iter().map(|id| Item { target: Target::Id(id), attributes: Map::new() });
    enqueue(call, Task::DeleteOrganizationMemberships, items.collect())
}
