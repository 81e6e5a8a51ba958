//! Records beside users: `include=organizations,roles,identities,groups,…`.
//!
//! Names that the sandbox does not know add nothing; what Zendesk does with
//! them is an assumption. The form of what comes beside users is that of the
//! vendor's page on side-loading; who may do what is an assumption.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bulk::may_edit;
use crate::call::Call;
use crate::reply::Envelope;
use crate::store::roles::{self, OPENED};
use crate::store::tables::Tables;
use crate::store::user::{Role, User};

/// Adds what `include` asks for.
pub fn beside(call: &Call, tables: &Tables, envelope: Envelope, ids: &[i64]) -> Envelope {
    let Some(names) = call.query.list("include") else {
        return envelope;
    };
    let users = || ids.iter().filter_map(|id| tables.user(*id));
    names.into_iter().fold(envelope, |envelope, name| match name {
        "organizations" => {
            let ids: BTreeSet<i64> = users().filter_map(|user| user.organization_id).collect();
            let organizations = ids.into_iter().filter_map(|id| tables.organization(id));
            envelope.rows("organizations", organizations.map(|organization| call.links.organization(organization)))
        }
        "groups" => {
            let places = users().flat_map(|user| tables.memberships_of(user.id));
            let ids: BTreeSet<i64> = places.map(|place| place.group_id).collect();
            let groups = ids.into_iter().filter_map(|id| tables.group(id));
            let links = &call.links;
            envelope.rows("groups", groups.map(|group| links.group(group, tables)))
        }
        "roles" => envelope.value("roles", &roles_of(users())),
        "identities" => {
            let rows = users().flat_map(|user| {
                let identities = tables.all_identities(user);
                identities.into_iter().map(|identity| call.links.identity(user.id, &identity)).collect::<Vec<_>>()
            });
            envelope.rows("identities", rows)
        }
        "abilities" => {
            let is_admin = call.caller.and_then(|id| tables.user(id)).is_some_and(|user| user.role == Role::Admin);
            let rows = users().map(|user| {
                let (is_own, may_edit) = (call.caller == Some(user.id), may_edit(tables, call.caller, user.id).is_ok());
                json!({
                    "can_edit": may_edit,
                    "can_edit_password": may_edit && (is_own || is_admin),
                    "can_manage_identities_of": may_edit,
                    "can_verify_identities": may_edit && !is_own,
                    "url": call.links.url("users", user.id),
                    "user_id": user.id,
                })
            });
            envelope.value("abilities", &rows.collect::<Vec<_>>())
        }
        "open_ticket_count" => {
            let counts = users().map(|user| (user.id.to_string(), json!(tables.open_tickets(user.id))));
            let counts: serde_json::Map<String, Value> = counts.collect();
            envelope.value("open_ticket_count", &counts)
        }
        _ => envelope,
    })
}

/// Custom roles by id; the role of users without one is a system role, whose
/// id, description and creation are null.
fn roles_of<'a>(users: impl Iterator<Item = &'a User>) -> Vec<Value> {
    let mut custom = BTreeSet::new();
    let mut system = BTreeSet::new();
    for user in users {
        match user.custom_role_id {
            Some(id) => custom.insert(id),
            None => system.insert(user.role.name()),
        };
    }
    let custom = custom.into_iter().filter_map(roles::find).map(|role| {
        json!({
            "id": role.id,
            "name": role.name,
            "description": role.description,
            "role_type": role.role_type,
            "created_at": OPENED,
            "updated_at": OPENED,
        })
    });
    let system = system.into_iter();
    let system = system.map(|name| json!({"id": null, "name": name, "description": null, "created_at": null}));
    custom.chain(system).collect()
}
