//! The user, as agents see it.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::clock::Time;
use crate::store::fields::Shown;
use crate::store::user::{Photo, Restriction, User};

use super::{Links, RecordUrl};

/// A user in the recorded key order.
#[expect(clippy::struct_excessive_bools, reason = "the struct is the wire format")]
#[derive(Serialize)]
pub struct UserView<'a> {
    id: i64,
    url: RecordUrl<'a, i64>,
    name: &'a str,
    email: Option<&'a str>,
    created_at: Time,
    updated_at: Time,
    time_zone: &'static str,
    iana_time_zone: &'static str,
    phone: Option<&'a str>,
    shared_phone_number: Option<bool>,
    photo: Option<PhotoView<'a>>,
    locale_id: u32,
    locale: &'static str,
    organization_id: Option<i64>,
    role: &'static str,
    verified: bool,
    /// Only in the answer of `users/me`.
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticity_token: Option<&'a str>,
    external_id: Option<&'a str>,
    tags: Tags<'a>,
    alias: Option<&'a str>,
    active: bool,
    shared: bool,
    shared_agent: bool,
    last_login_at: Option<Time>,
    two_factor_auth_enabled: Option<bool>,
    signature: Option<&'a str>,
    details: Option<&'a str>,
    notes: Option<&'a str>,
    role_type: Option<u8>,
    custom_role_id: Option<i64>,
    moderator: bool,
    ticket_restriction: Option<&'static str>,
    only_private_comments: bool,
    restricted_agent: bool,
    suspended: bool,
    default_group_id: Option<i64>,
    report_csv: bool,
    user_fields: Shown<'a>,
}

impl<'a> UserView<'a> {
    pub fn new(links: &'a Links, user: &'a User) -> Self {
        Self {
            id: user.id,
            url: links.url("users", user.id),
            name: &user.name,
            email: user.email.as_deref(),
            created_at: user.created_at,
            updated_at: user.updated_at,
            time_zone: user.zone.name(),
            iana_time_zone: user.zone.iana(),
            phone: user.phone.as_deref(),
            shared_phone_number: user.shared_phone_number,
            photo: user.photo.as_deref().map(|photo| PhotoView::new(links, photo)),
            locale_id: user.locale.number(),
            locale: user.locale.tag(),
            organization_id: user.organization_id,
            role: user.role.name(),
            verified: user.verified || user.otherwise_verified,
            authenticity_token: None,
            external_id: user.external_id.as_deref(),
            tags: Tags(&user.tags),
            alias: user.alias.as_deref(),
            active: user.is_active(),
            shared: user.shared,
            shared_agent: user.shared_agent,
            last_login_at: user.last_login_at,
            two_factor_auth_enabled: user.two_factor_auth_enabled,
            signature: user.signature.as_deref(),
            details: user.details.as_deref(),
            notes: user.notes.as_deref(),
            role_type: user.role_type,
            custom_role_id: user.custom_role_id,
            moderator: user.moderator,
            ticket_restriction: user.ticket_restriction.map(Restriction::name),
            only_private_comments: user.only_private_comments,
            restricted_agent: user.restricted_agent,
            suspended: user.suspended,
            default_group_id: user.default_group_id,
            report_csv: false,
            user_fields: Shown(&user.fields, links.fields.all()),
        }
    }
}

/// The caller's own user, with the token that browsers send back.
pub struct SelfView;

impl SelfView {
    pub fn render(links: &Links, user: &User, token: &str) -> Vec<u8> {
        let mut view = UserView::new(links, user);
        view.authenticity_token = Some(token);
        super::json(&view)
    }
}

/// What `users/me` shows to a caller that it does not know.
///
/// Recorded are the status 200, the name and that the id is null. That the
/// other keys of a user are there too, and what they hold, is an assumption.
#[derive(Serialize)]
pub struct Anonymous<'a> {
    id: Option<i64>,
    url: RecordUrl<'a, &'static str>,
    name: &'static str,
    email: &'static str,
    created_at: Option<Time>,
    updated_at: Option<Time>,
    time_zone: &'static str,
    iana_time_zone: &'static str,
    phone: Option<&'static str>,
    shared_phone_number: Option<bool>,
    photo: Option<&'static str>,
    locale_id: u32,
    locale: &'static str,
    organization_id: Option<i64>,
    role: &'static str,
    verified: bool,
    authenticity_token: &'a str,
}

impl<'a> Anonymous<'a> {
    pub fn new(links: &'a Links, token: &'a str) -> Self {
        Self {
            id: None,
            url: links.url("users", ""),
            name: "Anonymous user",
            email: "invalid@example.com",
            created_at: None,
            updated_at: None,
            time_zone: "Eastern Time (US & Canada)",
            iana_time_zone: "America/New_York",
            phone: None,
            shared_phone_number: None,
            photo: None,
            locale_id: 1,
            locale: "en-US",
            organization_id: None,
            role: "end-user",
            verified: false,
            authenticity_token: token,
        }
    }
}

/// Tags as a JSON array, from their blank-separated form.
struct Tags<'a>(&'a str);

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for tag in self.0.split_ascii_whitespace() {
            list.serialize_element(tag)?;
        }
        list.end()
    }
}

/// A picture or its thumbnail in the recorded key order; the wire says
/// `file_name` where the pages say `name`.
#[derive(Serialize)]
pub struct PhotoView<'a> {
    url: RecordUrl<'a, i64>,
    id: i64,
    file_name: String,
    content_url: String,
    mapped_content_url: String,
    content_type: &'static str,
    size: u32,
    width: Option<u16>,
    height: Option<u16>,
    inline: bool,
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnails: Option<[Box<PhotoView<'a>>; 1]>,
}

impl<'a> PhotoView<'a> {
    pub fn new(links: &'a Links, photo: &Photo) -> Self {
        let thumbnail_name = match photo.file_name.rsplit_once('.') {
            Some((stem, extension)) => format!("{stem}_thumb.{extension}"),
            None => format!("{}_thumb", photo.file_name),
        };
        let thumbnail = Photo {
            id: photo.id + 3,
            file_name: thumbnail_name.into(),
            content_type: photo.content_type,
            size: photo.size / 9,
            dimensions: Some((32, 32)),
        };
        let mut view = Self::bare(links, photo);
        view.thumbnails = Some([Box::new(Self::bare(links, &thumbnail))]);
        view
    }

    fn bare(links: &'a Links, photo: &Photo) -> Self {
        let content_url = format!("{}/system/photos/{}/{}", links.origin, photo.id, photo.file_name);
        Self {
            url: links.url("attachments", photo.id),
            id: photo.id,
            file_name: photo.file_name.to_string(),
            mapped_content_url: content_url.clone(),
            content_url,
            content_type: photo.content_type,
            size: photo.size,
            width: photo.dimensions.map(|(width, _)| width),
            height: photo.dimensions.map(|(_, height)| height),
            inline: false,
            deleted: false,
            thumbnails: None,
        }
    }
}
