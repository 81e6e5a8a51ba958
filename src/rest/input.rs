//! Turns what callers write into JSON, after a check of each field.

use prost_types::value::Kind;
use prost_types::{FieldMask, Struct, Value};
use serde_json::Map;

use crate::error::{Checks, Error, Result, snippet};
use crate::json::{body, patch};
use crate::proto::{
    CustomFieldOptionInput, GroupInput, IdentityType, OrganizationInput, Separation, SeparationScope, UserFieldInput,
    UserIdentityInput, UserIdentityUpdateInput, UserInput,
};
use crate::rest::many::positive;
use crate::upstream::rest::UserKey;

/// The kind of write a user is for: some fields are for creation only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Create.
    Create,
    /// Create or update.
    Upsert,
    /// The same for many, where an id can say which user is meant.
    UpsertMany,
    /// Update.
    Update,
}

/// Fields that Update User refuses, because Zendesk would answer 200 and ignore them.
const CREATION_ONLY: [&str; 6] =
    ["organization", "group_ids", "active_brand_id", "separation", "password", "identities"];

const CANNOT_CLEAR: &str = "cannot be cleared: update_mask names it, so it must be set";

/// Doubles hold every whole number below this. It may itself have been the next one.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Fields that must not be null by Zendesk's specification, so a mask cannot clear them.
const NEVER_NULL: [&str; 6] = ["name", "email", "role", "organization", "separation", "password"];

/// Returns the `user` object of a request body. `within` is the input's path in the request message.
pub fn user(
    input: Option<&UserInput>,
    mask: Option<&FieldMask>,
    wanted: For,
    within: &str,
) -> Result<Map<String, serde_json::Value>> {
    let input = input.ok_or_else(|| absent(within, mask))?;
    let mut checks = Checks::default();
    check_user(input, within, &mut checks);
    // What creates or names a user misses a field that is required, which says more than that nothing is changed.
    let made = if wanted == For::Update { patch::<UserInput> } else { body };
    let body = made(input, mask, within, &mut checks);
    if let Some(body) = &body {
        check_body(body, wanted, within, &mut checks);
    }
    checks.end(body)
}

/// Checks what is sent, with its nulls.
fn check_body(body: &Map<String, serde_json::Value>, wanted: For, within: &str, checks: &mut Checks) {
    let field = |name: &str| format!("{within}.{name}");
    let says =
        |name: &str| body.get(name).is_some_and(|value| value.as_str().is_some_and(|text| !text.trim().is_empty()));
    // A masked field without its value is told as one that cannot be cleared.
    let is_null = |name: &str| body.get(name).is_some_and(serde_json::Value::is_null);
    let has_id = wanted == For::UpsertMany && body.contains_key("id");
    if body.contains_key("id") && !has_id {
        checks.refuse(&field("id"), "goes with creating or updating many only");
    }
    match wanted {
        For::Create if !says("name") => checks.refuse(&field("name"), "must not be empty"),
        For::UpsertMany if has_id => {
            for name in ["email", "external_id", "separation"].iter().filter(|name| body.contains_key(**name)) {
                checks.refuse(&field(name), "cannot be combined with id, which says which user is meant");
            }
        }
        For::Upsert | For::UpsertMany if !says("email") && !says("external_id") => {
            let or_id = if wanted == For::UpsertMany { " or id" } else { "" };
            let problem = format!("must be sent, or external_id{or_id}, to say which user is meant");
            checks.refuse(&field("email"), &problem);
        }
        For::Upsert | For::UpsertMany if body.contains_key("separation") && !says("name") => {
            checks.refuse(&field("separation"), "is for creation, which needs a name, too");
        }
        For::Update => {
            for name in CREATION_ONLY.iter().filter(|name| body.contains_key(**name)) {
                checks.refuse(&field(name), "is for creation only");
            }
        }
        _ => {}
    }
    let refused = |name: &str| match wanted {
        For::Create => name == "name",
        For::Upsert | For::UpsertMany => name == "email" && !says("external_id") || name == "separation",
        For::Update => CREATION_ONLY.contains(&name),
    };
    for name in NEVER_NULL.iter().filter(|name| is_null(name) && !refused(name)) {
        checks.refuse(&field(name), CANNOT_CLEAR);
    }
}

