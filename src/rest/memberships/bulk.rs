//! The bulk writes of <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/>

use serde_json::{Value, json};

use crate::cache::tag;
use crate::error::{Checks, Result};
use crate::path;
use crate::proto::{BulkCreateMembershipsRequest, BulkDeleteMembershipsRequest, GroupMembershipInput};
use crate::rest::Changes;
use crate::rest::bulk::{Bulk, Chunk, Key, Kind};
use crate::rest::many::{MOST_ITEMS, Name, Named, Names, distinct, ids, name_unless, some};
use crate::upstream::rest::Rest;

mod stream;

/// Bulk Create Memberships.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#bulk-create-memberships>
impl Bulk for BulkCreateMembershipsRequest {
    const KIND: Kind = Kind::Create;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        some("group_memberships", &self.group_memberships)?;
        let mut checks = Checks::default();
        for (index, input) in self.group_memberships.iter().enumerate() {
            for (name, id) in [("user_id", input.user_id), ("group_id", input.group_id)] {
                if id <= 0 {
                    checks.refuse(&format!("group_memberships[{index}].{name}"), "must be a positive id");
                }
            }
        }
        checks.take(distinct("group_memberships", &self.group_memberships, names_of));
        checks.end(Some(()))?;
        Ok(create(&self.group_memberships))
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn changes(&self) -> Changes {
        everything()
    }
}

/// Returns what says which membership it is.
fn names_of(input: &GroupMembershipInput) -> Names {
    name_unless(input.user_id <= 0 || input.group_id <= 0, Name::Pair(input.user_id, input.group_id))
}

/// Cuts checked memberships into requests that create them.
pub fn create(inputs: &[GroupMembershipInput]) -> Vec<Chunk> {
    let chunk = |inputs: &[GroupMembershipInput]| {
        let bodies = inputs.iter().map(|input| {
            let mut body = json!({ "user_id": input.user_id, "group_id": input.group_id });
            if let Some(default) = input.default {
                body["default"] = default.into();
            }
            body
        });
        let body = json!({ "group_memberships": bodies.collect::<Vec<Value>>() });
        let rest = Rest::post(path!["group_memberships", "create_many"]).json(&body);
        let about = inputs.iter().flat_map(|input| [tag::user(input.user_id), tag::group(input.group_id)]);
        Chunk { rest, keys: vec![Key::default(); inputs.len()], about: about.collect() }
    };
    inputs.chunks(MOST_ITEMS).map(chunk).collect()
}

/// Bulk Delete Memberships.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#bulk-delete-memberships>
impl Bulk for BulkDeleteMembershipsRequest {
    const KIND: Kind = Kind::Delete;

    fn chunks(&self) -> Result<Vec<Chunk>> {
        ids("ids", &self.ids)?;
        Ok(destroy(&self.ids))
    }

    fn wait(&self) -> bool {
        self.wait
    }

    fn changes(&self) -> Changes {
        everything()
    }
}

/// Cuts checked ids into requests that delete them.
pub fn destroy(ids: &[i64]) -> Vec<Chunk> {
    Named::Ids(ids).chunks(|| Rest::delete(path!["group_memberships", "destroy_many"]))
}

/// What any job may change: every membership, and so the default group of every user.
pub fn everything() -> Changes {
    Changes::to([tag::every_membership(), tag::every_user()])
}
