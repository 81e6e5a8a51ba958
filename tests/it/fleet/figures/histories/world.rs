//! The records that are read and written.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use serde_json::{Value as Json, json};

use super::families::text;
use crate::support::Dynamic;

/// One number of one record: 0 before it is written for the first time, and of what is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub of: &'static str,
    pub id: i64,
    pub part: i64,
}

/// The records.
#[derive(Default)]
pub struct World {
    pub users: Vec<i64>,
    pub agents: Vec<i64>,
    pub groups: Vec<i64>,
    pub organizations: Vec<i64>,
    /// Definitions of user fields: text, and last one with options.
    pub fields: Vec<i64>,
    /// The options of the last field.
    pub options: Vec<i64>,
    /// The ids under which records were seen last that come and go, and of the memberships between which somebody chooses.
    ids: Mutex<HashMap<Key, i64>>,
    /// What is made once only.
    made: Mutex<HashSet<Key>>,
}

/// The field of which users have values.
pub const VALUE: &str = "history";

impl World {
    /// Makes all of them.
    pub async fn make(client: &Dynamic) -> Self {
        let mut world = Self::default();
        for number in 0..18 {
            let user = json!({"name": format!("U {number}"), "email": format!("u{number}@history.example")});
            world.users.push(made(client, "CreateUser", json!({"user": user}), "user").await);
        }
        for number in 0..6 {
            let role = "USER_ROLE_AGENT";
            let user =
                json!({"name": format!("A {number}"), "email": format!("a{number}@history.example"), "role": role});
            world.agents.push(made(client, "CreateUser", json!({"user": user}), "user").await);
        }
        for number in 0..8 {
            let name = json!({"name": format!("History {number}")});
            world.groups.push(made(client, "CreateGroup", json!({"group": name}), "group").await);
            world
                .organizations
                .push(made(client, "CreateOrganization", json!({"organization": name}), "organization").await);
        }
        for key in ["history_a", "history_b", VALUE] {
            let field = json!({"key": key, "title": key, "type": "USER_FIELD_TYPE_TEXT"});
            world.fields.push(made(client, "CreateUserField", json!({"user_field": field}), "user_field").await);
        }
        let options: Vec<Json> =
            (0..2).map(|part| json!({"name": format!("O {part}"), "value": format!("option_{part}")})).collect();
        let field = json!({"key": "history_o", "title": "O", "type": "USER_FIELD_TYPE_DROPDOWN", "custom_field_options": options});
        let replies = client.call("CreateUserField", &json!({"user_field": field}).to_string()).await.expect("a field");
        let field = &replies[0]["user_field"];
        world.fields.push(field["id"].as_i64().expect("an id"));
        let options = field["custom_field_options"].as_array().expect("options").iter();
        world.options = options.map(|option| option["id"].as_i64().expect("an id")).collect();
        world.join(client).await;
        world
    }

    /// Makes the memberships of which one is the default.
    async fn join(&self, client: &Dynamic) {
        for user in &self.users[15..17] {
            // The first one is the default at first, and none that is chosen.
            for choice in [3, 4, 5, 6] {
                let organization = self.organizations[choice];
                let new = json!({"organization_membership": {"user_id": user, "organization_id": organization}});
                let id = made(client, "CreateOrganizationMembership", new, "organization_membership").await;
                self.know(Key { of: "default organization", id: *user, part: organization }, id);
            }
        }
        for user in &self.users[17..] {
            for choice in 1_i64..=3 {
                let value = format!("{}@choice.example", text(choice.unsigned_abs()));
                let identity = json!({"type": "IDENTITY_TYPE_EMAIL", "value": value, "verified": true});
                let new = json!({"user_id": user, "identity": identity, "skip_verify_email": true});
                let id = made(client, "CreateUserIdentity", new, "identity").await;
                self.know(Key { of: "primary identity", id: *user, part: choice }, id);
            }
        }
        for agent in &self.agents[4..] {
            for choice in [5, 6, 7] {
                let group = self.groups[choice];
                let new = json!({"group_membership": {"user_id": agent, "group_id": group}});
                let id = made(client, "CreateMembership", new, "group_membership").await;
                self.know(Key { of: "default group", id: *agent, part: group }, id);
            }
        }
    }

    /// The id under which a record was seen last.
    pub fn id(&self, key: Key) -> Option<i64> {
        self.ids.lock().expect("no panic").get(&key).copied()
    }

    pub fn know(&self, key: Key, id: i64) {
        self.ids.lock().expect("no panic").insert(key, id);
    }

    /// Some for the first who asks.
    pub fn once(&self, key: Key) -> Option<()> {
        self.made.lock().expect("no panic").insert(key).then_some(())
    }
}

async fn made(client: &Dynamic, rpc: &str, request: Json, record: &str) -> i64 {
    let replies = client.call(rpc, &request.to_string()).await.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
    replies[0][record]["id"].as_i64().expect("an id")
}
