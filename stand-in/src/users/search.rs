//! Search and autocomplete. Both read an index that may lag behind the tables.

mod query;

use std::borrow::Cow;
use std::cmp::Reverse;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::call::Call;
use crate::clock::Time;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part};
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::tables::Tables;
use crate::store::user::User;

use super::sideload;
use query::{Query, is_alike, starts_a_word};

/// `GET /users/search`
pub fn search(call: &Call) -> Outcome {
    if let Some(wanted) = call.query.get("external_id") {
        return respond(call, |_, user| is_alike(user.external_id.as_deref(), wanted));
    }
    let query = Query::read(call.query.get("query").unwrap_or_default());
    let query = query.map_err(|why| errors::invalid_search(&why))?;
    respond(call, |tables, user| query.finds(tables, user))
}

/// `GET /search/export`, for users: the newest first. The order of those who are equally new, and what is said
/// to a cursor that is older than an hour, are assumptions, and so is the cursor's form: place and age.
pub fn export(call: &Call) -> Outcome {
    if call.query.get("filter[type]") != Some("user") {
        return Err(errors::invalid_search("filter[type] must be one of the exportable types"));
    }
    let text = call.query.get("query").ok_or_else(|| errors::parameter_missing("query"))?;
    let query = Query::read(text).map_err(|why| errors::invalid_search(&why))?;
    if query.names_a_type() {
        return Err(errors::invalid_search("type is not allowed in the query"));
    }
    let size = call.query.get("page[size]").map_or(Some(100), |size| size.parse().ok());
    let size = size.filter(|size| (1..=1000).contains(size)).ok_or_else(|| errors::invalid_pagination("page[size]"))?;
    let now = call.world.clock.now();
    let expired = || errors::invalid_pagination("page[after]");
    let after = call.query.get("page[after]").map(|cursor| read(cursor, now).ok_or_else(expired)).transpose()?;
    let tables = call.world.store.read();
    let place = |user: &User| (Reverse(user.created_at.0), user.id);
    let is_due = |user: &&User| after.is_none_or(|after| place(user) > after) && query.finds(&tables, user);
    let mut users: Vec<&User> = tables.indexed_users().filter(is_due).collect();
    users.sort_unstable_by_key(|user| place(user));
    let has_more = users.len() > size;
    users.truncate(size);
    let cursor = users.last().map(|user| STANDARD.encode(format!("{}|{}|{}", user.created_at.0, user.id, now.0)));
    let next = cursor.as_ref().map(|cursor| pagination::link(call, &[("page[after]", Some(cursor.clone()))]));
    let envelope = Envelope::new().rows("results", users.iter().map(|user| call.links.found_user(user)));
    let envelope = envelope.raw("facets", b"null").value("links", &json!({"next": next, "prev": null}));
    let meta = json!({"has_more": has_more, "after_cursor": cursor, "before_cursor": null});
    Ok(Reply::ok(envelope.value("meta", &meta).finish()).cached("max-age=10, private, must-revalidate"))
}

/// Reads a cursor of an export: none of another form, and none that is older than an hour.
fn read(cursor: &str, now: Time) -> Option<(Reverse<u32>, i64)> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (place, made) = text.rsplit_once('|')?;
    let (created, id) = place.split_once('|')?;
    let is_current = now.0.saturating_sub(made.parse().ok()?) <= 3600;
    is_current.then_some((Reverse(created.parse().ok()?), id.parse().ok()?))
}

/// `GET /users/autocomplete`: users whose name starts with the text, or one of
/// its words does (the latter an assumption). `POST` takes the same parameters
/// in the body as well.
pub fn autocomplete(call: &Call) -> Outcome {
    let body = call.json()?;
    let given = |key: &str| call.query.get(key).or_else(|| body.get(key)?.as_str());
    let by_name = given("name").is_some();
    let text = given("name").or_else(|| given("phone"));
    let text = text.ok_or_else(|| errors::parameter_missing("name"))?.to_lowercase();
    let assignable = match given("filter") {
        None | Some("requester") => false,
        Some("assignable") => true,
        Some(_) => return Err(errors::invalid_attribute("filter", "is not included in the list")),
    };
    let long_enough = text.chars().count() >= call.world.config.assumptions.autocomplete_min_length;
    respond(call, |_, user| {
        let found = if by_name {
            starts_a_word(&user.name, &text)
        } else {
            user.phone.as_deref().is_some_and(|phone| phone.starts_with(&text))
        };
        long_enough && found && (!assignable || user.is_staff())
    })
}

fn respond(call: &Call, wanted: impl Fn(&Tables, &User) -> bool) -> Outcome {
    let tables = call.world.store.read();
    let found: Vec<&User> = tables.indexed_users().filter(|user| wanted(&tables, user)).collect();
    let listing = Listing {
        name: "users",
        rows: Cow::Owned(found),
        // By id; the real order is by relevance, which no client can count on.
        order: Order { name: "id".into(), key: Box::new(|user: &&User| vec![Part::Int(user.id)]) },
        has_more: HasMore::Always,
        modes: Modes::Search,
    };
    pagination::page(
        call,
        &listing,
        |user| call.links.user(user),
        |envelope, rows| {
            let ids: Vec<i64> = rows.iter().map(|user| user.id).collect();
            sideload::beside(call, &tables, envelope, &ids)
        },
    )
}
