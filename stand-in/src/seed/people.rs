//! Seeded users, live and deleted.

use fastrand::Rng;

use crate::clock::Time;
use crate::store::fields::{FieldValue, Fields};
use crate::store::organization::Organization;
use crate::store::roles;
use crate::store::tables::Tables;
use crate::store::user::{Life, Locale, Photo, Restriction, Role, User, Zone};

use super::names::{DOMAINS, FIRST, LAST, NOTES, PLANS, PRODUCTS, TAGS};
use super::{ORGANIZATIONS_FROM, Plan, USERS_FROM, USERS_STEP, teams};

/// Adds `config.users` live users, the account's owner first, and a few
/// deleted ones between them.
pub fn fill(plan: &Plan<'_>, groups: &[i64], tables: &mut Tables) {
    let organizations = organizations(plan.config.users);
    for id in &organizations {
        tables.put_organization(Organization::seeded(*id, Time::parse(roles::OPENED).expect("a date")));
    }
    let deleted = (plan.config.users / 50).max(3);
    let every = (plan.config.users / deleted).max(1);
    for index in 0..plan.config.users {
        let mut user = live(plan, index, &organizations);
        if user.is_staff() {
            teams::join(plan, index, &mut user, groups, tables);
        }
        tables.put_user(user);
        if index % every == 0 && index / every < deleted {
            tables.put_user(gone(plan, index, index / every));
        }
    }
}

fn organizations(users: u32) -> Vec<i64> {
    let count = i64::from((users / 25).max(5));
    (0..count).map(|at| ORGANIZATIONS_FROM + at * 977 + at % 13).collect()
}

fn live(plan: &Plan<'_>, index: u32, organizations: &[i64]) -> User {
    let mut dice = plan.dice(1, index);
    let id = USERS_FROM + i64::from(index) * USERS_STEP + dice.i64(0..USERS_STEP - 500);
    let (first, first_slug) = FIRST[dice.usize(0..FIRST.len())];
    let (last, last_slug) = LAST[dice.usize(0..LAST.len())];
    let created = plan.moment(index, plan.config.users, &mut dice);
    let mut user = User::end_user(id, &format!("{first} {last}"), created);
    user.updated_at = plan.later(created, 40_000_000, &mut dice);
    user.zone = Zone::pick(dice.u8(..));
    user.locale = Locale::pick(dice.u8(..));
    if dice.u8(..) > 8 {
        let domain = DOMAINS[dice.usize(0..DOMAINS.len())];
        user.email = Some(format!("{first_slug}.{last_slug}.{index}@{domain}").into());
        user.verified = dice.u8(..) < 150;
    }
    if dice.u8(..) < 80 {
        user.phone = Some(format!("+1555{:07}", dice.u32(0..10_000_000)).into());
        user.shared_phone_number = Some(dice.u8(..) < 30);
    }
    if dice.u8(..) < 200 {
        user.organization_id = Some(organizations[dice.usize(0..organizations.len())]);
    }
    user.external_id = external_id(index, &mut dice);
    user.photo = photo(id, &mut dice);
    user.tags = tags(&mut dice).into();
    user.alias = sometimes(&mut dice, first);
    user.details = sometimes(&mut dice, "42 Harbour Street\nLevel 3");
    let note = NOTES[dice.usize(0..NOTES.len())];
    user.notes = sometimes(&mut dice, note);
    user.signature = sometimes(&mut dice, "Kind regards");
    if dice.bool() {
        user.last_login_at = Some(plan.later(created, 60_000_000, &mut dice));
        user.two_factor_auth_enabled = Some(dice.u8(..) < 40);
    }
    user.suspended = dice.u8(..) < 3;
    user.fields = fields(&mut dice, created);
    employ(index, plan, &mut user, &mut dice);
    user
}

