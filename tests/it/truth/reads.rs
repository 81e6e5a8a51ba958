//! What the upstream answers to reads.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::http::Response;
use super::state::State;
use super::world::{Kind, Life, Record};

/// One parameter of a query.
pub fn param<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The ids of a query, in its order.
pub fn ids(query: &str) -> Vec<i64> {
    param(query, "ids").into_iter().flat_map(|list| list.split(',')).filter_map(|id| id.parse().ok()).collect()
}

pub fn missing() -> Response {
    Response::new(404, r#"{"error":"RecordNotFound","description":"Not found"}"#)
}

fn joined<'a>(rows: impl Iterator<Item = &'a Record>) -> String {
    let mut text = String::new();
    for row in rows {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{}", row.json()).expect("a string grows");
    }
    text
}

fn number(query: &str, name: &str, default: usize) -> usize {
    param(query, name).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A page of a list that is ordered by id, with cursors.
fn by_cursor<'a>(
    key: &str,
    rows: impl Iterator<Item = &'a Record>,
    query: &str,
    beside: impl Fn(&[&Record]) -> String,
) -> Response {
    let after = param(query, "page[after]").and_then(|cursor| cursor.strip_prefix('c')).and_then(|id| id.parse().ok());
    let size = number(query, "page[size]", 100);
    let mut page: Vec<&Record> = rows.filter(|row| row.id > after.unwrap_or(0)).take(size + 1).collect();
    let more = page.len() > size;
    page.truncate(size);
    let cursor = page.last().map_or("null".to_owned(), |row| format!(r#""c{}""#, row.id));
    let (rows, beside) = (joined(page.iter().copied()), beside(&page));
    Response::new(200, format!(r#"{{"{key}":[{rows}]{beside},"meta":{{"has_more":{more},"after_cursor":{cursor}}}}}"#))
}

/// A page of a list with page numbers.
fn by_number<'a>(key: &str, rows: impl Iterator<Item = &'a Record>, query: &str) -> Response {
    let (page, size) = (number(query, "page", 1), number(query, "per_page", 100));
    let rows: Vec<&Record> = rows.collect();
    let (first, count) = ((page - 1) * size, rows.len());
    let link = format!(r#""https://truth.example/list.json?page={}&per_page={size}""#, page + 1);
    let next = if first + size < count { &link } else { "null" };
    let rows = joined(rows.into_iter().skip(first).take(size));
    Response::new(200, format!(r#"{{"{key}":[{rows}],"next_page":{next},"count":{count}}}"#))
}

fn count(count: i64) -> Response {
    Response::new(200, format!(r#"{{"count":{{"value":{count},"refreshed_at":null}}}}"#))
}

fn count_of<'a>(rows: impl Iterator<Item = &'a Record>) -> Response {
    count(i64::try_from(rows.count()).expect("few rows"))
}

fn one(key: &str, record: Option<&Record>) -> Response {
    record.map_or_else(missing, |record| Response::new(200, format!(r#"{{"{key}":{}}}"#, record.json())))
}

/// The same with what is asked for beside it.
fn one_of(state: &State, query: &str, key: &str, record: Option<&Record>) -> Response {
    let shown = |record: &Record| {
        let beside = linked(state, query, &[record]);
        Response::new(200, format!(r#"{{"{key}":{}{beside}}}"#, record.json()))
    };
    record.map_or_else(missing, shown)
}

/// The users or groups that memberships are of, in the order of their ids.
fn others(state: &State, kind: Kind, of: (Kind, i64)) -> impl Iterator<Item = &Record> {
    state.world.roster(of.0, of.1).into_iter().filter_map(move |id| state.world.get(kind, id))
}

fn memberships(state: &State, of: (Kind, i64)) -> impl Iterator<Item = &Record> {
    let of_it = move |row: &&Record| if of.0 == Kind::Group { row.group == of.1 } else { row.user == of.1 };
    state.world.live(Kind::Membership).filter(of_it)
}

fn sideloads(state: &State, query: &str, page: &[&Record]) -> String {
    let include = param(query, "include").unwrap_or_default();
    let mut text = String::new();
    for (word, kind) in [("users", Kind::User), ("groups", Kind::Group)] {
        if include.contains(word) {
            let mut ids: Vec<i64> =
                page.iter().map(|row| if kind == Kind::User { row.user } else { row.group }).collect();
            ids.sort_unstable();
            ids.dedup();
            let rows = joined(ids.iter().filter_map(|id| state.world.get(kind, *id)));
            write!(text, r#","{word}":[{rows}]"#).expect("a string grows");
        }
    }
    text
}

/// What `include` asks for beside users or groups: those whom memberships link with them.
fn linked(state: &State, query: &str, page: &[&Record]) -> String {
    let Some(kind) = page.first().map(|row| row.kind) else { return String::new() };
    let (word, other) = if kind == Kind::User { ("groups", Kind::Group) } else { ("users", Kind::User) };
    if param(query, "include") != Some(word) {
        return String::new();
    }
    let ids: BTreeSet<i64> = page.iter().flat_map(|row| state.world.roster(kind, row.id)).collect();
    let rows = ids.iter().filter_map(|id| state.world.get(other, *id)).filter(|row| row.now.life == Life::Live);
    format!(r#","{word}":[{}]"#, joined(rows))
}

/// Answers a read by what is true at this moment.
pub fn read(state: &State, path: &[&str], query: &str) -> Response {
    use Kind::{Group, Membership, User};
    let world = &state.world;
    let nothing = |_: &[&Record]| String::new();
    let id = path.iter().find_map(|segment| segment.parse::<i64>().ok()).unwrap_or_default();
    match path {
        ["users"] => by_cursor("users", world.live(User), query, |page| linked(state, query, page)),
        ["users", "count"] => count(world.users.now()),
        ["users", "me"] => one("user", world.get(User, 1001)),
        ["users", "show_many"] => many(state, query),
        ["users", "search" | "autocomplete"] => by_number("users", world.live(User), query),
        // Exports have a limit of their own, which nobody can use up here.
        ["search", "export"] => Response {
            headers: "zendesk-ratelimit-search-export: total=100000000; remaining=99999999; resets=60",
            ..by_cursor("results", world.live(User), query, nothing)
        },
        ["users", _] => one_of(state, query, "user", world.get(User, id)),
        ["users", _, "related"] => world.get(User, id).map_or_else(missing, |user| {
            let version = user.now.version;
            let text = format!(r#"{{"user_related":{{"assigned_tickets":{id},"requested_tickets":{version}}}}}"#);
            Response::new(200, text)
        }),
        ["users", _, "groups"] => by_cursor("groups", others(state, Group, (User, id)), query, nothing),
        ["users", _, "groups", "count"] => count_of(others(state, Group, (User, id))),
        ["users", _, "group_memberships"] => {
            by_cursor("group_memberships", memberships(state, (User, id)), query, |page| sideloads(state, query, page))
        }
        ["users", _, "group_memberships", membership] | ["group_memberships", membership]
            if membership.parse::<i64>().is_ok() =>
        {
            one("group_membership", world.get(Membership, membership.parse().expect("a number")))
        }
        ["users", _, "compliance_deletion_statuses"] => {
            let row = format!(r#"{{"user_id":{id},"action":"request_deletion","application":"support"}}"#);
            let text = format!(r#"{{"compliance_deletion_statuses":[{row}],"meta":{{"has_more":false}}}}"#);
            Response::new(200, text)
        }
        ["groups"] => by_cursor("groups", world.live(Group), query, |page| linked(state, query, page)),
        ["groups", "count"] => count(world.groups.now()),
        // By cursor, as the vendor's pages promise. Those of memberships are by number, as some accounts have them.
        ["groups", "assignable"] => by_cursor("groups", world.live(Group), query, nothing),
        ["groups", _] => one_of(state, query, "group", world.get(Group, id)),
        ["groups", _, "users"] => by_cursor("users", others(state, User, (Group, id)), query, nothing),
        ["groups", _, "users", "count"] => count_of(others(state, User, (Group, id))),
        ["groups", _, "memberships"] => {
            by_cursor("group_memberships", memberships(state, (Group, id)), query, |page| sideloads(state, query, page))
        }
        ["groups", _, "memberships", "assignable"] => {
            by_number("group_memberships", memberships(state, (Group, id)), query)
        }
        ["group_memberships"] => {
            by_cursor("group_memberships", world.live(Membership), query, |page| sideloads(state, query, page))
        }
        ["group_memberships", "assignable"] => by_number("group_memberships", world.live(Membership), query),
        ["deleted_users"] => by_cursor("deleted_users", deleted(state), query, nothing),
        ["deleted_users", "count"] => count(world.deleted.now()),
        ["deleted_users", _] => one("deleted_user", deleted(state).find(|user| user.id == id)),
        ["job_statuses"] => state.jobs.page(query),
        ["job_statuses", "show_many"] => state.jobs.many(param(query, "ids").unwrap_or_default()),
        ["job_statuses", job] => state.jobs.one(job),
        _ => missing(),
    }
}

fn deleted(state: &State) -> impl Iterator<Item = &Record> {
    state.world.all(Kind::User).filter(|user| user.now.life == Life::Deleted)
}

fn many(state: &State, query: &str) -> Response {
    let world = &state.world;
    let shown = |user: &&Record| user.now.life == Life::Live || query.contains("include_deleted=true");
    let rows: Vec<&Record> = if let Some(names) = param(query, "external_ids") {
        let names: Vec<&str> = names.split(',').collect();
        world.all(Kind::User).filter(|user| names.contains(&user.external_id.as_str())).filter(shown).collect()
    } else {
        let mut ids = ids(query);
        ids.sort_unstable();
        ids.iter().filter_map(|id| world.get(Kind::User, *id)).filter(shown).collect()
    };
    let beside = linked(state, query, &rows);
    Response::new(200, format!(r#"{{"users":[{}]{beside},"count":0}}"#, joined(rows.into_iter())))
}
