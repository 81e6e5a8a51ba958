//! Adding, changing, preferring, verifying and removing identities.

use axum::http::StatusCode;

use crate::bulk::may_edit;
use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::rules::identities;
use crate::store::tables::Tables;

/// `POST /users/{user_id}/identities`
pub fn create(call: &Call) -> Outcome {
    let user = call.id("user_id")?;
    let given = call.object("identity")?;
    let mut tables = call.world.store.write();
    may_edit(&tables, call.caller, user)?;
    let (id, warnings) = identities::create(&mut tables, user, given, call.world.clock.now())?;
    let reply = Reply::json(StatusCode::CREATED, enveloped(call, &tables, user, id)?);
    let location = call.asked.url("users", format!("{user}/identities/{id}")).to_string();
    Ok(reply.header("location", location).warning(warnings.header("identities", "create")))
}

/// `PUT /users/{user_id}/identities/{user_identity_id}`
pub fn update(call: &Call) -> Outcome {
    let (user, id) = named(call)?;
    let given = call.object("identity")?;
    let mut tables = call.world.store.write();
    may_edit(&tables, call.caller, user)?;
    let warnings = identities::update(&mut tables, user, id, given, call.world.clock.now())?;
    Ok(Reply::ok(enveloped(call, &tables, user, id)?).warning(warnings.header("identities", "update")))
}

/// `PUT /users/{user_id}/identities/{user_identity_id}/make_primary`: answers
/// with all identities of the user.
pub fn make_primary(call: &Call) -> Outcome {
    let (user, id) = named(call)?;
    let mut tables = call.world.store.write();
    may_edit(&tables, call.caller, user)?;
    identities::make_primary(&mut tables, user, id, call.world.clock.now())?;
    let record = tables.active_user(user).ok_or_else(errors::not_found)?;
    let rows = tables.all_identities(record);
    let rows = rows.iter().map(|row| call.links.identity(user, row));
    Ok(Reply::ok(Envelope::new().rows("identities", rows).finish()))
}

/// `PUT /users/{user_id}/identities/{user_identity_id}/verify`
pub fn verify(call: &Call) -> Outcome {
    let (user, id) = named(call)?;
    let mut tables = call.world.store.write();
    may_edit(&tables, call.caller, user)?;
    let owner = tables.email_owner(&call.world.config.credential.email);
    identities::verify(&mut tables, user, id, owner, call.world.clock.now())?;
    Ok(Reply::ok(enveloped(call, &tables, user, id)?))
}

/// `PUT /users/{user_id}/identities/{user_identity_id}/request_verification`:
/// answers with an empty text. No mail is sent.
pub fn request_verification(call: &Call) -> Outcome {
    let (user, id) = named(call)?;
    let mut tables = call.world.store.write();
    may_edit(&tables, call.caller, user)?;
    identities::can_be_mailed(&mut tables, user, id)?;
    Ok(Reply::ok(b"\"\"".to_vec()))
}

/// `DELETE /users/{user_id}/identities/{user_identity_id}`
pub fn delete(call: &Call) -> Outcome {
    let (user, id) = named(call)?;
    let mut tables = call.world.store.write();
    may_edit(&tables, call.caller, user)?;
    identities::delete(&mut tables, user, id, call.world.clock.now())?;
    Ok(Reply::no_content())
}

fn named(call: &Call) -> Result<(i64, i64), Reply> {
    Ok((call.id("user_id")?, call.id("user_identity_id")?))
}

fn enveloped(call: &Call, tables: &Tables, user: i64, id: i64) -> Result<Vec<u8>, Reply> {
    let record = tables.active_user(user).ok_or_else(errors::not_found)?;
    let row = tables.all_identities(record).into_iter().find(|row| row.id == id).ok_or_else(errors::not_found)?;
    Ok(Envelope::new().raw("identity", &call.links.identity(user, &row)).finish())
}
