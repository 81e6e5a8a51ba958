//! Search and autocomplete. Both read an index that may lag behind the tables.

mod query;

use std::borrow::Cow;

use crate::call::Call;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part};
use crate::reply::Outcome;
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
