//! Creating, changing and deleting groups.

use axum::http::StatusCode;

use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::rules::attributes::Attributes;
use crate::rules::groups;

/// `POST /groups`
pub fn create(call: &Call) -> Outcome {
    let mut given = Attributes::new("group", call.object("group")?);
    let world = &call.world;
    let mut tables = world.store.write();
    let id = groups::create(&mut tables, &mut given, &world.config.assumptions, world.clock.now())?;
    let group = tables.group(id).ok_or_else(errors::not_found)?;
    let links = &call.asked;
    let body = Envelope::new().raw("group", &links.group(group, &tables)).finish();
    let reply = Reply::json(StatusCode::CREATED, body);
    let reply = reply.header("location", links.url("groups", id).to_string());
    Ok(reply.warning(given.finish().header("groups", "create")))
}

/// `PUT /groups/{group_id}`
pub fn update(call: &Call) -> Outcome {
    let id = call.id("group_id")?;
    call.admins_only()?;
    let mut given = Attributes::new("group", call.object("group")?);
    let world = &call.world;
    let mut tables = world.store.write();
    if tables.live_group(id).is_none() {
        return Err(errors::not_found().warning(groups::left_out(given).header("groups", "update")));
    }
    groups::update(&mut tables, id, &mut given, &world.config.assumptions, world.clock.now())?;
    let group = tables.group(id).ok_or_else(errors::not_found)?;
    let shown = call.links.group(group, &tables);
    let reply = Reply::ok(Envelope::new().raw("group", &shown).finish());
    Ok(reply.warning(given.finish().header("groups", "update")))
}

/// `DELETE /groups/{group_id}`
pub fn delete(call: &Call) -> Outcome {
    let id = call.id("group_id")?;
    let world = &call.world;
    let mut tables = world.store.write();
    if tables.live_group(id).is_none() {
        return Err(call.with_body_warning(errors::not_found(), "groups", "destroy"));
    }
    groups::delete(&mut tables, id, &world.config.assumptions, world.clock.now())?;
    Ok(call.with_body_warning(Reply::no_content(), "groups", "destroy"))
}
