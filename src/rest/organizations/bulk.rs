//! The bulk writes of <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/>, and their streams.

use prost::Message as _;
use serde_json::Value;

use crate::cache::tag;
use crate::error::{Checks, Result};
use crate::path;
use crate::proto::{
    BulkCreateOrganizationsRequest, BulkDeleteOrganizationsRequest, BulkStart, BulkUpdateOrganizationsRequest,
    OrganizationInput, OrganizationUpdate, StreamBulkCreateOrganizationsRequest, StreamBulkDeleteOrganizationsRequest,
    StreamBulkUpdateOrganizationsRequest,
};
use crate::rest::Changes;
use crate::rest::bulk::{Bulk, BulkStream, Chunk, Key, Kind, NamedRow, Update};
use crate::rest::input::{self, For, envelope};
use crate::rest::many::{Name, Names, distinct, listed, one_of, some};
use crate::upstream::rest::Rest;

const LIST: &str = "organizations";

/// Create Many Organizations.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#create-many-organizations>
impl Bulk for BulkCreateOrganizationsRequest {
    const KIND: Kind = Kind::Create;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        some(LIST, &self.organizations)?;
        let mut checks = Checks::default();
        let rows = self.organizations.iter().enumerate();
        let bodies = rows.filter_map(|(index, row)| {
            let body = input::organization(Some(row), None, For::Create, &format!("{LIST}[{index}]"));
            checks.take(body).map(Value::Object)
        });
        let bodies: Vec<Value> = bodies.collect();
        checks.take(distinct(LIST, &self.organizations, names_of));
        let bodies = checks.end(Some(bodies))?;
        // A job of users is asked by names for what it made; results of other jobs have their inputs' positions.
        let keys = vec![Key::default(); bodies.len()];
        Ok(listed(LIST, &bodies, &keys, || Rest::post(path!["organizations", "create_many"])))
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn changes(&self) -> Changes {
        everything()
    }
}

/// Returns what an organization is named by: both are unique.
fn names_of(organization: &OrganizationInput) -> Names {
    let fields = [("name", &organization.name), ("external_id", &organization.external_id)];
    let named = fields.into_iter().filter_map(|(field, text)| Some((field, text.as_deref()?)));
    named.filter(|(_, text)| !text.trim().is_empty()).map(|(field, text)| (field, Name::text(text))).collect()
}

/// Update Many Organizations: one change for many, or a change for each.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#update-many-organizations>
impl Bulk for BulkUpdateOrganizationsRequest {
    const KIND: Kind = Kind::Update;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        let put = || Rest::put(path!["organizations", "update_many"]);
        let mut checks = Checks::default();
        if self.organizations.is_empty() {
            let change =
                input::organization(self.organization.as_ref(), self.update_mask.as_ref(), For::Update, "organization");
            let body = checks.take(change).map(|change| envelope("organization", change)).unwrap_or_default();
            // Written once: it can have megabytes, and there can be a hundred requests.
            let one = put().json(&body);
            let chunks = checks.take(one_of(&self.ids, &self.external_ids, " or organizations", || one.clone()));
            return checks.end(chunks);
        }
        for (field, is_given) in [
            ("ids", !self.ids.is_empty()),
            ("external_ids", !self.external_ids.is_empty()),
            ("organization", self.organization.is_some()),
            ("update_mask", self.update_mask.is_some()),
        ] {
            if is_given {
                checks.refuse(field, "cannot be combined with organizations");
            }
        }
        some(LIST, &self.organizations)?;
        let (mut bodies, mut keys) = (Vec::new(), Vec::new());
        for (index, OrganizationUpdate { id, organization, update_mask }) in self.organizations.iter().enumerate() {
            let within = |name: &str| format!("{LIST}[{index}].{name}");
            checks.take(crate::rest::id(&within("id"), *id));
            let change =
                input::organization(organization.as_ref(), update_mask.as_ref(), For::Update, &within("organization"));
            let change = change.map_err(|error| error.renamed("update_mask", &within("update_mask")));
            let Some(mut change) = checks.take(change) else { continue };
            change.insert("id".to_owned(), (*id).into());
            bodies.push(Value::Object(change));
            keys.push(Key { id: Some(*id), ..Key::default() });
        }
        checks.take(distinct(LIST, &self.organizations, Update::names));
        checks.end(Some(()))?;
        Ok(listed(LIST, &bodies, &keys, put))
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn changes(&self) -> Changes {
        everything()
    }
}

