//! The bulk writes of <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/>, and their streams.

use serde_json::{Value, json};

use crate::cache::tag;
use crate::error::{Checks, Result};
use crate::path;
use crate::proto::{
    BulkCreateOrganizationMembershipsRequest, BulkDeleteOrganizationMembershipsRequest, BulkStart,
    OrganizationMembershipInput, StreamBulkCreateOrganizationMembershipsRequest,
    StreamBulkDeleteOrganizationMembershipsRequest,
};
use crate::rest::Changes;
use crate::rest::bulk::{Bulk, BulkStream, Chunk, Key, Kind};
use crate::rest::many::{MOST_ITEMS, Name, Named, Names, distinct, ids, name_unless, some};
use crate::upstream::rest::Rest;

/// Create Many Memberships. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#create-many-memberships>
impl Bulk for BulkCreateOrganizationMembershipsRequest {
    const KIND: Kind = Kind::Create;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        const LIST: &str = "organization_memberships";
        some(LIST, &self.organization_memberships)?;
        let mut checks = Checks::default();
        for (index, input) in self.organization_memberships.iter().enumerate() {
            for (name, id) in [("user_id", input.user_id), ("organization_id", input.organization_id)] {
                if id <= 0 {
                    checks.refuse(&format!("{LIST}[{index}].{name}"), "must be a positive id");
                }
            }
        }
        checks.take(distinct(LIST, &self.organization_memberships, names_of));
        checks.end(Some(()))?;
        let chunk = |inputs: &[OrganizationMembershipInput]| {
            let rows = inputs.iter().map(|input| {
                let mut row = json!({ "user_id": input.user_id, "organization_id": input.organization_id });
                if let Some(default) = input.default {
                    row["default"] = default.into();
                }
                row
            });
            let rest = Rest::post(path!["organization_memberships", "create_many"])
                .json(&json!({ LIST: rows.collect::<Vec<Value>>() }));
            let about = |input: &OrganizationMembershipInput| {
                [tag::user(input.user_id), tag::organization(input.organization_id)]
            };
            Chunk { rest, keys: vec![Key::default(); inputs.len()], about: inputs.iter().flat_map(about).collect() }
        };
        Ok(self.organization_memberships.chunks(MOST_ITEMS).map(chunk).collect())
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn changes(&self) -> Changes {
        everything()
    }
}

/// Returns what says which membership it is.
fn names_of(input: &OrganizationMembershipInput) -> Names {
    name_unless(input.user_id <= 0 || input.organization_id <= 0, Name::Pair(input.user_id, input.organization_id))
}

/// Bulk Delete Memberships. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#bulk-delete-memberships>
impl Bulk for BulkDeleteOrganizationMembershipsRequest {
    const KIND: Kind = Kind::Delete;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        ids("ids", &self.ids)?;
        Ok(Named::Ids(&self.ids).chunks(|| Rest::delete(path!["organization_memberships", "destroy_many"])))
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn changes(&self) -> Changes {
        everything()
    }
}

/// What any job may change: every membership, and so the default organization of every user.
fn everything() -> Changes {
    Changes::to([tag::every_organization_membership(), tag::every_user()])
}

impl BulkStream for StreamBulkCreateOrganizationMembershipsRequest {
    type Call = BulkCreateOrganizationMembershipsRequest;
    type Row = OrganizationMembershipInput;
    const LISTS: &'static [&'static str] = &["organization_memberships"];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<OrganizationMembershipInput> {
        std::mem::take(&mut self.organization_memberships)
    }

    fn call(&self, rows: Vec<OrganizationMembershipInput>) -> BulkCreateOrganizationMembershipsRequest {
        BulkCreateOrganizationMembershipsRequest { organization_memberships: rows, wait: true }
    }

    fn names(row: &OrganizationMembershipInput) -> Names {
        names_of(row)
    }

    fn bytes(row: &OrganizationMembershipInput) -> usize {
        size_of_val(row)
    }
}

impl BulkStream for StreamBulkDeleteOrganizationMembershipsRequest {
    type Call = BulkDeleteOrganizationMembershipsRequest;
    type Row = i64;
    const LISTS: &'static [&'static str] = &["ids"];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.ids)
    }

    fn call(&self, ids: Vec<i64>) -> BulkDeleteOrganizationMembershipsRequest {
        BulkDeleteOrganizationMembershipsRequest { ids, wait: true }
    }

    fn names(row: &i64) -> Names {
        vec![("", Name::Id(*row))]
    }

    fn bytes(row: &i64) -> usize {
        size_of_val(row)
    }
}
