//! The writes of <https://developer.zendesk.com/api-reference/ticketing/users/users/>

use prost_types::FieldMask;
use serde_json::json;

use super::super::{Changes, Write, has_id, id, is_unread, nothing};
use crate::cache::{Tag, tag};
use crate::contract::{Idempotency, Request as _};
use crate::error::{Checks, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{
    CreateOrUpdateUserRequest, CreateOrUpdateUserResponse, CreateUserRequest, DeleteUserRequest, Disposition,
    MergeUserRequest, PermanentlyDeleteUserRequest, RemoveUserPhotoRequest, RequestUserCreateRequest,
    UpdateUserRequest, UploadUserPhotoRequest, User, UserInput,
};
use crate::rest::field_values::{Given, given};
use crate::rest::input::{self, For, envelope};
use crate::rest::row::{OwnRead, Row as _};
use crate::upstream::call::{Answer, Parsed};
use crate::upstream::rest::{Body, Rest, UserKey};

/// True if a user can be the one that was written. Of the fields that identify a user, only the external id comes back as it
/// was given, but for its case; for an address, Zendesk may answer the user's primary one.
fn has_external_id_of(user: &User, input: Option<&UserInput>) -> bool {
    let given = input.and_then(|input| input.external_id.as_deref()).map(str::trim).filter(|id| !id.is_empty());
    let same =
        |given: &str| user.external_id.as_ref().is_none_or(|id| id.trim().to_lowercase() == given.to_lowercase());
    given.is_none_or(same)
}

/// Create User. <https://developer.zendesk.com/api-reference/ticketing/users/users/#create-user>
impl Write for CreateUserRequest {
    fn rest(&self) -> Result<Rest> {
        let user = input::user(self.user.as_ref(), None, For::Create, "user")?;
        Ok(Rest::post(path!["users"]).json(&envelope("user", user)))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.user.as_ref().is_some_and(|user| user.id > 0 && has_external_id_of(user, self.user.as_ref()))
    }

    fn user_fields(&self) -> Vec<Given<'_>> {
        let user = given(self.check_user_fields, self.user.as_ref(), None, || "user".to_owned());
        user.into_iter().collect()
    }

    fn changes(&self) -> Changes {
        Changes::to(seats(self.user.as_ref(), None, None))
    }

    fn learnt(reply: &Self::Reply) -> Vec<Tag> {
        reply.user.iter().map(|user| tag::user(user.id)).collect()
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.user.as_ref()?.own_read()
    }
}

/// Create Or Update User. 201 says created, 200 updated.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#create-or-update-user>
impl Write for CreateOrUpdateUserRequest {
    fn rest(&self) -> Result<Rest> {
        let user = input::user(self.user.as_ref(), self.update_mask.as_ref(), For::Upsert, "user")?;
        let mut rest = Rest::post(path!["users", "create_or_update"]).json(&envelope("user", user));
        rest.updated_user = self.user.as_ref().and_then(input::key_of);
        Ok(rest)
    }

    fn complete(reply: &mut CreateOrUpdateUserResponse, answer: &Answer) {
        reply.set_disposition(match answer.status {
            201 => Disposition::Created,
            // A repeated attempt may have found the user that the first one created.
            200 if answer.attempts == 1 => Disposition::Updated,
            _ => Disposition::Unspecified,
        });
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.user.as_ref().is_some_and(|user| user.id > 0 && has_external_id_of(user, self.user.as_ref()))
    }

    fn user_fields(&self) -> Vec<Given<'_>> {
        let user = given(self.check_user_fields, self.user.as_ref(), self.update_mask.as_ref(), || "user".to_owned());
        user.into_iter().collect()
    }

    fn changes(&self) -> Changes {
        let changed = seats(self.user.as_ref(), self.update_mask.as_ref(), None);
        Changes::to(changed).if_unknown(tag::every_user())
    }

    fn learnt(reply: &Self::Reply) -> Vec<Tag> {
        reply.user.iter().map(|user| tag::user(user.id)).collect()
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.user.as_ref()?.own_read()
    }
}

