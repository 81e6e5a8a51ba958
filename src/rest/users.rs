//! <https://developer.zendesk.com/api-reference/ticketing/users/users/>

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde_json::json;

use super::beside::{also, beside, refuse};
use super::{
    Includes as _, List, Paging, Read, Style, brand, envelope, has_id, id, is_count, is_unread, known_word, list,
    optional_id, sorted,
};
use crate::cache::{Policy, Tag, tag};
use crate::error::{Checks, Result};
use crate::json::{self, Malformed};
use crate::path;
use crate::proto::{
    AutocompleteFilter, AutocompleteUsersRequest, ComplianceDeletionStatus, CountDeletedUsersRequest,
    CountUsersRequest, DeletedUser, ExportUsersRequest, GetCurrentUserRequest, GetDeletedUserRequest,
    GetUserEntitlementsRequest, GetUserRelatedRequest, GetUserRequest, ListComplianceDeletionStatusesRequest,
    ListDeletedUsersRequest, ListUsersRequest, SearchUsersRequest, StreamComplianceDeletionStatusesRequest,
    StreamDeletedUsersRequest, StreamExportUsersRequest, StreamSearchUsersRequest, StreamUsersRequest, User,
    UserFilter, UserRelated, UserRole, UserSearchFilter, user_filter::Scope,
};
use crate::rest::input;
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

mod bulk;
mod many;
mod writes;

pub use many::logout_many;

/// Show User. <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-user>
impl Read for GetUserRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["users", id("id", self.id)?]).include(self.includes()))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.user.as_ref(), self.id, |user| user.id)
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        beside::<Self::Reply>(envelope(body, |reply| self.fits(reply))?, body, &self.includes())
    }

    fn cache(&self) -> Policy {
        with_places(Policy::record(tag::user(self.id)), &self.includes(), tag::memberships_of_user(self.id))
    }
}

/// Show Self. <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-self>
impl Read for GetCurrentUserRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["users", "me"]).include(self.includes()))
    }

    /// Refuses a body without any user, and one whose user has an id that cannot be read.
    fn fits(&self, reply: &Self::Reply) -> bool {
        let is_told = |user: &User| !is_unread(&user.unreadable_fields, "id");
        reply.user.as_ref().is_some_and(|user| *user != User::default() && is_told(user))
    }

    /// Zendesk answers a missing or wrong password with 200 and an "Anonymous user" without an id. That is no reply but a
    /// refused credential, and has to be noticed where another credential can still be tried.
    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let mut is_signed_in = false;
        let parsed = envelope(body, |reply: &Self::Reply| {
            is_signed_in = reply.user.as_ref().is_some_and(|user| user.id > 0);
            self.fits(reply)
        })?;
        if is_signed_in { beside::<Self::Reply>(parsed, body, &self.includes()) } else { Err(Malformed::Anonymous) }
    }

    fn cache(&self) -> Policy {
        Policy::none()
    }
}

/// Show User Related Information.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-user-related-information>
impl Read for GetUserRelatedRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["users", id("id", self.id)?, "related"]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.user_related.as_ref().is_some_and(|related| *related != UserRelated::default())
    }

    fn cache(&self) -> Policy {
        Policy::related(tag::user(self.id))
    }
}

/// Get Full User Entitlements.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#get-full-user-entitlements>
impl Read for GetUserEntitlementsRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["users", id("id", self.id)?, "entitlements", "full"]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.entitlements.is_some()
    }

    fn cache(&self) -> Policy {
        Policy::related(tag::user(self.id))
    }
}

/// What lists of users, deleted ones too, can be sorted by. **Assumption**: Zendesk's specification names `name` and
/// `-created_at` as examples, and refuses fields that it cannot sort by; lists without `sort` come by id. The setting
/// `upstream.sort_fields` adds to it.
const USERS: &[&str] = &["id", "name", "created_at", "updated_at"];

// List Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#list-users>
list!(ListUsersRequest | StreamUsersRequest => User, Style::Cursor, sorted by USERS, |this| {
    let (filter, mut checks) = (this.filter.as_ref(), Checks::default());
    if let Some(scope) = filter.and_then(scope_field) && !this.sort.is_empty() {
        checks.refuse("sort", &format!("cannot be combined with {scope}"));
    }
    if let Some(scope) = filter.and_then(scope_field) {
        refuse(&mut checks, &this.includes(), scope);
    }
    let path = match filter.and_then(|filter| filter.scope) {
        None => Ok(Rest::get(path!["users"])),
        Some(Scope::GroupId(group)) => {
            id("filter.group_id", group).map(|group| Rest::get(path!["groups", group, "users"]))
        }
        Some(Scope::OrganizationId(organization)) => id("filter.organization_id", organization)
            .map(|organization| Rest::get(path!["organizations", organization, "users"])),
    };
    let path = checks.take(path).unwrap_or_else(|| Rest::get(path!["users"]));
    let external_id = filter.and_then(|filter| filter.external_id.as_deref());
    let rest = filtered(path, filter, &mut checks);
    let rest = rest.text(&mut checks, "filter.external_id", "external_id", external_id).include(this.includes());
    checks.end(Some(sorted(rest, &this.sort)))
}, with_places(scoped(Policy::list(tag::users()), this.filter.as_ref()), &this.includes(), tag::memberships()));

