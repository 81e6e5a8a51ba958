//! The custom roles of the account, an Enterprise one.

/// A role that `custom_role_id` and `permission_set` name.
#[derive(Clone, Copy, Debug)]
pub struct CustomRole {
    pub id: i64,
    pub name: &'static str,
    pub description: &'static str,
    /// The `role_type` of agents with this role.
    pub role_type: u8,
}

pub const STAFF: CustomRole = CustomRole {
    id: 6_095_000_001_117,
    name: "Staff",
    description: "Can edit tickets within their groups",
    role_type: 0,
};

pub const TEAM_LEADER: CustomRole = CustomRole {
    id: 6_095_000_001_239,
    name: "Team leader",
    description: "Can manage all tickets and forums",
    role_type: 0,
};

pub const LIGHT_AGENT: CustomRole = CustomRole {
    id: 6_095_000_001_433,
    name: "Light agent",
    description: "Can view and add private comments to tickets",
    role_type: 1,
};

pub const ADMINISTRATOR: CustomRole =
    CustomRole { id: 6_095_000_001_577, name: "Administrator", description: "Can manage the account", role_type: 4 };

/// When organizations and roles were made.
pub const OPENED: &str = "2016-01-01T00:00:00Z";

/// All of them.
pub const ALL: [CustomRole; 4] = [STAFF, TEAM_LEADER, LIGHT_AGENT, ADMINISTRATOR];

/// The role with this id.
pub fn find(id: i64) -> Option<CustomRole> {
    ALL.into_iter().find(|role| role.id == id)
}
