//! Organizations and their members.

use serde_json::{Value as Json, json};

use super::families::{Family, Read, Write, named, number, part, text};
use super::requests::{
    ANY, ITSELF, OF_SAME_ID, OF_SAME_PART, all, by_id, by_known_id, choice, chosen, int, key, keys, of_user, pairs,
};
use super::world::{Key, World};

/// Those of which each user has one by default.
fn choices(world: &World) -> &[i64] {
    &world.organizations[4..7]
}

fn name(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("organization", int(&row["id"])?, 0), number(&row["name"])))
}

fn tags(_: &World, asked: Key, row: &Json) -> Option<(Key, u64)> {
    Some((asked, number(&row["tags"][0])))
}

fn has_tag(_: &World, asked: Key, tag: &Json) -> Option<(Key, u64)> {
    Some((key("organization's tag", asked.id, part(tag)?), 1))
}

fn is_there(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("organization there", 0, part(&row["external_id"])?), 1))
}

fn member(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("organization member", int(&row["user_id"])?, int(&row["organization_id"])?), 1))
}

fn default(world: &World, asked: Key, row: &Json) -> Option<(Key, u64)> {
    (row["default"] == true).then(|| (asked, choice(choices(world), &row["organization_id"])))
}

fn of_organization(_: &World, key: Key) -> Option<Json> {
    Some(json!({"filter": {"organization_id": key.part}, "page_size": 100}))
}

fn to_join(key: Key) -> Json {
    json!({"user_id": key.id, "organization_id": key.part})
}

fn to_make(key: Key) -> Json {
    json!({"name": named(key.part), "external_id": named(key.part)})
}

