//! The bulk writes of <https://developer.zendesk.com/api-reference/ticketing/users/users/>

use serde_json::{Map, Value};

use crate::cache::tag;
use crate::error::{Checks, Result};
use crate::path;
use crate::proto::{
    BulkCreateOrUpdateUsersRequest, BulkCreateUsersRequest, BulkDeleteUsersRequest, BulkUpdateUsersRequest, UserInput,
    UserUpdate, user_update,
};
use crate::rest::Changes;
use crate::rest::bulk::{Bulk, Chunk, Key, Kind};
use crate::rest::field_values::{Given, given};
use crate::rest::input::{self, For, envelope};
use crate::rest::many::{Name, Named, Names, distinct, external_ids, ids, listed, some};
use crate::upstream::rest::Rest;

mod stream;

/// Create Many Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#create-many-users>
impl Bulk for BulkCreateUsersRequest {
    const KIND: Kind = Kind::Create;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        inputs(&self.users, For::Create, || Rest::post(path!["users", "create_many"]))
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn user_fields(&self) -> Vec<Given<'_>> {
        of_inputs(self.check_user_fields, &self.users)
    }

    fn changes(&self) -> Changes {
        everybody()
    }
}

/// Create Or Update Many Users.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#create-or-update-many-users>
impl Bulk for BulkCreateOrUpdateUsersRequest {
    const KIND: Kind = Kind::CreateOrUpdate;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        inputs(&self.users, For::UpsertMany, || Rest::post(path!["users", "create_or_update_many"]))
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn user_fields(&self) -> Vec<Given<'_>> {
        of_inputs(self.check_user_fields, &self.users)
    }

    fn changes(&self) -> Changes {
        everybody()
    }
}

/// Returns the values of user fields that these users have, if they are to be checked.
fn of_inputs(is_wanted: bool, users: &[UserInput]) -> Vec<Given<'_>> {
    let users = users.iter().enumerate();
    users.filter_map(|(index, user)| given(is_wanted, Some(user), None, || format!("users[{index}]"))).collect()
}

fn inputs(users: &[UserInput], wanted: For, rest: impl Fn() -> Rest) -> Result<Vec<Chunk>> {
    some("users", users)?;
    let mut checks = Checks::default();
    let rows = users.iter().enumerate();
    let bodies = rows.filter_map(|(index, user)| {
        checks.take(input::user(Some(user), None, wanted, &format!("users[{index}]")).map(Value::Object))
    });
    let bodies: Vec<Value> = bodies.collect();
    checks.take(distinct("users", users, names_of));
    let bodies = checks.end(Some(bodies))?;
    let keys: Vec<Key> = users
        .iter()
        .map(|user| {
            let name = |text: &Option<String>| text.clone().filter(|text| says_something(text));
            Key { id: user.id, email: name(&user.email), external_id: name(&user.external_id) }
        })
        .collect();
    Ok(listed("users", &bodies, &keys, rest))
}

/// Returns what a user is named by.
fn names_of(user: &UserInput) -> Names {
    let fields = [("email", &user.email), ("external_id", &user.external_id)];
    let named = fields.into_iter().filter_map(|(field, text)| Some((field, text.as_deref()?)));
    let named = named.filter(|(_, text)| says_something(text)).map(|(field, text)| (field, Name::text(text)));
    named.chain(user.id.filter(|id| *id > 0).map(|id| ("id", Name::Id(id)))).collect()
}

/// True if a text can name a user. An empty cell of a table is often sent as an empty text.
fn says_something(text: &str) -> bool {
    !text.trim().is_empty()
}

/// Update Many Users: one change for many, or a change for each.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#update-many-users>
impl Bulk for BulkUpdateUsersRequest {
    const KIND: Kind = Kind::Update;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        let given = [!self.ids.is_empty(), !self.external_ids.is_empty(), !self.users.is_empty()];
        let mut checks = Checks::default();
        match given.iter().filter(|given| **given).count() {
            0 => checks.refuse("ids", "must not be empty, unless external_ids or users is set"),
            1 => {}
            _ if given[2] => checks.refuse("users", "cannot be combined with ids or external_ids"),
            _ => checks.refuse("external_ids", "cannot be combined with ids"),
        }
        if self.brand_id.is_some() && self.external_ids.is_empty() {
            checks.refuse("brand_id", "goes with external_ids only");
        }
        if given[2] {
            if self.user.is_some() {
                checks.refuse("user", "goes with ids or external_ids only");
            }
            if self.update_mask.is_some() {
                checks.refuse("update_mask", "goes with user only; each of users has its own");
            }
            checks.take(named(&self.ids, &self.external_ids, None, || Rest::put(path!["users", "update_many"])));
            let updates = checks.take(updates(&self.users));
            return checks.end(updates);
        }
        let user = checks.take(input::user(self.user.as_ref(), self.update_mask.as_ref(), For::Update, "user"));
        let body = user.map(|user| envelope("user", user)).unwrap_or_default();
        // Written once: it can have megabytes, and there can be a hundred requests.
        let one = Rest::put(path!["users", "update_many"]).json(&body);
        let put = || one.clone();
        // If both lists are empty, that is told above.
        let chunks = if given[0] || given[1] {
            checks.take(named(&self.ids, &self.external_ids, self.brand_id, put))
        } else {
            None
        };
        checks.end(chunks)
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn user_fields(&self) -> Vec<Given<'_>> {
        let is_wanted = self.check_user_fields;
        let one = given(is_wanted, self.user.as_ref(), self.update_mask.as_ref(), || "user".to_owned());
        let each = self.users.iter().enumerate().filter_map(|(index, update)| {
            given(is_wanted, update.user.as_ref(), update.update_mask.as_ref(), || format!("users[{index}].user"))
        });
        one.into_iter().chain(each).collect()
    }

    fn changes(&self) -> Changes {
        everybody()
    }
}

