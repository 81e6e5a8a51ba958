//! The operations of Zendesk's specification against the contract: of a family that RPCs are about, each has an RPC, and no RPC has
//! another one.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use zendesk_gateway::contract::RPCS;

/// Names a copy of what the vendor's specification says of users, groups, group memberships, user fields and jobs. What it says of
/// other records is beside it, in `openapi-more.json`.
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

/// Operations of a copy that have no RPC, though others of their family have one, each with the reason.
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

/// Returns what an operation is about: the first word of its path.
fn family(operation: &str) -> &str {
    operation.split('/').nth(1).expect("a verb and a path")
}

fn named<'a>(operations: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let both = operations.into_iter().map(|named| named.split_once(' ').expect("a verb and a path"));
    both.map(|(verb, path)| operation(verb, path)).collect()
}

/// The operations that RPCs state.
fn stated() -> BTreeSet<String> {
    let endpoints = RPCS.iter().flat_map(|rpc| rpc.endpoints);
    endpoints.map(|endpoint| operation(endpoint.verb, endpoint.path)).collect()
}

/// The operations of a copy.
fn read(copy: &Path) -> BTreeSet<String> {
    let copy: Value = serde_json::from_slice(&std::fs::read(copy).expect("it can be read")).expect("JSON");
    let items = copy["paths"].as_object().expect("paths").iter();
    let verbs = |(path, item): (&String, &Value)| {
        let verbs = item.as_object().expect("operations").keys().filter(|key| *key != "parameters").cloned();
        verbs.map(|verb| operation(&verb, path)).collect::<Vec<_>>()
    };
    items.flat_map(verbs).collect()
}

#[test]
fn every_operation_about_people_has_an_rpc() {
    let (stated, people) = (stated(), named(PEOPLE));
    assert_eq!(people.len(), PEOPLE.len(), "each once");
    assert_eq!(people.difference(&stated).collect::<Vec<_>>(), [] as [&String; 0], "no RPC states it");
}

#[test]
fn the_operations_are_those_of_the_vendors_specification() {
    let Some(path) = std::env::var_os(COPY) else {
        println!("not compared: {COPY} names no copy of Zendesk's specification");
        return;
    };
    let mut theirs = read(Path::new(&path));
    assert_eq!(theirs.symmetric_difference(&named(PEOPLE)).collect::<Vec<_>>(), [] as [&String; 0], "in PEOPLE");
    let more = Path::new(&path).with_file_name("openapi-more.json");
    if !more.exists() {
        println!("not compared: there is no {}", more.display());
        return;
    }
    theirs.extend(read(&more));
    let (stated, left_out) = (stated(), named(LEFT_OUT.map(|(operation, _)| operation)));
    let families = |operations: &BTreeSet<String>| -> BTreeSet<String> {
        operations.iter().map(|operation| family(operation).to_owned()).collect()
    };
    // What RPCs are about that is in no copy is compared with none.
    let (served, copied) = (families(&stated), families(&theirs));
    let wanted: BTreeSet<_> = theirs.iter().filter(|named| served.contains(family(named))).collect();
    let ours: BTreeSet<_> = stated.iter().chain(&left_out).filter(|named| copied.contains(family(named))).collect();
    let differing: Vec<_> = wanted.symmetric_difference(&ours).collect();
    assert!(differing.is_empty(), "in the contract or LEFT_OUT, or in the copies, and not in both: {differing:#?}");
    let both: Vec<_> = stated.intersection(&left_out).collect();
    assert!(both.is_empty(), "in the contract and in LEFT_OUT: {both:#?}");
}