/// Refuses a request without the message that it is about.
pub fn absent(field: &str, mask: Option<&FieldMask>) -> Error {
    let named = mask.is_some_and(|mask| !mask.paths.is_empty());
    Error::invalid(field, if named { "is not set, and update_mask names fields of it" } else { "is not set" })
}

/// Returns the `group` object of a request body.
pub fn group(
    input: Option<&GroupInput>,
    mask: Option<&FieldMask>,
    create: bool,
) -> Result<Map<String, serde_json::Value>> {
    let input = input.ok_or_else(|| absent("group", mask))?;
    let mut checks = Checks::default();
    let made = if create { body::<GroupInput> } else { patch };
    let Some(mut body) = made(input, mask, "group", &mut checks) else { return checks.end(None) };
    let empty = |value: &serde_json::Value| value.as_str().is_none_or(|name| name.trim().is_empty());
    let name = body.get("name");
    if name.is_some_and(empty) || (create && name.is_none()) {
        checks.refuse("group.name", "must not be empty");
    }
    if body.get("is_public").is_some_and(serde_json::Value::is_null) {
        checks.refuse("group.is_public", CANNOT_CLEAR);
    }
    checks.end(Some(()))?;
    // A description is cleared with an empty text: by Zendesk's specification it must not be null.
    if let Some(description) = body.get_mut("description").filter(|description| description.is_null()) {
        *description = "".into();
    }
    Ok(body)
}

/// Returns the `organization` object of a request body.
pub fn organization(
    input: Option<&OrganizationInput>,
    mask: Option<&FieldMask>,
    wanted: For,
    within: &str,
) -> Result<Map<String, serde_json::Value>> {
    let input = input.ok_or_else(|| absent(within, mask))?;
    let field = |name: &str| format!("{within}.{name}");
    let mut checks = Checks::default();
    if input.group_id.is_some_and(|id| id <= 0) {
        checks.refuse(&field("group_id"), "must be a positive id");
    }
    checks.take(exact(input.organization_fields.as_ref(), &field("organization_fields")));
    let made = if wanted == For::Update { patch::<OrganizationInput> } else { body };
    let Some(body) = made(input, mask, within, &mut checks) else { return checks.end(None) };
    let is_blank =
        |name: &str| body.get(name).is_none_or(|value| value.as_str().is_none_or(|text| text.trim().is_empty()));
    if is_blank("name") && (wanted == For::Create || body.contains_key("name")) {
        checks.refuse(&field("name"), "must not be empty");
    }
    if wanted == For::Upsert && is_blank("external_id") {
        checks.refuse(&field("external_id"), "must be sent, or id, to say which organization is meant");
    }
    for name in ["shared_tickets", "shared_comments"] {
        if body.get(name).is_some_and(serde_json::Value::is_null) {
            checks.refuse(&field(name), CANNOT_CLEAR);
        }
    }
    checks.end(Some(body))
}