/// See the module.
pub static FAMILIES: &[Family] = &[
    Family {
        of: "organization",
        keys: |world| keys("organization", &world.organizations[..2]),
        writes: &[
            Write::new("UpdateOrganization", |_, key, to| {
                Some(json!({"id": key.id, "organization": {"name": text(to)}}))
            }),
            Write::new("CreateOrUpdateOrganization", |_, key, to| {
                Some(json!({"id": key.id, "organization": {"name": text(to)}}))
            }),
            Write::new("BulkUpdateOrganizations", |_, key, to| {
                Some(json!({"organizations": [{"id": key.id, "organization": {"name": text(to)}}], "wait": true}))
            }),
            Write::new("StreamBulkUpdateOrganizations", |_, key, to| {
                Some(json!({"organizations": [{"id": key.id, "organization": {"name": text(to)}}]}))
            }),
        ],
        reads: &[
            Read::new("GetOrganization", by_id, "organization", name),
            Read::new("BatchGetOrganizations", |_, key| Some(json!({"ids": [key.id]})), "organizations", name),
            Read::new("ListOrganizations", |_, _| all(), "organizations", name),
            Read::new("StreamOrganizations", |_, _| all(), "organizations", name),
        ],
    },
    Family {
        of: "organization's tags",
        keys: |world| keys("organization's tags", &world.organizations[2..3]),
        writes: &[Write::new("SetOrganizationTags", |_, key, to| {
            Some(json!({"organization_id": key.id, "tags": [text(to)]}))
        })],
        reads: &[
            Read::new("ListOrganizationTags", |_, key| Some(json!({"organization_id": key.id})), "tag_list", tags),
            Read::new("GetOrganization", by_id, "organization", tags),
        ],
    },
    Family {
        of: "organization's tag",
        keys: |world| pairs("organization's tag", &world.organizations[7..], &[1, 2]),
        writes: &[
            Write::make("AddOrganizationTags", |_, key, _| {
                Some(json!({"organization_id": key.id, "tags": [named(key.part)]}))
            }),
            Write::remove("RemoveOrganizationTags", |_, key, _| {
                Some(json!({"organization_id": key.id, "tags": [named(key.part)]}))
            }),
        ],
        reads: &[
            Read::new(
                "ListOrganizationTags",
                |_, key| Some(json!({"organization_id": key.id})),
                "tag_list.tags",
                has_tag,
            )
            .covers(OF_SAME_ID),
            Read::new("GetOrganization", by_id, "organization.tags", has_tag).covers(OF_SAME_ID),
        ],
    },
    Family {
        of: "organization member",
        keys: |world| pairs("organization member", &world.users[13..15], &world.organizations[3..5]),
        writes: &[
            Write::make("CreateOrganizationMembership", |_, key, _| {
                Some(json!({"organization_membership": to_join(key)}))
            }),
            Write::remove("DeleteOrganizationMembership", |world, key, _| by_known_id(world, key)),
            Write::remove("UnassignOrganization", |_, key, _| Some(to_join(key))),
            Write::make("BulkCreateOrganizationMemberships", |_, key, _| {
                Some(json!({"organization_memberships": [to_join(key)], "wait": true}))
            }),
            Write::make("StreamBulkCreateOrganizationMemberships", |_, key, _| {
                Some(json!({"organization_memberships": [to_join(key)]}))
            }),
            Write::remove("BulkDeleteOrganizationMemberships", |world, key, _| {
                Some(json!({"ids": [world.id(key)?], "wait": true}))
            }),
            Write::remove("StreamBulkDeleteOrganizationMemberships", |world, key, _| {
                Some(json!({"ids": [world.id(key)?]}))
            }),
        ],
        reads: &[
            Read::new("ListOrganizationMemberships", of_user, "organization_memberships", member).covers(OF_SAME_ID),
            Read::new("ListOrganizationMemberships", of_organization, "organization_memberships", member)
                .covers(OF_SAME_PART),
            Read::new("StreamOrganizationMemberships", of_user, "organization_memberships", member).covers(OF_SAME_ID),
            Read::new("GetOrganizationMembership", by_known_id, "organization_membership", member),
            Read::new("ListOrganizations", of_user, "organizations", |_, asked, row| {
                Some((key("organization member", asked.id, int(&row["id"])?), 1))
            })
            .covers(OF_SAME_ID)
            .of_others(),
        ],
    },
    Family {
        of: "default organization",
        keys: |world| keys("default organization", &world.users[15..17]),
        writes: &[
            Write::choose("SetDefaultOrganization", 3, |world, asked, to| {
                Some(json!({"user_id": asked.id, "organization_id": chosen(choices(world), to)}))
            }),
            Write::choose("SetDefaultOrganizationMembership", 3, |world, asked, to| {
                let id = world.id(key("default organization", asked.id, chosen(choices(world), to)))?;
                Some(json!({"user_id": asked.id, "id": id}))
            }),
        ],
        reads: &[
            Read::new("ListOrganizationMemberships", of_user, "organization_memberships", default),
            Read::new("GetUser", by_id, "user", |world, asked, row| {
                Some((asked, choice(choices(world), &row["organization_id"])))
            }),
        ],
    },
    Family {
        of: "organization there",
        keys: |_| pairs("organization there", &[0], &[1, 2, 3]),
        writes: &[
            Write::make("CreateOrganization", |_, key, _| Some(json!({"organization": to_make(key)}))),
            Write::make("BulkCreateOrganizations", |_, key, _| {
                Some(json!({"organizations": [to_make(key)], "wait": true}))
            }),
            Write::make("StreamBulkCreateOrganizations", |_, key, _| Some(json!({"organizations": [to_make(key)]}))),
            Write::remove("StreamBulkDeleteOrganizations", |world, key, _| Some(json!({"ids": [world.id(key)?]}))),
            Write::remove("DeleteOrganization", |world, key, _| by_known_id(world, key)),
            Write::remove("BulkDeleteOrganizations", |world, key, _| {
                Some(json!({"ids": [world.id(key)?], "wait": true}))
            }),
        ],
        reads: &[
            Read::new("GetOrganization", by_known_id, "organization", is_there),
            Read::new(
                "BatchGetOrganizations",
                |_, key| Some(json!({"external_ids": [named(key.part)]})),
                "organizations",
                is_there,
            )
            .covers(ITSELF),
            Read::new("ListOrganizations", |_, _| all(), "organizations", is_there).covers(ANY),
            Read::new("StreamOrganizations", |_, _| all(), "organizations", is_there).covers(ANY),
        ],
    },
];
