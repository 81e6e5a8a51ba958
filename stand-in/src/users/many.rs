//! Bulk requests for users; each becomes a background job.

use serde_json::{Map, Value};

use crate::bulk::{enqueue, new_items};
use crate::call::Call;
use crate::errors;
use crate::reply::{Outcome, Reply};
use crate::rules::attributes::as_integer;
use crate::store::job::{Item, Target, Task};

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
        None => call.objects("users")?.into_iter().map(told_apart).collect::<Result<_, _>>()?,
    };
    enqueue(call, Task::UpdateUsers, items)
}

/// `DELETE /users/destroy_many`
pub fn destroy(call: &Call) -> Outcome {
    call.admins_only()?;
    let targets = named(call)?.ok_or_else(|| errors::parameter_missing("ids"))?;
    let items = targets.into_iter().map(|target| Item { target, attributes: Map::new() });
    let queued = enqueue(call, Task::DeleteUsers, items.collect())?;
    Ok(call.with_body_warning(queued, "users", "destroy_many"))
}

/// The users of an import, where imports are enabled.
fn imported(call: &Call) -> Result<Vec<Map<String, Value>>, Reply> {
    if !call.world.config.jobs.bulk_import {
        return Err(errors::forbidden());
    }
    call.objects("users")
}

/// The records named by `ids` or `external_ids`.
pub fn named(call: &Call) -> Result<Option<Vec<Target>>, Reply> {
    if let Some(ids) = call.ids("ids")? {
        return Ok(Some(ids.into_iter().map(Target::Id).collect()));
    }
    let texts = call.texts("external_ids")?;
    Ok(texts.map(|texts| texts.iter().map(|id| Target::ExternalId((*id).to_owned())).collect()))
}

/// An entry names its record by `id`, or else by `external_id`. Assumption: an id
/// that is no integer is refused at once, as in a path.
pub fn told_apart(mut attributes: Map<String, Value>) -> Result<Item, Reply> {
    let wrong = || errors::invalid_attribute("id", "must be an integer");
    let id = attributes.remove("id").map(|id| as_integer(&id).ok_or_else(wrong)).transpose()?;
    let target = match (id, attributes.get("external_id").and_then(Value::as_str)) {
        (Some(id), _) => Target::Id(id),
        (None, Some(external_id)) => Target::ExternalId(external_id.to_owned()),
        (None, None) => Target::New,
    };
    Ok(Item { target, attributes })
}