/// Request User Create. Answers `null`.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#request-user-create>
impl Write for RequestUserCreateRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let user = checks.take(input::user(self.user.as_ref(), None, For::Create, "user"));
        if self.user.as_ref().is_some_and(|user| user.email.as_ref().is_none_or(|email| email.trim().is_empty())) {
            checks.refuse("user.email", "must not be empty");
        }
        let user = checks.end(user)?;
        Ok(Rest::post(path!["users", "request_create"]).json(&envelope("user", user)))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        nothing::<Self>(body)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    fn changes(&self) -> Changes {
        Changes::default()
    }
}

/// Update User. <https://developer.zendesk.com/api-reference/ticketing/users/users/#update-user>
impl Write for UpdateUserRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let user = checks.take(input::user(self.user.as_ref(), self.update_mask.as_ref(), For::Update, "user"));
        let id = checks.take(id("id", self.id));
        let (id, user) = checks.end(id.zip(user))?;
        Ok(Rest::put(path!["users", id]).json(&envelope("user", user)).updates(UserKey::Id(self.id)))
    }

    /// Zendesk adds an e-mail address or phone number to the user's others. Whether it refuses to add one twice is unknown, so
    /// such an update is never repeated.
    fn idempotency(&self) -> Idempotency {
        let masked = self.update_mask.as_ref().filter(|mask| !mask.paths.is_empty());
        let written = |name: &str| masked.is_none_or(|mask| mask.paths.iter().any(|path| path == name));
        let user = self.user.as_ref();
        let adds = user.is_some_and(|user| {
            (user.email.is_some() && written("email")) || (user.phone.is_some() && written("phone"))
        });
        if adds { Idempotency::Unsafe } else { Self::rpc().idempotency }
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.user.as_ref(), self.id, |user| user.id)
    }

    fn user_fields(&self) -> Vec<Given<'_>> {
        let user = given(self.check_user_fields, self.user.as_ref(), self.update_mask.as_ref(), || "user".to_owned());
        user.into_iter().collect()
    }

    fn changes(&self) -> Changes {
        Changes::to(seats(self.user.as_ref(), self.update_mask.as_ref(), Some(self.id)))
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.user.as_ref()?.own_read()
    }
}

/// Media types of a picture, with the first bytes of such a file. **Assumption**: Zendesk documents no types; these are the
/// ones that its own pages accept.
const PICTURES: [(&str, &[u8]); 5] = [
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    // Not a registered type, and written by many.
    ("image/jpg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF8"),
    ("image/webp", b"RIFF"),
];

/// Update User, the profile image as a file in a multipart form.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#update-user>
impl Write for UploadUserPhotoRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let id = checks.take(id("id", self.id));
        // Media types have no case (RFC 9110, section 8.3.1).
        match PICTURES.iter().find(|(kind, _)| kind.eq_ignore_ascii_case(&self.content_type)) {
            None => {
                checks.refuse("content_type", "must be image/png, image/jpeg, image/gif or image/webp");
                if self.content.is_empty() {
                    checks.refuse("content", "must not be empty");
                }
            }
            Some((kind, magic)) => {
                let is_webp = self.content.get(8..12) == Some(b"WEBP");
                if !self.content.starts_with(magic) || (*kind == "image/webp" && !is_webp) {
                    checks.refuse("content", "is not what content_type says");
                }
            }
        }
        let plain = |char: char| !char.is_control() && !['/', '\\', '"'].contains(&char);
        if self.file_name.trim().is_empty() || self.file_name.len() > 255 || !self.file_name.chars().all(plain) {
            checks.refuse("file_name", "must be a name of at most 255 bytes, without a path");
        }
        let mut rest = Rest::put(path!["users", checks.end(id)?]).updates(UserKey::Id(self.id));
        rest.body = Body::File {
            field: "user[photo][uploaded_data]",
            content: self.content.clone(),
            content_type: self.content_type.clone(),
            file_name: self.file_name.clone(),
        };
        Ok(rest)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.user.as_ref(), self.id, |user| user.id)
    }

    fn changes(&self) -> Changes {
        Changes::to([tag::user(self.id), tag::users()])
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.user.as_ref()?.own_read()
    }
}

/// Update User, without a profile image. **Assumption**: a null removes it; the specification lets the picture be null.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#update-user>
impl Write for RemoveUserPhotoRequest {
    fn rest(&self) -> Result<Rest> {
        let rest = Rest::put(path!["users", id("id", self.id)?]).updates(UserKey::Id(self.id));
        Ok(rest.json(&json!({ "user": { "photo": null } })))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let has_none = |user: &User| user.photo.is_none() && !is_unread(&user.unreadable_fields, "photo");
        reply.user.as_ref().is_some_and(|user| user.id == self.id && has_none(user))
    }

