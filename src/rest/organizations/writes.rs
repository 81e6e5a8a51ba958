//! The writes of <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/>

use crate::cache::{Tag, tag};
use crate::error::{Checks, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{
    CreateOrUpdateOrganizationRequest, CreateOrUpdateOrganizationResponse, CreateOrganizationRequest,
    DeleteOrganizationRequest, Disposition, GetOrganizationResponse, Organization, OrganizationInput,
    UpdateOrganizationRequest,
};
use crate::rest::input::{self, For, envelope};
use crate::rest::row::{OwnRead, Row as _};
use crate::rest::{Changes, Write, has_id, id, nothing_but, optional_id};
use crate::upstream::call::{Answer, Parsed};
use crate::upstream::rest::Rest;

/// True if an organization can be the one that was written.
fn can_be(organization: Option<&Organization>, id: Option<i64>, input: Option<&OrganizationInput>) -> bool {
    let given = input.and_then(|input| input.external_id.as_deref()).map(str::trim).filter(|id| !id.is_empty());
    organization.is_some_and(|row| {
        let told = row.external_id.as_deref().map(|external_id| external_id.trim().to_lowercase());
        let is_same = given.zip(told).is_none_or(|(given, told)| given.to_lowercase() == told);
        row.id > 0 && id.is_none_or(|id| id == row.id) && is_same
    })
}

/// Memberships tell the name of their organization.
fn renamed(input: Option<&OrganizationInput>) -> Option<Tag> {
    input.filter(|input| input.name.is_some()).map(|_| tag::every_organization_membership())
}

/// Users with an address of its domains join an organization.
fn joined(input: Option<&OrganizationInput>) -> impl Iterator<Item = Tag> + use<> {
    let has_domains = input.is_some_and(|input| !input.domain_names.is_empty());
    let joined = has_domains.then_some([tag::every_user(), tag::every_organization_membership()]);
    joined.into_iter().flatten()
}

/// Create Organization.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#create-organization>
impl Write for CreateOrganizationRequest {
    fn rest(&self) -> Result<Rest> {
        let organization = input::organization(self.organization.as_ref(), None, For::Create, "organization")?;
        Ok(Rest::post(path!["organizations"]).json(&envelope("organization", organization)))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        can_be(reply.organization.as_ref(), None, self.organization.as_ref())
    }

    fn changes(&self) -> Changes {
        Changes::to([tag::organizations()].into_iter().chain(joined(self.organization.as_ref())))
    }

    fn learnt(reply: &Self::Reply) -> Vec<Tag> {
        reply.organization.iter().map(|organization| tag::organization(organization.id)).collect()
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.organization.as_ref()?.own_read()
    }
}

/// Create Or Update Organization. 201 says created, 200 updated.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#create-or-update-organization>
impl Write for CreateOrUpdateOrganizationRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let number = checks.take(optional_id("id", self.id)).flatten();
        let wanted = if number.is_some() { For::Update } else { For::Upsert };
        let organization = checks.take(input::organization(
            self.organization.as_ref(),
            self.update_mask.as_ref(),
            wanted,
            "organization",
        ));
        let mut organization = checks.end(organization)?;
        organization.extend(self.id.map(|id| ("id".to_owned(), id.into())));
        Ok(Rest::post(path!["organizations", "create_or_update"]).json(&envelope("organization", organization)))
    }

    fn complete(reply: &mut CreateOrUpdateOrganizationResponse, answer: &Answer) {
        reply.set_disposition(match answer.status {
            201 => Disposition::Created,
            // A repeated attempt may have found the organization that the first one created.
            200 if answer.attempts == 1 => Disposition::Updated,
            _ => Disposition::Unspecified,
        });
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        can_be(reply.organization.as_ref(), self.id, self.organization.as_ref())
    }

    fn changes(&self) -> Changes {
        let known = self.id.map(tag::organization);
        let changed = [tag::organizations()].into_iter().chain(known).chain(renamed(self.organization.as_ref()));
        Changes::to(changed.chain(joined(self.organization.as_ref()))).if_unknown(tag::every_organization())
    }

    fn learnt(reply: &Self::Reply) -> Vec<Tag> {
        reply.organization.iter().map(|organization| tag::organization(organization.id)).collect()
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.organization.as_ref()?.own_read()
    }
}

/// Update Organization.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#update-organization>
impl Write for UpdateOrganizationRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let id = checks.take(id("id", self.id));
        let organization = checks.take(input::organization(
            self.organization.as_ref(),
            self.update_mask.as_ref(),
            For::Update,
            "organization",
        ));
        let (id, organization) = checks.end(id.zip(organization))?;
        Ok(Rest::put(path!["organizations", id]).json(&envelope("organization", organization)))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.organization.as_ref(), self.id, |organization| organization.id)
    }

    fn changes(&self) -> Changes {
        let changed = [tag::organization(self.id), tag::organizations()];
        let input = self.organization.as_ref();
        Changes::to(changed.into_iter().chain(renamed(input)).chain(joined(input)))
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.organization.as_ref()?.own_read()
    }
}

/// Delete Organization. Its users have another organization, or none, after it.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#delete-organization>
impl Write for DeleteOrganizationRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::delete(path!["organizations", id("id", self.id)?]))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_it = |reply: &GetOrganizationResponse| {
            has_id(reply.organization.as_ref(), self.id, |organization| organization.id)
        };
        nothing_but::<Self, _>(body, "organization", is_it)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    fn changes(&self) -> Changes {
        let users = [tag::every_user(), tag::every_organization_membership()];
        Changes::to([tag::organization(self.id), tag::organizations()].into_iter().chain(users))
    }
}
