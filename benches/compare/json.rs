//! A page of 100 users from its JSON to messages: as the gateway does it, and through structs of its own for the JSON, as it
//! is mostly done.

use std::hint::black_box;
use std::time::{Duration, Instant};

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};
use serde::Deserialize;
use zendesk_gateway::json;
use zendesk_gateway::proto::{Attachment, RoleType, TicketRestriction, User, UserRole};
use zendesk_gateway::rest::page::Page;

use super::series::Series;

/// Decodes `body` for about `time` in each way, in turns, and returns both speeds in MB/s: the gateway's, the usual one's.
pub fn compare(body: &[u8], rounds: usize, time: Duration) -> (Series, Series) {
    assert_eq!(straight(body), through_structs(body), "both ways give the same messages");
    let (mut ours, mut usual) = (Series::default(), Series::default());
    for _ in 0..=rounds {
        ours.add(speed(body, time, straight));
        usual.add(speed(body, time, through_structs));
    }
    (ours.warm(), usual.warm())
}

#[expect(clippy::cast_precision_loss, reason = "a page is no larger than a few megabytes")]
fn speed(body: &[u8], time: Duration, decode: fn(&[u8]) -> Vec<User>) -> f64 {
    let (started, mut pages) = (Instant::now(), 0);
    while started.elapsed() < time {
        black_box(decode(black_box(body)));
        pages += 1;
    }
    f64::from(pages) * body.len() as f64 / 1e6 / started.elapsed().as_secs_f64()
}

fn straight(body: &[u8]) -> Vec<User> {
    json::decode::<Page<User>>(body).expect("the stand-in writes JSON").0.rows
}

fn through_structs(body: &[u8]) -> Vec<User> {
    let page: PageJson = serde_json::from_slice(body).expect("the stand-in writes JSON");
    black_box((&page.meta, &page.links));
    page.users.into_iter().map(User::from).collect()
}

#[derive(Deserialize)]
struct PageJson {
    users: Vec<UserJson>,
    meta: Option<MetaJson>,
    links: Option<LinksJson>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read from the JSON, as it would be")]
struct MetaJson {
    has_more: Option<bool>,
    after_cursor: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read from the JSON, as it would be")]
struct LinksJson {
    next: Option<String>,
}

#[derive(Deserialize)]
struct UserJson {
    id: i64,
    url: Option<String>,
    name: Option<String>,
    email: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
    time_zone: Option<String>,
    iana_time_zone: Option<String>,
    phone: Option<String>,
    shared_phone_number: Option<bool>,
    photo: Option<AttachmentJson>,
    locale_id: Option<i64>,
    locale: Option<String>,
    organization_id: Option<i64>,
    role: Option<String>,
    verified: Option<bool>,
    external_id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    alias: Option<String>,
    active: Option<bool>,
    shared: Option<bool>,
    shared_agent: Option<bool>,
    last_login_at: Option<String>,
    two_factor_auth_enabled: Option<bool>,
    signature: Option<String>,
    details: Option<String>,
    notes: Option<String>,
    role_type: Option<i32>,
    custom_role_id: Option<i64>,
    moderator: Option<bool>,
    ticket_restriction: Option<String>,
    only_private_comments: Option<bool>,
    restricted_agent: Option<bool>,
    suspended: Option<bool>,
    default_group_id: Option<i64>,
    report_csv: Option<bool>,
    user_fields: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct AttachmentJson {
    id: i64,
    url: Option<String>,
    file_name: Option<String>,
    name: Option<String>,
    content_url: Option<String>,
    mapped_content_url: Option<String>,
    content_type: Option<String>,
    size: Option<i64>,
    width: Option<i64>,
    height: Option<i64>,
    inline: Option<bool>,
    deleted: Option<bool>,
    #[serde(default)]
    thumbnails: Vec<AttachmentJson>,
}

impl From<UserJson> for User {
    fn from(user: UserJson) -> Self {
        Self {
            id: user.id,
            url: user.url,
            name: user.name,
            email: user.email,
            created_at: time(user.created_at),
            updated_at: time(user.updated_at),
            time_zone: user.time_zone,
            iana_time_zone: user.iana_time_zone,
            phone: user.phone,
            shared_phone_number: user.shared_phone_number,
            photo: user.photo.map(Attachment::from),
            locale_id: user.locale_id,
            locale: user.locale,
            organization_id: user.organization_id,
            role: user.role.map(|word| match word.as_str() {
                "end-user" => UserRole::EndUser.into(),
                "agent" => UserRole::Agent.into(),
                "admin" => UserRole::Admin.into(),
                _ => UserRole::Unspecified.into(),
            }),
            verified: user.verified,
            external_id: user.external_id,
            tags: user.tags,
            alias: user.alias,
            active: user.active,
            shared: user.shared,
            shared_agent: user.shared_agent,
            last_login_at: time(user.last_login_at),
            two_factor_auth_enabled: user.two_factor_auth_enabled,
            signature: user.signature,
            details: user.details,
            notes: user.notes,
            role_type: user.role_type.map(|number| RoleType::try_from(number + 1).unwrap_or_default().into()),
            custom_role_id: user.custom_role_id,
            moderator: user.moderator,
            ticket_restriction: user.ticket_restriction.map(|word| match word.as_str() {
                "organization" => TicketRestriction::Organization.into(),
                "groups" => TicketRestriction::Groups.into(),
                "assigned" => TicketRestriction::Assigned.into(),
                "requested" => TicketRestriction::Requested.into(),
                _ => TicketRestriction::Unspecified.into(),
            }),
            only_private_comments: user.only_private_comments,
            restricted_agent: user.restricted_agent,
            suspended: user.suspended,
            default_group_id: user.default_group_id,
            report_csv: user.report_csv,
            user_fields: user.user_fields.map(structure),
            ..Self::default()
        }
    }
}

impl From<AttachmentJson> for Attachment {
    fn from(file: AttachmentJson) -> Self {
        Self {
            id: file.id,
            url: file.url,
            file_name: file.file_name,
            name: file.name,
            content_url: file.content_url,
            mapped_content_url: file.mapped_content_url,
            content_type: file.content_type,
            size: file.size,
            width: file.width,
            height: file.height,
            inline: file.inline,
            deleted: file.deleted,
            thumbnails: file.thumbnails.into_iter().map(Self::from).collect(),
        }
    }
}

fn time(text: Option<String>) -> Option<Timestamp> {
    text?.parse().ok()
}

fn structure(object: serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: object.into_iter().map(|(key, value)| (key, self::value(value))).collect() }
}

fn value(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(bool) => Kind::BoolValue(bool),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(self::value).collect() }),
        Json::Object(object) => Kind::StructValue(structure(object)),
    };
    Value { kind: Some(kind) }
}
