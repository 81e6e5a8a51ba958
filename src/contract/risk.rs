//! Requests whose values can raise the risk of their RPC: whoever writes a user can make it an agent, or sign in as one, and whoever
//! writes the options of a user field can take values away from users.
//!
//! A caller who may write users must not thereby decide who is an agent, what agents may do and where they belong, nor who
//! can sign in as a user that exists; that is what the class ADMIN is for. The build demands an implementation here of every
//! request that holds a `UserInput` or a `UserFieldInput`.

use prost_types::FieldMask;

use super::{Request, Risk};
use crate::proto::{
    BulkCreateOrUpdateUsersRequest, BulkCreateUsersRequest, BulkUpdateUsersRequest, CreateOrUpdateUserRequest,
    CreateUserFieldRequest, CreateUserRequest, RequestUserCreateRequest, StreamBulkCreateOrUpdateUsersRequest,
    StreamBulkCreateUsersRequest, StreamBulkUpdateUsersRequest, UpdateUserFieldRequest, UpdateUserRequest, UserInput,
    UserRole, UserUpdate,
};

/// A request whose values matter.
pub trait Values: Request {
    /// Returns the risk of a call with these values.
    fn risk(&self) -> Risk;
}

/// Fields that decide who is an agent, what it may do and where it belongs, and the password, which lets somebody else act as
/// it.
const PRIVILEGES: [&str; 9] = [
    "role",
    "custom_role_id",
    "default_group_id",
    "group_ids",
    "moderator",
    "only_private_comments",
    "restricted_agent",
    "ticket_restriction",
    "password",
];

/// True if a new user gets more privileges than an end user has.
fn gives_privileges(user: &UserInput) -> bool {
    user.role.is_some_and(|role| role != i32::from(UserRole::EndUser))
        || user.custom_role_id.is_some()
        || user.default_group_id.is_some()
        || !user.group_ids.is_empty()
        || user.moderator.is_some()
}

/// True if the privileges of a user that may exist already are changed. The user may be an agent: then `END_USER` takes
/// privileges away.
fn changes_privileges(user: Option<&UserInput>, mask: Option<&FieldMask>) -> bool {
    let set = user.is_some_and(|user| {
        gives_privileges(user)
            || user.role.is_some()
            || user.only_private_comments.is_some()
            || user.restricted_agent.is_some()
            || user.ticket_restriction.is_some()
            || user.password.is_some()
    });
    // A masked field that is unset is cleared.
    set || names(mask, &PRIVILEGES)
}

/// True if an update changes privileges, or by which addresses somebody can sign in as the user: it adds an address, and marks
/// one as verified.
fn update_changes(user: Option<&UserInput>, mask: Option<&FieldMask>) -> bool {
    changes_privileges(user, mask)
        || user.is_some_and(|user| user.email.is_some() || user.verified.is_some())
        || names(mask, &["email", "verified"])
}

/// True if an upsert changes privileges, or by which addresses somebody can sign in as a user who may exist already. An address
/// that says which user is meant adds none; beside an external id it does.
fn upsert_changes(user: Option<&UserInput>, mask: Option<&FieldMask>) -> bool {
    let adds = |user: &UserInput| {
        !user.identities.is_empty() || user.verified.is_some() || (user.email.is_some() && user.external_id.is_some())
    };
    changes_privileges(user, mask) || user.is_some_and(adds) || names(mask, &["identities", "verified"])
}

fn names(mask: Option<&FieldMask>, fields: &[&str]) -> bool {
    mask.is_some_and(|mask| mask.paths.iter().any(|path| fields.contains(&path.as_str())))
}

fn raised<R: Request>(raise: bool) -> Risk {
    let own = R::rpc().risk;
    if raise { own.max(Risk::Admin) } else { own }
}

impl Values for CreateUserRequest {
    fn risk(&self) -> Risk {
        raised::<Self>(self.user.iter().any(gives_privileges))
    }
}

/// This call creates nothing: it asks the account's owner to.
impl Values for RequestUserCreateRequest {
    fn risk(&self) -> Risk {
        raised::<Self>(false)
    }
}

impl Values for CreateOrUpdateUserRequest {
    fn risk(&self) -> Risk {
        raised::<Self>(upsert_changes(self.user.as_ref(), self.update_mask.as_ref()))
    }
}

impl Values for UpdateUserRequest {
    fn risk(&self) -> Risk {
        raised::<Self>(update_changes(self.user.as_ref(), self.update_mask.as_ref()))
    }
}

impl Values for CreateUserFieldRequest {
    fn risk(&self) -> Risk {
        Self::rpc().risk
    }
}

