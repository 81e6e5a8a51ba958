//! Requests for many users at once.

use bytes::Bytes;
use prost::Message as _;

use crate::error::{Checks, Result};
use crate::path;
use crate::proto::{BatchGetUsersRequest, BatchGetUsersResponse, GetUserRequest, LogoutUsersRequest, User};
use crate::rest::bulk::Chunk;
use crate::rest::many::{self, Named};
use crate::rest::page::Sideloads;
use crate::rest::{Batch, Beside as _, Includes as _, brand};
use crate::upstream::rest::Rest;

/// Show Many Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-many-users>
impl Batch for BatchGetUsersRequest {
    type Row = User;
    type One = GetUserRequest;

    fn one(id: i64) -> GetUserRequest {
        GetUserRequest { id, ..GetUserRequest::default() }
    }

    fn lists(&self) -> (&[i64], &[String]) {
        (&self.ids, &self.external_ids)
    }

    fn rest(&self, key: &'static str, list: String) -> Result<Rest> {
        let rest = Rest::get(path!["users", "show_many"]).query(key, list);
        let rest = rest.query_if("include_deleted", self.include_deleted.then_some("true"));
        let mut checks = Checks::default();
        let brand = checks.take(brand("brand_id", self.brand_id.as_deref())).flatten();
        let rest = rest.text(&mut checks, "brand_id", "brand_id", brand);
        if self.brand_id.is_some() && self.external_ids.is_empty() {
            checks.refuse("brand_id", "goes with external_ids only");
        }
        checks.end(Some(rest.include(self.includes())))
    }

    fn is_for_more(&self) -> bool {
        !self.includes().is_empty()
    }

    fn beside(sideloads: Sideloads, unreadable_rows: i32) -> BatchGetUsersResponse {
        let mut reply = BatchGetUsersResponse::default();
        reply.put(sideloads, unreadable_rows);
        reply
    }

    fn external_id(row: &User) -> (Option<&str>, &[String]) {
        (row.external_id.as_deref(), &row.unreadable_fields)
    }

    /// A deleted user is left out, unless the call asks for deleted ones.
    fn takes(&self, reply: &Bytes) -> bool {
        let reply = UserReplyActive::decode(reply.clone()).expect("the gateway encoded it");
        self.include_deleted || reply.user.is_none_or(|user| user.active != Some(false))
    }

    /// A single read's 404 does not say whether there is a deleted user.
    fn finds_more(&self) -> bool {
        self.include_deleted
    }
}

/// The part of a `GetUserResponse` that says whether the user is deleted; decoding the whole user would cost more.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct UserReplyActive {
    #[prost(message, optional, tag = "1")]
    user: Option<UserActive>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct UserActive {
    #[prost(bool, optional, tag = "21")]
    active: Option<bool>,
}

/// Logout many users, 100 at a time.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#logout-many-users>
pub fn logout_many(request: &LogoutUsersRequest) -> Result<Vec<Chunk>> {
    many::ids("ids", &request.ids)?;
    Ok(Named::Ids(&request.ids).chunks(|| Rest::post(path!["users", "logout_many"])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::GetUserResponse;
    use crate::rest::LeftOut;

    #[test]
    fn whether_a_user_is_deleted_is_read_off_the_encoded_reply() {
        for active in [None, Some(true), Some(false)] {
            let user = User { id: 7, name: Some("N".to_owned()), active, ..User::default() };
            let reply = GetUserResponse { user: Some(user.clone()), ..Default::default() }.encode_to_vec();
            let decoded = UserReplyActive::decode(reply.as_slice()).expect("the fields' numbers are the contract's");
            assert_eq!(decoded.user.expect("set").active, active);
            let left_out = LeftOut {
                missing_ids: vec![1],
                missing_external_ids: vec!["a".to_owned()],
                unreadable_ids: vec![2],
                unreadable_external_ids: vec!["b".to_owned()],
            };
            let many = BatchGetUsersResponse {
                users: vec![user.clone(), user],
                missing_ids: vec![1],
                missing_external_ids: vec!["a".to_owned()],
                unreadable_ids: vec![2],
                unreadable_external_ids: vec!["b".to_owned()],
                ..Default::default()
            };
            assert_eq!(many.encode_to_vec(), [reply.as_slice(), &reply, &left_out.encode_to_vec()].concat());
        }
    }
}
