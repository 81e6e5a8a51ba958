//! The contract against the wire: every RPC calls the endpoints its option states, and no other.

use std::collections::BTreeSet;

use zendesk_gateway::contract::{Endpoint, RPCS, Rpc};

use crate::support::{Dynamic, TestGateway};

/// Returns the requests that reach all endpoints of an RPC, to be made in this order: the empty one, unless it needs others.
pub fn requests_of(rpc: &str) -> Vec<&'static str> {
    let rows: Vec<_> = REQUESTS.iter().filter(|(named, _)| *named == rpc).map(|(_, request)| *request).collect();
    if rows.is_empty() { vec!["{}"] } else { rows }
}

/// Requests of RPCs for which the empty one does not do. Words in capitals are placeholders: see [`Known`]. An RPC's rows
/// are in an order in which each finds something to change, even what the one before it has done.
#[rustfmt::skip]
const REQUESTS: &[(&str, &str)] = &[
    ("GetUser", r#"{"id": 7}"#),
    ("BatchGetUsers", r#"{"ids": [7, 8]}"#),
    ("BatchGetUsers", r#"{"external_ids": ["a", "b"], "include_deleted": true}"#),
    ("GetUserRelated", r#"{"id": 7}"#),
    ("ListUsers", "{}"),
    ("ListUsers", r#"{"filter": {"group_id": 7, "roles": ["USER_ROLE_AGENT", "USER_ROLE_ADMIN"]}}"#),
    ("ListUsers", r#"{"filter": {"organization_id": 7, "external_id": "a"}}"#),
    ("StreamUsers", "{}"),
    ("StreamUsers", r#"{"filter": {"group_id": 7}}"#),
    ("StreamUsers", r#"{"filter": {"organization_id": 7}}"#),
    ("SearchUsers", r#"{"filter": {"query": "jo"}}"#),
    ("StreamSearchUsers", r#"{"filter": {"external_id": "a"}}"#),
    ("ExportUsers", r#"{"query": "jo"}"#),
    ("StreamExportUsers", r#"{"query": "jo"}"#),
    ("AutocompleteUsers", r#"{"name": "jo", "field_id": "7", "source": "zen:user", "dynamic_values": {"a": "b"}}"#),
    ("GetUserEntitlements", r#"{"id": 7}"#),
    ("RemoveUserPhoto", r#"{"id": 7}"#),
    ("AutocompleteUsers", r#"{"name": "jo", "filter": "AUTOCOMPLETE_FILTER_REQUESTER"}"#),
    ("CountUsers", r#"{"filter": {"roles": ["USER_ROLE_AGENT"], "permission_set": 7}}"#),
    ("CountUsers", r#"{"filter": {"group_id": 7}}"#),
    ("CountUsers", r#"{"filter": {"organization_id": 7}}"#),
    ("GetDeletedUser", r#"{"id": 7}"#),
    ("ListDeletedUsers", r#"{"sort": "-id"}"#),
    ("ListComplianceDeletionStatuses", r#"{"user_id": 7, "application": "chat"}"#),
    ("StreamComplianceDeletionStatuses", r#"{"user_id": 7}"#),
    ("GetGroup", r#"{"id": 7}"#),
    ("ListGroups", r#"{"filter": {"exclude_deleted": true}}"#),
    ("ListGroups", r#"{"filter": {"user_id": 7}}"#),
    ("StreamGroups", "{}"),
    ("StreamGroups", r#"{"filter": {"user_id": 7}}"#),
    ("CountGroups", "{}"),
    ("CountGroups", r#"{"filter": {"user_id": 7}}"#),
    ("GetMembership", r#"{"id": 7}"#),
    ("GetMembership", r#"{"id": 7, "user_id": 8}"#),
    ("ListMemberships", r#"{"include_users": true, "include_groups": true}"#),
    ("ListMemberships", r#"{"filter": {"user_id": 7}}"#),
    ("ListMemberships", r#"{"filter": {"group_id": 7}}"#),
    ("StreamMemberships", "{}"),
    ("StreamMemberships", r#"{"filter": {"user_id": 7}}"#),
    ("StreamMemberships", r#"{"filter": {"group_id": 7}}"#),
    ("ListAssignableMemberships", "{}"),
    ("ListAssignableMemberships", r#"{"filter": {"group_id": 7}}"#),
    ("StreamAssignableMemberships", "{}"),
    ("StreamAssignableMemberships", r#"{"filter": {"group_id": 7}}"#),
    ("GetJob", r#"{"id": "V3-0123456789abcdef0123456789abcdef"}"#),
    ("CreateUser", r#"{"user": {"name": "A"}}"#),
    ("CreateUser", r#"{"user": {"name": "F", "user_fields": {"plan": "gold"}}, "check_user_fields": true}"#),
    ("CreateOrUpdateUser", r#"{"user": {"email": "a@b.example"}}"#),
    ("CreateOrUpdateUser", r#"{"user": {"email": "f@b.example", "user_fields": {"vip": true}}, "check_user_fields": true}"#),
    ("RequestUserCreate", r#"{"user": {"name": "A", "email": "c@b.example"}}"#),
    ("UpdateUser", r#"{"id": 7, "user": {"notes": "n"}}"#),
    ("UpdateUser", r#"{"id": 7, "user": {"user_fields": {"seats": 7}}, "check_user_fields": true}"#),
    ("UploadUserPhoto", r#"{"id": 7, "content": "R0lGODlh", "content_type": "image/gif", "file_name": "a.gif"}"#),
    ("MergeUser", r#"{"id": 7, "target_id": 8}"#),
    ("DeleteUser", r#"{"id": 7}"#),
    ("LogoutUsers", r#"{"ids": [7, 8]}"#),
    ("BulkCreateUsers", r#"{"users": [{"name": "B", "external_id": "b"}, {"name": "C"}], "wait": true}"#),
    ("BulkCreateUsers", r#"{"users": [{"name": "D", "user_fields": {"plan": "gold"}}], "check_user_fields": true}"#),
    ("BulkCreateOrUpdateUsers", r#"{"users": [{"email": "d@b.example"}], "wait": true}"#),
    ("BulkCreateOrUpdateUsers", r#"{"users": [{"email": "g@b.example", "user_fields": {"plan": null}}], "check_user_fields": true}"#),
    ("BulkUpdateUsers", r#"{"ids": [7], "user": {"notes": "n"}, "wait": true}"#),
    ("BulkUpdateUsers", r#"{"users": [{"id": 7, "user": {"notes": "n"}}], "wait": true}"#),
    ("BulkUpdateUsers", r#"{"ids": [7], "user": {"user_fields": {"plan": "free"}}, "check_user_fields": true}"#),
    ("BulkDeleteUsers", r#"{"external_ids": ["nobody"], "wait": true}"#),
    ("StreamBulkCreateUsers", r#"{"users": [{"name": "B", "external_id": "s"}, {"name": "C"}]}"#),
    ("StreamBulkCreateOrUpdateUsers", r#"{"users": [{"email": "e@b.example"}]}"#),
    ("StreamBulkCreateUsers", r#"{"users": [{"name": "E", "user_fields": {"plan": "gold"}}], "check_user_fields": true}"#),
    ("StreamBulkCreateOrUpdateUsers", r#"{"users": [{"email": "h@b.example", "user_fields": {"plan": "gold"}}], "check_user_fields": true}"#),
    ("StreamBulkUpdateUsers", r#"{"ids": [7], "user": {"user_fields": {"plan": "gold"}}, "check_user_fields": true}"#),
    ("StreamBulkUpdateUsers", r#"{"ids": [7], "user": {"notes": "n"}}"#),
    ("StreamBulkUpdateUsers", r#"{"users": [{"id": 7, "user": {"notes": "n"}}]}"#),
    ("StreamBulkDeleteUsers", r#"{"external_ids": ["nobody"]}"#),
    ("PermanentlyDeleteUser", r#"{"id": 7}"#),
    ("CreateGroup", r#"{"group": {"name": "G"}}"#),
    ("UpdateGroup", r#"{"id": 7, "group": {"name": "G"}}"#),
    ("DeleteGroup", r#"{"id": 7}"#),
    ("GetGroupWithAgents", r#"{"id": GROUP}"#),
    ("CreateGroupWithAgents", r#"{"group": {"name": "H"}, "agents": {"user_ids": [AGENT1]}}"#),
    ("CreateGroupWithAgents", r#"{"group": {"name": "I"}, "agents": {"user_ids": [AGENT1, AGENT2, AGENT3]}}"#),
    ("UpdateGroupWithAgents", r#"{"id": GROUP, "group": {"description": "d"}, "agents": {"user_ids": [AGENT1]}}"#),
    ("UpdateGroupWithAgents", r#"{"id": GROUP, "agents": {"user_ids": [AGENT1, AGENT2, AGENT3, AGENT4]}}"#),
    ("UpdateGroupWithAgents", r#"{"id": GROUP, "agents": {"user_ids": [AGENT1]}}"#),
    ("UpdateGroupWithAgents", r#"{"id": GROUP, "agents": {"user_ids": [AGENT1, AGENT2]}}"#),
    ("UpdateGroupWithAgents", r#"{"id": GROUP, "agents": {"user_ids": [AGENT2]}}"#),
    ("CreateMembership", r#"{"group_membership": {"user_id": 7, "group_id": 8}}"#),
    ("CreateMembership", r#"{"group_membership": {"user_id": 7, "group_id": 8}, "under_user": true}"#),
    ("BulkCreateMemberships", r#"{"group_memberships": [{"user_id": 7, "group_id": 8}], "wait": true}"#),
    ("SetDefaultMembership", r#"{"id": 7, "user_id": 8}"#),
    ("DeleteMembership", r#"{"id": 7}"#),
    ("DeleteMembership", r#"{"id": 7, "user_id": 8}"#),
    ("BulkDeleteMemberships", r#"{"ids": [7, 8], "wait": true}"#),
    ("StreamBulkCreateMemberships", r#"{"group_memberships": [{"user_id": 7, "group_id": 8}]}"#),
    ("StreamBulkDeleteMemberships", r#"{"ids": [7, 8]}"#),
    ("SetUserGroups", r#"{"user_id": AGENT1, "group_ids": [GROUP], "default_group_id": GROUP}"#),
    ("SetUserGroups", r#"{"user_id": AGENT1, "group_ids": [GROUP, GROUP2, GROUP3, GROUP4], "default_group_id": GROUP2}"#),
    ("SetUserGroups", r#"{"user_id": AGENT1, "group_ids": [GROUP]}"#),
    ("SetUserGroups", r#"{"user_id": AGENT1, "group_ids": [GROUP, GROUP2]}"#),
    ("SetUserGroups", r#"{"user_id": AGENT1, "group_ids": [GROUP]}"#),
    ("ListUserIdentities", r#"{"user_id": 7, "filter": {"types": ["IDENTITY_TYPE_EMAIL", "IDENTITY_TYPE_GOOGLE"]}}"#),
    ("StreamUserIdentities", r#"{"user_id": 7}"#),
    ("GetUserIdentity", r#"{"user_id": 7, "id": 8}"#),
    ("CreateUserIdentity", r#"{"user_id": 7, "identity": {"type": "IDENTITY_TYPE_TWITTER", "value": "t"}}"#),
    ("UpdateUserIdentity", r#"{"user_id": 7, "id": 8, "identity": {"verified": true}}"#),
    ("MakeUserIdentityPrimary", r#"{"user_id": 7, "id": 8}"#),
    ("VerifyUserIdentity", r#"{"user_id": 7, "id": 8}"#),
    ("RequestUserIdentityVerification", r#"{"user_id": 7, "id": 8}"#),
    ("DeleteUserIdentity", r#"{"user_id": 7, "id": 8}"#),
    ("ChangeUserEmail", r#"{"user_id": AGENT2, "email": "c1@new.example", "verified": true, "old": "OLD_EMAIL_REMOVE"}"#),
    ("ChangeUserEmail", r#"{"user_id": AGENT2, "email": "c2@new.example"}"#),
    ("ChangeUserEmail", r#"{"user_id": AGENT2, "email": "c2@new.example", "verified": true}"#),
    ("ChangeUserEmail", r#"{"user_id": AGENT2, "email": "c1@new.example", "old": "OLD_EMAIL_REMOVE", "old_email": "c2@new.example"}"#),
    ("StreamChangedUsers", r#"{"start_time": "2026-01-01T00:00:00Z"}"#),
    ("ListUserTags", r#"{"user_id": 7}"#),
    ("AddUserTags", r#"{"user_id": 7, "tags": ["t"]}"#),
    ("SetUserTags", r#"{"user_id": 7, "tags": ["t"]}"#),
    ("RemoveUserTags", r#"{"user_id": 7, "tags": ["t"]}"#),
    ("GetCustomRole", r#"{"id": 7}"#),
    ("GetOrganization", r#"{"id": 7}"#),
    ("GetOrganizationRelated", r#"{"id": 7}"#),
    ("ListOrganizations", r#"{"filter": {"user_id": 7}}"#),
    ("ListOrganizations", "{}"),
    ("StreamOrganizations", r#"{"filter": {"user_id": 7}}"#),
    ("StreamOrganizations", "{}"),
    ("CountOrganizations", r#"{"filter": {"user_id": 7}}"#),
    ("CountOrganizations", "{}"),
    ("BatchGetOrganizations", r#"{"ids": [7, 8]}"#),
    ("CreateOrganization", r#"{"organization": {"name": "O"}}"#),
    ("ListOrganizationTags", r#"{"organization_id": 7}"#),
    ("AddOrganizationTags", r#"{"organization_id": 7, "tags": ["t"]}"#),
    ("SetOrganizationTags", r#"{"organization_id": 7, "tags": ["t"]}"#),
    ("RemoveOrganizationTags", r#"{"organization_id": 7, "tags": ["t"]}"#),
    ("CreateOrUpdateOrganization", r#"{"organization": {"name": "P", "external_id": "p"}}"#),
    ("UpdateOrganization", r#"{"id": 7, "organization": {"notes": "n"}}"#),
    ("DeleteOrganization", r#"{"id": 7}"#),
    ("BulkCreateOrganizations", r#"{"organizations": [{"name": "n"}], "wait": true}"#),
    ("BulkUpdateOrganizations", r#"{"ids": [7, 8], "organization": {"notes": "n"}, "wait": true}"#),
    ("BulkUpdateOrganizations", r#"{"organizations": [{"id": 7, "organization": {"notes": "n"}}]}"#),
    ("BulkDeleteOrganizations", r#"{"ids": [7, 8], "wait": true}"#),
    ("BulkDeleteOrganizations", r#"{"external_ids": ["a"]}"#),
    ("StreamBulkCreateOrganizations", r#"{"organizations": [{"name": "n"}]}"#),
    ("StreamBulkUpdateOrganizations", r#"{"ids": [7, 8], "organization": {"notes": "n"}}"#),
    ("StreamBulkDeleteOrganizations", r#"{"ids": [7, 8]}"#),
    ("SearchOrganizations", r#"{"filter": {"name": "o"}}"#),
    ("AutocompleteOrganizations", r#"{"name": "o"}"#),
    ("GetOrganizationMembership", r#"{"id": 7}"#),
    ("GetOrganizationMembership", r#"{"id": 7, "user_id": 8}"#),
    ("ListOrganizationMemberships", r#"{"include_users": true, "include_organizations": true}"#),
    ("ListOrganizationMemberships", r#"{"filter": {"user_id": 7}}"#),
    ("ListOrganizationMemberships", r#"{"filter": {"organization_id": 7}}"#),
    ("StreamOrganizationMemberships", "{}"),
    ("StreamOrganizationMemberships", r#"{"filter": {"user_id": 7}}"#),
    ("StreamOrganizationMemberships", r#"{"filter": {"organization_id": 7}}"#),
    ("CreateOrganizationMembership", r#"{"organization_membership": {"user_id": 7, "organization_id": 8}}"#),
    ("CreateOrganizationMembership", r#"{"organization_membership": {"user_id": 7, "organization_id": 8}, "under_user": true}"#),
    ("BulkCreateOrganizationMemberships", r#"{"organization_memberships": [{"user_id": 7, "organization_id": 8}], "wait": true}"#),
    ("SetDefaultOrganizationMembership", r#"{"id": 7, "user_id": 8}"#),
    ("SetDefaultOrganization", r#"{"user_id": 7, "organization_id": 8}"#),
    ("DeleteOrganizationMembership", r#"{"id": 7}"#),
    ("DeleteOrganizationMembership", r#"{"id": 7, "user_id": 8}"#),
    ("UnassignOrganization", r#"{"user_id": 7, "organization_id": 8}"#),
    ("BulkDeleteOrganizationMemberships", r#"{"ids": [7, 8], "wait": true}"#),
    ("StreamBulkCreateOrganizationMemberships", r#"{"organization_memberships": [{"user_id": 7, "organization_id": 8}]}"#),
    ("StreamBulkDeleteOrganizationMemberships", r#"{"ids": [7, 8]}"#),
    ("GetUserField", r#"{"id": 7}"#),
    ("BatchGetUserFields", r#"{"keys": ["plan", "vip"]}"#),
    ("CreateUserField", r#"{"user_field": {"key": "k", "title": "K"}}"#),
    ("UpdateUserField", r#"{"id": 7, "user_field": {"title": "K"}}"#),
    ("DeleteUserField", r#"{"id": 7}"#),
    ("ReorderUserFields", r#"{"ids": [7, 8]}"#),
    ("ListUserFieldOptions", r#"{"user_field_id": 7}"#),
    ("StreamUserFieldOptions", r#"{"user_field_id": 7}"#),
    ("GetUserFieldOption", r#"{"user_field_id": 7, "id": 8}"#),
    ("CreateOrUpdateUserFieldOption", r#"{"user_field_id": 7, "custom_field_option": {"name": "N", "value": "v"}}"#),
    ("DeleteUserFieldOption", r#"{"user_field_id": 7, "id": 8}"#),
    ("BatchGetJobs", r#"{"ids": ["a", "b"]}"#),
    ("WatchJobs", r#"{"ids": ["JOB"]}"#),
];

/// Endpoints that no row of [`REQUESTS`] reaches, each with the test that reaches it, or with the reason why none does. `*` stands
/// for all RPCs.
const NOT_REACHED_HERE: &[(&str, &str)] = &[
    // cache::concurrent_reads_of_users_leave_together
    ("GetUser", "/api/v2/users/show_many"),
    ("GetOrganization", "/api/v2/organizations/show_many"),
    // jobs::a_job_that_is_never_found_is_named: asked for by itself once it should be known
    ("WatchJobs", "/api/v2/job_statuses/{id}"),
    // Bulk calls follow their jobs together and ask for none by itself; the endpoint is stated for authorization.
    ("*", "/api/v2/job_statuses/{job_status_id}"),
];

#[tokio::test]
#[ignore = "slow"]
async fn every_rpc_calls_the_endpoints_of_its_option_and_no_other() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let known = Known::of(&t);
    for rpc in RPCS {
        let mut called = BTreeSet::new();
        for request in requests_of(rpc.method) {
            t.sandbox.reset_stats();
            // Ids that nobody has are fine: what is compared is what was asked, not what was answered.
            client.call(rpc.method, &known.fill(request)).await.ok();
            let requests = t.sandbox.requests();
            assert!(!requests.is_empty(), "{} {request} sent nothing", rpc.method);
            for sent in requests {
                let endpoint = endpoint_of(rpc, &sent.method, &sent.path);
                let endpoint = endpoint.unwrap_or_else(|| panic!("{} sent {} {}", rpc.method, sent.method, sent.path));
                called.insert((endpoint.verb, endpoint.path));
            }
        }
        for endpoint in rpc.endpoints {
            // The definitions that values are compared with are kept: the first RPC that asks for them asks Zendesk.
            let is_kept =
                endpoint.path == "/api/v2/user_fields" && rpc.service == "UserService" && rpc.method != "CreateUser";
            let is_excused = |rpc| is_kept || NOT_REACHED_HERE.contains(&(rpc, endpoint.path));
            let was_called = called.contains(&(endpoint.verb, endpoint.path));
            assert!(
                was_called || is_excused(rpc.method) || is_excused("*"),
                "no request of {} in REQUESTS reached {} {}",
                rpc.method,
                endpoint.verb,
                endpoint.path
            );
        }
    }
}

/// Finds the endpoint of an RPC's option that a request on the wire belongs to.
pub fn endpoint_of<'a>(rpc: &'a Rpc, verb: &str, path: &str) -> Option<&'a Endpoint> {
    rpc.endpoints.iter().find(|endpoint| endpoint.verb == verb && fits(endpoint.path, path))
}

fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found => {}
            // A parameter is an id, which has a digit: `/users/show_many` must not pass for `/users/{id}`.
            (Some(wanted), Some(found))
                if wanted.starts_with('{') && found.bytes().any(|byte| byte.is_ascii_digit()) => {}
            _ => return false,
        }
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn no_rpc_is_unimplemented() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    for rpc in RPCS {
        let code = client.call(rpc.method, "{}").await.err().map(|status| status.code());
        assert_ne!(code, Some(tonic::Code::Unimplemented), "{}", rpc.method);
    }
}

/// Ids of records that the stand-in holds, by the placeholders that stand for them in [`REQUESTS`].
pub struct Known(Vec<(&'static str, String)>);

impl Known {
    pub fn of(t: &TestGateway) -> Self {
        let held = t.held_memberships();
        // The account is seeded agent by agent, so an agent's memberships follow each other.
        let mut agents: Vec<i64> = held.iter().map(|row| row.user_id).collect();
        agents.dedup();
        let groups = t.sandbox.store().groups();
        let live = groups.iter().filter(|group| group["deleted"] == false).map(|group| group["id"].to_string());
        // `GROUP` comes last: it would also replace the beginning of the others.
        let names = ["GROUP4", "GROUP3", "GROUP2", "GROUP"];
        let mut known: Vec<(&str, String)> = names.into_iter().zip(live).collect();
        let names = ["AGENT1", "AGENT2", "AGENT3", "AGENT4"];
        known.extend(names.into_iter().zip(agents.iter().map(i64::to_string)));
        known.push(("JOB", t.sandbox.store().job_ids()[0].clone()));
        Self(known)
    }

    /// Puts the ids in the place of a request's placeholders.
    pub fn fill(&self, request: &str) -> String {
        self.0.iter().fold(request.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

#[test]
fn every_rpc_states_what_it_calls_and_what_it_risks() {
    use zendesk_gateway::contract::{Idempotency, Risk};
    for rpc in RPCS {
        assert!(!rpc.endpoints.is_empty(), "{} states no endpoint", rpc.method);
        // What is searched for may be too long for a URL, and then goes as the body of a POST.
        let reads = |endpoint: &Endpoint| endpoint.verb == "GET" || endpoint.path == "/api/v2/users/autocomplete";
        let reads_only = rpc.endpoints.iter().all(reads);
        assert_eq!(reads_only, rpc.risk == Risk::Read, "{}", rpc.method);
        assert_eq!(reads_only, rpc.idempotency == Idempotency::NoSideEffects, "{}", rpc.method);
        assert!(rpc.endpoints.iter().all(|endpoint| endpoint.path.starts_with("/api/v2/")), "{}", rpc.method);
    }
}
