//! An identity of a user.

use serde::Serialize;

use crate::clock::Time;
use crate::store::identity::Identity;

use super::{Links, RecordUrl};

/// An identity, with its keys in the order of recorded answers. Only addresses
/// have the last two.
#[derive(Serialize)]
pub struct IdentityView<'a> {
    url: RecordUrl<'a, String>,
    id: i64,
    user_id: i64,
    r#type: &'a str,
    value: &'a str,
    verified: bool,
    primary: bool,
    created_at: Time,
    updated_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    undeliverable_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliverable_state: Option<&'static str>,
}

impl<'a> IdentityView<'a> {
    pub fn new(links: &'a Links, user: i64, identity: &'a Identity) -> Self {
        let is_email = identity.is_email();
        Self {
            url: links.url("users", format!("{user}/identities/{}", identity.id)),
            id: identity.id,
            user_id: user,
            r#type: &identity.kind,
            value: &identity.value,
            verified: identity.verified,
            primary: identity.primary,
            created_at: identity.created_at,
            updated_at: identity.created_at,
            undeliverable_count: is_email.then_some(0),
            deliverable_state: is_email.then_some("deliverable"),
        }
    }
}
