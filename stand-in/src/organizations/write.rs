//! Creating, changing and deleting organizations.

use axum::http::StatusCode;

use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::rules::attributes::Warnings;
use crate::rules::organizations;
use crate::store::tables::Tables;

/// `POST /organizations`
pub fn create(call: &Call) -> Outcome {
    call.admins_only()?;
    let given = call.object("organization")?;
    let mut tables = call.world.store.write();
    let (id, warnings) = organizations::create(&mut tables, given, call.world.clock.now())?;
    created(call, &tables, id, &warnings, "create")
}

/// `POST /organizations/create_or_update`: 201 or 200.
pub fn create_or_update(call: &Call) -> Outcome {
    call.admins_only()?;
    let mut given = call.object("organization")?;
    let mut tables = call.world.store.write();
    let now = call.world.clock.now();
    if let Some(id) = organizations::meant(&tables, &mut given)? {
        let warnings = organizations::update(&mut tables, id, given, now)?;
        Ok(Reply::ok(shown(call, &tables, id)?).warning(warnings.header("organizations", "create_or_update")))
    } else {
        let (id, warnings) = organizations::create(&mut tables, given, now)?;
        created(call, &tables, id, &warnings, "create_or_update")
    }
}

/// `PUT /organizations/{organization_id}`. Agents may change nothing but notes;
/// that anything else is refused then is an assumption.
pub fn update(call: &Call) -> Outcome {
    let id = call.id("organization_id")?;
    let given = call.object("organization")?;
    if given.keys().any(|key| key != "notes") {
        call.admins_only()?;
    }
    let mut tables = call.world.store.write();
    let warnings = organizations::update(&mut tables, id, given, call.world.clock.now())?;
    Ok(Reply::ok(shown(call, &tables, id)?).warning(warnings.header("organizations", "update")))
}

/// `DELETE /organizations/{organization_id}`
pub fn delete(call: &Call) -> Outcome {
    let id = call.id("organization_id")?;
    call.admins_only()?;
    organizations::delete(&mut call.world.store.write(), id, call.world.clock.now())?;
    Ok(Reply::no_content())
}

fn created(call: &Call, tables: &Tables, id: i64, warnings: &Warnings, action: &str) -> Outcome {
    let reply = Reply::json(StatusCode::CREATED, shown(call, tables, id)?);
    let reply = reply.header("location", call.asked.url("organizations", id).to_string());
    Ok(reply.warning(warnings.header("organizations", action)))
}

fn shown(call: &Call, tables: &Tables, id: i64) -> Result<Vec<u8>, Reply> {
    let organization = tables.organization(id).ok_or_else(errors::not_found)?;
    Ok(Envelope::new().raw("organization", &call.links.organization(organization)).finish())
}
