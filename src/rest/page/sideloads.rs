//! Records that Zendesk adds to an answer because the request asked for them with `include`.
//! <https://developer.zendesk.com/documentation/ticketing/using-the-zendesk-api/side_loading/>

use std::collections::HashSet;
use std::hash::Hash;

use prost::Message;

use crate::proto::{Group, OpenTicketCount, Organization, SideloadedRole, User, UserAbilities, UserIdentity};
use crate::upstream::rest::Names;

/// What comes beside the rows of a page, or beside one record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sideloads {
    /// Users.
    pub users: Vec<User>,
    /// Groups.
    pub groups: Vec<Group>,
    /// Organizations.
    pub organizations: Vec<Organization>,
    /// Roles of users.
    pub roles: Vec<SideloadedRole>,
    /// Identities of users.
    pub identities: Vec<UserIdentity>,
    /// What the credential's user may do with users.
    pub abilities: Vec<UserAbilities>,
    /// How many open tickets users have.
    pub open_ticket_counts: Vec<OpenTicketCount>,
}

impl Sideloads {
    /// Returns those that were asked for, by Zendesk's names, each once. Nobody could tell why others are there.
    #[must_use]
    pub fn only(self, wanted: &[&str]) -> Self {
        // Each field by its name, so that a new one cannot be forgotten.
        let Self { users, groups, organizations, roles, identities, abilities, open_ticket_counts } = self;
        let is = |name| wanted.contains(&name);
        let wanted = Self {
            users: only_if(is("users"), users),
            groups: only_if(is("groups"), groups),
            organizations: only_if(is("organizations"), organizations),
            roles: only_if(is("roles"), roles),
            identities: only_if(is("identities"), identities),
            abilities: only_if(is("abilities"), abilities),
            open_ticket_counts: only_if(is("open_ticket_count"), open_ticket_counts),
        };
        wanted.once()
    }

    /// Returns them without those that others are before.
    #[must_use]
    pub fn once(mut self) -> Self {
        once(&mut self.users, |user| user.id);
        once(&mut self.groups, |group| group.id);
        once(&mut self.organizations, |organization| organization.id);
        // Zendesk's own roles have a name and no id.
        once(&mut self.roles, |role| (role.id, role.name.clone().filter(|_| role.id.is_none())));
        once(&mut self.identities, |identity| identity.id);
        once(&mut self.abilities, |abilities| abilities.user_id);
        once(&mut self.open_ticket_counts, |count| count.user_id);
        self
    }

    /// Adds those of another answer.
    pub fn append(&mut self, mut other: Self) {
        self.users.append(&mut other.users);
        self.groups.append(&mut other.groups);
        self.organizations.append(&mut other.organizations);
        self.roles.append(&mut other.roles);
        self.identities.append(&mut other.identities);
        self.abilities.append(&mut other.abilities);
        self.open_ticket_counts.append(&mut other.open_ticket_counts);
    }

    /// Returns those that rows name.
    #[must_use]
    pub fn of(&self, names: &[Names]) -> Self {
        let ids = |of: fn(&Names) -> Option<i64>| names.iter().filter_map(of).collect::<HashSet<_>>();
        let (users, groups) = (ids(|names| names.user), ids(|names| names.group));
        let organizations = ids(|names| names.organization);
        Self {
            users: self.users.iter().filter(|user| users.contains(&user.id)).cloned().collect(),
            groups: self.groups.iter().filter(|group| groups.contains(&group.id)).cloned().collect(),
            organizations: self.organizations.iter().filter(|one| organizations.contains(&one.id)).cloned().collect(),
            ..Self::default()
        }
    }

    /// Returns about how many bytes they take.
    pub fn weight(&self) -> usize {
        let Self { users, groups, organizations, roles, identities, abilities, open_ticket_counts } = self;
        weight(users)
            + weight(groups)
            + weight(organizations)
            + weight(roles)
            + weight(identities)
            + weight(abilities)
            + weight(open_ticket_counts)
    }
}

fn only_if<T>(is_wanted: bool, records: Vec<T>) -> Vec<T> {
    if is_wanted { records } else { Vec::new() }
}

/// Removes the records whose id another one has before them.
fn once<T, K: Hash + Eq>(records: &mut Vec<T>, id: impl Fn(&T) -> K) {
    let mut seen = HashSet::new();
    records.retain(|record| seen.insert(id(record)));
}

fn weight<T: Message>(records: &[T]) -> usize {
    records.iter().map(|record| size_of::<T>() + record.encoded_len()).sum()
}
