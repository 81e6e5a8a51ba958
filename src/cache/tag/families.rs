// The families of records that RPCs write, each by the name of its message. `tag.rs` makes the tags of them, and
// `proto/build/lists.rs` learns from them what a list may be cached as.

families! {
    /// users.
    User of "user": every_user = "users", users = "user_lists", user = "user";
    /// deleted users.
    DeletedUser of "user": every_deleted_user = "deleted_users", deleted_users = "deleted_user_lists", deleted_user = "deleted_user";
    /// groups.
    Group of "group": every_group = "groups", groups = "group_lists", group = "group";
    /// memberships.
    GroupMembership of "membership": every_membership = "memberships", memberships = "membership_lists", membership = "membership";
    /// identities.
    UserIdentity of "identity": every_identity = "identities", identities = "identity_lists", identity = "identity";
    /// organizations.
    Organization of "organization":
        every_organization = "organizations", organizations = "organization_lists", organization = "organization";
    /// memberships in organizations.
    OrganizationMembership of "organization_membership":
        every_organization_membership = "organization_memberships",
        organization_memberships = "organization_membership_lists",
        organization_membership = "organization_membership";
    /// definitions of user fields.
    UserField of "user_field": every_user_field = "user_fields", user_fields = "user_field_lists", user_field = "user_field";
}