/// Count Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#count-users>
impl Read for CountUsersRequest {
    fn rest(&self) -> Result<Rest> {
        let (filter, mut checks) = (self.filter.as_ref(), Checks::default());
        if filter.is_some_and(|filter| filter.external_id.is_some()) {
            checks.refuse("filter.external_id", "cannot be counted by; list with it instead");
        }
        let path = match filter.and_then(|filter| filter.scope) {
            None => Ok(Rest::get(path!["users", "count"])),
            Some(Scope::GroupId(group)) => {
                id("filter.group_id", group).map(|group| Rest::get(path!["groups", group, "users", "count"]))
            }
            Some(Scope::OrganizationId(organization)) => id("filter.organization_id", organization)
                .map(|organization| Rest::get(path!["organizations", organization, "users", "count"])),
        };
        let path = checks.take(path).unwrap_or_else(|| Rest::get(path!["users", "count"]));
        let rest = filtered(path, filter, &mut checks);
        checks.end(Some(rest))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        is_count(reply.count.as_ref())
    }

    fn cache(&self) -> Policy {
        scoped(Policy::count(tag::users()), self.filter.as_ref())
    }
}

/// Adds what answers are about for what comes beside users: which groups users are in changes with memberships, too.
fn with_places(policy: Policy, includes: &[&str], memberships: Tag) -> Policy {
    let policy = also(policy, includes);
    if includes.contains(&"groups") { policy.and(memberships) } else { policy }
}

/// A list or count of a group's users changes with the group's memberships, too.
fn scoped(policy: Policy, filter: Option<&UserFilter>) -> Policy {
    match filter.and_then(|filter| filter.scope) {
        Some(Scope::GroupId(group)) => policy.and(tag::memberships_of_group(group)),
        _ => policy,
    }
}

/// Returns the name of the field that is set of those that are the scope.
fn scope_field(filter: &UserFilter) -> Option<&'static str> {
    filter.scope.map(|scope| match scope {
        Scope::GroupId(_) => "filter.group_id",
        Scope::OrganizationId(_) => "filter.organization_id",
    })
}

/// Adds the filters that lists and counts share.
fn filtered(rest: Rest, filter: Option<&UserFilter>, checks: &mut Checks) -> Rest {
    let Some(filter) = filter else { return rest };
    if let Some(scope) = scope_field(filter)
        && filter.brand_id.is_some()
    {
        checks.refuse("filter.brand_id", &format!("cannot be combined with {scope}"));
    }
    let mut roles = Vec::with_capacity(filter.roles.len());
    for (index, role) in filter.roles.iter().enumerate() {
        let word = checks.take(known_word::<UserRole>(&format!("filter.roles[{index}]"), *role));
        roles.extend(word.filter(|word| !roles.contains(word)));
    }
    let rest = match roles.as_slice() {
        [only] => rest.query("role", only),
        many => many.iter().fold(rest, |rest, role| rest.query("role[]", role)),
    };
    let set = checks.take(optional_id("filter.permission_set", filter.permission_set)).flatten();
    let brand = checks.take(brand("filter.brand_id", filter.brand_id.as_deref())).flatten();
    rest.query_if("permission_set", set).text(checks, "filter.brand_id", "brand_id", brand)
}

// Search Users, offset pagination only.
// <https://developer.zendesk.com/api-reference/ticketing/users/users/#search-users>
list!(SearchUsersRequest | StreamSearchUsersRequest => User, Style::Offset, |this| {
    Ok(search(this.filter.as_ref())?.include(this.includes()))
}, with_places(Policy::search(tag::users()), &this.includes(), tag::memberships()));

fn search(filter: Option<&UserSearchFilter>) -> Result<Rest> {
    let mut checks = Checks::default();
    let of = |text: fn(&UserSearchFilter) -> Option<&str>| filter.and_then(text);
    let (query, external_id) = (of(|filter| filter.query.as_deref()), of(|filter| filter.external_id.as_deref()));
    match (query, external_id) {
        (None, None) => checks.refuse("filter.query", "must not be empty, unless filter.external_id is set"),
        (Some(_), Some(_)) => checks.refuse("filter.external_id", "cannot be combined with filter.query"),
        _ => {}
    }
    let brand = checks.take(brand("filter.brand_id", of(|filter| filter.brand_id.as_deref()))).flatten();
    let rest = Rest::get(path!["users", "search"])
        .text(&mut checks, "filter.query", "query", query)
        .text(&mut checks, "filter.external_id", "external_id", external_id)
        .text(&mut checks, "filter.brand_id", "brand_id", brand);
    checks.end(Some(rest))
}

