//! The account as it is found at start: the same records for the same seed and
//! sizes, with the variety that recordings show.

mod jobs;
mod names;
mod people;
mod teams;

use super::clock::{Clock, Time};
use super::config::Config;
use super::store::tables::Tables;

/// Ids of seeded users start here; ids of other kinds stay below.
const USERS_FROM: i64 = 6_100_000_000_000;
/// Distance between the ids of two live users, give or take the jitter.
const USERS_STEP: i64 = 20_011;
const GROUPS_FROM: i64 = 6_097_000_000_000;
const MEMBERSHIPS_FROM: i64 = 6_098_000_000_000;
const ORGANIZATIONS_FROM: i64 = 6_096_000_000_000;
/// Ids of records that are created later.
const FRESH_FROM: i64 = 6_500_000_000_000;

/// 2016-01-01, when the account was opened.
const OPENED: u32 = 1_451_606_400;
/// Ten years, the age of the account. Its end is fixed, because the same seed
/// gives the same records on every day.
const AGE: u32 = 315_576_000;

/// Fills the tables of a new sandbox.
pub fn tables(config: &Config, clock: &Clock) -> Tables {
    let mut tables = Tables::new(FRESH_FROM);
    let plan = Plan { config, end: Time(OPENED + AGE).min(clock.now()) };
    let groups = teams::groups(&plan, &mut tables);
    people::fill(&plan, &groups, &mut tables);
    jobs::fill(&plan, clock, &mut tables);
    tables
}

/// What all records are made by.
struct Plan<'a> {
    config: &'a Config,
    /// Nothing was made or changed after it: no record is of the future.
    end: Time,
}

impl Plan<'_> {
    /// A generator for one record, so that records do not depend on each other.
    fn dice(&self, kind: u64, index: u32) -> fastrand::Rng {
        let spread = (u64::from(index) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        fastrand::Rng::with_seed(self.config.seed.rotate_left(17) ^ spread ^ (kind << 56))
    }

    /// A moment in the life of the account: index 0 is its opening, index `of`
    /// is its end.
    fn moment(&self, index: u32, of: u32, dice: &mut fastrand::Rng) -> Time {
        let share = u64::from(AGE) * u64::from(index) / u64::from(of.max(1));
        let share = u32::try_from(share).unwrap_or(AGE);
        self.later(Time(OPENED + share), 86_400, dice)
    }

    /// A moment up to so many seconds after another one, and not after the end.
    fn later(&self, from: Time, within: u32, dice: &mut fastrand::Rng) -> Time {
        let left = self.end.0.saturating_sub(from.0);
        from.after(dice.u32(0..within.min(left).max(1))).min(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Links;

    fn seeded(users: u32, seed: u64) -> Tables {
        let config = Config { users, seed, ..Config::default() };
        tables(&config, &Clock::start())
    }

    fn rendered(tables: &Tables) -> Vec<String> {
        let links = Links::new("https://a.example".into(), true, &tables.user_fields);
        let users = tables.live().iter().chain(tables.deleted());
        users
            .map(|id| {
                let user = tables.user(*id).expect("listed users exist");
                String::from_utf8(links.user(user)).expect("JSON is UTF-8")
            })
            .collect()
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_users() {
        assert_eq!(rendered(&seeded(120, 7)), rendered(&seeded(120, 7)));
        assert_ne!(rendered(&seeded(120, 7)), rendered(&seeded(120, 8)));
    }

    #[test]
    fn a_machine_whose_clock_is_behind_gets_no_records_of_its_future() {
        let config = Config::default();
        let plan = Plan { config: &config, end: Time(OPENED + 1000) };
        let mut tables = Tables::new(FRESH_FROM);
        let groups = teams::groups(&plan, &mut tables);
        people::fill(&plan, &groups, &mut tables);
        let users =
            tables.live().iter().filter_map(|id| tables.user(*id)).flat_map(|user| [user.created_at, user.updated_at]);
        let places = tables.memberships().map(|place| place.created_at);
        let groups = tables.groups().map(|group| group.updated_at);
        assert!(users.chain(places).chain(groups).all(|time| time <= plan.end));
    }

    #[tokio::test]
    async fn seed_data_has_the_variety_of_practice() {
        let tables = seeded(1000, 1);
        assert_eq!(tables.live().len(), 1000);
        let all = rendered(&tables).join("\n");
        for needle in [
            "\"email\":null",
            "\"phone\":null",
            "\"photo\":null",
            "\"thumbnails\":[",
            "\"organization_id\":null",
            "\"external_id\":null",
            "\"alias\":null",
            "\"alias\":\"\"",
            "\"notes\":null",
            "\"notes\":\"\"",
            "\"signature\":null",
            "\"signature\":\"\"",
            "\"last_login_at\":null",
            "\"two_factor_auth_enabled\":null",
            "\"role_type\":1,",
            "\"role_type\":4,",
            "\"ticket_restriction\":null",
            "\"suspended\":true",
            "\"tags\":[]",
            "\"time_zone\":\"Alaska\"",
            "\"time_zone\":\"America/New_York\"",
            "\"active\":false",
            "\"vip\":true",
            "\"plan\":\"",
            "\"seats\":1",
            "\"favourite_products\":[",
            "\"name\":\"Permanently Deleted User\",\"email\":null",
        ] {
            assert!(all.contains(needle), "no user has {needle}");
        }
    }

    #[tokio::test]
    async fn every_agent_is_in_a_group_and_has_one_default() {
        let tables = seeded(1000, 1);
        assert!(tables.staff().count() > 20);
        for id in tables.staff() {
            let defaults: Vec<i64> = tables
                .memberships_of(id)
                .filter(|membership| membership.default)
                .map(|membership| membership.group_id)
                .collect();
            let user = tables.user(id).expect("staff exist");
            assert_eq!(defaults, Vec::from_iter(user.default_group_id), "{id}");
        }
        assert!(tables.memberships().any(|membership| membership.updated_at.is_none()));
    }
}
