//! A deleted user: fewer keys, and none of them personal once erased.

use serde::Serialize;

use crate::clock::Time;
use crate::store::user::User;

use super::user::PhotoView;
use super::{Links, RecordUrl};

/// A deleted user in the documented set of keys.
#[derive(Serialize)]
pub struct DeletedUserView<'a> {
    id: i64,
    url: RecordUrl<'a, i64>,
    name: &'a str,
    email: Option<&'a str>,
    created_at: Time,
    updated_at: Time,
    time_zone: &'static str,
    phone: Option<&'a str>,
    shared_phone_number: Option<bool>,
    photo: Option<PhotoView<'a>>,
    locale_id: u32,
    locale: &'static str,
    organization_id: Option<i64>,
    role: &'static str,
    active: bool,
}

impl<'a> DeletedUserView<'a> {
    pub fn new(links: &'a Links, user: &'a User) -> Self {
        Self {
            id: user.id,
            url: links.url("deleted_users", user.id),
            name: &user.name,
            email: user.email.as_deref(),
            created_at: user.created_at,
            updated_at: user.updated_at,
            time_zone: user.zone.name(),
            phone: user.phone.as_deref(),
            shared_phone_number: user.shared_phone_number,
            photo: user.photo.as_deref().map(|photo| PhotoView::new(links, photo)),
            locale_id: user.locale.number(),
            locale: user.locale.tag(),
            organization_id: user.organization_id,
            role: user.role.name(),
            active: false,
        }
    }
}
