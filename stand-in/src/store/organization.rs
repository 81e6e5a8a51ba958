//! An organization of users, and the memberships that put users into it.

use serde_json::{Map, Value};

use crate::clock::Time;

/// One organization.
#[derive(Clone, Debug)]
pub struct Organization {
    pub id: i64,
    pub name: Box<str>,
    pub external_id: Option<Box<str>>,
    pub domain_names: Vec<String>,
    pub details: Option<Box<str>>,
    pub notes: Option<Box<str>>,
    pub group_id: Option<i64>,
    pub shared_tickets: bool,
    pub shared_comments: bool,
    /// In lower case, each once.
    pub tags: Vec<String>,
    pub fields: Map<String, Value>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Organization {
    /// An organization that has nothing but a name.
    pub fn new(id: i64, name: &str, now: Time) -> Self {
        Self {
            id,
            name: name.into(),
            external_id: None,
            domain_names: Vec::new(),
            details: None,
            notes: None,
            group_id: None,
            shared_tickets: false,
            shared_comments: false,
            tags: Vec::new(),
            fields: Map::new(),
            created_at: now,
            updated_at: now,
        }
    }

    /// One that the account has from the beginning. Every other one has an
    /// external id.
    pub fn seeded(id: i64, opened: Time) -> Self {
        let number = id % 100_000;
        let mut organization = Self::new(id, &format!("Organization {number}"), opened);
        if id % 2 == 0 {
            organization.external_id = Some(format!("org {number}").into());
            organization.domain_names.push(format!("org{number}.example"));
            organization.tags.push("customer".to_owned());
        }
        organization
    }
}

/// A user's place in an organization. Which one is the default, the user's record tells.
#[derive(Clone, Debug)]
pub struct OrganizationMembership {
    pub id: i64,
    pub user_id: i64,
    pub organization_id: i64,
    pub created_at: Time,
    pub updated_at: Time,
}
