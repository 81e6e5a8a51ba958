//! Memberships: lists by id, of everybody, of a user, of a group.

pub mod write;

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::call::Call;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part, Sort};
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::group::Membership;
use crate::store::tables::Tables;

/// `GET /group_memberships`
pub fn list(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let rows = tables.memberships().collect();
    respond(call, &tables, rows, Modes::Both)
}

/// `GET /group_memberships/assignable`: of agents who can be given tickets.
pub fn assignable(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let rows = tables.memberships();
    let rows = rows.filter(|place| is_assignable(&tables, place)).collect();
    respond(call, &tables, rows, Modes::Both)
}

/// `GET /users/{user_id}/group_memberships`
pub fn of_user(call: &Call) -> Outcome {
    let user = call.id("user_id")?;
    let tables = call.world.store.read();
    tables.active_user(user).ok_or_else(errors::not_found)?;
    let rows = tables.memberships_of(user).collect();
    respond(call, &tables, rows, Modes::Both)
}

/// `GET /groups/{group_id}/memberships`
pub fn of_group(call: &Call) -> Outcome {
    let group = call.id("group_id")?;
    let tables = call.world.store.read();
    tables.group(group).ok_or_else(errors::not_found)?;
    let rows = tables.memberships_in(group).collect();
    respond(call, &tables, rows, Modes::Both)
}

/// `GET /groups/{group_id}/memberships/assignable`
pub fn assignable_of_group(call: &Call) -> Outcome {
    let group = call.id("group_id")?;
    let tables = call.world.store.read();
    tables.group(group).ok_or_else(errors::not_found)?;
    let rows = tables.memberships_in(group);
    let rows = rows.filter(|place| is_assignable(&tables, place)).collect();
    respond(call, &tables, rows, Modes::Both)
}

/// `GET /group_memberships/{group_membership_id}`
pub fn show(call: &Call) -> Outcome {
    let id = call.id("group_membership_id")?;
    let tables = call.world.store.read();
    let membership = tables.membership(id).ok_or_else(errors::not_found)?;
    Ok(Reply::ok(enveloped(call, membership)))
}

/// `GET /users/{user_id}/group_memberships/{group_membership_id}`
pub fn show_of_user(call: &Call) -> Outcome {
    let (user, id) = (call.id("user_id")?, call.id("group_membership_id")?);
    let tables = call.world.store.read();
    let membership = tables.membership(id).filter(|place| place.user_id == user);
    let membership = membership.ok_or_else(errors::not_found)?;
    Ok(Reply::ok(enveloped(call, membership)))
}

fn enveloped(call: &Call, membership: &Membership) -> Vec<u8> {
    let shown = call.links.membership(membership);
    Envelope::new().raw("group_membership", &shown).finish()
}

/// Light agents and suspended ones are given no tickets.
fn is_assignable(tables: &Tables, membership: &Membership) -> bool {
    let user = tables.active_user(membership.user_id);
    user.is_some_and(|user| !user.suspended && user.role_type != Some(1))
}

fn respond(call: &Call, tables: &Tables, rows: Vec<&Membership>, modes: Modes) -> Outcome {
    let order = order(call)?;
    let listing = Listing {
        name: "group_memberships",
        rows: Cow::Owned(order.sort(rows)),
        order,
        has_more: HasMore::Always,
        modes,
    };
    let links = &call.links;
    pagination::page(
        call,
        &listing,
        |membership| links.membership(membership),
        |envelope, rows| beside(call, tables, envelope, rows),
    )
}

fn order<'a>(call: &Call) -> Result<Order<'a, &'a Membership>, Reply> {
    let sort = Sort::of(call, &["id", "created_at"])?;
    let by_creation = sort.field == "created_at";
    let place = move |membership: &&Membership| {
        let first = by_creation.then(|| Part::Int(membership.created_at.0.into()));
        first.into_iter().chain([Part::Int(membership.id)]).collect()
    };
    Ok(Order { name: sort.name, key: Box::new(place) })
}

/// Adds `include=users,groups`.
fn beside(call: &Call, tables: &Tables, envelope: Envelope, rows: &[&Membership]) -> Envelope {
    let names = call.query.list("include").unwrap_or_default();
    let links = &call.links;
    names.into_iter().fold(envelope, |envelope, name| match name {
        "users" => {
            let ids: BTreeSet<i64> = rows.iter().map(|place| place.user_id).collect();
            let users = ids.into_iter().filter_map(|id| tables.user(id));
            envelope.rows("users", users.map(|user| links.user(user)))
        }
        "groups" => {
            let ids: BTreeSet<i64> = rows.iter().map(|place| place.group_id).collect();
            let groups = ids.into_iter().filter_map(|id| tables.group(id));
            envelope.rows("groups", groups.map(|group| links.group(group, tables)))
        }
        _ => envelope,
    })
}
