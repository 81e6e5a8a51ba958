//! Groups and their members.

use serde_json::{Value as Json, json};

use super::families::{Family, Read, Write, named, number, part, text};
use super::requests::{
    ANY, OF_SAME_ID, OF_SAME_PART, all, by_id, by_known_id, choice, chosen, int, key, keys, of_user, pairs, some, whole,
};
use super::world::{Key, World};

/// Those of whom lists are written as a whole.
fn members(world: &World) -> (&[i64], &[i64]) {
    (&world.agents[..3], &world.groups[2..5])
}

/// Those of which each agent has one by default.
fn choices(world: &World) -> &[i64] {
    &world.groups[5..]
}

fn name(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("group", int(&row["id"])?, 0), number(&row["name"])))
}

fn is_there(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("group there", 0, part(&row["name"])?), u64::from(row["deleted"] != true)))
}

fn member(_: &World, _: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("member", int(&row["user_id"])?, int(&row["group_id"])?), 1))
}

fn agent(_: &World, asked: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("member", int(&row["id"])?, asked.part), 1))
}

fn group(_: &World, asked: Key, row: &Json) -> Option<(Key, u64)> {
    Some((key("member", asked.id, int(&row["id"])?), 1))
}

fn default(world: &World, asked: Key, row: &Json) -> Option<(Key, u64)> {
    (row["default"] == true).then(|| (asked, choice(choices(world), &row["group_id"])))
}

fn of_group(_: &World, key: Key) -> Option<Json> {
    Some(json!({"filter": {"group_id": key.part}, "page_size": 100}))
}

fn to_make(key: Key) -> Json {
    json!({"user_id": key.id, "group_id": key.part})
}

/// See the module.
pub static FAMILIES: &[Family] = &[
    Family {
        of: "group",
        keys: |world| keys("group", &world.groups[..2]),
        writes: &[
            Write::new("UpdateGroup", |_, key, to| Some(json!({"id": key.id, "group": {"name": text(to)}}))),
            Write::new("UpdateGroupWithAgents", |_, key, to| Some(json!({"id": key.id, "group": {"name": text(to)}})))
                .all(|_, key, to, _| vec![(key, to)]),
        ],
        reads: &[
            Read::new("GetGroup", by_id, "group", name),
            Read::new("GetGroupWithAgents", by_id, "group", name),
            Read::new("ListGroups", |_, _| all(), "groups", name),
            Read::new("StreamGroups", |_, _| all(), "groups", name),
            Read::new("ListAssignableGroups", |_, _| all(), "groups", name),
            Read::new("StreamAssignableGroups", |_, _| all(), "groups", name),
        ],
    },
    Family {
        of: "member",
        keys: |world| pairs("member", members(world).0, members(world).1),
        writes: &[
            Write::make("CreateMembership", |_, key, _| Some(json!({"group_membership": to_make(key)}))),
            Write::remove("DeleteMembership", |world, key, _| by_known_id(world, key)),
            Write::make("BulkCreateMemberships", |_, key, _| {
                Some(json!({"group_memberships": [to_make(key)], "wait": true}))
            }),
            Write::make("StreamBulkCreateMemberships", |_, key, _| Some(json!({"group_memberships": [to_make(key)]}))),
            Write::remove("BulkDeleteMemberships", |world, key, _| {
                Some(json!({"ids": [world.id(key)?], "wait": true}))
            }),
            Write::remove("StreamBulkDeleteMemberships", |world, key, _| Some(json!({"ids": [world.id(key)?]}))),
            Write::make("SetUserGroups", |world, key, _| {
                Some(json!({"user_id": key.id, "group_ids": some(members(world).1)}))
            })
            .all(|world, asked, _, sent| {
                let groups = members(world).1.iter();
                whole(groups.map(|group| (key("member", asked.id, *group), *group)), &sent["group_ids"])
            }),
            Write::make("UpdateGroupWithAgents", |world, key, _| {
                Some(json!({"id": key.part, "agents": {"user_ids": some(members(world).0)}}))
            })
            .all(|world, asked, _, sent| {
                let agents = members(world).0.iter();
                whole(agents.map(|agent| (key("member", *agent, asked.part), *agent)), &sent["agents"]["user_ids"])
            }),
        ],
        reads: &[
            Read::new("ListMemberships", of_user, "group_memberships", member).covers(OF_SAME_ID),
            Read::new("ListMemberships", of_group, "group_memberships", member).covers(OF_SAME_PART),
            Read::new("StreamMemberships", of_user, "group_memberships", member).covers(OF_SAME_ID),
            Read::new("StreamAssignableMemberships", of_group, "group_memberships", member).covers(OF_SAME_PART),
            Read::new("ListAssignableMemberships", of_group, "group_memberships", member).covers(OF_SAME_PART),
            Read::new("GetMembership", by_known_id, "group_membership", member),
            Read::new("GetGroupWithAgents", |_, key| Some(json!({"id": key.part})), "agents", agent)
                .covers(OF_SAME_PART)
                .of_others(),
            Read::new("GetUser", |_, key| Some(json!({"id": key.id, "include_groups": true})), "groups", group)
                .covers(OF_SAME_ID)
                .of_others(),
            Read::new("ListUsers", of_group, "users", agent).covers(OF_SAME_PART).of_others(),
            Read::new("ListGroups", of_user, "groups", group).covers(OF_SAME_ID).of_others(),
            Read::new("StreamGroups", of_user, "groups", group).covers(OF_SAME_ID).of_others(),
        ],
    },
    Family {
        of: "default group",
        keys: |world| keys("default group", &world.agents[4..]),
        writes: &[Write::choose("SetDefaultMembership", 3, |world, asked, to| {
            let id = world.id(key("default group", asked.id, chosen(choices(world), to)))?;
            Some(json!({"user_id": asked.id, "id": id}))
        })],
        reads: &[
            Read::new("ListMemberships", of_user, "group_memberships", default),
            Read::new("StreamMemberships", of_user, "group_memberships", default),
            Read::new("GetUser", by_id, "user", |world, asked, row| {
                Some((asked, choice(choices(world), &row["default_group_id"])))
            }),
        ],
    },
    Family {
        of: "group there",
        keys: |_| pairs("group there", &[0], &(1..=30).collect::<Vec<_>>()),
        writes: &[
            // Several groups may have one name.
            Write::make("CreateGroup", |world, key, _| {
                world.once(key).map(|()| json!({"group": {"name": named(key.part)}}))
            }),
            Write::make("CreateGroupWithAgents", |world, key, _| {
                let agents = json!({"user_ids": &world.agents[3..4]});
                world.once(key).map(|()| json!({"group": {"name": named(key.part)}, "agents": agents}))
            })
            .all(|_, key, _, _| vec![(key, 1)]),
            Write::remove("DeleteGroup", |world, key, _| by_known_id(world, key)),
        ],
        reads: &[
            Read::new("GetGroup", by_known_id, "group", is_there),
            Read::new("ListGroups", |_, _| all(), "groups", is_there).covers(ANY),
            Read::new("StreamGroups", |_, _| all(), "groups", is_there).covers(ANY),
        ],
    },
];
