//! The groups that a change puts an agent into.

use crate::clock::Time;
use crate::errors::ValidationError;
use crate::rules::attributes::Attributes;
use crate::rules::{Refusal, memberships};
use crate::store::tables::Tables;
use crate::store::user::User;

/// The groups an agent is to be in.
#[derive(Default)]
pub struct Places {
    default: Option<i64>,
    others: Vec<i64>,
}

/// Reads which groups are asked for.
pub fn wanted(tables: &Tables, user: &User, given: &mut Attributes, problems: &mut Vec<ValidationError>) -> Places {
    let group = given.integer("group_id").value();
    let default = given.integer("default_group_id").value().or(group);
    let others = given.integers("group_ids").unwrap_or_default();
    let known = |id: &i64| tables.live_group(*id).is_some();
    if user.is_staff() && !default.iter().chain(&others).all(known) {
        problems.push(ValidationError::new("default_group_id", "InvalidValue", "Default group: is invalid"));
    }
    Places { default, others }
}

/// Puts an agent into the groups asked for; one who is in none joins the
/// account's default group.
pub fn join(tables: &mut Tables, user: i64, places: &Places, now: Time) -> Result<(), Refusal> {
    let is_in = |tables: &Tables, group: i64| {
        let mut memberships = tables.memberships_of(user);
        memberships.find(|place| place.group_id == group).map(|place| place.id)
    };
    for group in places.default.iter().chain(&places.others) {
        if is_in(tables, *group).is_none() {
            memberships::create(tables, user, *group, false, now)?;
        }
    }
    if tables.memberships_of(user).next().is_none() && tables.live_group(tables.default_group).is_some() {
        memberships::create(tables, user, tables.default_group, true, now)?;
    }
    if let Some(membership) = places.default.and_then(|group| is_in(tables, group)) {
        memberships::make_default(tables, user, Some(membership), now);
    }
    Ok(())
}
