//! Users, their tags, values of fields, addresses and identities.

use serde_json::{Value as Json, json};

use super::families::{Family, Read, Write, named, number, part, text};
use super::requests::{ANY, ITSELF, OF_SAME_ID, all, by_id, by_known_id, int, key, keys, pairs};
use super::world::{Key, VALUE, World};

fn name(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("user", int(&row["id"])?, 0), number(&row["name"])))
}

fn tags(_: &World, asked: Key, row: &Json) -> Option<(Key, u64)> {
    Some((asked, number(&row["tags"][0])))
}

fn has_tag(_: &World, asked: Key, tag: &Json) -> Option<(Key, u64)> {
    Some((key("tag", asked.id, part(tag)?), 1))
}

fn primary(_: &World, asked: Key, row: &Json) -> Option<(Key, u64)> {
    (row["primary"] == true && row["type"] == "IDENTITY_TYPE_EMAIL").then(|| (asked, number(&row["value"])))
}

fn has_identity(_: &World, asked: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("identity", asked.id, part(&row["value"])?), 1))
}

/// A user who was deleted may still be shown by the id.
fn is_there(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    (row["active"] != false).then_some((key("user there", 0, part(&row["external_id"])?), 1))
}

fn identities(_: &World, key: Key) -> Option<Json> {
    Some(json!({"user_id": key.id, "page_size": 100}))
}

fn to_make(key: Key) -> Json {
    json!({"name": "L", "external_id": named(key.part)})
}

