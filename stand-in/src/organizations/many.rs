//! Bulk requests for organizations; each becomes a background job. Who may ask is that of single writes (an assumption).

use serde_json::Map;

use crate::bulk::{enqueue, new_items};
use crate::call::Call;
use crate::errors;
use crate::reply::Outcome;
use crate::store::job::{Item, Task};
use crate::users::many::{named, told_apart};

/// `POST /organizations/create_many`
pub fn create(call: &Call) -> Outcome {
    call.admins_only()?;
    enqueue(call, Task::CreateOrganizations, new_items(call.objects("organizations")?))
}

/// `PUT /organizations/update_many`: one change to the organizations named in
/// the query, or a change of its own to each organization in the body.
pub fn update(call: &Call) -> Outcome {
    let items: Vec<Item> = match named(call)? {
        Some(targets) => {
            let attributes = call.object("organization")?;
            targets.into_iter().map(|target| Item { target, attributes: attributes.clone() }).collect()
        }
        None => call.objects("organizations")?.into_iter().map(told_apart).collect::<Result<_, _>>()?,
    };
    if items.iter().flat_map(|item| item.attributes.keys()).any(|key| key != "notes") {
        call.admins_only()?;
    }
    enqueue(call, Task::UpdateOrganizations, items)
}

/// `DELETE /organizations/destroy_many`
pub fn destroy(call: &Call) -> Outcome {
    call.admins_only()?;
    let targets = named(call)?.ok_or_else(|| errors::parameter_missing("ids"))?;
    let items = targets.into_iter().map(|target| Item { target, attributes: Map::new() });
    enqueue(call, Task::DeleteOrganizations, items.collect())
}