impl Update for OrganizationUpdate {
    fn names(&self) -> Names {
        if self.id > 0 { vec![("id", Name::Id(self.id))] } else { Names::new() }
    }
}

/// Bulk Delete Organizations.
/// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#bulk-delete-organizations>
impl Bulk for BulkDeleteOrganizationsRequest {
    const KIND: Kind = Kind::Delete;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        one_of(&self.ids, &self.external_ids, "", || Rest::delete(path!["organizations", "destroy_many"]))
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn changes(&self) -> Changes {
        everything()
    }
}

/// What any job may change: every organization, what memberships tell of them, and the default organization of every user.
fn everything() -> Changes {
    Changes::to([tag::every_organization(), tag::every_organization_membership(), tag::every_user()])
}

impl BulkStream for StreamBulkCreateOrganizationsRequest {
    type Call = BulkCreateOrganizationsRequest;
    type Row = OrganizationInput;
    const LISTS: &'static [&'static str] = &[LIST];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<OrganizationInput> {
        std::mem::take(&mut self.organizations)
    }

    fn call(&self, organizations: Vec<OrganizationInput>) -> BulkCreateOrganizationsRequest {
        BulkCreateOrganizationsRequest { organizations, wait: true }
    }

    fn names(row: &OrganizationInput) -> Names {
        names_of(row)
    }

    fn bytes(row: &OrganizationInput) -> usize {
        row.encoded_len()
    }
}

impl BulkStream for StreamBulkUpdateOrganizationsRequest {
    type Call = BulkUpdateOrganizationsRequest;
    type Row = NamedRow<OrganizationUpdate>;
    const LISTS: &'static [&'static str] = &[LIST, "ids", "external_ids"];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<Self::Row> {
        NamedRow::all(&mut self.ids, &mut self.external_ids, &mut self.organizations)
    }

    fn call(&self, rows: Vec<Self::Row>) -> BulkUpdateOrganizationsRequest {
        let (organization, update_mask) = (self.organization.clone(), self.update_mask.clone());
        let (ids, external_ids, organizations) = NamedRow::apart(rows);
        BulkUpdateOrganizationsRequest { ids, external_ids, organization, update_mask, organizations, wait: true }
    }

    fn names(row: &Self::Row) -> Names {
        row.names()
    }

    fn bytes(row: &Self::Row) -> usize {
        row.bytes()
    }

    fn are_alike(one: &Self::Row, other: &Self::Row) -> bool {
        std::mem::discriminant(one) == std::mem::discriminant(other)
    }
}

impl BulkStream for StreamBulkDeleteOrganizationsRequest {
    type Call = BulkDeleteOrganizationsRequest;
    type Row = NamedRow<OrganizationUpdate>;
    const LISTS: &'static [&'static str] = &["ids", "external_ids"];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<Self::Row> {
        NamedRow::all(&mut self.ids, &mut self.external_ids, &mut Vec::new())
    }

    fn call(&self, rows: Vec<Self::Row>) -> BulkDeleteOrganizationsRequest {
        let (ids, external_ids, _) = NamedRow::apart(rows);
        BulkDeleteOrganizationsRequest { ids, external_ids, wait: true }
    }

    fn names(row: &Self::Row) -> Names {
        row.names()
    }

    fn bytes(row: &Self::Row) -> usize {
        row.bytes()
    }

    fn are_alike(one: &Self::Row, other: &Self::Row) -> bool {
        std::mem::discriminant(one) == std::mem::discriminant(other)
    }
}
