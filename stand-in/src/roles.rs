//! Custom roles of agents.

use serde_json::{Value, json};

use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::roles::{self, CustomRole, OPENED};
use crate::store::tables::Tables;

/// `GET /custom_roles`: all of them, without any paging.
pub fn list(call: &Call) -> Reply {
    let tables = call.world.store.read();
    let rows: Vec<Value> = roles::ALL.into_iter().map(|role| view(&tables, role)).collect();
    Reply::ok(Envelope::new().value("custom_roles", &rows).finish())
}

/// `GET /custom_roles/{custom_role_id}`, for admins.
pub fn show(call: &Call) -> Outcome {
    let id = call.id("custom_role_id")?;
    call.admins_only()?;
    let role = roles::find(id).ok_or_else(errors::not_found)?;
    let shown = view(&call.world.store.read(), role);
    Ok(Reply::ok(Envelope::new().value("custom_role", &shown).finish()))
}

fn view(tables: &Tables, role: CustomRole) -> Value {
    let members = tables.staff().filter(|id| tables.user(*id).is_some_and(|user| user.custom_role_id == Some(role.id)));
    let (is_light, is_admin) = (role.role_type == 1, role.role_type == 4);
    json!({
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "role_type": role.role_type,
        "created_at": OPENED,
        "updated_at": OPENED,
        "team_member_count": members.count(),
        // Some of the settings that the specification lists.
        "configuration": {
            "chat_access": !is_light,
            "end_user_list_access": "full",
            "light_agent": is_light,
            "manage_business_rules": is_admin,
            "ticket_access": if is_light { "within-groups" } else { "all" },
            "ticket_comment_access": if is_light { "none" } else { "public" },
            "ticket_editing": !is_light,
        },
    })
}
