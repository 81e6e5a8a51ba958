//! The writes of <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/>

use serde_json::{Map, Value, json};

use super::ids;
use crate::cache::{Tag, tag};
use crate::contract::{Idempotency, Request as _};
use crate::error::{Checks, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{
    CreateOrUpdateUserFieldOptionRequest, CreateOrUpdateUserFieldOptionResponse, CreateUserFieldRequest,
    DeleteUserFieldOptionRequest, DeleteUserFieldRequest, Disposition, GetUserFieldOptionResponse,
    GetUserFieldResponse, ReorderUserFieldsRequest, UpdateUserFieldRequest,
};
use crate::rest::input::{self, envelope};
use crate::rest::row::{OwnRead, Row as _};
use crate::rest::{Changes, Write, has_id, id, many, nothing, nothing_but};
use crate::upstream::call::{Answer, Parsed};
use crate::upstream::rest::Rest;

/// What a write to a field changes: the field, and the users who have it.
fn of_field(id: i64) -> Changes {
    Changes::to([tag::user_field(id), tag::user_fields(), tag::every_user()])
}

/// Create User Field. <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#create-user-field>
impl Write for CreateUserFieldRequest {
    fn rest(&self) -> Result<Rest> {
        let field = input::user_field(self.user_field.as_ref(), None, true)?;
        Ok(Rest::post(path!["user_fields"]).json(&envelope("user_field", field)))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let given = self.user_field.as_ref().and_then(|field| field.key.as_deref());
        let is_same = |key: &String| given.is_some_and(|given| given.trim().eq_ignore_ascii_case(key.trim()));
        reply.user_field.as_ref().is_some_and(|field| field.id > 0 && field.key.as_ref().is_none_or(is_same))
    }

    fn changes(&self) -> Changes {
        Changes::to([tag::user_fields(), tag::every_user()])
    }

    fn learnt(reply: &Self::Reply) -> Vec<Tag> {
        reply.user_field.iter().map(|field| tag::user_field(field.id)).collect()
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.user_field.as_ref()?.own_read()
    }
}

/// Update User Field. <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#update-user-field>
impl Write for UpdateUserFieldRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let id = checks.take(id("id", self.id));
        let field = checks.take(input::user_field(self.user_field.as_ref(), self.update_mask.as_ref(), false));
        let (id, field) = checks.end(id.zip(field))?;
        Ok(Rest::put(path!["user_fields", id]).json(&envelope("user_field", field)))
    }

    /// A new option would be made a second time, or be refused as one that is there.
    fn idempotency(&self) -> Idempotency {
        let options = self.user_field.iter().flat_map(|field| &field.custom_field_options);
        let makes_one = options.into_iter().any(|option| option.id.is_none());
        if makes_one { Idempotency::Unsafe } else { Self::rpc().idempotency }
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.user_field.as_ref(), self.id, |field| field.id)
    }

    fn changes(&self) -> Changes {
        of_field(self.id)
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.user_field.as_ref()?.own_read()
    }
}

/// Delete User Field. <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#delete-user-field>
impl Write for DeleteUserFieldRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::delete(path!["user_fields", id("id", self.id)?]))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_it = |reply: &GetUserFieldResponse| has_id(reply.user_field.as_ref(), self.id, |field| field.id);
        nothing_but::<Self, _>(body, "user_field", is_it)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    fn changes(&self) -> Changes {
        of_field(self.id)
    }
}

/// Reorder User Field. The specification has no body for it: the ids are sent as the vendor's reference page sends them. Each of the
/// others may have another position then, too.
/// <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#reorder-user-field>
impl Write for ReorderUserFieldsRequest {
    fn rest(&self) -> Result<Rest> {
        many::ids("ids", &self.ids)?;
        Ok(Rest::put(path!["user_fields", "reorder"]).json(&json!({ "user_field_ids": self.ids })))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        nothing::<Self>(body)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    fn changes(&self) -> Changes {
        Changes::to([tag::every_user_field()])
    }

    fn about(&self) -> Vec<Tag> {
        self.ids.iter().map(|id| tag::user_field(*id)).collect()
    }
}

/// Create or Update a User Field Option. 201 says created, 200 updated.
/// <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#create-or-update-a-user-field-option>
impl Write for CreateOrUpdateUserFieldOptionRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let field = checks.take(id("user_field_id", self.user_field_id));
        let option =
            checks.take(self.custom_field_option.as_ref().ok_or_else(|| input::absent("custom_field_option", None)));
        let body = option.and_then(|option| {
            input::check_option(option, "custom_field_option", &mut checks);
            crate::json::body(option, None, "custom_field_option", &mut checks)
        });
        let (field, body): (_, Map<String, Value>) = checks.end(field.zip(body))?;
        Ok(Rest::post(path!["user_fields", field, "options"]).json(&envelope("custom_field_option", body)))
    }

    fn idempotency(&self) -> Idempotency {
        let is_known = self.custom_field_option.as_ref().is_some_and(|option| option.id.is_some());
        if is_known { Idempotency::Idempotent } else { Self::rpc().idempotency }
    }

    fn complete(reply: &mut CreateOrUpdateUserFieldOptionResponse, answer: &Answer) {
        reply.set_disposition(match answer.status {
            201 => Disposition::Created,
            200 => Disposition::Updated,
            _ => Disposition::Unspecified,
        });
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let given = self.custom_field_option.as_ref().and_then(|option| option.id);
        reply.custom_field_option.as_ref().is_some_and(|row| row.id > 0 && given.is_none_or(|id| id == row.id))
    }

    fn changes(&self) -> Changes {
        of_field(self.user_field_id)
    }
}

/// Delete User Field Option.
/// <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#delete-user-field-option>
impl Write for DeleteUserFieldOptionRequest {
    fn rest(&self) -> Result<Rest> {
        let (field, option) = ids(self.user_field_id, self.id)?;
        Ok(Rest::delete(path!["user_fields", field, "options", option]))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_it = |reply: &GetUserFieldOptionResponse| {
            has_id(reply.custom_field_option.as_ref(), self.id, |option| option.id)
        };
        nothing_but::<Self, _>(body, "custom_field_option", is_it)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    fn changes(&self) -> Changes {
        of_field(self.user_field_id)
    }
}
