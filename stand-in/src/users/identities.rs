//! What a user can be recognised by: addresses, numbers, accounts elsewhere.

pub mod write;

use std::borrow::Cow;

use crate::call::Call;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part};
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::identity::Identity;

/// `GET /users/{user_id}/identities`, of the types that `type[]` names.
pub fn list(call: &Call) -> Outcome {
    let id = call.id("user_id")?;
    let tables = call.world.store.read();
    let user = tables.active_user(id).ok_or_else(errors::not_found)?;
    let types: Vec<&str> = call.query.all("type[]").collect();
    let mut rows = tables.all_identities(user);
    rows.retain(|identity| types.is_empty() || types.contains(&&*identity.kind));
    let listing = Listing {
        name: "identities",
        rows: Cow::Owned(rows),
        order: Order { name: "id".into(), key: Box::new(|identity: &Identity| vec![Part::Int(identity.id)]) },
        has_more: HasMore::OnRequest,
        modes: Modes::Both,
    };
    pagination::page(call, &listing, |identity| call.links.identity(id, identity), pagination::alone)
}

/// `GET /users/{user_id}/identities/{user_identity_id}`
pub fn show(call: &Call) -> Outcome {
    let (id, wanted) = (call.id("user_id")?, call.id("user_identity_id")?);
    let tables = call.world.store.read();
    let user = tables.active_user(id).ok_or_else(errors::not_found)?;
    let identity = tables.all_identities(user).into_iter().find(|identity| identity.id == wanted);
    let identity = identity.ok_or_else(errors::not_found)?;
    Ok(Reply::ok(Envelope::new().raw("identity", &call.links.identity(id, &identity)).finish()))
}