fn updates(users: &[UserUpdate]) -> Result<Vec<Chunk>> {
    some("users", users)?;
    let (mut bodies, mut keys) = (Vec::with_capacity(users.len()), Vec::with_capacity(users.len()));
    let mut checks = Checks::default();
    for (index, update) in users.iter().enumerate() {
        let within = |name: &str| format!("users[{index}].{name}");
        let mut body = Map::new();
        let key = match &update.key {
            Some(user_update::Key::Id(id)) => {
                checks.take(crate::rest::id(&within("id"), *id));
                body.insert("id".to_owned(), (*id).into());
                Key { id: Some(*id), ..Key::default() }
            }
            Some(user_update::Key::ExternalId(id)) => {
                if id.trim().is_empty() {
                    checks.refuse(&within("external_id"), "must not be empty");
                }
                body.insert("external_id".to_owned(), id.clone().into());
                Key { external_id: Some(id.clone()), ..Key::default() }
            }
            None => {
                checks.refuse(&within("id"), "must be set, or external_id");
                Key::default()
            }
        };
        let user = input::user(update.user.as_ref(), update.update_mask.as_ref(), For::Update, &within("user"));
        let user = user.map_err(|error| error.renamed("update_mask", &within("update_mask")));
        let Some(user) = checks.take(user) else { continue };
        if key.external_id.is_some() && user.contains_key("external_id") {
            checks.refuse(&within("user.external_id"), "cannot be changed where it says which user is meant");
        }
        body.extend(user);
        bodies.push(Value::Object(body));
        keys.push(key);
    }
    checks.take(distinct("users", users, names_of_update));
    checks.end(Some(()))?;
    Ok(listed("users", &bodies, &keys, || Rest::put(path!["users", "update_many"])))
}

/// Returns what says which user an update is for.
fn names_of_update(update: &UserUpdate) -> Names {
    match &update.key {
        Some(user_update::Key::Id(id)) if *id > 0 => vec![("id", Name::Id(*id))],
        Some(user_update::Key::ExternalId(id)) if says_something(id) => vec![("external_id", Name::text(id))],
        _ => Vec::new(),
    }
}

/// Bulk Delete Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#bulk-delete-users>
impl Bulk for BulkDeleteUsersRequest {
    const KIND: Kind = Kind::Delete;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        let mut checks = Checks::default();
        let delete = || Rest::delete(path!["users", "destroy_many"]);
        let chunks = match (self.ids.is_empty(), self.external_ids.is_empty()) {
            (true, true) => {
                checks.refuse("ids", "must not be empty, unless external_ids is set");
                None
            }
            (no_ids, no_external_ids) => {
                if !no_ids && !no_external_ids {
                    checks.refuse("external_ids", "cannot be combined with ids");
                }
                checks.take(named(&self.ids, &self.external_ids, self.brand_id, delete))
            }
        };
        if self.brand_id.is_some() && self.external_ids.is_empty() {
            checks.refuse("brand_id", "goes with external_ids only");
        }
        checks.end(chunks)
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn changes(&self) -> Changes {
        everybody()
    }
}

/// Checks the lists that are given, and cuts one into requests.
fn named(by_id: &[i64], by_external_id: &[String], brand: Option<i64>, rest: impl Fn() -> Rest) -> Result<Vec<Chunk>> {
    let mut checks = Checks::default();
    if brand.is_some_and(|brand| brand < 0) {
        checks.refuse("brand_id", "must be a brand's id, or 0");
    }
    if !by_id.is_empty() {
        checks.take(ids("ids", by_id));
    }
    if !by_external_id.is_empty() {
        checks.take(external_ids("external_ids", by_external_id));
    }
    checks.end(Some(()))?;
    let rest = || rest().query_if("brand_id", brand.map(|brand| brand.to_string()));
    let named = if by_external_id.is_empty() { Named::Ids(by_id) } else { Named::ExternalIds(by_external_id) };
    Ok(named.chunks(rest))
}

/// What any job may change: every user, and the memberships of users.
fn everybody() -> Changes {
    let memberships = [tag::every_membership(), tag::every_organization_membership()];
    Changes::to([tag::every_user(), tag::every_deleted_user(), tag::organizations()].into_iter().chain(memberships))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{BulkUpdateOrganizationsRequest, OrganizationInput, UserInput};
    use crate::upstream::rest::Body;

    /// Where the body of a request lies in memory.
    fn place(chunk: &Chunk) -> *const u8 {
        let Body::Json(body) = &chunk.rest.body else { panic!("it has a body") };
        body.as_ptr()
    }

    #[test]
    fn a_shared_change_is_in_memory_once_however_many_requests_it_takes() {
        let (ids, notes) = ((1..=1_000).collect::<Vec<i64>>(), Some("n".to_owned()));
        let user = Some(UserInput { notes: notes.clone(), ..UserInput::default() });
        let users = BulkUpdateUsersRequest { ids: ids.clone(), user, ..Default::default() }.chunks();
        let organization = Some(OrganizationInput { notes, ..OrganizationInput::default() });
        let organizations = BulkUpdateOrganizationsRequest { ids, organization, ..Default::default() }.chunks();
        for chunks in [users, organizations].map(|chunks| chunks.expect("they are right")) {
            assert_eq!(chunks.len(), 10);
            assert!(chunks.iter().all(|chunk| place(chunk) == place(&chunks[0])));
        }
    }
}
