//! The operations of Zendesk's specification against the contract: each has an RPC, and no RPC has another one.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use zendesk_gateway::contract::RPCS;

/// Names a copy of the vendor's specification. What it says of other records is beside it, in `openapi-more.json`.
const COPY: &str = "ZENDESK_OPENAPI";

/// The operations about users, groups, group memberships, user fields and jobs: all that the specification has.
const PEOPLE: [&str; 65] = [
    "GET /deleted_users",
    "GET /deleted_users/{deleted_user_id}",
    "DELETE /deleted_users/{deleted_user_id}",
    "GET /deleted_users/count",
    "GET /group_memberships",
    "POST /group_memberships",
    "GET /group_memberships/{group_membership_id}",
    "DELETE /group_memberships/{group_membership_id}",
    "GET /group_memberships/assignable",
    "POST /group_memberships/create_many",
    "DELETE /group_memberships/destroy_many",
    "GET /groups",
    "POST /groups",
    "GET /groups/{group_id}",
    "PUT /groups/{group_id}",
    "DELETE /groups/{group_id}",
    "GET /groups/{group_id}/memberships",
    "GET /groups/{group_id}/memberships/assignable",
    "GET /groups/{group_id}/users",
    "GET /groups/{group_id}/users/count",
    "GET /groups/assignable",
    "GET /groups/count",
    "GET /job_statuses",
    "GET /job_statuses/{job_status_id}",
    "GET /job_statuses/show_many",
    "GET /user_fields",
    "POST /user_fields",
    "GET /user_fields/{user_field_id}",
    "PUT /user_fields/{user_field_id}",
    "DELETE /user_fields/{user_field_id}",
    "GET /user_fields/{user_field_id}/options",
    "POST /user_fields/{user_field_id}/options",
    "GET /user_fields/{user_field_id}/options/{user_field_option_id}",
    "DELETE /user_fields/{user_field_id}/options/{user_field_option_id}",
    "PUT /user_fields/reorder",
    "GET /user_fields/show_many",
    "GET /users",
    "POST /users",
    "GET /users/{user_id}",
    "PUT /users/{user_id}",
    "DELETE /users/{user_id}",
    "GET /users/{user_id}/compliance_deletion_statuses",
    "GET /users/{user_id}/entitlements/full",
    "GET /users/{user_id}/group_memberships",
    "POST /users/{user_id}/group_memberships",
    "GET /users/{user_id}/group_memberships/{group_membership_id}",
    "DELETE /users/{user_id}/group_memberships/{group_membership_id}",
    "PUT /users/{user_id}/group_memberships/{group_membership_id}/make_default",
    "GET /users/{user_id}/groups",
    "GET /users/{user_id}/groups/count",
    "PUT /users/{user_id}/merge",
    "GET /users/{user_id}/related",
    "GET /users/autocomplete",
    "POST /users/autocomplete",
    "GET /users/count",
    "POST /users/create_many",
    "POST /users/create_or_update",
    "POST /users/create_or_update_many",
    "DELETE /users/destroy_many",
    "POST /users/logout_many",
    "GET /users/me",
    "POST /users/request_create",
    "GET /users/search",
    "GET /users/show_many",
    "PUT /users/update_many",
];

/// The operations about identities, tags, organizations, roles, changes and exports that have an RPC.
const MORE: [&str; 52] = [
    "GET /custom_roles",
    "GET /custom_roles/{custom_role_id}",
    "GET /incremental/users/cursor",
    "GET /organization_memberships",
    "POST /organization_memberships",
    "POST /organization_memberships/create_many",
    "DELETE /organization_memberships/destroy_many",
    "DELETE /organization_memberships/{organization_membership_id}",
    "GET /organization_memberships/{organization_membership_id}",
    "GET /organizations",
    "POST /organizations",
    "GET /organizations/autocomplete",
    "GET /organizations/count",
    "POST /organizations/create_many",
    "POST /organizations/create_or_update",
    "DELETE /organizations/destroy_many",
    "GET /organizations/search",
    "GET /organizations/show_many",
    "PUT /organizations/update_many",
    "DELETE /organizations/{organization_id}",
    "GET /organizations/{organization_id}",
    "PUT /organizations/{organization_id}",
    "GET /organizations/{organization_id}/organization_memberships",
    "GET /organizations/{organization_id}/related",
    "DELETE /organizations/{organization_id}/tags",
    "GET /organizations/{organization_id}/tags",
    "POST /organizations/{organization_id}/tags",
    "PUT /organizations/{organization_id}/tags",
    "GET /organizations/{organization_id}/users",
    "GET /organizations/{organization_id}/users/count",
    "GET /search/export",
    "GET /users/{user_id}/identities",
    "POST /users/{user_id}/identities",
    "DELETE /users/{user_id}/identities/{user_identity_id}",
    "GET /users/{user_id}/identities/{user_identity_id}",
    "PUT /users/{user_id}/identities/{user_identity_id}",
    "PUT /users/{user_id}/identities/{user_identity_id}/make_primary",
    "PUT /users/{user_id}/identities/{user_identity_id}/request_verification",
    "PUT /users/{user_id}/identities/{user_identity_id}/verify",
    "GET /users/{user_id}/organization_memberships",
    "POST /users/{user_id}/organization_memberships",
    "DELETE /users/{user_id}/organization_memberships/{organization_membership_id}",
    "GET /users/{user_id}/organization_memberships/{organization_membership_id}",
    "PUT /users/{user_id}/organization_memberships/{organization_membership_id}/make_default",
    "GET /users/{user_id}/organizations",
    "GET /users/{user_id}/organizations/count",
    "DELETE /users/{user_id}/organizations/{organization_id}",
    "PUT /users/{user_id}/organizations/{organization_id}/make_default",
    "DELETE /users/{user_id}/tags",
    "GET /users/{user_id}/tags",
    "POST /users/{user_id}/tags",
    "PUT /users/{user_id}/tags",
];

