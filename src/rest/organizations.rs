//! <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/>

use super::{Batch, List, Paging, Read, Style, has_id, id, is_count, list, sorted};
use crate::cache::{Policy, tag};
use crate::error::{Checks, Result};
use crate::path;
use crate::proto::{
    AutocompleteOrganizationsRequest, BatchGetOrganizationsRequest, CountOrganizationsRequest,
    GetOrganizationRelatedRequest, GetOrganizationRequest, ListOrganizationsRequest, Organization, OrganizationFilter,
    OrganizationRelated, SearchOrganizationsRequest, StreamOrganizationsRequest,
};
use crate::upstream::rest::Rest;

mod bulk;
mod writes;

/// Show Organization.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#show-organization>
impl Read for GetOrganizationRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["organizations", id("id", self.id)?]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.organization.as_ref(), self.id, |organization| organization.id)
    }

    fn cache(&self) -> Policy {
        Policy::record(tag::organization(self.id))
    }
}

/// Show Many Organizations.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#show-many-organizations>
impl Batch for BatchGetOrganizationsRequest {
    type Row = Organization;
    type One = GetOrganizationRequest;

    fn one(id: i64) -> GetOrganizationRequest {
        GetOrganizationRequest { id }
    }

    fn lists(&self) -> (&[i64], &[String]) {
        (&self.ids, &self.external_ids)
    }

    fn rest(&self, key: &'static str, list: String) -> Result<Rest> {
        Ok(Rest::get(path!["organizations", "show_many"]).query(key, list))
    }

    fn external_id(row: &Organization) -> (Option<&str>, &[String]) {
        (row.external_id.as_deref(), &row.unreadable_fields)
    }
}

/// Show Organization's Related Information.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#show-organizations-related-information>
impl Read for GetOrganizationRelatedRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["organizations", id("id", self.id)?, "related"]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.organization_related.as_ref().is_some_and(|related| *related != OrganizationRelated::default())
    }

    /// How many users it has changes with them.
    fn cache(&self) -> Policy {
        Policy::related(tag::organization(self.id)).and(tag::users())
    }
}

/// Fields that lists of organizations can be sorted by; see the comment on those of users.
const ORGANIZATIONS: &[&str] = &["id", "name", "created_at", "updated_at"];

// List Organizations.
// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#list-organizations>
list!(ListOrganizationsRequest | StreamOrganizationsRequest => Organization, Style::Cursor, sorted by ORGANIZATIONS, |this| {
    Ok(sorted(match this.filter.and_then(|filter| filter.user_id) {
        None => Rest::get(path!["organizations"]),
        Some(user) => Rest::get(path!["users", id("filter.user_id", user)?, "organizations"]),
    }, &this.sort))
}, scoped(Policy::list(tag::organizations()), this.filter));

/// Count Organizations.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#count-organizations>
impl Read for CountOrganizationsRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(match self.filter.and_then(|filter| filter.user_id) {
            None => Rest::get(path!["organizations", "count"]),
            Some(user) => Rest::get(path!["users", id("filter.user_id", user)?, "organizations", "count"]),
        })
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        is_count(reply.count.as_ref())
    }

    fn cache(&self) -> Policy {
        scoped(Policy::count(tag::organizations()), self.filter)
    }
}

/// A list or count of a user's organizations changes with the user, too.
fn scoped(policy: Policy, filter: Option<OrganizationFilter>) -> Policy {
    match filter.and_then(|filter| filter.user_id) {
        Some(user) => policy.and(tag::user(user)),
        None => policy,
    }
}

/// Search Organizations, one page.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#search-organizations>
impl List for SearchOrganizationsRequest {
    type Row = Organization;

    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let (name, external_id) =
            self.filter.as_ref().map_or((None, None), |filter| (filter.name.as_deref(), filter.external_id.as_deref()));
        match (name, external_id) {
            (None, None) => checks.refuse("filter.name", "must not be empty, unless filter.external_id is set"),
            (Some(_), Some(_)) => checks.refuse("filter.external_id", "cannot be combined with filter.name"),
            _ => {}
        }
        let rest = Rest::get(path!["organizations", "search"]).text(&mut checks, "filter.name", "name", name).text(
            &mut checks,
            "filter.external_id",
            "external_id",
            external_id,
        );
        checks.end(Some(rest))
    }

    fn paging(&self) -> Paging<'_> {
        Paging { style: Style::Single, size: self.page_size, token: "" }
    }

    fn cache(&self) -> Policy {
        Policy::search(tag::organizations())
    }
}

/// Autocomplete Organizations, one page.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#autocomplete-organizations>
impl List for AutocompleteOrganizationsRequest {
    type Row = Organization;

    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let set = |text| if str::is_empty(text) { None } else { Some(text) };
        if self.name.is_empty() {
            checks.refuse("name", "must not be empty");
        }
        let (field_id, source) = (set(self.field_id.as_str()), set(self.source.as_str()));
        if field_id.is_some() != source.is_some() {
            checks.refuse("source", "and field_id go together");
        }
        let rest = Rest::get(path!["organizations", "autocomplete"])
            .text(&mut checks, "name", "name", set(&self.name))
            .text(&mut checks, "field_id", "field_id", field_id)
            .text(&mut checks, "source", "source", source);
        checks.end(Some(rest))
    }

    fn paging(&self) -> Paging<'_> {
        Paging { style: Style::Single, size: self.page_size, token: "" }
    }

    fn cache(&self) -> Policy {
        Policy::search(tag::organizations())
    }
}
