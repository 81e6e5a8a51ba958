//! Bulk requests for users; each becomes a background job.

use serde_json::{Map, Value};

use crate::sandbox::bulk::{enqueue, new_items};
use crate::sandbox::call::Call;
use crate::sandbox::errors;
use crate::sandbox::reply::{Outcome, Reply};
use crate::sandbox::store::job::{Item, Target, Task};

/// `POST /users/create_many`
pub fn create(call: &Call) -> Outcome {
    enqueue(call, Task::CreateUsers, new_items(imported(call)?))
}

/// `POST /users/create_or_update_many`
pub fn create_or_update(call: &Call) -> Outcome {
    enqueue(call, Task::CreateOrUpdateUsers, new_items(imported(call)?))
}

/// `PUT /users/update_many`: one change to the users named in the query, or a
/// change of its own to each user in the body.
pub fn update(call: &Call) -> Outcome {
    let items = match named(call)? {
        Some(targets) => {
            let attributes = call.object("user")?;
            targets.into_iter().map(|target| Item { target, attributes: attributes.clone() }).collect()
        }
        None => call.objects("users")?.into_iter().map(told_apart).collect(),
    };
    enqueue(call, Task::UpdateUsers, items)
}

/// `DELETE /users/destroy_many`
pub fn destroy(call: &Call) -> Outcome {
    call.admins_only()?;
    let targets = named(call)?.ok_or_else(|| errors::parameter_missing("ids"))?;
    let items = targets.into_iter().map(|target| Item { target, attributes: Map::new() });
    enqueue(call, Task::DeleteUsers, items.collect())
}

/// The users of an import, where imports are enabled.
fn imported(call: &Call) -> Result<Vec<Map<String, Value>>, Reply> {
    if !call.world.config.jobs.bulk_import {
        return Err(errors::forbidden());
    }
    call.objects("users")
}

/// The users named by `ids` or `external_ids`.
fn named(call: &Call) -> Result<Option<Vec<Target>>, Reply> {
    if let Some(ids) = call.ids("ids")? {
        return Ok(Some(ids.into_iter().map(Target::Id).collect()));
    }
    let texts = call.texts("external_ids")?;
    Ok(texts.map(|texts| texts.iter().map(|id| Target::ExternalId((*id).to_owned())).collect()))
}

/// An entry is about the user with its `id`, or else its `external_id`.
fn told_apart(mut attributes: Map<String, Value>) -> Item {
    let id = attributes.remove("id").as_ref().and_then(Value::as_i64);
    let target = match (id, attributes.get("external_id").and_then(Value::as_str)) {
        (Some(id), _) => Target::Id(id),
        (None, Some(external_id)) => Target::ExternalId(external_id.to_owned()),
        (None, None) => Target::New,
    };
    Item { target, attributes }
}
