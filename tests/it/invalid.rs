//! Bad input is refused by its field's name before anything is sent.

use tonic::Code;

use crate::support::{Dynamic, TestGateway, refused};

/// RPC, request, the field that must be named.
#[rustfmt::skip]
const REFUSED: &[(&str, &str, &str)] = &[
    ("GetUser", "{}", "id"),
    ("GetUser", r#"{"id": -7}"#, "id"),
    ("GetUserRelated", r#"{"id": 0}"#, "id"),
    ("GetDeletedUser", r#"{"id": -1}"#, "id"),
    ("BatchGetUsers", "{}", "ids"),
    ("BatchGetUsers", r#"{"ids": [1, 0, -3]}"#, "ids[1] ids[2]"),
    ("BatchGetUsers", r#"{"ids": [1], "external_ids": ["a"]}"#, "external_ids"),
    ("BatchGetUsers", r#"{"external_ids": ["a,b"]}"#, "external_ids[0]"),
    ("BatchGetUsers", r#"{"external_ids": [" "]}"#, "external_ids[0]"),
    ("BatchGetUsers", r#"{"ids": [1], "brand_id": "7"}"#, "brand_id"),
    ("ListUsers", r#"{"page_size": -1}"#, "page_size"),
    ("ListUsers", r#"{"page_size": 101}"#, "page_size"),
    ("ListUsers", r#"{"page_token": "not a token"}"#, "page_token"),
    ("ListUsers", r#"{"page_token": "AAAA"}"#, "page_token"),
    ("ListUsers", r#"{"sort": "name; drop"}"#, "sort"),
    ("ListUsers", r#"{"sort": "-"}"#, "sort"),
    ("ListUsers", r#"{"filter": {"group_id": 7}, "sort": "name"}"#, "sort"),
    ("ListUsers", r#"{"filter": {"group_id": 0}}"#, "filter.group_id"),
    ("ListUsers", r#"{"filter": {"organization_id": -3}}"#, "filter.organization_id"),
    ("ListUsers", r#"{"filter": {"group_id": 7, "brand_id": "1"}}"#, "filter.brand_id"),
    ("ListUsers", r#"{"filter": {"brand_id": "one"}}"#, "filter.brand_id"),
    ("ListUsers", r#"{"filter": {"permission_set": 0}}"#, "filter.permission_set"),
    ("ListUsers", r#"{"filter": {"external_id": ""}}"#, "filter.external_id"),
    ("ListUsers", r#"{"filter": {"roles": ["USER_ROLE_UNSPECIFIED"]}}"#, "filter.roles[0]"),
    ("ListUsers", r#"{"filter": {"roles": [99]}}"#, "filter.roles[0]"),
    ("StreamUsers", r#"{"page_size": 1000}"#, "page_size"),
    ("StreamUsers", r#"{"filter": {"roles": [99]}}"#, "filter.roles[0]"),
    ("CountUsers", r#"{"filter": {"external_id": "a"}}"#, "filter.external_id"),
    ("CountUsers", r#"{"filter": {"group_id": -1}}"#, "filter.group_id"),
    ("SearchUsers", "{}", "filter.query"),
    ("SearchUsers", r#"{"filter": {"query": ""}}"#, "filter.query"),
    ("SearchUsers", r#"{"filter": {"query": "  "}}"#, "filter.query"),
    ("SearchUsers", r#"{"filter": {"query": "a", "external_id": "b"}}"#, "filter.external_id"),
    ("StreamSearchUsers", r#"{"filter": {}}"#, "filter.query"),
    ("ExportUsers", "{}", "query"),
    ("ExportUsers", r#"{"query": " ", "page_size": 101}"#, "query page_size"),
    ("StreamExportUsers", r#"{"query": "a", "page_token": "x"}"#, "page_token"),
    ("AutocompleteUsers", "{}", "name"),
    ("AutocompleteUsers", r#"{"name": "a", "phone": "1"}"#, "phone"),
    ("AutocompleteUsers", r#"{"name": "a", "field_id": "1"}"#, "source"),
    ("AutocompleteUsers", r#"{"name": "a", "filter": 9}"#, "filter"),
    ("AutocompleteUsers", r#"{"name": "a", "page_size": 101}"#, "page_size"),
    ("AutocompleteUsers", r#"{"name": "a", "filter": 1, "dynamic_values": {"a": 1e300}}"#, "field_id filter dynamic_values.a"),
    ("AutocompleteUsers", r#"{"name": "a", "field_id": "x", "source": "zen:user", "dynamic_values": {}}"#, "field_id"),
    ("GetUserEntitlements", "{}", "id"),
    ("RemoveUserPhoto", "{}", "id"),
    ("ListDeletedUsers", r#"{"page_size": 200}"#, "page_size"),
    ("ListComplianceDeletionStatuses", r#"{"user_id": 0}"#, "user_id"),
    ("ListComplianceDeletionStatuses", r#"{"user_id": 1, "application": ""}"#, "application"),
    ("StreamComplianceDeletionStatuses", r#"{"user_id": -1}"#, "user_id"),
    ("GetGroup", r#"{"id": 0}"#, "id"),
    ("ListGroups", r#"{"filter": {"user_id": 0}}"#, "filter.user_id"),
    ("ListGroups", r#"{"page_size": 101}"#, "page_size"),
    ("CountGroups", r#"{"filter": {"user_id": -2}}"#, "filter.user_id"),
    ("CountGroups", r#"{"filter": {"exclude_deleted": true}}"#, "filter.exclude_deleted"),
    ("ListAssignableGroups", r#"{"page_size": 101}"#, "page_size"),
    ("GetMembership", r#"{"id": 0}"#, "id"),
    ("GetMembership", r#"{"id": 1, "user_id": 0}"#, "user_id"),
    ("ListMemberships", r#"{"filter": {"user_id": 0}}"#, "filter.user_id"),
    ("ListMemberships", r#"{"filter": {"group_id": -4}}"#, "filter.group_id"),
    ("ListMemberships", r#"{"filter": {"group_id": 4}, "sort": "id"}"#, "sort"),
    ("ListAssignableMemberships", r#"{"filter": {"group_id": 0}}"#, "filter.group_id"),
    ("GetJob", "{}", "id"),
    ("GetJob", r#"{"id": "../users"}"#, "id"),
    ("GetJob", r#"{"id": "a/b"}"#, "id"),
    ("GetJob", r#"{"id": "a,b"}"#, "id"),
    ("GetJob", r#"{"id": "%2e%2e"}"#, "id"),
    ("CreateUser", "{}", "user"),
    ("CreateUser", r#"{"user": {}}"#, "user.name"),
    ("CreateUser", r#"{"user": {"email": "a@b.example"}}"#, "user.name"),
    ("CreateUser", r#"{"user": {"name": " "}}"#, "user.name"),
    ("CreateUser", r#"{"user": {"name": "A", "role": "USER_ROLE_UNSPECIFIED"}}"#, "user.role"),
    ("CreateUser", r#"{"user": {"name": "A", "organization_id": -1}}"#, "user.organization_id"),
    ("CreateUser", r#"{"user": {"name": "A", "group_ids": [0]}}"#, "user.group_ids[0]"),
    ("CreateUser", r#"{"user": {"name": "A", "organization": {"name": ""}}}"#, "user.organization.name"),
    ("CreateUser", r#"{"user": {"name": "A", "identities": [{"type": 0, "value": "x"}]}}"#, "user.identities[0].type"),
    ("CreateUser", r#"{"user": {"name": "A", "identities": [{"type": 1, "value": ""}]}}"#, "user.identities[0].value"),
    ("CreateUser", r#"{"user": {"name": "A", "user_fields": {"n": [9007199254740994]}}}"#, "user.user_fields.n"),
    ("CreateUser", r#"{"user": {"name": "A", "user_fields": {"n": 9007199254740992}}}"#, "user.user_fields.n"),
    ("CreateUser", r#"{"user": {"name": "A", "user_fields": {"n": -1e300}}}"#, "user.user_fields.n"),
    ("CreateOrUpdateUser", r#"{"user": {"name": "A"}}"#, "user.email"),
    ("CreateOrUpdateUser", r#"{"user": {"email": "a@b.example", "name": "A"}, "update_mask": "name"}"#, "user.email"),
    ("RequestUserCreate", r#"{"user": {"name": "A"}}"#, "user.email"),
    ("UpdateUser", r#"{"user": {"name": "A"}}"#, "id"),
    ("UpdateUser", r#"{"id": 7}"#, "user"),
    ("UpdateUser", r#"{"id": 7, "user": {}}"#, "user"),
    ("UpdateUser", r#"{"id": 7, "user": {"name": "A"}, "update_mask": "nom"}"#, "update_mask"),
    ("UpdateUser", r#"{"id": 7, "user": {"name": "A"}, "update_mask": "name,userFields."}"#, "update_mask"),
    ("UpdateUser", r#"{"id": 7, "user": {"password": "p"}}"#, "user.password"),
    ("CreateUser", r#"{"user": {"name": "A", "separation": {}}}"#, "user.separation.scope"),
    ("CreateUser", r#"{"user": {"name": "A", "separation": {"scope": 2}}}"#, "user.separation.brand_id"),
    ("CreateUser", r#"{"user": {"name": "A", "separation": {"scope": 2, "brand_id": 0}}}"#, "user.separation.brand_id"),
    ("CreateUser", r#"{"user": {"name": "A", "separation": {"scope": 1, "brand_id": 7}}}"#, "user.separation.brand_id"),
    ("CreateOrUpdateUser", r#"{"user": {"email": "a@b.example", "separation": {"scope": 1}}}"#, "user.separation"),
    ("CreateOrUpdateUser", r#"{"user": {"external_id": "e"}, "update_mask": "externalId,email"}"#, "user.email"),
    ("CreateOrUpdateUser", r#"{"user": {"external_id": "e"}, "update_mask": "externalId,organization"}"#, "user.organization"),
    ("CreateOrUpdateUser", r#"{"user": {"external_id": "e"}, "update_mask": "externalId,password"}"#, "user.password"),
    ("UpdateUser", r#"{"id": 7, "update_mask": "name", "user": {}}"#, "user.name"),
    ("UpdateUser", r#"{"id": 7, "update_mask": "notes,role", "user": {"notes": "n"}}"#, "user.role"),
    ("UpdateUser", r#"{"id": 7, "update_mask": "email", "user": {}}"#, "user.email"),
    ("BulkUpdateUsers", r#"{"ids": [7], "update_mask": "email", "user": {}}"#, "user.email"),
    ("BulkUpdateUsers", r#"{"users": [{"id": 7, "update_mask": "role", "user": {}}]}"#, "users[0].user.role"),
    ("UpdateGroup", r#"{"id": 7, "group": {}, "update_mask": "isPublic"}"#, "group.is_public"),
    ("MergeUser", r#"{"id": 7, "target_id": 7}"#, "target_id"),
    ("MergeUser", r#"{"id": 7}"#, "target_id"),
    ("DeleteUser", "{}", "id"),
    ("PermanentlyDeleteUser", r#"{"id": -7}"#, "id"),
    ("LogoutUsers", "{}", "ids"),
    ("LogoutUsers", r#"{"ids": [7, 7]}"#, "ids[0] ids[1]"),
    ("BulkCreateUsers", "{}", "users"),
    ("BulkCreateUsers", r#"{"users": [{"name": "A"}, {}]}"#, "users[1].name"),
    ("BulkCreateUsers", r#"{"users": [{"name": "A", "email": "x@y.z"}, {"name": "B", "email": "X@Y.Z"}]}"#, "users[0].email users[1].email"),
    ("BulkCreateOrUpdateUsers", r#"{"users": [{"name": "A"}]}"#, "users[0].email"),
    ("BulkCreateOrUpdateUsers", r#"{"users": [{"id": 0, "name": "A"}]}"#, "users[0].id"),
    ("BulkCreateOrUpdateUsers", r#"{"users": [{"id": 7, "email": "x@y.z"}, {"id": 8, "external_id": "e"}]}"#, "users[0].email users[1].external_id"),
    ("BulkCreateOrUpdateUsers", r#"{"users": [{"id": 7, "name": "A", "separation": {"scope": 1}}]}"#, "users[0].separation"),
    ("BulkCreateOrUpdateUsers", r#"{"users": [{"id": 7}, {"email": "x@y.z"}, {"id": 7}]}"#, "users[0].id users[2].id"),
    ("BulkCreateUsers", r#"{"users": [{"id": 7, "name": "A"}]}"#, "users[0].id"),
    ("BulkUpdateUsers", r#"{"users": [{"id": 7, "user": {"id": 7, "notes": "n"}}]}"#, "users[0].user.id"),
    ("CreateUser", r#"{"user": {"id": 7, "name": "A"}}"#, "user.id"),
    ("CreateOrUpdateUser", r#"{"user": {"id": 7, "email": "x@y.z"}}"#, "user.id"),
    ("UpdateUser", r#"{"id": 7, "user": {"id": 7, "notes": "n"}}"#, "user.id"),
    ("UpdateUser", r#"{"id": 7, "update_mask": "id,notes", "user": {"notes": "n"}}"#, "user.id"),
    ("BulkUpdateUsers", "{}", "ids user"),
    ("BulkUpdateUsers", r#"{"ids": [7], "external_ids": ["a"], "user": {"notes": "n"}}"#, "external_ids"),
    ("BulkUpdateUsers", r#"{"ids": [7], "users": [{"id": 8}]}"#, "users users[0].user"),
    ("BulkUpdateUsers", r#"{"ids": [7]}"#, "user"),
    ("BulkUpdateUsers", r#"{"ids": [7, 8, 7], "user": {"notes": "n"}}"#, "ids[0] ids[2]"),
    ("BulkUpdateUsers", r#"{"ids": [7], "user": {"notes": "n"}, "brand_id": 1}"#, "brand_id"),
    ("BulkUpdateUsers", r#"{"external_ids": ["a", "A"], "user": {"notes": "n"}}"#, "external_ids[0] external_ids[1]"),
    ("BulkUpdateUsers", r#"{"external_ids": ["a,b"], "user": {"notes": "n"}}"#, "external_ids[0]"),
    ("BulkUpdateUsers", r#"{"users": [{"id": 8}]}"#, "users[0].user"),
    ("BulkUpdateUsers", r#"{"users": [{"user": {"notes": "n"}}]}"#, "users[0].id"),
    ("BulkUpdateUsers", r#"{"users": [{"id": 8, "user": {"notes": "n"}}, {"id": 8, "user": {"notes": "m"}}]}"#, "users[0].id users[1].id"),
    ("BulkUpdateUsers", r#"{"users": [{"id": 8, "user": {"notes": "n"}}], "user": {"notes": "n"}}"#, "user"),
    ("BulkDeleteUsers", "{}", "ids"),
    ("BulkDeleteUsers", r#"{"ids": [7], "external_ids": ["a"]}"#, "external_ids"),
    ("BulkDeleteUsers", r#"{"ids": [0]}"#, "ids[0]"),
    ("CreateGroup", "{}", "group"),
    ("CreateGroup", r#"{"group": {"description": "d"}}"#, "group.name"),
    ("UpdateGroup", r#"{"id": 7, "group": {"name": ""}}"#, "group.name"),
    ("UpdateGroup", r#"{"id": 7, "group": {}, "update_mask": "name"}"#, "group.name"),
    ("DeleteGroup", "{}", "id"),
    ("GetGroupWithAgents", "{}", "id"),
    ("CreateGroupWithAgents", r#"{"group": {"name": "G"}, "agents": {"user_ids": [0]}}"#, "agents.user_ids[0]"),
    ("UpdateGroupWithAgents", r#"{"id": 7}"#, "agents"),
    ("UpdateGroupWithAgents", r#"{"id": 7, "agents": {"user_ids": [-1]}}"#, "agents.user_ids[0]"),
    ("UpdateGroupWithAgents", r#"{"id": 7, "agents": {}, "update_mask": "name"}"#, "group"),
    ("CreateMembership", "{}", "group_membership"),
    ("CreateMembership", r#"{"group_membership": {"group_id": 7}}"#, "group_membership.user_id"),
    ("CreateMembership", r#"{"group_membership": {"user_id": 7}}"#, "group_membership.group_id"),
    ("BulkCreateMemberships", "{}", "group_memberships"),
    ("BulkCreateMemberships", r#"{"group_memberships": [{"user_id": 1, "group_id": 2}, {"user_id": 1}]}"#, "group_memberships[1].group_id"),
    ("BulkCreateMemberships", r#"{"group_memberships": [{"user_id": 1, "group_id": 2}, {"user_id": 1, "group_id": 2}]}"#, "group_memberships[0] group_memberships[1]"),
    ("BulkDeleteMemberships", r#"{"ids": [1, 1]}"#, "ids[0] ids[1]"),
    ("SetDefaultMembership", r#"{"id": 1}"#, "user_id"),
    ("DeleteMembership", r#"{"id": 1, "user_id": 0}"#, "user_id"),
    ("SetUserGroups", r#"{"user_id": 1}"#, "group_ids"),
    ("SetUserGroups", r#"{"group_ids": [1]}"#, "user_id"),
    ("ListUserIdentities", r#"{"filter": {"types": [1, 99]}}"#, "user_id filter.types[1]"),
    ("StreamUserIdentities", r#"{"user_id": 7, "page_size": 101}"#, "page_size"),
    ("GetUserIdentity", "{}", "user_id id"),
    ("CreateUserIdentity", r#"{"user_id": 7}"#, "identity"),
    ("CreateUserIdentity", r#"{"identity": {}, "brand_id": 0}"#, "user_id identity.value identity.type brand_id"),
    ("CreateUserIdentity", r#"{"user_id": 7, "identity": {"type": "IDENTITY_TYPE_MICROSOFT", "value": "v"}}"#, "identity.type"),
    ("CreateUser", r#"{"user": {"name": "A", "identities": [{"type": "IDENTITY_TYPE_MICROSOFT", "value": "v"}]}}"#, "user.identities[0].type"),
    ("UpdateUserIdentity", r#"{"user_id": 7, "id": 8}"#, "identity"),
    ("UpdateUserIdentity", r#"{"user_id": 7, "id": 8, "identity": {}}"#, "identity"),
    ("UpdateUserIdentity", r#"{"user_id": 7, "id": 8, "identity": {"value": " "}}"#, "identity.value"),
    ("UpdateUserIdentity", r#"{"user_id": 7, "id": 8, "identity": {}, "update_mask": "value,verified"}"#, "identity.value identity.verified"),
    ("MakeUserIdentityPrimary", "{}", "user_id id"),
    ("VerifyUserIdentity", r#"{"user_id": 7}"#, "id"),
    ("RequestUserIdentityVerification", r#"{"id": 7, "brand_id": -1}"#, "user_id brand_id"),
    ("DeleteUserIdentity", r#"{"id": 7}"#, "user_id"),
    ("ChangeUserEmail", r#"{"email": "a"}"#, "user_id email"),
    ("ChangeUserEmail", r#"{"user_id": 7, "email": "a b@x.example"}"#, "email"),
    ("ChangeUserEmail", r#"{"user_id": 7, "email": "a@x.example", "old": 9}"#, "old"),
    ("ChangeUserEmail", r#"{"user_id": 7, "email": "a@x.example", "old_email": "b@x.example"}"#, "old_email"),
    ("ChangeUserEmail", r#"{"user_id": 7, "email": "a@x.example", "old": "OLD_EMAIL_REMOVE", "old_email": "A@x.example"}"#, "old_email"),
    ("StreamChangedUsers", "{}", "start_time"),
    ("StreamChangedUsers", r#"{"start_time": "2100-01-01T00:00:00Z"}"#, "start_time"),
    ("StreamChangedUsers", r#"{"page_token": "x"}"#, "page_token"),
    ("ListUserTags", "{}", "user_id"),
    ("AddUserTags", "{}", "user_id tags"),
    ("AddUserTags", r#"{"user_id": 7, "tags": ["a", "", "b c"]}"#, "tags[1] tags[2]"),
    ("SetUserTags", r#"{"user_id": 7, "tags": [" "]}"#, "tags[0]"),
    ("RemoveUserTags", r#"{"user_id": 7}"#, "tags"),
    ("GetCustomRole", "{}", "id"),
    ("ListCustomRoles", r#"{"page_size": 101}"#, "page_size"),
    ("StreamCustomRoles", r#"{"page_token": "x"}"#, "page_token"),
    ("GetOrganization", r#"{"id": -1}"#, "id"),
    ("GetOrganizationRelated", "{}", "id"),
    ("BatchGetOrganizations", "{}", "ids"),
    ("BatchGetOrganizations", r#"{"ids": [1, 0], "external_ids": ["a,b"]}"#, "external_ids ids[1] external_ids[0]"),
    ("ListOrganizations", r#"{"filter": {"user_id": 0}, "page_size": 101}"#, "filter.user_id page_size"),
    ("StreamOrganizations", r#"{"sort": "notes"}"#, "sort"),
    ("CountOrganizations", r#"{"filter": {"user_id": -2}}"#, "filter.user_id"),
    ("SearchOrganizations", "{}", "filter.name"),
    ("SearchOrganizations", r#"{"filter": {"name": "a", "external_id": "b"}}"#, "filter.external_id"),
    ("SearchOrganizations", r#"{"filter": {"external_id": " "}, "page_size": -1}"#, "filter.external_id page_size"),
    ("AutocompleteOrganizations", r#"{"field_id": "1"}"#, "name source"),
    ("CreateOrganization", "{}", "organization"),
    ("ListOrganizationTags", "{}", "organization_id"),
    ("AddOrganizationTags", r#"{"tags": ["a b"]}"#, "organization_id tags[0]"),
    ("SetOrganizationTags", r#"{"tags": []}"#, "organization_id"),
    ("RemoveOrganizationTags", r#"{"organization_id": 7}"#, "tags"),
    ("CreateOrganization", r#"{"organization": {"group_id": 0}}"#, "organization.group_id organization.name"),
    ("CreateOrUpdateOrganization", r#"{"organization": {"name": "O"}}"#, "organization.external_id"),
    ("CreateOrUpdateOrganization", r#"{"id": -1, "organization": {"name": " ", "external_id": "e"}}"#, "id organization.name"),
    ("UpdateOrganization", r#"{"organization": {}}"#, "id organization"),
    ("UpdateOrganization", r#"{"id": 7, "organization": {}, "update_mask": "name,sharedTickets,organizationFields"}"#, "organization.organization_fields organization.name organization.shared_tickets"),
    ("DeleteOrganization", "{}", "id"),
    ("GetOrganizationMembership", r#"{"user_id": 0}"#, "id user_id"),
    ("ListOrganizationMemberships", r#"{"filter": {"user_id": 0}, "page_size": 101}"#, "filter.user_id page_size"),
    ("ListOrganizationMemberships", r#"{"filter": {"organization_id": -1}, "sort": "id"}"#, "sort filter.organization_id"),
    ("StreamOrganizationMemberships", r#"{"sort": "name"}"#, "sort"),
    ("CreateOrganizationMembership", "{}", "organization_membership"),
    ("CreateOrganizationMembership", r#"{"organization_membership": {}}"#, "organization_membership.user_id organization_membership.organization_id"),
    ("BulkCreateOrganizationMemberships", "{}", "organization_memberships"),
    ("BulkCreateOrganizationMemberships", r#"{"organization_memberships": [{"user_id": 1, "organization_id": 2}, {"user_id": 1, "organization_id": 2}, {"organization_id": 2}]}"#,
        "organization_memberships[2].user_id organization_memberships[0] organization_memberships[1]"),
    ("SetDefaultOrganizationMembership", "{}", "user_id id"),
    ("SetDefaultOrganization", r#"{"user_id": 7}"#, "organization_id"),
    ("DeleteOrganizationMembership", r#"{"user_id": -1}"#, "id user_id"),
    ("UnassignOrganization", "{}", "user_id organization_id"),
    ("BulkCreateOrganizations", "{}", "organizations"),
    ("BulkCreateOrganizations", r#"{"organizations": [{"name": "a"}, {"name": "A "}, {"name": " ", "group_id": -1}]}"#,
        "organizations[2].group_id organizations[2].name organizations[0].name organizations[1].name"),
    ("BulkUpdateOrganizations", r#"{"organization": {"notes": "n"}}"#, "ids"),
    ("BulkUpdateOrganizations", r#"{"ids": [1], "external_ids": ["a"], "organization": {"notes": "n"}}"#, "external_ids"),
    ("BulkUpdateOrganizations", r#"{"ids": [0], "organization": {}}"#, "organization ids[0]"),
    ("BulkUpdateOrganizations", r#"{"ids": [1], "organization": {}, "organizations": [{"id": 1}]}"#, "ids organization organizations[0].organization"),
    ("BulkUpdateOrganizations", r#"{"organizations": [{"id": 0, "organization": {"notes": "n"}, "update_mask": "gone"}]}"#,
        "organizations[0].id organizations[0].update_mask"),
    ("BulkDeleteOrganizations", "{}", "ids"),
    ("BulkDeleteOrganizations", r#"{"ids": [1, 1]}"#, "ids[0] ids[1]"),
    ("BulkDeleteOrganizations", r#"{"external_ids": ["a,b"]}"#, "external_ids[0]"),
    ("BulkDeleteOrganizationMemberships", r#"{"ids": [1, 1, 0]}"#, "ids[2] ids[0] ids[1]"),
    ("BatchGetJobs", "{}", "ids"),
    ("WatchJobs", r#"{"ids": ["a/.."]}"#, "ids[0]"),
    ("ListUsers", r#"{"sort": "email"}"#, "sort"),
    ("StreamUsers", r#"{"sort": "-email"}"#, "sort"),
    ("ListDeletedUsers", r#"{"sort": "deleted_at"}"#, "sort"),
    ("StreamDeletedUsers", r#"{"sort": "deleted_at"}"#, "sort"),
    ("ListGroups", r#"{"sort": "description"}"#, "sort"),
    ("StreamGroups", r#"{"sort": "description"}"#, "sort"),
    ("ListMemberships", r#"{"sort": "name"}"#, "sort"),
    ("StreamMemberships", r#"{"sort": "name"}"#, "sort"),
    ("ListUserFields", r#"{"page_size": 101}"#, "page_size"),
    ("StreamUserFields", r#"{"page_token": "x"}"#, "page_token"),
    ("GetUserField", "{}", "id"),
    ("BatchGetUserFields", "{}", "keys"),
    ("BatchGetUserFields", r#"{"keys": ["a", "b c", "", "d,e"]}"#, "keys[1] keys[2] keys[3]"),
    ("CreateUserField", "{}", "user_field"),
    ("CreateUserField", r#"{"user_field": {"type": 99}}"#, "user_field.type"),
    ("CreateUserField", r#"{"user_field": {"custom_field_options": [{"id": 0, "name": "N"}]}}"#,
        "user_field.custom_field_options[0].id user_field.custom_field_options[0].value user_field.key user_field.title"),
    ("CreateUserField", r#"{"user_field": {"key": "k", "title": "K", "relationship_filter": {"all": [1e300]}}}"#, "user_field.relationship_filter.all"),
    ("UpdateUserField", r#"{"user_field": {}}"#, "id user_field"),
    ("UpdateUserField", r#"{"id": 7, "user_field": {}, "update_mask": "title,type,active,position,relationshipFilter,gone"}"#,
        "update_mask user_field.title user_field.type user_field.active user_field.position user_field.relationship_filter"),
    ("DeleteUserField", "{}", "id"),
    ("ReorderUserFields", "{}", "ids"),
    ("ReorderUserFields", r#"{"ids": [7, 0, 7]}"#, "ids[1] ids[0] ids[2]"),
    ("ListUserFieldOptions", "{}", "user_field_id"),
    ("StreamUserFieldOptions", r#"{"user_field_id": 7, "page_size": -1}"#, "page_size"),
    ("GetUserFieldOption", "{}", "user_field_id id"),
    ("CreateOrUpdateUserFieldOption", "{}", "user_field_id custom_field_option"),
    ("CreateOrUpdateUserFieldOption", r#"{"user_field_id": 7, "custom_field_option": {"id": -1, "value": " "}}"#,
        "custom_field_option.id custom_field_option.name custom_field_option.value"),
    ("DeleteUserFieldOption", r#"{"id": -1}"#, "user_field_id id"),
    // Nothing is read of the definitions for it.
    ("CreateUser", r#"{"user": {"user_fields": {"gone": 1}}, "check_user_fields": true}"#, "user.name"),
    ("BulkCreateUsers", r#"{"users": [{"user_fields": {"gone": 1}}], "check_user_fields": true}"#, "users[0].name"),
    // All that is wrong is told at once.
    ("ListUsers", r#"{"filter": {"roles": [2, 99], "brand_id": "one", "permission_set": -1}, "page_size": 500, "sort": "email"}"#,
        "filter.roles[1] filter.permission_set filter.brand_id page_size sort"),
    ("ListUsers", r#"{"filter": {"group_id": 0, "brand_id": "1"}, "sort": "name"}"#, "sort filter.group_id filter.brand_id"),
    ("AutocompleteUsers", r#"{"field_id": "1", "filter": 9, "brand_id": "x"}"#, "name source filter brand_id"),
    ("CreateUser", r#"{"user": {"role": "USER_ROLE_UNSPECIFIED", "organization_id": -1, "identities": [{"type": 1}, {"type": 99, "value": "v"}]}}"#,
        "user.organization_id user.identities[0].value user.role user.identities[1].type"),
    ("RequestUserCreate", r#"{"user": {"notes": "n"}}"#, "user.name user.email"),
    ("UpdateUser", r#"{"user": {"group_ids": [7]}, "update_mask": "groupIds,password,nom,num"}"#, "update_mask update_mask user.group_ids user.password id"),
    ("UpdateUser", r#"{"id": 7, "user": {"role": 99}, "update_mask": "role,nmae"}"#, "update_mask user.role"),
    ("UpdateUser", r#"{"id": 7, "user": {"user_fields": {"a": 1e300, "b": 1, "c": [1e300]}}}"#, "user.user_fields.a user.user_fields.c"),
    ("ListUsers", r#"{"sort": "x", "page_size": -1, "page_token": "x"}"#, "page_size sort page_token"),
    ("StreamUsers", r#"{"sort": "x", "page_token": "x"}"#, "sort page_token"),
    ("SearchUsers", r#"{"page_token": "x"}"#, "filter.query page_token"),
    ("BatchGetUsers", r#"{"ids": [1, 0], "external_ids": ["", "a,b"], "brand_id": "x"}"#, "external_ids ids[1] external_ids[0] external_ids[1] brand_id"),
    ("BatchGetUsers", r#"{"ids": [1, 0], "brand_id": "7"}"#, "ids[1] brand_id"),
    ("BulkUpdateUsers", r#"{"ids": [5, 6, 5, 0, 6], "user": {"role": 99}}"#, "user.role ids[3] ids[0] ids[2] ids[1] ids[4]"),
    ("BulkUpdateUsers", r#"{"ids": [0], "users": [{"id": 0, "user": {"notes": "n"}}], "brand_id": 1}"#, "users brand_id ids[0] users[0].id"),
    ("BulkDeleteUsers", r#"{"ids": [0], "external_ids": [""]}"#, "external_ids ids[0] external_ids[0]"),
    ("BulkCreateMemberships", r#"{"group_memberships": [{"user_id": 1, "group_id": 2}, {"user_id": 1, "group_id": 2}, {"group_id": 2}]}"#,
        "group_memberships[2].user_id group_memberships[0] group_memberships[1]"),
    ("BulkCreateUsers", r#"{"users": [{"name": "A", "email": "a@x.y"}, {"email": "A@X.Y"}, {"name": "B", "external_id": "e"}, {"name": "C", "external_id": "E"}]}"#,
        "users[1].name users[0].email users[1].email users[2].external_id users[3].external_id"),
    ("UpdateUser", r#"{"id": 7, "user": {"group_ids": [7]}, "update_mask": "groupIds,password,name"}"#, "user.group_ids user.password user.name"),
    ("UpdateUser", r#"{"id": 7, "update_mask": "name"}"#, "user"),
    ("UploadUserPhoto", "{}", "id content_type content file_name"),
    ("MergeUser", "{}", "id target_id"),
    ("BulkCreateUsers", r#"{"users": [{}, {"name": "A"}, {"name": "B", "group_ids": [1, 0]}]}"#, "users[0].name users[2].group_ids[1]"),
    ("BulkUpdateUsers", r#"{"users": [{"user": {"notes": "n"}}, {"id": -1}], "user": {"notes": "n"}}"#,
        "user users[0].id users[1].id users[1].user"),
    ("CreateGroupWithAgents", r#"{"group": {}, "agents": {"user_ids": [0]}}"#, "group.name agents.user_ids[0]"),
    ("UpdateGroupWithAgents", r#"{"group": {"name": ""}, "agents": {"user_ids": [1, -1]}}"#, "id group.name agents.user_ids[1]"),
    ("CreateMembership", r#"{"group_membership": {}}"#, "group_membership.user_id group_membership.group_id"),
    ("BulkCreateMemberships", r#"{"group_memberships": [{}]}"#, "group_memberships[0].user_id group_memberships[0].group_id"),
    ("SetDefaultMembership", "{}", "user_id id"),
    ("SetUserGroups", r#"{"group_ids": [1, 0], "default_group_id": 7}"#, "user_id default_group_id group_ids[1]"),
];

#[tokio::test]
async fn bad_input_is_refused_by_name_and_nothing_is_sent() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    for (rpc, request, field) in REFUSED {
        let refused = refused(client.call(rpc, request).await);
        assert_eq!(refused.code, Code::InvalidArgument, "{rpc} {request}: {}", refused.message);
        assert_eq!(refused.reason, "INVALID_FIELD", "{rpc} {request}");
        // The sentence begins with the first; of two that are the same, with the second.
        let fields: Vec<&str> = field.split(' ').collect();
        assert_eq!(refused.fields, fields, "{rpc} {request}: {}", refused.message);
        assert!(fields.iter().any(|field| refused.message.starts_with(field)), "{rpc} {request}: {}", refused.message);
    }
    assert_eq!(t.sandbox.total_hits(), 0, "nothing may reach the upstream");
}

/// RPC, request with `LONG` in place of a text that no request line can hold and `HALF` in place of one of half of that, and the field
/// that must be named.
#[rustfmt::skip]
const TOO_LONG: &[(&str, &str, &str)] = &[
    ("SearchUsers", r#"{"filter": {"query": "LONG"}}"#, "filter.query"),
    ("SearchUsers", r#"{"filter": {"external_id": "LONG"}}"#, "filter.external_id"),
    ("StreamSearchUsers", r#"{"filter": {"query": "LONG"}}"#, "filter.query"),
    ("SearchUsers", r#"{"filter": {"query": "a", "brand_id": "LONG"}}"#, "filter.brand_id"),
    ("ExportUsers", r#"{"query": "LONG"}"#, "query"),
    ("AutocompleteUsers", r#"{"name": "LONG"}"#, "name"),
    ("AutocompleteUsers", r#"{"phone": "LONG"}"#, "phone"),
    ("AutocompleteUsers", r#"{"name": "a", "field_id": "LONG", "source": "b"}"#, "field_id"),
    ("AutocompleteUsers", r#"{"name": "a", "field_id": "b", "source": "LONG"}"#, "source"),
    ("AutocompleteUsers", r#"{"name": "a", "brand_id": "LONG"}"#, "brand_id"),
    ("ListUsers", r#"{"filter": {"external_id": "LONG"}}"#, "filter.external_id"),
    ("ListUsers", r#"{"filter": {"brand_id": "LONG"}}"#, "filter.brand_id"),
    ("StreamUsers", r#"{"sort": "LONG"}"#, "sort"),
    // Of several, the longest: it need not be the last.
    ("ListUsers", r#"{"filter": {"external_id": "1HALF", "brand_id": "HALF"}}"#, "filter.external_id"),
    ("CountUsers", r#"{"filter": {"brand_id": "LONG"}}"#, "filter.brand_id"),
    ("ListDeletedUsers", r#"{"sort": "-LONG"}"#, "sort"),
    ("ListGroups", r#"{"sort": "LONG"}"#, "sort"),
    ("ListMemberships", r#"{"sort": "LONG"}"#, "sort"),
    ("ListComplianceDeletionStatuses", r#"{"user_id": 7, "application": "LONG"}"#, "application"),
    ("BatchGetUsers", r#"{"external_ids": ["LONG"]}"#, "external_ids[0]"),
    ("BatchGetUsers", r#"{"external_ids": ["a"], "brand_id": "LONG"}"#, "brand_id"),
];

#[tokio::test]
async fn a_text_that_no_request_line_can_hold_is_refused_by_its_field_and_nothing_is_sent() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    for (rpc, request, field) in TOO_LONG {
        // A brand has digits only, and the name of a field to sort by has none.
        let letter = if *field == "sort" { "a" } else { "1" };
        let request = request.replace("LONG", &letter.repeat(8000)).replace("HALF", &letter.repeat(4000));
        let refused = refused(client.call(rpc, &request).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{rpc} {field}");
        assert_eq!(refused.fields, [*field], "{rpc}: {}", refused.message);
        assert!(refused.message.len() < 200, "{}", refused.message);
    }
    assert_eq!(t.sandbox.total_hits(), 0, "nothing may reach the upstream");
    let names = r#"{"filter": {"query": "QUERY"}}"#.replace("QUERY", &"é".repeat(1100));
    client.call("SearchUsers", &names).await.expect("6,600 bytes, percent-encoded, are not too many");
}

/// Fields of a user that Zendesk takes when it creates one, each with a value, and does not take in an update.
const FOR_CREATION: [(&str, &str); 6] = [
    ("organization", r#"{"name": "VIP"}"#),
    ("group_ids", "[7]"),
    ("active_brand_id", "7"),
    ("separation", r#"{"scope": "SEPARATION_SCOPE_ACCOUNT"}"#),
    ("password", r#""p""#),
    ("identities", r#"[{"type": "IDENTITY_TYPE_EMAIL", "value": "a@b.example"}]"#),
];

#[tokio::test]
async fn an_update_refuses_what_is_for_creation_set_or_named_by_its_mask() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    for (field, value) in FOR_CREATION {
        let mask: String = field
            .split('_')
            .enumerate()
            .map(|(n, word)| if n == 0 { word.to_owned() } else { capital(word) })
            .collect();
        let set = format!(r#""user": {{"notes": "n", "{field}": {value}}}"#);
        let masked = format!(r#""user": {{"{field}": {value}}}, "update_mask": "{mask}""#);
        let cleared = format!(r#""user": {{"notes": "n"}}, "update_mask": "notes,{mask}""#);
        for change in [set, masked, cleared] {
            for (rpc, request, within) in [
                ("UpdateUser", format!(r#"{{"id": 7, {change}}}"#), "user"),
                ("BulkUpdateUsers", format!(r#"{{"ids": [7], {change}}}"#), "user"),
                ("BulkUpdateUsers", format!(r#"{{"external_ids": ["e"], {change}}}"#), "user"),
                ("BulkUpdateUsers", format!(r#"{{"users": [{{"id": 7, {change}}}]}}"#), "users[0].user"),
            ] {
                let refused = refused(client.call(rpc, &request).await);
                assert_eq!(
                    (refused.code, refused.reason.as_str()),
                    (Code::InvalidArgument, "INVALID_FIELD"),
                    "{request}"
                );
                assert_eq!(refused.fields, [format!("{within}.{field}")], "{request}");
            }
        }
    }
    assert_eq!(t.sandbox.total_hits(), 0, "nothing may reach the upstream");
}

fn capital(word: &str) -> String {
    let (first, others) = word.split_at(1);
    format!("{}{others}", first.to_uppercase())
}

#[tokio::test]
async fn a_page_token_of_another_list_is_refused() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let first = client.call("ListUsers", r#"{"page_size": 2}"#).await.expect("a page");
    let token = first[0]["next_page_token"].as_str().expect("more pages").to_owned();
    let sent = t.sandbox.total_hits();
    for (rpc, request) in [
        ("ListUsers", r#"{"filter": {"roles": ["USER_ROLE_AGENT"]}, "page_token": "TOKEN"}"#),
        ("ListUsers", r#"{"filter": {"group_id": 7}, "page_token": "TOKEN"}"#),
        ("ListUsers", r#"{"sort": "name", "page_token": "TOKEN"}"#),
        ("ListGroups", r#"{"page_token": "TOKEN"}"#),
        ("ListAssignableGroups", r#"{"page_token": "TOKEN"}"#),
        ("StreamMemberships", r#"{"page_token": "TOKEN"}"#),
    ] {
        let refused = refused(client.call(rpc, &request.replace("TOKEN", &token)).await);
        assert_eq!((refused.code, refused.fields.as_slice()), (Code::InvalidArgument, &["page_token".to_owned()][..]));
    }
    assert_eq!(t.sandbox.total_hits(), sent);
    let stream = client.call("StreamUsers", &r#"{"page_token": "TOKEN"}"#.replace("TOKEN", &token)).await;
    stream.expect("a list's token works in its stream twin, with any page size");
}

#[tokio::test]
async fn a_malformed_deadline_is_refused_by_name() {
    let t = TestGateway::start().await;
    let mut request = tonic::Request::new(zendesk_gateway::proto::GetGroupRequest { id: 1, ..Default::default() });
    request.metadata_mut().insert("grpc-timeout", "soon".parse().expect("ascii"));
    let refused = refused(t.groups().get_group(request).await);
    assert_eq!((refused.code, refused.fields.as_slice()), (Code::InvalidArgument, &["grpc-timeout".to_owned()][..]));
}
