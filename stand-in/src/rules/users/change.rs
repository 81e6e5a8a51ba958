//! One change to one user: every attribute, what it must look like, and what
//! follows from it.

mod contact;
mod identities;
mod role;
mod teams;

pub use contact::is_address;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::clock::Time;
use crate::errors::ValidationError;
use crate::rules::Refusal;
use crate::rules::attributes::{Attributes, Change, Warnings, as_integer, as_text};
use crate::rules::memberships;
use crate::store::identity::Identity;
use crate::store::organization::Organization;
use crate::store::tables::Tables;
use crate::store::user::{Locale, Photo, User, Zone};
use teams::Places;

/// Attributes that the specification does not let be null.
const NEVER_NULL: [&str; 7] = ["email", "role", "organization", "password", "separation", "identities", "group_ids"];

/// A user as a change would leave it, with what is saved beside it.
struct Draft {
    user: User,
    organization: Option<String>,
    /// The organizations beside the default one, where the change sets them.
    organizations: Option<Vec<i64>>,
    identities: Vec<Identity>,
    groups: Places,
    warnings: Warnings,
}

/// Applies the attributes and saves the user, or changes nothing.
pub fn save(tables: &mut Tables, user: User, given: Map<String, Value>, is_new: bool) -> Result<Warnings, Refusal> {
    let draft = draft(tables, user, given, is_new)?;
    let Draft { mut user, organization, organizations, identities, groups, warnings } = draft;
    let (id, now) = (user.id, user.updated_at);
    if let Some(name) = organization {
        let organization = tables.fresh_id();
        tables.put_organization(Organization::new(organization, &name, now));
        user.organization_id = Some(organization);
    }
    if !user.is_staff() {
        memberships::leave_all(tables, id);
        user.default_group_id = None;
    }
    let is_staff = user.is_staff();
    let kept: Option<Vec<i64>> = organizations.map(|others| user.organization_id.into_iter().chain(others).collect());
    if let Some(kept) = &kept {
        tables.leave_organizations_but(id, kept);
        user.organization_id = kept.first().copied();
    }
    tables.put_user(user);
    for organization in kept.into_iter().flatten() {
        tables.join_organization(id, organization, now);
    }
    for identity in identities {
        tables.add_identity(id, identity, now);
    }
    if is_staff {
        teams::join(tables, id, &groups, now)?;
    }
    Ok(warnings)
}

/// What a change leaves out, whether or not there is a user to be changed.
pub fn left_out(tables: &Tables, given: Map<String, Value>) -> Warnings {
    let scratch = User::end_user(0, "", Time(0));
    read(tables, scratch, given, false).0.warnings
}

/// Checks the attributes as [`save`] does, and changes nothing.
pub fn check(tables: &Tables, user: User, given: Map<String, Value>) -> Result<Warnings, Refusal> {
    draft(tables, user, given, true).map(|draft| draft.warnings)
}

fn draft(tables: &Tables, user: User, given: Map<String, Value>, is_new: bool) -> Result<Draft, Refusal> {
    let (draft, problems) = read(tables, user, given, is_new);
    if problems.is_empty() { Ok(draft) } else { Err(Refusal::Invalid(problems)) }
}

fn read(tables: &Tables, mut user: User, given: Map<String, Value>, is_new: bool) -> (Draft, Vec<ValidationError>) {
    let mut given = Attributes::new("user", given);
    let mut problems = Vec::new();
    given.not_null(&NEVER_NULL);
    inert(&mut given);
    plain(tables, &mut user, &mut given);
    name(&mut user, &mut given, &mut problems);
    place_and_time(&mut user, &mut given, &mut problems);
    role::apply(&mut user, &mut given, &mut problems);
    external_id(tables, &mut user, &mut given, &mut problems);
    // Documented: who is given an organization is in no other one afterwards.
    let is_placed = ["organization_id", "organization", "organization_name"].into_iter().any(|key| given.has(key));
    let organization = organization(tables, &mut user, &mut given, &mut problems);
    let mut organizations = organizations(tables, &mut given, &mut problems);
    match &organizations {
        None if is_placed => organizations = Some(Vec::new()),
        Some(ids) if !is_placed && user.organization_id.is_some_and(|held| !ids.contains(&held)) => {
            user.organization_id = None;
        }
        _ => {}
    }
    let identities = contact::apply(tables, &mut user, &mut given, is_new, &mut problems);
    let groups = teams::wanted(tables, &user, &mut given, &mut problems);
    problems.splice(..0, given.problems());
    let warnings = given.finish();
    (Draft { user, organization, organizations, identities, groups, warnings }, problems)
}

/// Attributes that are permitted and have no effect here. Recorded of `id`,
/// which clients send back with the rest of a record: no warning.
fn inert(given: &mut Attributes) {
    given.take("id");
    given.text("password");
    given.boolean("skip_verify_email");
    given.integer("active_brand_id");
    given.integers("agent_brand_ids");
    if let Some(separation) = given.object("separation") {
        let brand = separation.get("brand_id").map(as_integer);
        let fits = match separation.get("scope").and_then(Value::as_str) {
            Some("account") => brand.is_none(),
            Some("brand") => brand.flatten().is_some(),
            _ => false,
        };
        if !fits {
            given.wrong("separation", "is invalid");
        }
    }
}

