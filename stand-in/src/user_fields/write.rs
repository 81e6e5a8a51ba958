//! Changing the definitions of custom user fields, for admins.

use std::ops::DerefMut;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::field;
use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::rules::Refusal;
use crate::rules::attributes::{Attributes, Change, Warnings, as_integer};
use crate::store::fields::{Definition, FieldOption, Kind};
use crate::store::tables::Tables;

/// `POST /user_fields`
pub fn create(call: &Call) -> Outcome {
    call.admins_only()?;
    let mut given = Attributes::new("user_field", call.object("user_field")?);
    let word = given.text("type").value().unwrap_or_else(|| "text".to_owned());
    let kind = Kind::of(&word).ok_or_else(|| invalid("type", "InvalidValue", "Type: is invalid"))?;
    let key = given.text("key").value().unwrap_or_default();
    let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '_';
    if !key.chars().all(is_plain) || key.bytes().all(|byte| byte.is_ascii_digit()) {
        let problem = "Key: must consist of letters, digits and underscores, and not of digits only";
        return Err(invalid("key", "InvalidValue", problem));
    }
    let mut tables = call.world.store.write();
    if tables.user_fields.all().iter().any(|held| held.key == key) {
        return Err(invalid("key", "DuplicateValue", "Key: has already been taken"));
    }
    let (id, slot) = (tables.fresh_id(), tables.user_fields.fresh_slot());
    let mut made = Definition::new(id, slot, &key, kind, call.world.clock.now());
    made.title.clear();
    let warnings = change(&mut made, given, || tables.fresh_id())?;
    tables.user_fields.change(|all| all.push(made.clone()));
    let reply = Reply::json(StatusCode::CREATED, shown(call, &made));
    let reply = reply.header("location", call.asked.url("user_fields", made.id).to_string());
    Ok(reply.warning(warnings.header("user_fields", "create")))
}

/// `PUT /user_fields/{user_field_id}`. That key and type of a field stay what
/// they are is an assumption.
pub fn update(call: &Call) -> Outcome {
    let (mut tables, mut field) = to_change(call)?;
    let mut given = call.object("user_field")?;
    let is_same = |held: &str, value: Option<Value>| value.is_none_or(|value| value == held);
    if !is_same(&field.key, given.remove("key")) {
        return Err(invalid("key", "InvalidValue", "Key: cannot be changed"));
    }
    if !is_same(field.kind.word(), given.remove("type")) {
        return Err(invalid("type", "InvalidValue", "Type: cannot be changed"));
    }
    if field.system && given.keys().any(|key| !["active", "position"].contains(&key.as_str())) {
        return Err(invalid("base", "InvalidValue", "System fields cannot be changed"));
    }
    let warnings = change(&mut field, Attributes::new("user_field", given), || tables.fresh_id())?;
    save(call, &mut field);
    Ok(Reply::ok(shown(call, &field)).warning(warnings.header("user_fields", "update")))
}

/// `DELETE /user_fields/{user_field_id}`: users lose their values.
pub fn delete(call: &Call) -> Outcome {
    let field = field(call)?;
    call.admins_only()?;
    if field.system {
        return Err(invalid("base", "InvalidValue", "System fields cannot be deleted"));
    }
    call.links.fields.change(|all| all.retain(|held| held.id != field.id));
    Ok(Reply::no_content())
}