/// Returns the `user_field` object of a request body.
pub fn user_field(
    input: Option<&UserFieldInput>,
    mask: Option<&FieldMask>,
    create: bool,
) -> Result<Map<String, serde_json::Value>> {
    let input = input.ok_or_else(|| absent("user_field", mask))?;
    let mut checks = Checks::default();
    for (index, option) in input.custom_field_options.iter().enumerate() {
        check_option(option, &format!("user_field.custom_field_options[{index}]"), &mut checks);
    }
    checks.take(exact(input.relationship_filter.as_ref(), "user_field.relationship_filter"));
    let made = if create { body::<UserFieldInput> } else { patch };
    let Some(body) = made(input, mask, "user_field", &mut checks) else { return checks.end(None) };
    for name in ["key", "title"] {
        let is_blank = |value: &serde_json::Value| value.as_str().is_none_or(|text| text.trim().is_empty());
        if body.get(name).map_or(create, is_blank) {
            checks.refuse(&format!("user_field.{name}"), "must not be empty");
        }
    }
    for name in ["type", "active", "position", "relationship_filter"] {
        if body.get(name).is_some_and(serde_json::Value::is_null) {
            checks.refuse(&format!("user_field.{name}"), CANNOT_CLEAR);
        }
    }
    checks.end(Some(body))
}

/// Checks an option of a user field.
pub fn check_option(option: &CustomFieldOptionInput, within: &str, checks: &mut Checks) {
    if option.id.is_some_and(|id| id <= 0) {
        checks.refuse(&format!("{within}.id"), "must be a positive id");
    }
    for (name, text) in [("name", &option.name), ("value", &option.value)] {
        if text.trim().is_empty() {
            checks.refuse(&format!("{within}.{name}"), "must not be empty");
        }
    }
}

/// Returns the `identity` object of an update's body.
pub fn identity(
    input: Option<&UserIdentityUpdateInput>,
    mask: Option<&FieldMask>,
) -> Result<Map<String, serde_json::Value>> {
    let mut checks = Checks::default();
    let body = patch(input.ok_or_else(|| absent("identity", mask))?, mask, "identity", &mut checks);
    for (name, value) in body.iter().flatten() {
        match value {
            serde_json::Value::Null => checks.refuse(&format!("identity.{name}"), CANNOT_CLEAR),
            serde_json::Value::String(text) if text.trim().is_empty() => {
                checks.refuse(&format!("identity.{name}"), "must not be empty");
            }
            _ => {}
        }
    }
    checks.end(body)
}

/// Returns the e-mail address or external id that identifies an upsert's user, for the rate limit on updates of one user.
pub fn key_of(input: &UserInput) -> Option<UserKey> {
    let lower = |text: &String| text.trim().to_lowercase();
    let email = input.email.as_ref().map(|email| UserKey::Email(lower(email)));
    email.or_else(|| input.external_id.as_ref().map(|id| UserKey::ExternalId(lower(id))))
}

/// Wraps an object in Zendesk's envelope.
pub fn envelope(key: &str, object: Map<String, serde_json::Value>) -> serde_json::Value {
    Map::from_iter([(key.to_owned(), object.into())]).into()
}

fn check_user(input: &UserInput, within: &str, checks: &mut Checks) {
    let field = |name: &str| format!("{within}.{name}");
    let ids = [
        ("id", input.id),
        ("custom_role_id", input.custom_role_id),
        ("locale_id", input.locale_id),
        ("organization_id", input.organization_id),
        ("default_group_id", input.default_group_id),
        ("active_brand_id", input.active_brand_id),
    ];
    let lists = [
        ("organization_ids", &input.organization_ids),
        ("group_ids", &input.group_ids),
        ("agent_brand_ids", &input.agent_brand_ids),
    ];
    for (name, id) in ids {
        if id.is_some_and(|id| id <= 0) {
            checks.refuse(&field(name), "must be a positive id");
        }
    }
    for (name, ids) in lists {
        checks.take(positive(&field(name), ids));
    }
    if input.organization.as_ref().is_some_and(|organization| organization.name.trim().is_empty()) {
        checks.refuse(&field("organization.name"), "must not be empty");
    }
    if let Some(separation) = &input.separation {
        checks.take(check_separation(separation, &field("separation")));
    }
    for (index, identity) in input.identities.iter().enumerate() {
        check_identity(identity, &field(&format!("identities[{index}]")), checks);
    }
    checks.take(exact(input.user_fields.as_ref(), &field("user_fields")));
}

