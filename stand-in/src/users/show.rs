//! Single users, several by id, and the caller's own.

use serde::Serialize;

use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::user::{Life, Role};
use crate::view::{Anonymous, SelfView, json};

use super::{list, sideload};

/// `GET /users/{user_id}`; also of a deleted user, but not of an erased one
/// (the latter an assumption).
pub fn one(call: &Call) -> Outcome {
    let id = call.id("user_id")?;
    let tables = call.world.store.read();
    let user = tables.user(id).filter(|user| user.life != Life::Erased);
    user.ok_or_else(errors::not_found)?;
    let envelope = Envelope::new().raw("user", &list::render(call, &tables, id));
    let envelope = sideload::beside(call, &tables, envelope, &[id]);
    Ok(Reply::ok(envelope.finish()).cached("max-age=5, private"))
}

/// `GET /users/show_many`: ascending by id, whatever order the request has;
/// unknown ids are left out.
pub fn many(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let mut ids = match (call.ids("ids")?, call.texts("external_ids")?) {
        (Some(ids), _) => ids,
        (None, Some(texts)) => texts.iter().filter_map(|text| tables.external_id_owner(text)).collect(),
        (None, None) => return Err(errors::parameter_missing("ids")),
    };
    let deleted_too = call.query.flag("include_deleted");
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| {
        tables.user(*id).is_some_and(|user| match user.life {
            Life::Active => true,
            Life::Deleted => deleted_too,
            Life::Erased => false,
        })
    });
    let rows = ids.iter().map(|id| list::render(call, &tables, *id));
    let envelope = Envelope::new().rows("users", rows);
    let envelope = sideload::beside(call, &tables, envelope, &ids);
    let envelope = envelope.raw("next_page", b"null").raw("previous_page", b"null").value("count", &ids.len());
    Ok(Reply::ok(envelope.finish()))
}

/// `GET /users/me`: 200 even for unauthenticated callers, who get an anonymous
/// user.
pub fn me(call: &Call) -> Reply {
    let tables = call.world.store.read();
    let links = &call.links;
    let token = format!("{:032x}", fastrand::u128(..));
    let user = call.caller.and_then(|id| tables.user(id));
    let shown = match user {
        Some(user) => SelfView::render(links, user, &token),
        None => json(&Anonymous::new(links, &token)),
    };
    let envelope = Envelope::new().raw("user", &shown);
    let ids: Vec<i64> = user.map(|user| user.id).into_iter().collect();
    let envelope = sideload::beside(call, &tables, envelope, &ids);
    Reply::ok(envelope.finish())
}

/// `GET /users/{user_id}/entitlements/full`: agents use Chat and Explore, and
/// nobody anything else (an assumption).
pub fn entitlements(call: &Call) -> Outcome {
    let id = call.id("user_id")?;
    let tables = call.world.store.read();
    let user = tables.active_user(id).ok_or_else(errors::not_found)?;
    let of = |name: &str| serde_json::json!({"name": name, "is_active": user.is_staff()});
    let role = if user.is_staff() { user.role.name() } else { "none" };
    let all = serde_json::json!({"chat": of(role), "explore": of(role), "guide": null, "talk": null});
    Ok(Reply::ok(Envelope::new().value("entitlements", &all).finish()))
}

/// `GET /users/{user_id}/related`: the account has no tickets, so the numbers
/// follow from the id.
pub fn related(call: &Call) -> Outcome {
    #[derive(Serialize)]
    struct Related {
        assigned_tickets: i64,
        requested_tickets: i64,
        ccd_tickets: i64,
        organization_subscriptions: i64,
    }
    let id = call.id("user_id")?;
    let tables = call.world.store.read();
    let user = tables.active_user(id).ok_or_else(errors::not_found)?;
    let related = Related {
        assigned_tickets: if user.role == Role::EndUser { 0 } else { id % 23 },
        requested_tickets: id % 11,
        ccd_tickets: id % 5,
        organization_subscriptions: i64::from(user.organization_id.is_some()),
    };
    Ok(Reply::ok(Envelope::new().value("user_related", &related).finish()))
}