/// Makes about one in 25 users an agent, some of them light, a few admins.
fn employ(index: u32, plan: &Plan<'_>, user: &mut User, dice: &mut Rng) {
    let draw = match index {
        0 | 6 => 0,
        5 => 6,
        1..5 => 9,
        _ if dice.u16(0..1000) < 40 => dice.u8(0..20),
        _ => return,
    };
    user.suspended = false;
    match draw {
        0..3 => user.become_role(Role::Admin, Some(roles::ADMINISTRATOR.id)),
        3..7 => {
            user.become_role(Role::Agent, Some(roles::LIGHT_AGENT.id));
            user.role_type = Some(roles::LIGHT_AGENT.role_type);
            user.only_private_comments = true;
        }
        _ => {
            let role = if draw % 4 == 0 { roles::TEAM_LEADER } else { roles::STAFF };
            user.become_role(Role::Agent, Some(role.id));
            user.ticket_restriction = match draw % 3 {
                0 => None,
                1 => Some(Restriction::Groups),
                _ => Some(Restriction::Assigned),
            };
            user.restricted_agent = user.ticket_restriction.is_some();
        }
    }
    if index == 0 {
        user.name = "Olive Owner".into();
        user.email = Some(plan.config.credential.email.as_str().into());
        user.verified = true;
    }
}

/// A deleted user that follows the live one at `index`; every third is erased.
fn gone(plan: &Plan<'_>, index: u32, number: u32) -> User {
    let mut dice = plan.dice(2, number);
    let id = USERS_FROM + i64::from(index + 1) * USERS_STEP - 400 + dice.i64(0..300);
    let created = plan.moment(index, plan.config.users, &mut dice);
    let (first, slug) = FIRST[dice.usize(0..FIRST.len())];
    let mut user = User::end_user(id, first, created);
    user.updated_at = plan.later(created, 40_000_000, &mut dice);
    if number % 3 == 1 {
        user.name = "Permanently Deleted User".into();
        user.life = Life::Erased;
    } else {
        user.life = Life::Deleted;
        if number.is_multiple_of(2) {
            user.email = Some(format!("{slug}.{number}@gone.example").into());
        }
    }
    user
}

fn external_id(index: u32, dice: &mut Rng) -> Option<Box<str>> {
    match dice.u8(0..10) {
        0..4 => None,
        4..7 => Some(format!("crm-{index:06}").into()),
        7..9 => Some(format!("ACME-{index}").into()),
        _ => Some(format!("{index}").into()),
    }
}

fn photo(user: i64, dice: &mut Rng) -> Option<Box<Photo>> {
    (dice.u8(..) < 20).then(|| {
        Box::new(Photo {
            id: user + 17,
            file_name: "profile image.png".into(),
            content_type: "image/png",
            size: dice.u32(2_000..400_000),
            dimensions: Some((80, 80)),
        })
    })
}

fn tags(dice: &mut Rng) -> String {
    let mut tags: Vec<&str> = (0..dice.usize(0..3)).map(|_| TAGS[dice.usize(0..TAGS.len())]).collect();
    tags.sort_unstable();
    tags.dedup();
    tags.join(" ")
}

/// Null after creation by API, empty after an edit in the browser.
fn sometimes(dice: &mut Rng, text: &str) -> Option<Box<str>> {
    match dice.u8(0..10) {
        0..5 => None,
        5..9 => Some("".into()),
        _ => Some(text.into()),
    }
}

fn fields(dice: &mut Rng, created: Time) -> Fields {
    let mut values = Vec::new();
    for at in 0..10_u16 {
        if dice.u8(..) > 60 {
            continue;
        }
        let value = match at {
            0 | 3 => FieldValue::Date(Time(created.0 - created.0 % 86_400)),
            1 => FieldValue::Text("web".into()),
            2 => FieldValue::Decimal(f64::from(dice.u32(0..100_000)) / 4.0),
            4 => FieldValue::List(
                PRODUCTS[dice.usize(0..PRODUCTS.len())..].iter().map(|product| Box::from(*product)).collect(),
            ),
            5 => FieldValue::Text("see the contract".into()),
            7 => FieldValue::Text(PLANS[dice.usize(0..PLANS.len())].into()),
            8 => FieldValue::Integer(dice.i64(1..500)),
            _ => FieldValue::Bool(dice.bool()),
        };
        values.push((at, value));
    }
    Fields::from_sorted(values)
}
