//! Definitions of user fields, and their options.

use serde_json::{Value as Json, json};

use super::families::{Family, Read, Write, named, number, part, text};
use super::requests::{ANY, ITSELF, all, by_id, by_known_id, int, key, keys, pairs};
use super::world::{Key, World};

/// The field with options.
fn with_options(world: &World) -> i64 {
    world.fields[3]
}

fn title(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("user field", int(&row["id"])?, 0), number(&row["title"])))
}

fn is_there(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("field there", 0, part(&row["key"])?), 1))
}

fn option(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("option", int(&row["id"])?, 0), number(&row["name"])))
}

fn has_option(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("option there", 0, part(&row["value"])?), 1))
}

fn options(world: &World, _: Key) -> Option<Json> {
    Some(json!({"user_field_id": with_options(world), "page_size": 100}))
}

fn whole_field(world: &World, _: Key) -> Option<Json> {
    Some(json!({"id": with_options(world)}))
}

/// See the module.
pub static FAMILIES: &[Family] = &[
    Family {
        of: "user field",
        keys: |world| keys("user field", &world.fields[..2]),
        writes: &[Write::new("UpdateUserField", |_, key, to| {
            Some(json!({"id": key.id, "user_field": {"title": text(to)}}))
        })],
        reads: &[
            Read::new("GetUserField", by_id, "user_field", title),
            Read::new(
                "BatchGetUserFields",
                |_, _| Some(json!({"keys": ["history_a", "history_b"]})),
                "user_fields",
                title,
            ),
            Read::new("ListUserFields", |_, _| all(), "user_fields", title),
            Read::new("StreamUserFields", |_, _| all(), "user_fields", title),
        ],
    },
    Family {
        of: "field there",
        keys: |_| pairs("field there", &[0], &[1, 2]),
        writes: &[
            Write::make("CreateUserField", |_, key, _| {
                Some(json!({"user_field": {"key": named(key.part), "title": "L", "type": "USER_FIELD_TYPE_TEXT"}}))
            }),
            Write::remove("DeleteUserField", |world, key, _| by_known_id(world, key)),
        ],
        reads: &[
            Read::new("GetUserField", by_known_id, "user_field", is_there),
            Read::new("BatchGetUserFields", |_, key| Some(json!({"keys": [named(key.part)]})), "user_fields", is_there)
                .covers(ITSELF),
            Read::new("ListUserFields", |_, _| all(), "user_fields", is_there).covers(ANY),
            Read::new("StreamUserFields", |_, _| all(), "user_fields", is_there).covers(ANY),
        ],
    },
    Family {
        of: "option",
        keys: |world| keys("option", &world.options),
        writes: &[Write::new("CreateOrUpdateUserFieldOption", |world, key, to| {
            let place = world.options.iter().position(|option| *option == key.id)?;
            let option = json!({"id": key.id, "name": text(to), "value": format!("option_{place}")});
            Some(json!({"user_field_id": with_options(world), "custom_field_option": option}))
        })],
        reads: &[
            Read::new(
                "GetUserFieldOption",
                |world, key| Some(json!({"user_field_id": with_options(world), "id": key.id})),
                "custom_field_option",
                option,
            ),
            Read::new("ListUserFieldOptions", options, "custom_field_options", option),
            Read::new("StreamUserFieldOptions", options, "custom_field_options", option),
            Read::new("GetUserField", whole_field, "user_field.custom_field_options", option),
        ],
    },
    Family {
        of: "option there",
        keys: |_| pairs("option there", &[0], &[1, 2]),
        writes: &[
            Write::make("CreateOrUpdateUserFieldOption", |world, key, _| {
                let option = json!({"name": named(key.part), "value": named(key.part)});
                Some(json!({"user_field_id": with_options(world), "custom_field_option": option}))
            }),
            Write::remove("DeleteUserFieldOption", |world, key, _| {
                Some(json!({"user_field_id": with_options(world), "id": world.id(key)?}))
            }),
        ],
        reads: &[
            Read::new("ListUserFieldOptions", options, "custom_field_options", has_option).covers(ANY),
            Read::new("StreamUserFieldOptions", options, "custom_field_options", has_option).covers(ANY),
            Read::new("GetUserField", whole_field, "user_field.custom_field_options", has_option).covers(ANY),
        ],
    },
];
