//! Every write RPC with every field set: what is sent fits the schema of its operation.

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage as _, Value};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;
use zendesk_gateway::contract::{RPCS, Risk, Rpc};
use zendesk_gateway::sandbox::faults::{Respond, any};

use super::schema::{Schema, operation};
use super::values::{every_path, full, mask, put, set_paths, variants};
use crate::contract::{Known, endpoint_of, requests_of};
use crate::support::{Dynamic, TestGateway};

/// What an update refuses: see `invalid::an_update_refuses_what_is_for_creation_set_or_named_by_its_mask`.
const FOR_CREATION: &[&str] = &["organization", "group_ids", "active_brand_id", "separation", "password", "identities"];

/// RPC, request without the message that is filled, the field of that message.
const FILLED: &[(&str, &str, &str)] = &[
    ("CreateUser", "{}", "user"),
    ("CreateOrUpdateUser", "{}", "user"),
    ("RequestUserCreate", "{}", "user"),
    ("UpdateUser", r#"{"id": 7}"#, "user"),
    ("BulkCreateUsers", r#"{"wait": true}"#, "users"),
    ("BulkCreateOrUpdateUsers", r#"{"wait": true}"#, "users"),
    ("BulkUpdateUsers", r#"{"ids": [7], "wait": true}"#, "user"),
    ("BulkUpdateUsers", r#"{"external_ids": ["e"], "brand_id": 7}"#, "user"),
    ("CreateGroup", "{}", "group"),
    ("UpdateGroup", r#"{"id": 7}"#, "group"),
    ("CreateGroupWithAgents", r#"{"agents": {}}"#, "group"),
    ("UpdateGroupWithAgents", r#"{"id": 7}"#, "group"),
    ("CreateMembership", "{}", "group_membership"),
    ("CreateMembership", r#"{"under_user": true}"#, "group_membership"),
    ("BulkCreateMemberships", r#"{"wait": true}"#, "group_memberships"),
    ("CreateOrganizationMembership", "{}", "organization_membership"),
    ("CreateOrganizationMembership", r#"{"under_user": true}"#, "organization_membership"),
    ("BulkCreateOrganizationMemberships", r#"{"wait": true}"#, "organization_memberships"),
    ("CreateUserIdentity", r#"{"user_id": 7, "skip_verify_email": true, "brand_id": 7}"#, "identity"),
    ("UpdateUserIdentity", r#"{"user_id": 7, "id": 8}"#, "identity"),
    ("CreateOrganization", "{}", "organization"),
    ("CreateOrUpdateOrganization", "{}", "organization"),
    ("CreateOrUpdateOrganization", r#"{"id": 7}"#, "organization"),
    ("UpdateOrganization", r#"{"id": 7}"#, "organization"),
    ("CreateUserField", "{}", "user_field"),
    ("UpdateUserField", r#"{"id": 7}"#, "user_field"),
    ("CreateOrUpdateUserFieldOption", r#"{"user_field_id": 7}"#, "custom_field_option"),
    ("BulkCreateOrganizations", r#"{"wait": true}"#, "organizations"),
    ("BulkUpdateOrganizations", r#"{"ids": [7], "wait": true}"#, "organization"),
    ("BulkUpdateOrganizations", r#"{"external_ids": ["e"]}"#, "organization"),
];

/// Requests that hold no message of fields, or hold several.
const PLAIN: &[(&str, &str)] = &[
    (
        "UploadUserPhoto",
        r#"{"id": 9223372036854775807, "content": "R0lGODlh", "content_type": "image/gif", "file_name": "Zoë 🦀.gif"}"#,
    ),
    ("RemoveUserPhoto", r#"{"id": 9223372036854775807}"#),
    (
        "AutocompleteUsers",
        r#"{"phone": "+1", "field_id": "9007199254740993", "source": "zen:user", "brand_id": "7", "dynamic_values": {"a": [1]}}"#,
    ),
    (
        "AutocompleteUsers",
        r#"{"name": "Zoë", "field_id": "7", "source": "zen:ticket", "brand_id": "all", "dynamic_values": {"a": "b"}}"#,
    ),
    ("MergeUser", r#"{"id": 9223372036854775807, "target_id": 9007199254740993}"#),
    ("MergeUser", r#"{"id": 1, "target_id": 2}"#),
    ("DeleteUser", r#"{"id": 9223372036854775807}"#),
    ("PermanentlyDeleteUser", r#"{"id": 9223372036854775807}"#),
    ("LogoutUsers", r#"{"ids": [1]}"#),
    ("LogoutUsers", r#"{"ids": [1, 9007199254740993, 9223372036854775807]}"#),
    ("BulkUpdateUsers", r#"{"ids": [1, 9223372036854775807], "user": {"notes": "n"}}"#),
    ("BulkUpdateUsers", r#"{"external_ids": ["Zoë 🦀", "a b&c=d?", "%2C"], "brand_id": 0, "user": {"notes": "n"}}"#),
    ("BulkUpdateUsers", r#"{"external_ids": ["e"], "brand_id": 9223372036854775807, "user": {"notes": "n"}}"#),
    ("BulkCreateOrUpdateUsers", r#"{"users": [{"id": 9223372036854775807, "notes": "n"}, {"email": "a@b.example"}]}"#),
    ("BulkDeleteUsers", r#"{"ids": [1, 9223372036854775807], "wait": true}"#),
    ("BulkDeleteUsers", r#"{"external_ids": ["Zoë 🦀", "a b&c=d?", "%2C"], "brand_id": 0}"#),
    ("BulkDeleteUsers", r#"{"external_ids": ["e"], "brand_id": 9223372036854775807}"#),
    ("DeleteGroup", r#"{"id": 9223372036854775807}"#),
    ("DeleteMembership", r#"{"id": 9223372036854775807, "user_id": 9223372036854775807}"#),
    ("SetDefaultMembership", r#"{"id": 9223372036854775807, "user_id": 9223372036854775807}"#),
    ("BulkDeleteMemberships", r#"{"ids": [1, 9223372036854775807], "wait": true}"#),
    ("MakeUserIdentityPrimary", r#"{"user_id": 9223372036854775807, "id": 9223372036854775807}"#),
    ("VerifyUserIdentity", r#"{"user_id": 9223372036854775807, "id": 9223372036854775807}"#),
    ("RequestUserIdentityVerification", r#"{"user_id": 7, "id": 8, "brand_id": 9223372036854775807}"#),
    ("DeleteUserIdentity", r#"{"user_id": 9223372036854775807, "id": 9223372036854775807}"#),
    ("AddUserTags", r#"{"user_id": 9223372036854775807, "tags": ["Zoë", "🦀", "a:b/c"]}"#),
    ("SetUserTags", r#"{"user_id": 7, "tags": []}"#),
    ("RemoveUserTags", r#"{"user_id": 7, "tags": ["Zoë", "🦀"]}"#),
    ("DeleteOrganizationMembership", r#"{"id": 9223372036854775807, "user_id": 9223372036854775807}"#),
    ("UnassignOrganization", r#"{"user_id": 9223372036854775807, "organization_id": 9223372036854775807}"#),
    ("SetDefaultOrganizationMembership", r#"{"id": 9223372036854775807, "user_id": 9223372036854775807}"#),
    ("SetDefaultOrganization", r#"{"user_id": 9223372036854775807, "organization_id": 9223372036854775807}"#),
    ("BulkDeleteOrganizationMemberships", r#"{"ids": [1, 9223372036854775807], "wait": true}"#),
    ("DeleteUserField", r#"{"id": 9223372036854775807}"#),
    ("ReorderUserFields", r#"{"ids": [1, 9223372036854775807]}"#),
    ("DeleteUserFieldOption", r#"{"user_field_id": 9223372036854775807, "id": 9223372036854775807}"#),
    ("DeleteOrganization", r#"{"id": 9223372036854775807}"#),
    ("BulkUpdateOrganizations", r#"{"organizations": [{"id": 9223372036854775807, "organization": {"notes": "n"}}]}"#),
    ("BulkDeleteOrganizations", r#"{"ids": [1, 9223372036854775807], "wait": true}"#),
    ("BulkDeleteOrganizations", r#"{"external_ids": ["Zoë 🦀", "a b&c=d?", "%2C"]}"#),
    ("AddOrganizationTags", r#"{"organization_id": 9223372036854775807, "tags": ["Zoë", "🦀"]}"#),
    ("SetOrganizationTags", r#"{"organization_id": 7, "tags": []}"#),
    ("RemoveOrganizationTags", r#"{"organization_id": 7, "tags": ["Zoë"]}"#),
];

/// Fields that no request carries to Zendesk, each with the reason.
const NOT_SENT: &[(&str, &str)] = &[
    // Plans are made of reads.
    ("CreateGroupWithAgents", "validate_only"),
    ("UpdateGroupWithAgents", "validate_only"),
    ("SetUserGroups", "validate_only"),
    ("ChangeUserEmail", "validate_only"),
    // What is sent does not depend on it: see user_fields.
    ("CreateUser", "check_user_fields"),
    ("CreateOrUpdateUser", "check_user_fields"),
    ("UpdateUser", "check_user_fields"),
    ("BulkCreateUsers", "check_user_fields"),
    ("BulkCreateOrUpdateUsers", "check_user_fields"),
    ("BulkUpdateUsers", "check_user_fields"),
];

/// Where a user has its id. It is refused but where many are created or updated, for which it stands among the requests above.
const OF_MANY_ONLY: [&str; 3] = ["user.id", "users.id", "users.user.id"];

/// Calls RPCs and holds what they send against the schema.
struct Checker {
    t: TestGateway,
    client: Dynamic,
    schema: Schema,
    /// RPC and path of every field that was set in a request that was sent.
    fields: BTreeSet<(&'static str, String)>,
    operations: BTreeSet<String>,
    sent: usize,
}

impl Checker {
    async fn start() -> Self {
        let t = TestGateway::start().await;
        let client = Dynamic::new(t.channel.clone());
        let (fields, operations) = (BTreeSet::new(), BTreeSet::new());
        Self { t, client, schema: Schema::load(), fields, operations, sent: 0 }
    }

    /// Calls an RPC. Either what it sends is right, or the gateway refuses a field, which is returned.
    async fn call(&mut self, rpc: &'static Rpc, request: &DynamicMessage) -> Option<String> {
        self.t.sandbox.reset_stats();
        let outcome = self.client.send(rpc.method, request, &[] as &[(&str, &str)]).await;
        let requests = self.t.sandbox.requests();
        let writes: Vec<_> = requests.iter().filter(|sent| sent.method != "GET").collect();
        if let Err(status) = &outcome {
            let details = status.get_error_details();
            if details.error_info().is_some_and(|info| info.reason == "INVALID_FIELD") {
                assert_eq!((status.code(), writes.len()), (Code::InvalidArgument, 0), "{}: {request}", rpc.method);
                return Some(details.bad_request().expect("a field").field_violations[0].field.clone());
            }
        }
        assert!(!writes.is_empty(), "{} sent nothing: {request}", rpc.method);
        for sent in writes {
            let endpoint = endpoint_of(rpc, &sent.method, &sent.path).expect("an endpoint of the RPC");
            let name = operation(endpoint.verb, endpoint.path);
            let problems = self.schema.problems(&name, sent);
            let body = String::from_utf8_lossy(&sent.body);
            assert!(problems.is_empty(), "{} sent {name}?{} {body}\n{problems:#?}", rpc.method, sent.query);
            self.operations.insert(name);
            self.sent += 1;
        }
        self.fields.extend(set_paths(request).into_iter().map(|path| (rpc.method, path)));
        None
    }

    /// Calls an RPC with a request in which one field is of interest: only that one may be refused.
    async fn call_about(&mut self, rpc: &'static Rpc, request: &DynamicMessage, field: &str) {
        if let Some(refused) = self.call(rpc, request).await {
            // A separation goes with a name only.
            let mut parts = refused.split('.').map(|part| part.split('[').next().unwrap_or_default());
            let own = parts.any(|part| part == field || (field == "name" && part == "separation"));
            assert!(own, "{}: {refused} was refused, not {field}: {request}", rpc.method);
        }
    }
}

fn rpc(method: &str) -> &'static Rpc {
    RPCS.iter().find(|rpc| rpc.method == method).unwrap_or_else(|| panic!("no RPC {method}"))
}

fn is_update(method: &str) -> bool {
    method == "UpdateUser" || method == "BulkUpdateUsers"
}

/// Fields that an RPC refuses, and the one of users that says alone which one is meant: no message has it beside all others.
fn left_out(method: &str, input: &MessageDescriptor) -> Vec<&'static str> {
    let refused = if is_update(method) { FOR_CREATION } else { &[] };
    refused.iter().copied().chain((input.name() == "UserInput").then_some("id")).collect()
}

/// Every field with every value, and every mask that names one.
async fn fill(checker: &mut Checker, method: &str, template: &str, at: &str) {
    let rpc = rpc(method);
    let template = checker.client.message(method, template);
    let field = template.descriptor().get_field_by_name(at).expect("the field that is filled");
    let Kind::Message(input) = field.kind() else { panic!("{at} is no message") };
    let left_out = &left_out(method, &input)[..];
    let everything = full(&input, left_out);
    let mut request = template.clone();
    put(&mut request, at, everything.clone());
    assert_eq!(checker.call(rpc, &request).await, None, "{method} takes a request with every field");
    for variant in variants(&input, left_out) {
        put(&mut request, at, variant.message);
        checker.call_about(rpc, &request, &variant.field).await;
    }
    if !request.descriptor().fields().any(|field| field.name() == "update_mask") {
        return;
    }
    for field in input.fields().filter(|field| !left_out.contains(&field.name())) {
        // Who is meant goes with every mask of an upsert.
        let mut unset = DynamicMessage::new(input.clone());
        let mut paths = vec![field.name()];
        if method.starts_with("CreateOrUpdate") {
            unset.set_field_by_name("external_id", Value::String("e".to_owned()));
            paths.push("external_id");
        }
        for message in [unset, everything.clone()] {
            put(&mut request, at, message);
            mask(&mut request, &paths);
            checker.call_about(rpc, &request, field.name()).await;
        }
    }
    let mut all: Vec<String> = input.fields().map(|field| field.name().to_owned()).collect();
    all.retain(|name| !left_out.contains(&name.as_str()));
    let custom = all.iter().filter(|name| name.ends_with("_fields"));
    let single: Vec<String> = custom.flat_map(|name| [format!("{name}.plan"), format!("{name}.Zoë.🦀")]).collect();
    let all: Vec<&str> = all.iter().chain(&single).map(String::as_str).collect();
    put(&mut request, at, everything);
    mask(&mut request, &all);
    assert_eq!(checker.call(rpc, &request).await, None, "{method} takes a mask of every field");
}

/// Every field with every value, in a bulk update that has a change of its own for each row. `keys` are the fields that name the row.
async fn fill_updates(
    checker: &mut Checker,
    method: &str,
    rows: &str,
    row: &str,
    keys: &[(&str, Value, Option<&'static str>)],
) {
    let rpc = rpc(method);
    for (key, value, known) in keys {
        let request = checker.client.message(rpc.method, "{}");
        let update = request.descriptor().get_field_by_name(rows).expect("changes").kind();
        let update = DynamicMessage::new(update.as_message().expect("a change").clone());
        let input = update.descriptor().get_field_by_name(row).expect("values").kind();
        let input = input.as_message().expect("a row").clone();
        // The key is no value at the same time.
        let left_out: Vec<&str> = left_out(method, &input).into_iter().chain(*known).collect();
        let mut call = async |values: DynamicMessage, masked: Option<&str>, field: &str| {
            let (mut request, mut update) = (request.clone(), update.clone());
            update.set_field_by_name(key, value.clone());
            put(&mut update, row, values);
            if let Some(path) = masked {
                mask(&mut update, &[path]);
            }
            put(&mut request, rows, update);
            checker.call_about(rpc, &request, field).await;
        };
        for variant in variants(&input, &left_out) {
            call(variant.message, None, &variant.field).await;
        }
        for field in input.fields().filter(|field| !left_out.contains(&field.name())) {
            call(DynamicMessage::new(input.clone()), Some(field.name()), field.name()).await;
            call(full(&input, &left_out), Some(field.name()), field.name()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn every_request_of_every_write_fits_zendesks_schema() {
    let mut checker = Checker::start().await;
    let known = Known::of(&checker.t);
    let writes = || RPCS.iter().filter(|rpc| rpc.risk != Risk::Read);
    for rpc in writes() {
        for request in requests_of(rpc.method) {
            let request = checker.client.message(rpc.method, &known.fill(request));
            assert_eq!(checker.call(rpc, &request).await, None, "{request}");
        }
    }
    // What is sent does not depend on the answer, and no job has to be followed.
    checker.t.sandbox.fault(any("*"), Respond::with(404).forever());
    for (method, request) in PLAIN {
        let request = checker.client.message(method, request);
        assert_eq!(checker.call(rpc(method), &request).await, None, "{request}");
    }
    for (method, template, at) in FILLED {
        fill(&mut checker, method, template, at).await;
    }
    let (id, external_id) = (("id", Value::I64(i64::MAX), None), Value::String("Zoë".to_owned()));
    let keys = [id.clone(), ("external_id", external_id, Some("external_id"))];
    fill_updates(&mut checker, "BulkUpdateUsers", "users", "user", &keys).await;
    fill_updates(&mut checker, "BulkUpdateOrganizations", "organizations", "organization", &[id]).await;

    // A bulk stream sends what the bulk call with its rows sends.
    for rpc in writes().filter(|rpc| !rpc.client_streaming) {
        for path in every_path(&checker.client.method(rpc.method).input()) {
            let refused =
                is_update(rpc.method) && FOR_CREATION.iter().any(|name| path.split('.').any(|part| part == *name));
            let refused = refused || OF_MANY_ONLY.contains(&path.as_str());
            let sent = checker.fields.contains(&(rpc.method, path.clone()));
            assert!(sent || refused || NOT_SENT.contains(&(rpc.method, &path)), "{}.{path} was never sent", rpc.method);
        }
    }
    let all = checker.schema.names();
    let missed: Vec<&String> = all.iter().filter(|name| !checker.operations.contains(*name)).collect();
    assert!(missed.is_empty(), "never called: {missed:?}");
    assert!(checker.sent > 1_500, "{}", checker.sent);
}

#[test]
fn the_schema_describes_every_write_of_the_contract_and_nothing_else() {
    let endpoints = RPCS.iter().flat_map(|rpc| rpc.endpoints).filter(|endpoint| endpoint.verb != "GET");
    let stated: BTreeSet<String> = endpoints.map(|endpoint| operation(endpoint.verb, endpoint.path)).collect();
    assert_eq!(stated, Schema::load().names().into_iter().collect());
}

#[test]
fn the_schema_refuses_what_zendesk_does_not_know() {
    let schema = Schema::load();
    let (create, update) = ("POST /api/v2/users", "PUT /api/v2/users/{}");
    let many = "PUT /api/v2/users/update_many";
    for (name, body, fits) in [
        (create, json!({"user": {"name": "A", "identities": [{"type": "email", "value": "v"}]}}), true),
        (create, json!({"user": {"name": "A", "identities": [{"type": 1, "value": "v"}]}}), false),
        (create, json!({"user": {"name": "A", "identities": [{"type": "email"}]}}), false),
        (create, json!({"user": {"name": "A", "role": "king"}}), false),
        (create, json!({"user": {"name": "A", "shoe_size": 46}}), false),
        (create, json!({"user": {"name": "A"}, "users": []}), false),
        (create, json!({"user": {"name": null}}), false),
        (create, json!({"user": {"name": "A", "separation": {"scope": "account", "brand_id": 7}}}), false),
        (create, json!({}), false),
        (update, json!({"user": {"notes": null, "organization_id": 7, "tags": []}}), true),
        (update, json!({"user": {"identities": [{"type": "email", "value": "v"}]}}), false),
        (update, json!({"user": {"password": "p"}}), false),
        (update, json!({"user": {"organization_id": "7"}}), false),
        (update, json!({"user": {"email": null}}), false),
        (many, json!({"users": [{"id": 7, "notes": "n"}, {"external_id": "e", "tags": ["t"]}]}), true),
        (many, json!({"users": [{"id": "7"}]}), false),
        (many, json!({"user": {"notes": "n"}, "users": []}), false),
        ("PUT /api/v2/groups/{}", json!({"group": {"description": ""}}), true),
        ("PUT /api/v2/groups/{}", json!({"group": {"description": null}}), false),
        ("POST /api/v2/group_memberships", json!({"group_membership": {"user_id": 1, "group_id": 2}}), true),
        ("POST /api/v2/group_memberships", json!({"group_membership": {"group_id": 2}}), false),
        ("POST /api/v2/users/{}/group_memberships", json!({"group_membership": {"user_id": 1, "group_id": 2}}), false),
    ] {
        let problems = schema.problems_of_body(name, &body);
        assert_eq!(problems.is_empty(), fits, "{name} {body}: {problems:?}");
    }
}