/// Options that are left out are removed.
impl Values for UpdateUserFieldRequest {
    fn risk(&self) -> Risk {
        let has_options = self.user_field.as_ref().is_some_and(|field| !field.custom_field_options.is_empty());
        if has_options || names(self.update_mask.as_ref(), &["custom_field_options"]) {
            Risk::Destructive
        } else {
            Self::rpc().risk
        }
    }
}

/// A call with many users, or each message of such a stream.
macro_rules! many {
    ($($request:ident: $privileged:expr),+ $(,)?) => {
        $(impl Values for $request {
            fn risk(&self) -> Risk {
                let privileged: fn(&Self) -> bool = $privileged;
                raised::<Self>(privileged(self))
            }
        })+
    };
}
many! {
    BulkCreateUsersRequest: |request| request.users.iter().any(gives_privileges),
    StreamBulkCreateUsersRequest: |request| request.users.iter().any(gives_privileges),
    BulkCreateOrUpdateUsersRequest: |request| request.users.iter().any(|user| upsert_changes(Some(user), None)),
    StreamBulkCreateOrUpdateUsersRequest: |request| request.users.iter().any(|user| upsert_changes(Some(user), None)),
    BulkUpdateUsersRequest: |request| updates_change(&request.users, request.user.as_ref(), request.update_mask.as_ref()),
    StreamBulkUpdateUsersRequest: |request| {
        updates_change(&request.users, request.user.as_ref(), request.update_mask.as_ref())
    },
}

