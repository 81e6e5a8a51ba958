//! The tags of a user. <https://developer.zendesk.com/api-reference/ticketing/ticket-management/tags/>

use serde_json::json;

use super::super::{Changes, Read, Write, id};
use crate::cache::{Policy, tag};
use crate::error::{Checks, Result};
use crate::json::{self, Malformed};
use crate::path;
use crate::proto::{
    AddUserTagsRequest, AddUserTagsResponse, ListUserTagsRequest, ListUserTagsResponse, RemoveUserTagsRequest,
    RemoveUserTagsResponse, SetUserTagsRequest, SetUserTagsResponse, UserTags,
};
use crate::rest::many::{at_most, each, some};
use crate::upstream::call::Parsed;
use crate::upstream::rest::{Rest, Segment};

/// Reads an answer that is the tags of some user: nothing in it says whose.
fn read(body: &[u8]) -> Result<UserTags, Malformed> {
    let value = json::value(body).unwrap_or_default();
    match (value.as_object(), value["tags"].is_array()) {
        (Some(_), true) => Ok(json::decode::<UserTags>(body)?.0),
        (Some(object), false) if !object.is_empty() && !object.contains_key("tags") => Err(Malformed::Foreign),
        _ => Err(Malformed::without("tags")),
    }
}

/// Returns which of these tags the user has in no case of letters, and which in another case only. Nothing is known if one of the
/// user's tags cannot be read.
fn compared(asked: &[String], held: &UserTags) -> (Vec<String>, Vec<String>) {
    if !held.unreadable_fields.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let lower: Vec<String> = held.tags.iter().map(|tag| tag.to_lowercase()).collect();
    let differing = asked.iter().filter(|tag| !held.tags.contains(tag)).cloned();
    let (changed, ignored) = differing.partition(|tag| lower.contains(&tag.to_lowercase()));
    (ignored, changed)
}

/// Checks what a write to a user's tags is given.
fn checked(user: i64, tags: &[String], may_be_none: bool) -> Result<Segment> {
    let mut checks = Checks::default();
    let user = checks.take(id("user_id", user));
    checks.take(if may_be_none { at_most("tags", tags) } else { some("tags", tags) });
    let problem = "must be a tag, which is not empty and has no space in it";
    let is_wrong = |tag: &String| tag.is_empty() || tag.chars().any(|char| char.is_whitespace() || char.is_control());
    checks.take(each("tags", tags, |tag| is_wrong(tag).then_some(problem)));
    checks.end(user)
}

/// List User Tags.
impl Read for ListUserTagsRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["users", id("user_id", self.user_id)?, "tags"]))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        Ok(Box::new(ListUserTagsResponse { user_tags: Some(read(body)?) }))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.user_tags.is_some()
    }

    fn cache(&self) -> Policy {
        Policy::record(tag::user(self.user_id))
    }
}

/// A write to the tags of a user: the request, how it begins, whether it may name no tags, and the reply to the user's tags after it.
macro_rules! tag_writes {
    ($($(#[$about:meta])* $request:ty, $begin:path, $may_be_none:literal, |$this:ident, $tags:ident| $reply:expr;)+) => {
        $($(#[$about])*
        impl Write for $request {
            fn rest(&self) -> Result<Rest> {
                let user = checked(self.user_id, &self.tags, $may_be_none)?;
                Ok($begin(path!["users", user, "tags"]).json(&json!({ "tags": self.tags })))
            }

            fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
                let ($this, $tags) = (self, read(body)?);
                Ok(Box::new($reply))
            }

            fn fits(&self, reply: &Self::Reply) -> bool {
                reply.user_tags.is_some()
            }

            fn changes(&self) -> Changes {
                Changes::to([tag::user(self.user_id), tag::users()])
            }
        })+
    };
}

tag_writes! {
    /// Add User Tags.
    AddUserTagsRequest, Rest::put, false, |this, tags| {
        let (ignored, changed) = compared(&this.tags, &tags);
        AddUserTagsResponse { user_tags: Some(tags), ignored, changed }
    };
    /// Set User Tags.
    SetUserTagsRequest, Rest::post, true, |this, tags| {
        let (ignored, changed) = compared(&this.tags, &tags);
        SetUserTagsResponse { user_tags: Some(tags), ignored, changed }
    };
    /// Remove User Tags. **Assumption**: the tags go into the body, as they do where the reference removes tags of tickets; the
    /// specification does not say.
    RemoveUserTagsRequest, Rest::delete, false, |this, tags| {
        let (gone, _) = compared(&this.tags, &tags);
        let is_left = |tag: &&String| tags.unreadable_fields.is_empty() && !gone.contains(tag);
        let ignored = this.tags.iter().filter(is_left).cloned().collect();
        RemoveUserTagsResponse { user_tags: Some(tags), ignored }
    };
}