/// Checks an identity to add.
pub fn check_identity(identity: &UserIdentityInput, within: &str, checks: &mut Checks) {
    if identity.value.trim().is_empty() {
        checks.refuse(&format!("{within}.value"), "must not be empty");
    }
    if identity.r#type == i32::from(IdentityType::Microsoft) {
        checks.refuse(&format!("{within}.type"), "must not be IDENTITY_TYPE_MICROSOFT, which is for filters only");
    }
}

/// Checks that a brand is named exactly if the scope is one brand.
fn check_separation(separation: &Separation, within: &str) -> Result<()> {
    let field = |name: &str| format!("{within}.{name}");
    let Some(scope) = separation.scope else { return Err(Error::invalid(&field("scope"), "must be set")) };
    match (SeparationScope::try_from(scope), separation.brand_id) {
        (Ok(SeparationScope::Brand), None) => {
            Err(Error::invalid(&field("brand_id"), "must be set, as the scope is a brand"))
        }
        (Ok(SeparationScope::Brand), Some(brand)) if brand <= 0 => {
            Err(Error::invalid(&field("brand_id"), "must be a positive id"))
        }
        (Ok(SeparationScope::Account), Some(_)) => {
            Err(Error::invalid(&field("brand_id"), "must not be set, as the scope is the whole account"))
        }
        _ => Ok(()),
    }
}

/// Refuses what JSON cannot hold: NaN and infinite numbers, and values that are of no kind, of which `serde` would make null and so
/// clear the field. And numbers of which a double does not hold all digits: what the caller meant may have been another one.
pub fn exact(object: Option<&Struct>, field: &str) -> Result<()> {
    fn problem(value: &Value) -> Option<&'static str> {
        match value.kind.as_ref() {
            None => Some(
                "has a value without a kind: set one of null_value, which clears the field, string_value, number_value, \
                 bool_value, list_value and struct_value",
            ),
            Some(Kind::NumberValue(number)) if number.is_nan() || number.abs() >= EXACT => {
                Some("must be a number below 2^53, from which on doubles lose digits: send its digits as a string")
            }
            Some(Kind::ListValue(list)) => list.values.iter().find_map(problem),
            Some(Kind::StructValue(object)) => object.fields.values().find_map(problem),
            Some(_) => None,
        }
    }
    let mut checks = Checks::default();
    for (key, value) in object.iter().flat_map(|object| &object.fields) {
        if let Some(problem) = problem(value) {
            checks.refuse(&format!("{field}.{}", snippet(key)), problem);
        }
    }
    checks.end(Some(()))
}

#[cfg(test)]
mod tests {
    use prost_types::ListValue;

    use super::*;

    fn refused(value: Value) -> Option<String> {
        let object = Struct { fields: [("plan".to_owned(), value)].into() };
        exact(Some(&object), "user.user_fields").err().map(|error| error.to_string())
    }

    #[test]
    fn a_value_that_json_does_not_have_would_clear_the_field_and_is_refused_by_its_name() {
        let of = |kind| Value { kind: Some(kind) };
        let (none, nan) = (Value { kind: None }, of(Kind::NumberValue(f64::NAN)));
        for odd in [none, nan] {
            let list = of(Kind::ListValue(ListValue { values: vec![of(Kind::BoolValue(true)), odd.clone()] }));
            let within = of(Kind::StructValue(Struct { fields: [("a".to_owned(), list.clone())].into() }));
            for value in [odd, list, within] {
                let problem = refused(value.clone()).unwrap_or_else(|| panic!("{value:?}"));
                assert!(problem.contains("user.user_fields.plan"), "{problem}");
            }
        }
        for good in
            [Kind::NullValue(0), Kind::StringValue(String::new()), Kind::NumberValue(-1.5), Kind::BoolValue(false)]
        {
            assert_eq!(refused(of(good)), None);
        }
    }
}