    fn changes(&self) -> Changes {
        Changes::to([tag::user(self.id), tag::users()])
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.user.as_ref()?.own_read()
    }
}

/// Merge End Users. The path names the user that goes, the body the one that stays.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#merge-end-users>
impl Write for MergeUserRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let user = checks.take(id("id", self.id));
        checks.take(id("target_id", self.target_id));
        if self.id == self.target_id && self.id > 0 {
            checks.refuse("target_id", "must differ from id");
        }
        let doing = format!("merging user {} into user {}", self.id, self.target_id);
        let rest = Rest::put(path!["users", checks.end(user)?, "merge"]);
        Ok(rest.json(&json!({ "user": { "id": self.target_id } })).doing(doing))
    }

    /// Answers the user that stays.
    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.user.as_ref(), self.target_id, |user| user.id)
    }

    /// **Assumption**: the merged user becomes a deleted one. The vendor's page does not say what becomes of it.
    fn changes(&self) -> Changes {
        let merged = [tag::user(self.id), tag::deleted_user(self.id), tag::deleted_users()];
        let kept = [tag::user(self.target_id), tag::users(), tag::every_organization_membership()];
        Changes::to(merged.into_iter().chain(kept))
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.user.as_ref()?.own_read()
    }
}

/// Delete User. <https://developer.zendesk.com/api-reference/ticketing/users/users/#delete-user>
impl Write for DeleteUserRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::delete(path!["users", id("id", self.id)?]))
    }

    /// A user that is still active was not deleted, and one of whom that cannot be read may be.
    fn fits(&self, reply: &Self::Reply) -> bool {
        let may_be_active = |user: &User| user.active == Some(true) || is_unread(&user.unreadable_fields, "active");
        reply.user.as_ref().is_some_and(|user| user.id == self.id && !may_be_active(user))
    }

    /// Zendesk also deletes the user's memberships.
    fn changes(&self) -> Changes {
        let user = [tag::user(self.id), tag::users(), tag::every_membership(), tag::every_organization_membership()];
        Changes::to(user.into_iter().chain([tag::deleted_user(self.id), tag::deleted_users()]))
    }
}

/// Permanently Delete User.
/// <https://developer.zendesk.com/api-reference/ticketing/users/users/#permanently-delete-user>
impl Write for PermanentlyDeleteUserRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::delete(path!["deleted_users", id("id", self.id)?]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.deleted_user.as_ref(), self.id, |user| user.id)
    }

    fn changes(&self) -> Changes {
        let deleted = [tag::deleted_user(self.id), tag::deleted_users()];
        Changes::to(deleted.into_iter().chain([tag::user(self.id), tag::users()]))
    }
}

/// Returns what a write to a user changes: the user, the lists of users, and the memberships if the write sets a field that can
/// affect them (role, groups, suspension, organization).
fn seats(input: Option<&UserInput>, mask: Option<&FieldMask>, id: Option<i64>) -> Vec<Tag> {
    let mut tags = vec![tag::users()];
    tags.extend(id.map(tag::user));
    let seats = input.is_some_and(|user| {
        user.role.is_some()
            || user.custom_role_id.is_some()
            || user.default_group_id.is_some()
            || !user.group_ids.is_empty()
            || user.suspended.is_some()
    });
    if seats {
        tags.push(tag::every_membership());
    }
    // One that is named is created where there is none.
    if input.is_some_and(|user| user.organization.is_some()) {
        tags.push(tag::organizations());
    }
    let places = input.is_some_and(|user| {
        user.organization_id.is_some() || user.organization.is_some() || !user.organization_ids.is_empty()
    });
    // A masked field that is unset is cleared.
    let is_cleared = mask.is_some_and(|mask| mask.paths.iter().any(|path| path.starts_with("organization")));
    // A new user also joins the organization that has the domain of the address, and so does one who gets such an address or
    // whose address is verified.
    let joins = input.is_some_and(|user| user.email.is_some() || user.verified.is_some());
    if places || is_cleared || joins || id.is_none() {
        tags.push(tag::every_organization_membership());
    }
    tags
}