// Export Search Results, for users.
// <https://developer.zendesk.com/api-reference/ticketing/ticket-management/search/#export-search-results>
list!(ExportUsersRequest | StreamExportUsersRequest => User, Style::Export, |this| {
    let mut checks = Checks::default();
    let rest = Rest::get(path!["search", "export"]).text(&mut checks, "query", "query", Some(&this.query));
    checks.end(Some(rest.query("filter[type]", "user")))
}, Policy::search(tag::users()));

/// Autocomplete Users, one page of the best matches.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#autocomplete-users>
impl List for AutocompleteUsersRequest {
    type Row = User;

    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let set = |text| if str::is_empty(text) { None } else { Some(text) };
        let (name, phone) = (self.name.as_str(), self.phone.as_str());
        match (set(name), set(phone)) {
            (None, None) => checks.refuse("name", "must not be empty, unless phone is set"),
            (Some(_), Some(_)) => checks.refuse("phone", "cannot be combined with name"),
            _ => {}
        }
        let (field_id, source) = (set(self.field_id.as_str()), set(self.source.as_str()));
        if field_id.is_some() != source.is_some() {
            checks.refuse("source", "and field_id go together");
        }
        let filter = match self.filter {
            0 => None,
            number => checks.take(known_word::<AutocompleteFilter>("filter", number)),
        };
        let brand = checks.take(brand("brand_id", self.brand_id.as_deref())).flatten();
        if let Some(values) = &self.dynamic_values {
            return self.with(values, brand, checks);
        }
        let rest = Rest::get(path!["users", "autocomplete"])
            .text(&mut checks, "name", "name", set(name))
            .text(&mut checks, "phone", "phone", set(phone))
            .query_if("filter", filter)
            .text(&mut checks, "field_id", "field_id", field_id)
            .text(&mut checks, "source", "source", source)
            .text(&mut checks, "brand_id", "brand_id", brand)
            .include(self.includes());
        checks.end(Some(rest))
    }

    fn paging(&self) -> Paging<'_> {
        Paging { style: Style::Single, size: self.page_size, token: "" }
    }

    fn cache(&self) -> Policy {
        with_places(Policy::search(tag::users()), &self.includes(), tag::memberships())
    }
}

impl AutocompleteUsersRequest {
    /// Autocomplete Users by Request Body: only there can a filter have values.
    /// <https://developer.zendesk.com/api-reference/ticketing/users/users/#autocomplete-users-by-request-body>
    fn with(&self, values: &Struct, brand: Option<&str>, mut checks: Checks) -> Result<Rest> {
        let field = self.field_id.parse::<i64>().ok().filter(|field| *field > 0);
        if field.is_none() {
            checks.refuse("field_id", "must be the id of a field, as dynamic_values is set");
        }
        if self.filter != 0 {
            checks.refuse("filter", "cannot be combined with dynamic_values");
        }
        checks.take(input::exact(Some(values), "dynamic_values"));
        let mut body = json!({ "field_id": field, "source": self.source });
        body["filter"] =
            json!({ "dynamic_values": json::to_json(&Value { kind: Some(Kind::StructValue(values.clone())) }) });
        for (name, text) in [("name", self.name.as_str()), ("phone", self.phone.as_str())] {
            if !text.is_empty() {
                body[name] = text.into();
            }
        }
        if let Some(brand) = brand {
            // An id is a number there.
            body["brand_id"] = brand.parse::<i64>().map_or_else(|_| brand.into(), Into::into);
        }
        checks.end(Some(Rest::post(path!["users", "autocomplete"]).include(self.includes()).json(&body)))
    }
}

/// Show Deleted User. <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-deleted-user>
impl Read for GetDeletedUserRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["deleted_users", id("id", self.id)?]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.deleted_user.as_ref(), self.id, |user| user.id)
    }

    fn cache(&self) -> Policy {
        Policy::record(tag::deleted_user(self.id))
    }
}

// List Deleted Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#list-deleted-users>
list!(ListDeletedUsersRequest | StreamDeletedUsersRequest => DeletedUser, Style::Cursor, sorted by USERS, |this| {
    Ok(sorted(Rest::get(path!["deleted_users"]), &this.sort))
}, Policy::list(tag::deleted_users()));

/// Count Deleted Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#count-deleted-users>
impl Read for CountDeletedUsersRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["deleted_users", "count"]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        is_count(reply.count.as_ref())
    }

    fn cache(&self) -> Policy {
        Policy::count(tag::deleted_users())
    }
}

// Show Compliance Deletion Statuses.
// <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-compliance-deletion-statuses>
list!(ListComplianceDeletionStatusesRequest | StreamComplianceDeletionStatusesRequest
    => ComplianceDeletionStatus, Style::Cursor, |this| {
    let mut checks = Checks::default();
    let user = checks.take(id("user_id", this.user_id));
    let rest = user.map(|user| Rest::get(path!["users", user, "compliance_deletion_statuses"]));
    let rest = rest.unwrap_or_else(|| Rest::get(path!["users"]));
    let rest = rest.text(&mut checks, "application", "application", this.application.as_deref());
    checks.end(Some(rest))
}, Policy::list(tag::user(this.user_id)));
