//! The tags of users and organizations. <https://developer.zendesk.com/api-reference/ticketing/ticket-management/tags/>

use std::collections::HashSet;

use serde_json::json;

use super::{Changes, Read, Write, id, page};
use crate::cache::{Policy, tag};
use crate::error::{Checks, Result};
use crate::json::{self, Malformed};
use crate::path;
use crate::proto::{
    AddOrganizationTagsRequest, AddOrganizationTagsResponse, AddUserTagsRequest, AddUserTagsResponse,
    ListOrganizationTagsRequest, ListOrganizationTagsResponse, ListUserTagsRequest, ListUserTagsResponse,
    RemoveOrganizationTagsRequest, RemoveOrganizationTagsResponse, RemoveUserTagsRequest, RemoveUserTagsResponse,
    SetOrganizationTagsRequest, SetOrganizationTagsResponse, SetUserTagsRequest, SetUserTagsResponse, TagList,
};
use crate::rest::many::{at_most, each, some};
use crate::upstream::call::Parsed;
use crate::upstream::rest::{Rest, Segment};

/// Reads an answer that is the tags of some record: nothing in it says of which.
fn read(body: &[u8]) -> Result<TagList, Malformed> {
    let value = json::value(body).unwrap_or_default();
    match (value.as_object(), value["tags"].as_array()) {
        // A part of the tags, written back as all of them, would remove the others.
        (Some(_), Some(tags)) if page::may_go_on(body, tags.len()) => Err(Malformed::Foreign),
        (Some(_), Some(_)) => Ok(json::decode::<TagList>(body)?.0),
        (Some(object), None) if !object.is_empty() && !object.contains_key("tags") => Err(Malformed::Foreign),
        _ => Err(Malformed::without("tags")),
    }
}

/// Returns which of these tags a record has in no case of letters, and which in another case only. Nothing is known if one of the
/// record's tags cannot be read.
fn compared(asked: &[String], held: &TagList) -> (Vec<String>, Vec<String>) {
    if !held.unreadable_fields.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let as_asked: HashSet<&String> = held.tags.iter().collect();
    let in_some_case: HashSet<String> = held.tags.iter().map(|tag| tag.to_lowercase()).collect();
    let differing = asked.iter().filter(|tag| !as_asked.contains(tag)).cloned();
    let (changed, ignored) = differing.partition(|tag| in_some_case.contains(&tag.to_lowercase()));
    (ignored, changed)
}

/// Checks what a write to a record's tags is given. `field` names the record.
fn checked(field: &str, record: i64, tags: &[String], may_be_none: bool) -> Result<Segment> {
    let mut checks = Checks::default();
    let record = checks.take(id(field, record));
    checks.take(if may_be_none { at_most("tags", tags) } else { some("tags", tags) });
    let problem = "must be a tag, which is not empty and has no space in it";
    let is_wrong = |tag: &String| tag.is_empty() || tag.chars().any(|char| char.is_whitespace() || char.is_control());
    checks.take(each("tags", tags, |tag| is_wrong(tag).then_some(problem)));
    checks.end(record)
}

/// The tags of one kind of record: the field with its id, its word in paths, the tags of what is cached of it, the request that lists,
/// and the writes: how each begins, whether it may name no tags, and the reply to the record's tags after it.
macro_rules! tags {
    ($id:ident, $word:literal, $one:path, $all:path, $list:ty => $listed:ident,
     $($request:ty, $begin:path, $may_be_none:literal, |$this:ident, $tags:ident| $reply:expr;)+) => {
        impl Read for $list {
            fn rest(&self) -> Result<Rest> {
                Ok(Rest::get(path![$word, id(stringify!($id), self.$id)?, "tags"]))
            }

            fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
                Ok(Box::new($listed { tag_list: Some(read(body)?) }))
            }

            fn fits(&self, reply: &Self::Reply) -> bool {
                reply.tag_list.is_some()
            }

            fn cache(&self) -> Policy {
                Policy::record($one(self.$id))
            }
        }

        $(impl Write for $request {
            fn rest(&self) -> Result<Rest> {
                let record = checked(stringify!($id), self.$id, &self.tags, $may_be_none)?;
                Ok($begin(path![$word, record, "tags"]).json(&json!({ "tags": self.tags })))
            }

            fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
                let ($this, $tags) = (self, read(body)?);
                Ok(Box::new($reply))
            }

            fn fits(&self, reply: &Self::Reply) -> bool {
                reply.tag_list.is_some()
            }

            fn changes(&self) -> Changes {
                Changes::to([$one(self.$id), $all()])
            }
        })+
    };
}

/// Returns which of these tags are left. **Assumption**: a removal has the tags in its body, as it has where the reference removes tags
/// of tickets; the specification does not say.
fn left(asked: &[String], tags: &TagList) -> Vec<String> {
    let gone: HashSet<String> = compared(asked, tags).0.into_iter().collect();
    let is_left = |tag: &&String| tags.unreadable_fields.is_empty() && !gone.contains(*tag);
    asked.iter().filter(is_left).cloned().collect()
}

tags! {
    user_id, "users", tag::user, tag::users, ListUserTagsRequest => ListUserTagsResponse,
    AddUserTagsRequest, Rest::put, false, |this, tags| {
        let (ignored, changed) = compared(&this.tags, &tags);
        AddUserTagsResponse { tag_list: Some(tags), ignored, changed }
    };
    SetUserTagsRequest, Rest::post, true, |this, tags| {
        let (ignored, changed) = compared(&this.tags, &tags);
        SetUserTagsResponse { tag_list: Some(tags), ignored, changed }
    };
    RemoveUserTagsRequest, Rest::delete, false, |this, tags| {
        RemoveUserTagsResponse { ignored: left(&this.tags, &tags), tag_list: Some(tags) }
    };
}

tags! {
    organization_id, "organizations", tag::organization, tag::organizations,
    ListOrganizationTagsRequest => ListOrganizationTagsResponse,
    AddOrganizationTagsRequest, Rest::put, false, |this, tags| {
        let (ignored, changed) = compared(&this.tags, &tags);
        AddOrganizationTagsResponse { tag_list: Some(tags), ignored, changed }
    };
    SetOrganizationTagsRequest, Rest::post, true, |this, tags| {
        let (ignored, changed) = compared(&this.tags, &tags);
        SetOrganizationTagsResponse { tag_list: Some(tags), ignored, changed }
    };
    RemoveOrganizationTagsRequest, Rest::delete, false, |this, tags| {
        RemoveOrganizationTagsResponse { ignored: left(&this.tags, &tags), tag_list: Some(tags) }
    };
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn tags_are_compared_in_any_case_of_letters_and_soon_however_many() {
        let tags = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let held = |tags| TagList { tags, ..TagList::default() };
        let (ignored, changed) = compared(&tags(&["a", "B", "c"]), &held(tags(&["a", "b", "d"])));
        assert_eq!((ignored, changed), (tags(&["c"]), tags(&["B"])));
        assert_eq!(left(&tags(&["A", "c"]), &held(tags(&["a"]))), tags(&["A"]));
        let many = |kind| (0..10_000).map(|number| format!("{kind:0>300}{number}")).collect::<Vec<_>>();
        let (asked, others) = (many('a'), held(many('b')));
        let began = Instant::now();
        assert_eq!((left(&asked, &others).len(), compared(&asked, &others).0.len()), (0, 10_000));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
