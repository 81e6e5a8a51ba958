//! Organizations: lists, counts, searches, single ones.

pub mod many;
pub mod write;

use std::borrow::Cow;

use serde_json::json;

use crate::call::Call;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part, Sort};
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::organization::Organization;
use crate::store::tables::Tables;
use crate::users::list::counted;

/// `GET /organizations`
pub fn list(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    respond(call, tables.organizations().collect(), Modes::Both)
}

/// `GET /users/{user_id}/organizations`
pub fn of_user(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    respond(call, organizations_of(call, &tables)?, Modes::Both)
}

/// `GET /organizations/count`
pub fn count(call: &Call) -> Reply {
    let tables = call.world.store.read();
    counted(call, tables.organizations().count())
}

/// `GET /users/{user_id}/organizations/count`
pub fn count_of_user(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    Ok(counted(call, organizations_of(call, &tables)?.len()))
}

/// `GET /organizations/{organization_id}`
pub fn show(call: &Call) -> Outcome {
    let id = call.id("organization_id")?;
    let tables = call.world.store.read();
    let organization = tables.organization(id).ok_or_else(errors::not_found)?;
    Ok(Reply::ok(Envelope::new().raw("organization", &call.links.organization(organization)).finish()))
}

/// `GET /organizations/show_many`: ascending by id; unknown ids are left out.
/// That it is as for users is an assumption.
pub fn many(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let wanted: Box<dyn Fn(&Organization) -> bool> = match (call.ids("ids")?, call.texts("external_ids")?) {
        (Some(ids), _) => Box::new(move |organization| ids.contains(&organization.id)),
        (None, Some(texts)) => {
            Box::new(move |organization| texts.iter().any(|text| has_external_id(organization, text)))
        }
        (None, None) => return Err(errors::parameter_missing("ids")),
    };
    let found: Vec<&Organization> = tables.organizations().filter(|organization| wanted(organization)).collect();
    let envelope =
        Envelope::new().rows("organizations", found.iter().map(|organization| call.links.organization(organization)));
    let envelope = envelope.raw("next_page", b"null").raw("previous_page", b"null").value("count", &found.len());
    Ok(Reply::ok(envelope.finish()))
}

/// `GET /organizations/{organization_id}/related`: the account has no tickets,
/// so their number follows from the id.
pub fn related(call: &Call) -> Outcome {
    let id = call.id("organization_id")?;
    let tables = call.world.store.read();
    tables.organization(id).ok_or_else(errors::not_found)?;
    let related = json!({"tickets_count": id % 11, "users_count": tables.members_of(id).count()});
    Ok(Reply::ok(Envelope::new().value("organization_related", &related).finish()))
}

/// `GET /organizations/search`, by the whole name or external id. With both
/// the external id decides (an assumption).
pub fn search(call: &Call) -> Outcome {
    let (name, external_id) = (call.query.get("name"), call.query.get("external_id"));
    let wanted = external_id.or(name).ok_or_else(|| errors::parameter_missing("name"))?;
    let tables = call.world.store.read();
    let fits = |organization: &&Organization| match external_id {
        Some(_) => has_external_id(organization, wanted),
        None => organization.name.to_lowercase() == wanted.trim().to_lowercase(),
    };
    respond(call, tables.organizations().filter(fits).collect(), Modes::Search)
}

/// `GET /organizations/autocomplete`: those whose name starts with the text.
pub fn autocomplete(call: &Call) -> Outcome {
    let name = call.query.get("name").ok_or_else(|| errors::parameter_missing("name"))?.to_lowercase();
    let tables = call.world.store.read();
    let found = tables.organizations().filter(|organization| organization.name.to_lowercase().starts_with(&name));
    respond(call, found.collect(), Modes::Search)
}

fn has_external_id(organization: &Organization, wanted: &str) -> bool {
    organization.external_id.as_ref().is_some_and(|external_id| external_id.to_lowercase() == wanted.to_lowercase())
}

fn organizations_of<'t>(call: &Call, tables: &'t Tables) -> Result<Vec<&'t Organization>, Reply> {
    let user = tables.active_user(call.id("user_id")?).ok_or_else(errors::not_found)?;
    let ids = tables.organizations_of(user.id).map(|membership| membership.organization_id);
    Ok(ids.filter_map(|id| tables.organization(id)).collect())
}

fn respond(call: &Call, rows: Vec<&Organization>, modes: Modes) -> Outcome {
    let order = order(call)?;
    let listing = Listing {
        name: "organizations",
        rows: Cow::Owned(order.sort(rows)),
        order,
        has_more: HasMore::OnRequest,
        modes,
    };
    pagination::page(call, &listing, |organization| call.links.organization(organization), pagination::alone)
}

fn order<'a>(call: &Call) -> Result<Order<'a, &'a Organization>, Reply> {
    let sort = Sort::of(call, &["id", "name", "created_at", "updated_at"])?;
    let part: fn(&Organization) -> Option<Part> = match sort.field {
        "name" => |organization| Some(Part::Text(organization.name.to_string())),
        "created_at" => |organization| Some(Part::Int(organization.created_at.0.into())),
        "updated_at" => |organization| Some(Part::Int(organization.updated_at.0.into())),
        _ => |_| None,
    };
    let place = move |organization: &&Organization| {
        part(organization).into_iter().chain([Part::Int(organization.id)]).collect()
    };
    Ok(Order { name: sort.name, key: Box::new(place) })
}
