//! <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/>

use super::page::Page;
use super::{Read, Style, has_id, id, is_unread, list};
use crate::cache::{Policy, tag};
use crate::error::{Checks, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{
    BatchGetUserFieldsRequest, BatchGetUserFieldsResponse, GetUserFieldOptionRequest, GetUserFieldRequest,
    ListUserFieldsRequest, StreamUserFieldsRequest, UserField,
};
use crate::rest::many::{MOST_ITEMS, each, some, unique};
use crate::upstream::call::Parsed;
use crate::upstream::rest::{Owner, Rest, Segment, is_text_id};

mod writes;

// List User Fields.
// <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#list-user-fields>
list!(ListUserFieldsRequest | StreamUserFieldsRequest => UserField, Style::Cursor, |this| {
    Ok(Rest::get(path!["user_fields"]).query_if("resolve_dc", this.resolve_dc.then_some("true")))
}, Policy::list(tag::user_fields()));

/// Show User Field. <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#show-user-field>
impl Read for GetUserFieldRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["user_fields", id("id", self.id)?]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.user_field.as_ref(), self.id, |field| field.id)
    }

    fn cache(&self) -> Policy {
        Policy::record(tag::user_field(self.id))
    }
}

/// Show Many User Fields. <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#show-many-user-fields>
impl Read for BatchGetUserFieldsRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        checks.take(some("keys", &self.keys));
        if self.keys.len() > MOST_ITEMS {
            // There can be hundreds of thousands: none of them is looked at.
            checks.refuse("keys", "must have at most 100 items");
            return checks.end(None);
        }
        let problem = "must be 1 to 255 bytes of letters, digits or any of - _ . ~ = : +";
        checks.take(each("keys", &self.keys, |key| (!is_text_id(key) || key.contains(' ')).then_some(problem)));
        let keys = unique(self.keys.iter().map(String::as_str)).join(",");
        let keys = Some(keys).filter(|keys| !keys.is_empty());
        let rest = Rest::get(path!["user_fields", "show_many"]).text(&mut checks, "keys", "keys", keys.as_deref());
        checks.end(Some(rest))
    }

    /// Rows are matched by their keys: Zendesk leaves out what it does not have.
    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let page = Page::<UserField>::read(body, Owner::Anybody)?;
        let is_asked = |row: &UserField| row.key.as_ref().is_none_or(|key| self.keys.contains(key));
        if page.says_that_there_is_more() || !page.rows.iter().all(is_asked) {
            return Err(Malformed::Foreign);
        }
        let is_lost = |row: &UserField| row.key.is_none() || is_unread(&row.unreadable_fields, "key");
        let is_part = page.unreadable_rows > 0 || page.leaves_open_whether_there_is_more();
        let is_part = is_part || page.rows.iter().any(is_lost);
        let mut reply = BatchGetUserFieldsResponse::default();
        for key in unique(&self.keys) {
            match page.rows.iter().find(|row| row.key.as_ref() == Some(key) && !is_lost(row)) {
                Some(row) => reply.user_fields.push(row.clone()),
                None if is_part => reply.unreadable_keys.push(key.clone()),
                None => reply.missing_keys.push(key.clone()),
            }
        }
        Ok(Box::new(reply))
    }

    fn fits(&self, _reply: &Self::Reply) -> bool {
        true
    }

    fn cache(&self) -> Policy {
        Policy::list(tag::user_fields())
    }
}

/// Show a User Field Option.
/// <https://developer.zendesk.com/api-reference/ticketing/users/user_fields/#show-a-user-field-option>
impl Read for GetUserFieldOptionRequest {
    fn rest(&self) -> Result<Rest> {
        let (field, option) = ids(self.user_field_id, self.id)?;
        Ok(Rest::get(path!["user_fields", field, "options", option]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.custom_field_option.as_ref(), self.id, |option| option.id)
    }

    fn cache(&self) -> Policy {
        Policy::record(tag::user_field(self.user_field_id))
    }
}

/// Checks the ids of a field and of an option.
fn ids(field: i64, option: i64) -> Result<(Segment, Segment)> {
    let mut checks = Checks::default();
    let (field, option) = (checks.take(id("user_field_id", field)), checks.take(id("id", option)));
    checks.end(field.zip(option))
}