/// `PUT /user_fields/reorder`: those that are named come first, in this order.
/// That one which is not there refuses all is an assumption.
pub fn reorder(call: &Call) -> Outcome {
    call.admins_only()?;
    let mut given = Attributes::new("", call.json()?);
    let ids = given.integers("user_field_ids");
    given.check()?;
    let ids = ids.ok_or_else(|| errors::parameter_missing("user_field_ids"))?;
    let _tables = call.world.store.write();
    call.links.fields.change(|all| {
        if ids.iter().any(|id| all.iter().all(|field| field.id != *id)) {
            return Err(errors::not_found());
        }
        let place = |field: &Definition| ids.iter().position(|id| *id == field.id).unwrap_or(ids.len());
        let mut order: Vec<_> = all.iter().map(|field| (place(field), field.position, field.id)).collect();
        order.sort_unstable();
        for (position, (_, _, id)) in (0..).zip(order) {
            all.iter_mut().filter(|field| field.id == id).for_each(|field| field.position = position);
        }
        Ok(Reply::ok(br#""""#.to_vec()))
    })
}

/// `POST /user_fields/{user_field_id}/options`: 200 for one that is there, 201
/// for a new one. What is refused is an assumption.
pub fn put_option(call: &Call) -> Outcome {
    let (mut tables, mut field) = to_change(call)?;
    if !field.kind.has_options() {
        return Err(invalid("base", "InvalidValue", "Field has no options"));
    }
    let mut given = Attributes::new("custom_field_option", call.object("custom_field_option")?);
    let id = given.integer("id").value();
    given.integer("position");
    let (name, value) = (given.text("name").value(), given.text("value").value());
    given.check()?;
    let mut options = field.options.clone();
    let (at, status) = match id.map(|id| options.iter().position(|option| option.id == id)) {
        Some(None) => return Err(errors::not_found()),
        Some(Some(at)) => (at, StatusCode::OK),
        None => {
            let (name, value) = (String::new(), String::new());
            options.push(FieldOption { id: tables.fresh_id(), name, value });
            (options.len() - 1, StatusCode::CREATED)
        }
    };
    let option = &mut options[at];
    (option.name, option.value) =
        (name.unwrap_or_else(|| option.name.clone()), value.unwrap_or_else(|| option.value.clone()));
    check_options(&options)?;
    field.set_options(options);
    save(call, &mut field);
    let shown = call.links.user_field_option(field.id, at, &field.options[at]);
    let reply = Reply::json(status, Envelope::new().raw("custom_field_option", &shown).finish());
    let origin = &call.asked.origin;
    Ok(reply.header("location", format!("{origin}/api/v2/user_fields/{}/options", field.id)))
}

/// `DELETE /user_fields/{user_field_id}/options/{user_field_option_id}`
pub fn delete_option(call: &Call) -> Outcome {
    let id = call.id("user_field_option_id")?;
    let (_tables, mut field) = to_change(call)?;
    let mut options = field.options.clone();
    options.retain(|option| option.id != id);
    if options.len() == field.options.len() {
        return Err(errors::not_found());
    }
    field.set_options(options);
    save(call, &mut field);
    Ok(Reply::no_content())
}

/// Returns a field that nobody else changes meanwhile: it is written as a whole.
fn to_change(call: &Call) -> Result<(impl DerefMut<Target = Tables> + '_, Definition), Reply> {
    field(call)?;
    call.admins_only()?;
    let tables = call.world.store.write();
    let field = field(call)?;
    Ok((tables, field))
}

/// Puts a changed field in the place of what it was.
fn save(call: &Call, field: &mut Definition) {
    field.updated_at = call.world.clock.now();
    call.links.fields.change(|all| {
        all.iter_mut().filter(|held| held.id == field.id).for_each(|held| *held = field.clone());
    });
}

/// Applies all attributes but key and type. A raw text is the text: the
/// account has no dynamic content.
fn change(field: &mut Definition, mut given: Attributes, fresh_id: impl FnMut() -> i64) -> Result<Warnings, Reply> {
    given.not_null(&["title", "active"]);
    for name in ["raw_title", "title"] {
        if let Change::Set(title) = given.text(name) {
            title.trim().clone_into(&mut field.title);
        }
    }
    for name in ["raw_description", "description"] {
        given.text(name).write(&mut field.description);
    }
    field.position = given.integer("position").value().unwrap_or(field.position);
    field.active = given.boolean("active").unwrap_or(field.active);
    given.text("regexp_for_validation").write(&mut field.regexp);
    given.text("tag").write(&mut field.tag);
    given.text("relationship_target_type").write(&mut field.target);
    if let Some(filter) = given.object("relationship_filter") {
        field.filter = Some(filter);
    }
    let options = given.take("custom_field_options");
    given.check()?;
    if let Some(options) = options {
        let items = options.as_array().cloned().unwrap_or_default();
        let options = read_options(field, &items, fresh_id)?;
        field.set_options(options);
    }
    let missing = match field.kind {
        _ if field.title.is_empty() => Some(("title", "Title: cannot be blank")),
        Kind::Dropdown | Kind::Multiselect if field.options.is_empty() => {
            Some(("custom_field_options", "Options: cannot be blank"))
        }
        Kind::Regexp if field.regexp.is_none() => Some(("regexp_for_validation", "Regexp: cannot be blank")),
        Kind::Lookup if field.target.is_none() => Some(("relationship_target_type", "Target type: cannot be blank")),
        _ => None,
    };
    match missing {
        Some((name, problem)) => Err(invalid(name, "BlankValue", problem)),
        None => Ok(given.finish()),
    }
}

/// All options as an update sends them: those with an id are kept, others are new.
fn read_options(
    field: &Definition,
    items: &[Value],
    mut fresh_id: impl FnMut() -> i64,
) -> Result<Vec<FieldOption>, Reply> {
    let none = Map::new();
    let options = items.iter().map(|item| {
        let item = item.as_object().unwrap_or(&none);
        let id = item.get("id").and_then(as_integer);
        let held = field.options.iter().find(|option| Some(option.id) == id);
        let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
        match (id, held) {
            (Some(_), None) => Err(invalid("custom_field_options", "InvalidValue", "Options: unknown id")),
            (_, held) => Ok(FieldOption {
                id: id.unwrap_or_else(&mut fresh_id),
                name: text("name").or_else(|| held.map(|held| held.name.clone())).unwrap_or_default(),
                value: text("value").or_else(|| held.map(|held| held.value.clone())).unwrap_or_default(),
            }),
        }
    });
    let options = options.collect::<Result<Vec<_>, _>>()?;
    check_options(&options)?;
    Ok(options)
}

fn check_options(options: &[FieldOption]) -> Result<(), Reply> {
    if options.iter().any(|option| option.name.trim().is_empty() || option.value.trim().is_empty()) {
        return Err(invalid("custom_field_options", "BlankValue", "Options: name and value cannot be blank"));
    }
    let is_twice = |(at, option): (usize, &FieldOption)| options[..at].iter().any(|other| other.value == option.value);
    if options.iter().enumerate().any(is_twice) {
        return Err(invalid("custom_field_options", "DuplicateValue", "Options: value has already been taken"));
    }
    Ok(())
}

fn shown(call: &Call, field: &Definition) -> Vec<u8> {
    Envelope::new().raw("user_field", &call.links.user_field(field)).finish()
}

fn invalid(field: &'static str, error: &'static str, problem: &str) -> Reply {
    Refusal::invalid(field, error, problem).into()
}
