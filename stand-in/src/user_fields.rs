//! Definitions of custom user fields: the list, single ones, and the choices of one.

pub mod write;

use std::borrow::Cow;

use crate::call::Call;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part};
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::fields::{Definition, FieldOption};

/// `GET /user_fields`, by position.
pub fn list(call: &Call) -> Outcome {
    let defined = call.links.fields.all();
    let mut rows: Vec<&Definition> = defined.iter().collect();
    rows.sort_by_key(|field| (field.position, field.id));
    let place = |field: &&Definition| vec![Part::Int(field.position), Part::Int(field.id)];
    let order = Order { name: "position,id".to_owned(), key: Box::new(place) };
    let listing = Listing {
        name: "user_fields",
        rows: Cow::Owned(rows),
        order,
        has_more: HasMore::OnRequest,
        modes: Modes::Both,
    };
    pagination::page(call, &listing, |field| call.links.user_field(field), pagination::alone)
}

/// `GET /user_fields/show_many`: unknown keys are left out (an assumption).
pub fn many(call: &Call) -> Outcome {
    let keys = call.texts("keys")?.ok_or_else(|| errors::parameter_missing("keys"))?;
    let defined = call.links.fields.all();
    let found: Vec<&Definition> = defined.iter().filter(|field| keys.contains(&field.key.as_str())).collect();
    let envelope = Envelope::new().rows("user_fields", found.iter().map(|field| call.links.user_field(field)));
    let envelope = envelope.raw("next_page", b"null").raw("previous_page", b"null").value("count", &found.len());
    Ok(Reply::ok(envelope.finish()))
}

/// `GET /user_fields/{user_field_id}`
pub fn show(call: &Call) -> Outcome {
    let field = field(call)?;
    Ok(Reply::ok(Envelope::new().raw("user_field", &call.links.user_field(&field)).finish()))
}

/// `GET /user_fields/{user_field_id}/options`: none of a field without choices (an assumption).
pub fn options(call: &Call) -> Outcome {
    let field = field(call)?;
    let rows: Vec<(usize, FieldOption)> = field.options.iter().cloned().enumerate().collect();
    let place = |(at, _): &(usize, FieldOption)| vec![Part::Int(i64::try_from(*at).unwrap_or(i64::MAX))];
    let order = Order { name: "position".to_owned(), key: Box::new(place) };
    let listing = Listing {
        name: "custom_field_options",
        rows: Cow::Owned(rows),
        order,
        has_more: HasMore::OnRequest,
        modes: Modes::Both,
    };
    let shown = |(at, option): &(usize, FieldOption)| call.links.user_field_option(field.id, *at, option);
    pagination::page(call, &listing, shown, pagination::alone)
}

/// `GET /user_fields/{user_field_id}/options/{user_field_option_id}`
pub fn show_option(call: &Call) -> Outcome {
    let (field, id) = (field(call)?, call.id("user_field_option_id")?);
    let found = field.options.iter().enumerate().find(|(_, option)| option.id == id);
    let (at, option) = found.ok_or_else(errors::not_found)?;
    let shown = call.links.user_field_option(field.id, at, option);
    Ok(Reply::ok(Envelope::new().raw("custom_field_option", &shown).finish()))
}

/// The field that the path names by its id or its key.
fn field(call: &Call) -> Result<Definition, Reply> {
    let name = call.param("user_field_id");
    let defined = call.links.fields.all();
    let found = defined.iter().find(|field| field.key == name || field.id.to_string() == name);
    found.cloned().ok_or_else(errors::not_found)
}
