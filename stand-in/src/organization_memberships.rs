//! Memberships of users in organizations: lists, single ones.

pub mod write;

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::call::Call;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part, Sort};
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::organization::OrganizationMembership;
use crate::store::tables::Tables;

/// `GET /organization_memberships`
pub fn list(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    respond(call, &tables, tables.organization_memberships().collect(), by_id(call)?)
}

/// `GET /users/{user_id}/organization_memberships`: the default one first, the
/// others by the names of their organizations.
pub fn of_user(call: &Call) -> Outcome {
    let user = call.id("user_id")?;
    let tables = call.world.store.read();
    let default = tables.active_user(user).ok_or_else(errors::not_found)?.organization_id;
    let name = |id: i64| tables.organization(id).map_or(String::new(), |organization| organization.name.to_string());
    let place = |membership: &&OrganizationMembership| {
        let organization = membership.organization_id;
        let is_other = i64::from(default != Some(organization));
        vec![Part::Int(is_other), Part::Text(name(organization)), Part::Int(membership.id)]
    };
    let order = Order { name: "default,name,id".to_owned(), key: Box::new(place) };
    respond(call, &tables, tables.organizations_of(user).collect(), order)
}

/// `GET /organizations/{organization_id}/organization_memberships`
pub fn of_organization(call: &Call) -> Outcome {
    let organization = call.id("organization_id")?;
    let tables = call.world.store.read();
    tables.organization(organization).ok_or_else(errors::not_found)?;
    respond(call, &tables, tables.memberships_in_organization(organization).collect(), by_id(call)?)
}

/// `GET /organization_memberships/{organization_membership_id}`
pub fn show(call: &Call) -> Outcome {
    let id = call.id("organization_membership_id")?;
    let tables = call.world.store.read();
    tables.organization_membership(id).ok_or_else(errors::not_found)?;
    Ok(Reply::ok(enveloped(call, &tables, id)))
}

/// `GET /users/{user_id}/organization_memberships/{organization_membership_id}`
pub fn show_of_user(call: &Call) -> Outcome {
    let id = id_of_user(call)?;
    Ok(Reply::ok(enveloped(call, &call.world.store.read(), id)))
}

/// The membership in the path, if it is the user's.
fn id_of_user(call: &Call) -> Result<i64, Reply> {
    let (user, id) = (call.id("user_id")?, call.id("organization_membership_id")?);
    let tables = call.world.store.read();
    let membership = tables.organization_membership(id).filter(|membership| membership.user_id == user);
    membership.map(|membership| membership.id).ok_or_else(errors::not_found)
}

fn enveloped(call: &Call, tables: &Tables, id: i64) -> Vec<u8> {
    let membership = tables.organization_membership(id).expect("the caller has seen it");
    Envelope::new().raw("organization_membership", &call.links.organization_membership(membership, tables)).finish()
}

fn respond<'a>(
    call: &Call,
    tables: &Tables,
    rows: Vec<&'a OrganizationMembership>,
    order: Order<'a, &'a OrganizationMembership>,
) -> Outcome {
    let listing = Listing {
        name: "organization_memberships",
        rows: Cow::Owned(order.sort(rows)),
        order,
        has_more: HasMore::Always,
        modes: Modes::Both,
    };
    pagination::page(
        call,
        &listing,
        |membership| call.links.organization_membership(membership, tables),
        |envelope, rows| beside(call, tables, envelope, rows),
    )
}

fn by_id<'a>(call: &Call) -> Result<Order<'a, &'a OrganizationMembership>, Reply> {
    let sort = Sort::of(call, &["id", "created_at", "updated_at"])?;
    let part: fn(&OrganizationMembership) -> Option<Part> = match sort.field {
        "created_at" => |membership| Some(Part::Int(membership.created_at.0.into())),
        "updated_at" => |membership| Some(Part::Int(membership.updated_at.0.into())),
        _ => |_| None,
    };
    let place = move |membership: &&OrganizationMembership| {
        part(membership).into_iter().chain([Part::Int(membership.id)]).collect()
    };
    Ok(Order { name: sort.name, key: Box::new(place) })
}

/// Adds `include=users,organizations`. That the list below an organization
/// knows it, too, is an assumption.
fn beside(call: &Call, tables: &Tables, envelope: Envelope, rows: &[&OrganizationMembership]) -> Envelope {
    let names = call.query.list("include").unwrap_or_default();
    names.into_iter().fold(envelope, |envelope, name| match name {
        "users" => {
            let ids: BTreeSet<i64> = rows.iter().map(|membership| membership.user_id).collect();
            let users = ids.into_iter().filter_map(|id| tables.user(id));
            envelope.rows("users", users.map(|user| call.links.user(user)))
        }
        "organizations" => {
            let ids: BTreeSet<i64> = rows.iter().map(|membership| membership.organization_id).collect();
            let organizations = ids.into_iter().filter_map(|id| tables.organization(id));
            envelope.rows("organizations", organizations.map(|organization| call.links.organization(organization)))
        }
        _ => envelope,
    })
}