/// See the module.
pub static FAMILIES: &[Family] = &[
    Family {
        of: "user",
        keys: |world| keys("user", &world.users[..3]),
        writes: &[
            Write::new("UpdateUser", |_, key, to| Some(json!({"id": key.id, "user": {"name": text(to)}}))),
            Write::new("BulkUpdateUsers", |_, key, to| {
                Some(json!({"ids": [key.id], "user": {"name": text(to)}, "wait": true}))
            }),
            Write::new("BulkUpdateUsers", |_, key, to| {
                Some(json!({"users": [{"id": key.id, "user": {"name": text(to)}}]}))
            }),
            Write::new("StreamBulkUpdateUsers", |_, key, to| {
                Some(json!({"users": [{"id": key.id, "user": {"name": text(to)}}]}))
            }),
        ],
        reads: &[
            Read::new("GetUser", by_id, "user", name),
            Read::new("BatchGetUsers", |world, _| Some(json!({"ids": &world.users[..4]})), "users", name),
            Read::new("ListUsers", |_, _| all(), "users", name),
            Read::new("StreamUsers", |_, _| all(), "users", name),
        ],
    },
    Family {
        of: "user's tags",
        keys: |world| keys("user's tags", &world.users[3..5]),
        writes: &[
            Write::new("SetUserTags", |_, key, to| Some(json!({"user_id": key.id, "tags": [text(to)]}))),
            Write::new("UpdateUser", |_, key, to| Some(json!({"id": key.id, "user": {"tags": [text(to)]}}))),
        ],
        reads: &[
            Read::new("ListUserTags", |_, key| Some(json!({"user_id": key.id})), "tag_list", tags),
            Read::new("GetUser", by_id, "user", tags),
        ],
    },
    Family {
        of: "tag",
        keys: |world| pairs("tag", &world.users[5..7], &[1, 2]),
        writes: &[
            Write::make("AddUserTags", |_, key, _| Some(json!({"user_id": key.id, "tags": [named(key.part)]}))),
            Write::remove("RemoveUserTags", |_, key, _| Some(json!({"user_id": key.id, "tags": [named(key.part)]}))),
        ],
        reads: &[
            Read::new("ListUserTags", |_, key| Some(json!({"user_id": key.id})), "tag_list.tags", has_tag)
                .covers(OF_SAME_ID),
            Read::new("GetUser", by_id, "user.tags", has_tag).covers(OF_SAME_ID),
        ],
    },
    Family {
        of: "value of a field",
        keys: |world| keys("value of a field", &world.users[7..9]),
        writes: &[
            Write::new("UpdateUser", |_, key, to| {
                Some(json!({"id": key.id, "user": {"user_fields": {VALUE: text(to)}}}))
            }),
            Write::new("UpdateUser", |_, key, to| {
                Some(json!({"id": key.id, "user": {"user_fields": {VALUE: text(to)}}, "check_user_fields": true}))
            }),
        ],
        reads: &[
            Read::new("GetUser", by_id, "user.user_fields", |_, asked, row| Some((asked, number(&row[VALUE])))),
            Read::new(
                "BatchGetUsers",
                |_, key| Some(json!({"ids": [key.id]})),
                "users",
                |_, asked, row| Some((asked, number(&row["user_fields"][VALUE]))),
            ),
        ],
    },
    Family {
        of: "email",
        keys: |world| keys("email", &world.users[9..11]),
        writes: &[Write::new("ChangeUserEmail", |_, key, to| {
            let email = format!("{}@history.example", text(to));
            Some(json!({"user_id": key.id, "email": email, "verified": true, "old": "OLD_EMAIL_REMOVE"}))
        })
        .all(|_, key, to, _| vec![(key, to)])],
        reads: &[
            Read::new("GetUser", by_id, "user", |_, asked, row| Some((asked, number(&row["email"])))),
            Read::new("ListUserIdentities", identities, "identities", primary),
            Read::new("StreamUserIdentities", identities, "identities", primary),
        ],
    },
    Family {
        of: "identity",
        keys: |world| pairs("identity", &world.users[11..13], &[1, 2]),
        writes: &[
            Write::make("CreateUserIdentity", |_, key, _| {
                let value = format!("{}@u{}.example", named(key.part), key.id);
                Some(json!({"user_id": key.id, "identity": {"type": "IDENTITY_TYPE_EMAIL", "value": value}}))
            }),
            Write::remove("DeleteUserIdentity", |world, key, _| Some(json!({"user_id": key.id, "id": world.id(key)?}))),
        ],
        reads: &[
            Read::new(
                "GetUserIdentity",
                |world, key| Some(json!({"user_id": key.id, "id": world.id(key)?})),
                "identity",
                has_identity,
            ),
            Read::new("ListUserIdentities", identities, "identities", has_identity).covers(OF_SAME_ID),
            Read::new("StreamUserIdentities", identities, "identities", has_identity).covers(OF_SAME_ID),
            Read::new(
                "GetUser",
                |_, key| Some(json!({"id": key.id, "include_identities": true})),
                "identities",
                has_identity,
            )
            .covers(OF_SAME_ID),
        ],
    },
    Family {
        of: "primary identity",
        keys: |world| keys("primary identity", &world.users[17..]),
        writes: &[Write::choose("MakeUserIdentityPrimary", 3, |world, asked, to| {
            let id = world.id(key("primary identity", asked.id, i64::try_from(to).ok()?))?;
            Some(json!({"user_id": asked.id, "id": id}))
        })],
        reads: &[
            Read::new("GetUser", by_id, "user", |_, asked, row| Some((asked, number(&row["email"])))),
            Read::new("ListUserIdentities", identities, "identities", primary),
            Read::new("StreamUserIdentities", identities, "identities", primary),
        ],
    },
    Family {
        of: "user there",
        keys: |_| pairs("user there", &[0], &[1, 2, 3]),
        writes: &[
            Write::make("CreateUser", |_, key, _| Some(json!({"user": to_make(key)}))),
            Write::make("CreateOrUpdateUser", |_, key, _| Some(json!({"user": to_make(key)}))),
            Write::make("BulkCreateOrUpdateUsers", |_, key, _| Some(json!({"users": [to_make(key)], "wait": true}))),
            Write::make("BulkCreateOrUpdateUsers", |_, key, _| Some(json!({"users": [to_make(key)]}))),
            Write::make("StreamBulkCreateOrUpdateUsers", |_, key, _| Some(json!({"users": [to_make(key)]}))),
            Write::remove("DeleteUser", |world, key, _| by_known_id(world, key)),
            Write::make("BulkCreateUsers", |_, key, _| Some(json!({"users": [to_make(key)], "wait": true}))),
            Write::remove("BulkDeleteUsers", |world, key, _| Some(json!({"ids": [world.id(key)?], "wait": true}))),
            Write::remove("StreamBulkDeleteUsers", |world, key, _| Some(json!({"ids": [world.id(key)?]}))),
        ],
        reads: &[
            Read::new("GetUser", by_known_id, "user", is_there),
            Read::new("BatchGetUsers", |_, key| Some(json!({"external_ids": [named(key.part)]})), "users", is_there)
                .covers(ITSELF),
            Read::new(
                "ListUsers",
                |_, key| Some(json!({"filter": {"external_id": named(key.part)}})),
                "users",
                is_there,
            )
            .covers(ITSELF),
            Read::new("StreamUsers", |_, _| all(), "users", is_there).covers(ANY),
        ],
    },
];
