//! Creating, changing and deleting groups.

use super::Refusal;
use super::attributes::{Attributes, Change, Warnings};
use super::memberships;
use crate::clock::Time;
use crate::config::Assumptions;
use crate::store::group::Group;
use crate::store::tables::Tables;

/// Creates a group.
pub fn create(
    tables: &mut Tables,
    given: &mut Attributes,
    assumptions: &Assumptions,
    now: Time,
) -> Result<i64, Refusal> {
    let mut group = Group {
        id: 0,
        name: "".into(),
        description: "".into(),
        is_public: true,
        deleted: false,
        created_at: now,
        updated_at: now,
        verbatim: None,
    };
    change(tables, &mut group, given, assumptions)?;
    group.id = tables.fresh_id();
    let id = group.id;
    tables.put_group(group);
    Ok(id)
}

/// What a change leaves out, whether or not there is a group to be changed.
pub fn left_out(mut given: Attributes) -> Warnings {
    for key in ["name", "description", "is_public"] {
        given.take(key);
    }
    given.finish()
}

/// Changes a group that is not deleted.
pub fn update(
    tables: &mut Tables,
    id: i64,
    given: &mut Attributes,
    assumptions: &Assumptions,
    now: Time,
) -> Result<(), Refusal> {
    let mut group = tables.live_group(id).ok_or(Refusal::NotFound)?.clone();
    change(tables, &mut group, given, assumptions)?;
    group.updated_at = now;
    group.verbatim = None;
    tables.put_group(group);
    Ok(())
}

fn change(
    tables: &Tables,
    group: &mut Group,
    given: &mut Attributes,
    assumptions: &Assumptions,
) -> Result<(), Refusal> {
    given.not_null(&["name", "description", "is_public"]);
    if let Change::Set(name) = given.text("name") {
        group.name = name.trim().into();
    }
    if let Change::Set(description) = given.text("description") {
        group.description = description.into();
    }
    let is_public = given.boolean("is_public");
    given.check()?;
    let is_new = group.id == 0;
    match is_public {
        // The rule is documented, its words are an assumption.
        Some(true) if !group.is_public && !is_new => {
            return Err(Refusal::invalid(
                "is_public",
                "InvalidValue",
                "Is public: a private group cannot be made public",
            ));
        }
        Some(is_public) => group.is_public = is_public,
        None => {}
    }
    if group.name.is_empty() {
        return Err(Refusal::invalid("name", "BlankValue", "Name: cannot be blank"));
    }
    if !assumptions.duplicate_group_names {
        let wanted = group.name.to_lowercase();
        let mut others = tables.groups().filter(|other| !other.deleted && other.id != group.id);
        if others.any(|other| other.name.to_lowercase() == wanted) {
            return Err(Refusal::invalid("name", "DuplicateValue", "Name: has already been taken"));
        }
    }
    Ok(())
}

/// Deletes a group softly; its memberships go.
pub fn delete(tables: &mut Tables, id: i64, assumptions: &Assumptions, now: Time) -> Result<(), Refusal> {
    let mut group = tables.live_group(id).ok_or(Refusal::NotFound)?.clone();
    if id == tables.default_group && !assumptions.delete_default_group {
        return Err(Refusal::invalid("base", "InvalidValue", "Default group cannot be deleted"));
    }
    let places: Vec<i64> = tables.memberships_in(id).map(|place| place.id).collect();
    for place in places {
        memberships::delete(tables, place, now)?;
    }
    group.deleted = true;
    group.updated_at = now;
    group.verbatim = None;
    tables.put_group(group);
    Ok(())
}
