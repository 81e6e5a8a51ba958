//! <https://developer.zendesk.com/api-reference/ticketing/account-configuration/custom_roles/>

use super::{Read, Style, has_id, id, list};
use crate::cache::{Policy, tag};
use crate::error::Result;
use crate::path;
use crate::proto::{CustomRole, GetCustomRoleRequest, ListCustomRolesRequest, StreamCustomRolesRequest};
use crate::upstream::rest::Rest;

// List Custom Roles. Zendesk's specification knows no parameters.
// <https://developer.zendesk.com/api-reference/ticketing/account-configuration/custom_roles/#list-custom-roles>
list!(ListCustomRolesRequest | StreamCustomRolesRequest => CustomRole, Style::Whole, |this| {
    Ok(Rest::get(path!["custom_roles"]))
}, Policy::list(tag::users()));

/// Show Custom Role.
/// <https://developer.zendesk.com/api-reference/ticketing/account-configuration/custom_roles/#show-custom-role>
impl Read for GetCustomRoleRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["custom_roles", id("id", self.id)?]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.custom_role.as_ref(), self.id, |role| role.id)
    }

    /// How many agents have it changes with users.
    fn cache(&self) -> Policy {
        Policy::record(tag::users())
    }
}