/// [`update_changes`] of an update of each of many users, or of one for all of them.
fn updates_change(each: &[UserUpdate], all: Option<&UserInput>, mask: Option<&FieldMask>) -> bool {
    let one = |update: &UserUpdate| update_changes(update.user.as_ref(), update.update_mask.as_ref());
    update_changes(all, mask) || each.iter().any(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{CustomFieldOptionInput, UserFieldInput, UserIdentityInput};

    #[test]
    fn every_field_that_makes_an_agent_or_moves_one_raises_an_update_to_admin() {
        let update =
            |user: UserInput| Request::risk(&UpdateUserRequest { id: 7, user: Some(user), ..Default::default() });
        let plain = UserInput { name: Some("A".to_owned()), tags: vec!["t".to_owned()], ..UserInput::default() };
        assert_eq!(update(plain), Risk::Write);
        for role in [UserRole::EndUser, UserRole::Agent, UserRole::Admin] {
            assert_eq!(update(UserInput { role: Some(role.into()), ..UserInput::default() }), Risk::Admin, "{role:?}");
        }
        let new = [
            UserInput { custom_role_id: Some(1), ..UserInput::default() },
            UserInput { default_group_id: Some(1), ..UserInput::default() },
            UserInput { group_ids: vec![1], ..UserInput::default() },
            UserInput { moderator: Some(true), ..UserInput::default() },
        ];
        for user in new {
            assert_eq!(update(user.clone()), Risk::Admin, "{user:?}");
            let create = CreateUserRequest { user: Some(user.clone()), ..Default::default() };
            assert_eq!(Request::risk(&create), Risk::Admin, "{user:?}");
        }
        let existing = [
            UserInput { only_private_comments: Some(false), ..UserInput::default() },
            UserInput { restricted_agent: Some(false), ..UserInput::default() },
            UserInput { ticket_restriction: Some(0), ..UserInput::default() },
            UserInput { password: Some("p".to_owned()), ..UserInput::default() },
        ];
        for user in existing {
            assert_eq!(update(user.clone()), Risk::Admin, "{user:?}");
        }
        for field in PRIVILEGES {
            let update_mask = Some(FieldMask { paths: vec!["name".to_owned(), field.to_owned()] });
            let request =
                UpdateUserRequest { id: 7, user: Some(UserInput::default()), update_mask, ..Default::default() };
            assert_eq!(Request::risk(&request), Risk::Admin, "{field} is cleared");
        }
    }

    #[test]
    fn an_end_user_may_be_created_without_being_an_administrator() {
        let user = |role: UserRole| UserInput { role: Some(role.into()), ..UserInput::default() };
        let create = |role| Request::risk(&CreateUserRequest { user: Some(user(role)), ..Default::default() });
        assert_eq!((create(UserRole::EndUser), create(UserRole::Agent)), (Risk::Write, Risk::Admin));
        let request = RequestUserCreateRequest { user: Some(user(UserRole::Agent)) };
        assert_eq!(Request::risk(&request), Risk::Write, "it only asks");
        let upsert = |role| Request::risk(&CreateOrUpdateUserRequest { user: Some(user(role)), ..Default::default() });
        assert_eq!(upsert(UserRole::EndUser), Risk::Admin, "it may be an agent until now");
    }

    #[test]
    fn a_further_address_of_a_user_who_exists_needs_an_administrator_as_a_new_identity_does() {
        let email = || Some("a@x.example".to_owned());
        let update = |user, paths: &[&str]| {
            let update_mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
            Request::risk(&UpdateUserRequest { id: 7, user: Some(user), update_mask, ..Default::default() })
        };
        let address = UserInput { email: email(), ..UserInput::default() };
        let verified = UserInput { verified: Some(true), ..UserInput::default() };
        for user in [address.clone(), verified.clone()] {
            assert_eq!(update(user.clone(), &[]), Risk::Admin, "{user:?}");
            let each = vec![UserUpdate { user: Some(user), ..UserUpdate::default() }];
            assert_eq!(Request::risk(&BulkUpdateUsersRequest { users: each, ..Default::default() }), Risk::Admin);
        }
        assert_eq!(update(UserInput::default(), &["verified"]), Risk::Admin);
        let phone = UserInput { phone: Some("+1 555 123 4567".to_owned()), ..UserInput::default() };
        assert_eq!(update(phone, &["phone"]), Risk::Write, "nobody signs in by number");

        let upsert = |user: &UserInput| {
            let many = BulkCreateOrUpdateUsersRequest { users: vec![user.clone()], ..Default::default() };
            let one = Request::risk(&CreateOrUpdateUserRequest { user: Some(user.clone()), ..Default::default() });
            assert_eq!(one, Request::risk(&many));
            one
        };
        assert_eq!(upsert(&address), Risk::Write, "it says which user is meant");
        assert_eq!(upsert(&UserInput { external_id: Some("e".to_owned()), ..address.clone() }), Risk::Admin);
        assert_eq!(upsert(&UserInput { verified: Some(true), ..address.clone() }), Risk::Admin);
        assert_eq!(
            upsert(&UserInput { identities: vec![UserIdentityInput::default()], ..address.clone() }),
            Risk::Admin
        );
        for new in [address, verified] {
            assert_eq!(
                Request::risk(&CreateUserRequest { user: Some(new), ..Default::default() }),
                Risk::Write,
                "the user is new"
            );
        }
    }

    #[test]
    fn options_that_an_update_of_a_field_leaves_out_are_destroyed() {
        let update = |user_field: UserFieldInput, paths: &[&str]| {
            let update_mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
            Request::risk(&UpdateUserFieldRequest { id: 7, user_field: Some(user_field), update_mask })
        };
        let options = || vec![CustomFieldOptionInput::default()];
        let some = UserFieldInput { custom_field_options: options(), ..UserFieldInput::default() };
        assert_eq!(update(some.clone(), &[]), Risk::Destructive);
        assert_eq!(update(UserFieldInput::default(), &["custom_field_options"]), Risk::Destructive);
        assert_eq!(update(UserFieldInput::default(), &["title"]), Risk::Admin);
        assert_eq!(Request::risk(&CreateUserFieldRequest { user_field: Some(some) }), Risk::Admin, "it is new");
    }

    #[test]
    fn one_privileged_user_among_many_raises_a_bulk_call() {
        let agent = UserInput { role: Some(UserRole::Agent.into()), ..UserInput::default() };
        let users = vec![UserInput::default(), agent.clone()];
        let create = BulkCreateUsersRequest { users: users.clone(), ..Default::default() };
        let upsert = BulkCreateOrUpdateUsersRequest { users, ..Default::default() };
        let one = BulkUpdateUsersRequest { user: Some(agent.clone()), ..Default::default() };
        let each = UserUpdate { user: Some(agent), ..UserUpdate::default() };
        let each = BulkUpdateUsersRequest { users: vec![UserUpdate::default(), each], ..Default::default() };
        let risks = [Request::risk(&create), Request::risk(&upsert), Request::risk(&one), Request::risk(&each)];
        assert_eq!(risks, [Risk::Admin; 4]);
        let create = StreamBulkCreateUsersRequest { users: create.users, ..Default::default() };
        let upsert = StreamBulkCreateOrUpdateUsersRequest { users: upsert.users, ..Default::default() };
        let one = StreamBulkUpdateUsersRequest { user: one.user, ..Default::default() };
        let each = StreamBulkUpdateUsersRequest { users: each.users, ..Default::default() };
        let risks = [Request::risk(&create), Request::risk(&upsert), Request::risk(&one), Request::risk(&each)];
        assert_eq!(risks, [Risk::Admin; 4], "and each message of a stream");
        assert_eq!(Request::risk(&BulkUpdateUsersRequest::default()), Risk::Write);
    }
}
