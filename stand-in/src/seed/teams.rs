//! Seeded groups, and who is in them.

use crate::store::group::{Group, Membership};
use crate::store::tables::Tables;
use crate::store::user::User;

use super::names::GROUPS;
use super::{GROUPS_FROM, MEMBERSHIPS_FROM, Plan};

/// Adds `config.groups` live groups, the account's default first, and one
/// deleted group; returns the ids of the live ones.
pub fn groups(plan: &Plan<'_>, tables: &mut Tables) -> Vec<i64> {
    let mut live = Vec::new();
    for index in 0..=plan.config.groups {
        let deleted = index == plan.config.groups;
        let mut dice = plan.dice(3, index);
        let known = usize::try_from(index).ok().and_then(|at| GROUPS.get(at));
        let name = match known {
            _ if deleted => "Retired escalations".to_owned(),
            Some(name) => (*name).to_owned(),
            None => format!("Team {index}"),
        };
        let created = plan.moment(index, plan.config.groups + 1, &mut dice);
        let group = Group {
            id: GROUPS_FROM + i64::from(index) * 4_099 + dice.i64(0..4_000),
            name: name.into(),
            description: match index % 4 {
                1 => "Second line, on call at weekends".into(),
                _ => "".into(),
            },
            is_public: index % 5 != 3,
            deleted,
            created_at: created,
            updated_at: plan.later(created, 10_000_000, &mut dice),
            verbatim: None,
        };
        if !deleted {
            live.push(group.id);
        }
        tables.put_group(group);
    }
    tables.default_group = live.first().copied().unwrap_or_default();
    live
}

/// Puts an agent into one to four groups; the first is the agent's default.
pub fn join(plan: &Plan<'_>, index: u32, user: &mut User, groups: &[i64], tables: &mut Tables) {
    if groups.is_empty() {
        return;
    }
    let mut dice = plan.dice(4, index);
    let mut places: Vec<i64> = (0..dice.usize(1..=4)).map(|_| groups[dice.usize(0..groups.len())]).collect();
    places.sort_unstable();
    places.dedup();
    user.default_group_id = places.first().copied();
    let joined = user.created_at.after(60).min(plan.end);
    for (at, group_id) in (0_i64..).zip(places) {
        tables.put_membership(Membership {
            id: MEMBERSHIPS_FROM + i64::from(index) * 820 + at * 199 + dice.i64(0..190),
            user_id: user.id,
            group_id,
            default: at == 0,
            created_at: joined,
            updated_at: (dice.u8(..) > 20).then(|| plan.later(joined, 9_000_000, &mut dice)),
            verbatim: None,
        });
    }
}
