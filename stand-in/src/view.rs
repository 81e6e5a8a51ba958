//! Records as they appear on the wire, key by key in the recorded order.

mod deleted_user;
mod group;
mod identity;
mod job;
mod organization;
mod user;
mod user_field;

use std::fmt::{self, Display};

use serde::{Serialize, Serializer};

use super::store::fields::{Definition, Definitions, FieldOption};
use super::store::group::{Group, Membership};
use super::store::identity::Identity;
use super::store::job::Job;
use super::store::organization::{Organization, OrganizationMembership};
use super::store::tables::Tables;
use super::store::user::User;

pub use user::{Anonymous, SelfView};

/// Writes records; knows the origin and suffix of every `url`.
#[derive(Clone, Debug)]
pub struct Links {
    /// Scheme and host, such as `https://example.zendesk.com`.
    pub origin: String,
    pub suffix: &'static str,
    /// The account's custom user fields, which each user is shown with.
    pub fields: Definitions,
}

impl Links {
    /// Links of records at `origin`, of an account with these custom user fields.
    pub fn new(origin: String, json_suffix: bool, fields: &Definitions) -> Self {
        Self { origin, suffix: if json_suffix { ".json" } else { "" }, fields: fields.clone() }
    }

    /// The same links at another origin.
    pub fn at(&self, origin: String) -> Self {
        Self { origin, ..self.clone() }
    }

    pub fn user(&self, user: &User) -> Vec<u8> {
        verbatim_or(user.verbatim.as_deref(), || json(&user::UserView::new(self, user)))
    }

    /// A deleted user among those that have changed, with the key that only such ones have there.
    pub fn inactive_user(&self, user: &User, is_erased: bool) -> Vec<u8> {
        with_member(self.user(user), &format!(r#""permanently_deleted":{is_erased}"#))
    }

    /// A user among the results of a search that finds records of any type.
    pub fn found_user(&self, user: &User) -> Vec<u8> {
        with_member(self.user(user), r#""result_type":"user""#)
    }

    pub fn deleted_user(&self, user: &User) -> Vec<u8> {
        verbatim_or(user.verbatim.as_deref(), || json(&deleted_user::DeletedUserView::new(self, user)))
    }

    pub fn group(&self, group: &Group, tables: &Tables) -> Vec<u8> {
        let is_default = tables.default_group == group.id;
        verbatim_or(group.verbatim.as_deref(), || json(&group::GroupView::new(self, group, is_default)))
    }

    pub fn membership(&self, membership: &Membership) -> Vec<u8> {
        verbatim_or(membership.verbatim.as_deref(), || json(&group::MembershipView::new(self, membership)))
    }

    pub fn identity(&self, user: i64, identity: &Identity) -> Vec<u8> {
        json(&identity::IdentityView::new(self, user, identity))
    }

    pub fn organization(&self, organization: &Organization) -> Vec<u8> {
        json(&organization::OrganizationView::new(self, organization))
    }

    pub fn organization_membership(&self, membership: &OrganizationMembership, tables: &Tables) -> Vec<u8> {
        json(&organization::MembershipView::new(self, membership, tables))
    }

    pub fn user_field(&self, field: &Definition) -> Vec<u8> {
        json(&user_field::FieldView::new(self, field))
    }

    pub fn user_field_option(&self, field: i64, position: usize, option: &FieldOption) -> Vec<u8> {
        json(&user_field::OptionView::new(self, field, position, option))
    }

    pub fn job(&self, job: &Job) -> Vec<u8> {
        json(&job::JobView::new(self, job))
    }

    /// The `url` of a record.
    pub fn url<I: Display>(&self, kind: &'static str, id: I) -> RecordUrl<'_, I> {
        RecordUrl { links: self, kind, id }
    }
}

/// The `url` of one record, written without building a string first.
pub struct RecordUrl<'a, I> {
    links: &'a Links,
    kind: &'static str,
    id: I,
}

impl<I: Display> Display for RecordUrl<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Links { origin, suffix, .. } = self.links;
        write!(f, "{origin}/api/v2/{}/{}{suffix}", self.kind, self.id)
    }
}

impl<I: Display> Serialize for RecordUrl<'_, I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Writes any of the sandbox's own structs.
pub fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("the sandbox's structs have string keys and finite numbers")
}

/// Adds a member to an object; odd records may be none.
fn with_member(mut shown: Vec<u8>, member: &str) -> Vec<u8> {
    if shown.len() > 2 && shown.ends_with(b"}") {
        shown.pop();
        shown.extend_from_slice(format!(",{member}}}").as_bytes());
    }
    shown
}

fn verbatim_or(verbatim: Option<&str>, render: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    verbatim.map_or_else(render, |odd| odd.as_bytes().to_vec())
}
