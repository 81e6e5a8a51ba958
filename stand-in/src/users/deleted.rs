//! Deleted users and the progress of forgetting them.

use std::borrow::Cow;

use serde::Serialize;

use crate::call::Call;
use crate::clock::Time;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part};
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::user::Life;
use crate::view::json;

use super::list::{counted, order};

/// `GET /deleted_users`, permanently deleted ones included.
pub fn list(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let order = order(call, &tables)?;
    let rows = order.sort(tables.deleted().to_vec());
    let listing =
        Listing { name: "deleted_users", rows: Cow::Owned(rows), order, has_more: HasMore::Always, modes: Modes::Both };
    let links = &call.links;
    let render = |id: &i64| {
        let user = tables.user(*id);
        user.map_or_else(|| b"null".to_vec(), |user| links.deleted_user(user))
    };
    pagination::page(call, &listing, render, pagination::alone)
}

/// `GET /deleted_users/count`
pub fn count(call: &Call) -> Reply {
    counted(call, call.world.store.read().deleted().len())
}

/// `GET /deleted_users/{deleted_user_id}`: not of permanently deleted ones.
pub fn show(call: &Call) -> Outcome {
    let id = call.id("deleted_user_id")?;
    let tables = call.world.store.read();
    let user = tables.user(id).filter(|user| user.life == Life::Deleted);
    let user = user.ok_or_else(errors::not_found)?;
    let shown = call.links.deleted_user(user);
    Ok(Reply::ok(Envelope::new().raw("deleted_user", &shown).finish()))
}

/// `GET /users/{user_id}/compliance_deletion_statuses`: the steps of forgetting
/// a permanently deleted user, none for the others (an assumption).
pub fn compliance(call: &Call) -> Outcome {
    let id = call.id("user_id")?;
    let tables = call.world.store.read();
    let user = tables.user(id).ok_or_else(errors::not_found)?;
    let wanted = call.query.get("application");
    let steps = match user.life {
        Life::Erased => steps(id, user.updated_at),
        Life::Active | Life::Deleted => Vec::new(),
    };
    let now = call.world.clock.now();
    let steps = (1..).zip(steps).filter(|(_, step)| step.created_at <= now);
    let steps: Vec<(i64, Step)> =
        steps.filter(|(_, step)| wanted.is_none_or(|wanted| step.application == wanted)).collect();
    let listing = Listing {
        name: "compliance_deletion_statuses",
        rows: Cow::Owned(steps),
        order: Order { name: "id".into(), key: Box::new(|(at, _): &(i64, Step)| vec![Part::Int(*at)]) },
        has_more: HasMore::Always,
        modes: Modes::Both,
    };
    pagination::page(call, &listing, |(_, step)| json(step), pagination::alone)
}

#[derive(Clone, Serialize)]
struct Step {
    account_subdomain: &'static str,
    action: &'static str,
    application: &'static str,
    created_at: Time,
    executer_id: Option<i64>,
    user_id: i64,
}

fn steps(user_id: i64, from: Time) -> Vec<Step> {
    let step = |action, application, seconds, executer_id| Step {
        account_subdomain: "sandbox",
        action,
        application,
        created_at: from.after(seconds),
        executer_id,
        user_id,
    };
    vec![
        step("request_deletion", "all", 0, Some(user_id - 1)),
        step("started", "support", 6, None),
        step("complete", "support", 99, None),
        step("started", "chat", 14_155, None),
    ]
}