/// Tags as the account keeps them: in lower case, each once, cut at blanks.
pub fn tags_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    texts.into_iter().flat_map(str::split_whitespace).map(str::to_lowercase).collect()
}

/// Attributes that accept any value.
fn plain(tables: &Tables, user: &mut User, given: &mut Attributes) {
    given.text("alias").map(Box::from).write(&mut user.alias);
    given.text("details").map(Box::from).write(&mut user.details);
    given.text("notes").map(Box::from).write(&mut user.notes);
    given.text("signature").map(Box::from).write(&mut user.signature);
    if let Some(tags) = given.texts("tags") {
        let tags = tags_of(tags.iter().map(String::as_str));
        user.tags = tags.into_iter().collect::<Vec<_>>().join(" ").into();
    }
    user.moderator = given.boolean("moderator").unwrap_or(user.moderator);
    user.suspended = given.boolean("suspended").unwrap_or(user.suspended);
    user.only_private_comments = given.boolean("only_private_comments").unwrap_or(user.only_private_comments);
    if let Some(fields) = given.object("user_fields") {
        user.fields.apply(&fields, &tables.user_fields.all());
    }
    // That null takes the picture away is an assumption.
    if given.take("photo").is_some_and(|photo| photo.is_null()) {
        user.photo = None;
    }
    if let Change::Set(url) = given.text("remote_photo_url") {
        let file_name = url.rsplit('/').next().unwrap_or("photo");
        user.photo = Some(Box::new(Photo {
            id: user.id + 29,
            file_name: file_name.into(),
            content_type: "image/png",
            size: 4_096,
            dimensions: None,
        }));
    }
}

fn name(user: &mut User, given: &mut Attributes, problems: &mut Vec<ValidationError>) {
    match given.text("name") {
        Change::Set(name) => user.name = name.trim().into(),
        Change::Clear => user.name = "".into(),
        Change::Keep => {}
    }
    if user.name.is_empty() {
        problems.push(ValidationError::new("name", "BlankValue", "Name: cannot be blank"));
    }
}

/// That unknown zones and languages are refused is an assumption.
fn place_and_time(user: &mut User, given: &mut Attributes, problems: &mut Vec<ValidationError>) {
    if let Change::Set(name) = given.text("time_zone") {
        match Zone::parse(&name) {
            Some(zone) => user.zone = zone,
            None => problems.push(ValidationError::new("time_zone", "InvalidValue", "Time zone: is invalid")),
        }
    }
    let by_number = given.integer("locale_id");
    let language = given.text("language").value();
    let locale = match (given.text("locale").value().or(language), by_number) {
        (Some(tag), _) => Some(Locale::by_tag(&tag)),
        (None, Change::Set(number)) => Some(Locale::by_number(number)),
        (None, Change::Keep | Change::Clear) => None,
    };
    match locale {
        Some(Some(locale)) => user.locale = locale,
        Some(None) => problems.push(ValidationError::new("locale", "InvalidValue", "Locale: is invalid")),
        None => {}
    }
}

fn external_id(tables: &Tables, user: &mut User, given: &mut Attributes, problems: &mut Vec<ValidationError>) {
    match given.text("external_id") {
        Change::Keep => {}
        Change::Set(id) if !id.is_empty() => {
            let owner = tables.external_id_owner(&id);
            if owner.is_some_and(|owner| owner != user.id) {
                problems.push(ValidationError::new("external_id", "DuplicateValue", "External has already been taken"));
            }
            user.external_id = Some(id.into());
        }
        Change::Clear | Change::Set(_) => user.external_id = None,
    }
}

/// Returns the organizations that the user is to be in. That these are all of
/// them afterwards is an assumption.
fn organizations(tables: &Tables, given: &mut Attributes, problems: &mut Vec<ValidationError>) -> Option<Vec<i64>> {
    let wanted = given.integers("organization_ids");
    if wanted.iter().flatten().any(|id| tables.organization(*id).is_none()) {
        problems.push(ValidationError::new("organization", "InvalidValue", "Organization: Invalid organization"));
    }
    wanted
}

/// Returns the name of an organization that has to be made first.
fn organization(
    tables: &Tables,
    user: &mut User,
    given: &mut Attributes,
    problems: &mut Vec<ValidationError>,
) -> Option<String> {
    match given.integer("organization_id") {
        Change::Set(id) if tables.organization(id).is_none() => {
            problems.push(ValidationError::new("organization", "InvalidValue", "Organization: Invalid organization"));
        }
        change => change.write(&mut user.organization_id),
    }
    let named = given.object("organization").and_then(|object| {
        let name = object.get("name").and_then(as_text);
        if name.is_none() {
            given.wrong("organization", "name is invalid");
        }
        name
    });
    let name = named.or(given.text("organization_name").value())?;
    match tables.organization_named(&name) {
        Some(id) => {
            user.organization_id = Some(id);
            None
        }
        None => Some(name),
    }
}