/// Operations about these that have none, each with the reason.
const LEFT_OUT: [(&str, &str); 10] = [
    ("POST /custom_roles", "roles are there for their names"),
    ("PUT /custom_roles/{custom_role_id}", "roles are there for their names"),
    ("DELETE /custom_roles/{custom_role_id}", "roles are there for their names"),
    ("GET /incremental/users", "pages by time repeat and lose users, which those by cursor do not"),
    ("GET /organizations/{organization_id}/requests", "about tickets"),
    ("GET /organizations/{organization_id}/subscriptions", "about tickets"),
    ("GET /search", "of all kinds of records; users are searched by an endpoint of their own"),
    ("GET /search/count", "of all kinds of records"),
    ("GET /users/me/session", "about sessions of browsers"),
    ("GET /users/me/session/renew", "about sessions of browsers"),
];

/// Names an operation, whatever its path calls its parameters.
fn operation(verb: &str, path: &str) -> String {
    let path = path.trim_start_matches("/api/v2");
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    format!("{} {}", verb.to_uppercase(), path.split('/').map(part).collect::<Vec<_>>().join("/"))
}

fn named<'a>(operations: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let both = operations.into_iter().map(|named| named.split_once(' ').expect("a verb and a path"));
    both.map(|(verb, path)| operation(verb, path)).collect()
}

#[test]
fn every_operation_has_an_rpc_and_no_rpc_has_another_one() {
    let stated = RPCS.iter().flat_map(|rpc| rpc.endpoints);
    let stated: BTreeSet<String> = stated.map(|endpoint| operation(endpoint.verb, endpoint.path)).collect();
    let wanted = named(PEOPLE.into_iter().chain(MORE));
    assert_eq!(wanted.len(), PEOPLE.len() + MORE.len(), "each once");
    let differing: Vec<&String> = stated.symmetric_difference(&wanted).collect();
    assert!(differing.is_empty(), "in the contract or in PEOPLE and MORE above, and not in both: {differing:#?}");
}

#[test]
fn the_operations_are_those_of_the_vendors_specification() {
    let Some(path) = std::env::var_os(COPY) else {
        println!("not compared: {COPY} names no copy of Zendesk's specification");
        return;
    };
    let left_out: Vec<&str> = LEFT_OUT.iter().map(|(operation, _)| *operation).collect();
    let more = Path::new(&path).with_file_name("openapi-more.json");
    for (copy, ours) in [(Path::new(&path), named(PEOPLE)), (&more, named(MORE.into_iter().chain(left_out)))] {
        if !copy.exists() {
            println!("not compared: there is no {}", copy.display());
            continue;
        }
        let theirs: Value = serde_json::from_slice(&std::fs::read(copy).expect("it can be read")).expect("JSON");
        let items = theirs["paths"].as_object().expect("paths").iter();
        let verbs = |(path, item): (&String, &Value)| {
            let verbs = item.as_object().expect("operations").keys().filter(|key| *key != "parameters").cloned();
            verbs.map(|verb| operation(&verb, path)).collect::<Vec<_>>()
        };
        let theirs: BTreeSet<String> = items.flat_map(verbs).collect();
        assert_eq!(theirs.symmetric_difference(&ours).collect::<Vec<_>>(), [] as [&String; 0], "{}", copy.display());
    }
}
