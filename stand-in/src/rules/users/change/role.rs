//! The role, and the attributes that go with it.

use crate::errors::ValidationError;
use crate::rules::attributes::{Attributes, Change};
use crate::store::roles;
use crate::store::user::{Restriction, Role, User};

/// A custom role makes an end user an agent; a ticket restriction that an end
/// user cannot have becomes `requested`.
pub fn apply(user: &mut User, given: &mut Attributes, problems: &mut Vec<ValidationError>) {
    let custom = given.integer("custom_role_id");
    let mut role = user.role;
    if let Change::Set(name) = given.text("role") {
        match Role::parse(&name) {
            Some(known) => role = known,
            None => problems.push(ValidationError::new("role", "InvalidValue", "Role: is invalid")),
        }
    }
    if let Change::Set(id) = custom {
        let Some(custom) = roles::find(id) else {
            problems.push(ValidationError::new("custom_role_id", "InvalidValue", "Custom role: is invalid"));
            return;
        };
        if role == Role::EndUser {
            role = Role::Agent;
        }
        user.become_role(role, Some(id));
        user.role_type = Some(custom.role_type);
    } else if role != user.role {
        user.become_role(role, None);
    }
    match given.text("ticket_restriction") {
        Change::Keep => return,
        Change::Clear => user.ticket_restriction = None,
        Change::Set(name) => match Restriction::parse(&name) {
            Some(known) => user.ticket_restriction = Some(known),
            None => problems.push(ValidationError::new(
                "ticket_restriction",
                "InvalidValue",
                "Ticket restriction: is invalid",
            )),
        },
    }
    let fits = matches!(user.ticket_restriction, Some(Restriction::Organization | Restriction::Requested));
    if user.role == Role::EndUser && !fits {
        user.ticket_restriction = Some(Restriction::Requested);
    }
    if user.role == Role::Agent {
        user.restricted_agent = user.ticket_restriction.is_some();
    }
}
