//! What the upstream does when it is asked to write.

use serde_json::Value;

use super::book::Key;
use super::http::{Request, Response};
use super::jobs::Task;
use super::reads::{ids, missing, param};
use super::state::State;
use super::world::{Kind, Life, Record};

/// Records with the versions that a write made of them.
type Made = Vec<(Kind, i64, u64)>;

/// Whose write a request is; 0 where no single call accounts for it.
pub fn nonce_of(state: &State, request: &Request, path: &[&str]) -> u64 {
    let id = |at: usize| path.get(at).and_then(|segment| segment.parse().ok()).unwrap_or_default();
    let key = match (request.method.as_str(), path) {
        ("PUT", ["users", _, "merge"]) => Key::Merge(id(1)),
        ("PUT", [.., "make_default"]) => Key::Default(id(3)),
        ("DELETE", ["users", "destroy_many"]) => {
            Key::DeleteUser(ids(&request.query).first().copied().unwrap_or_default())
        }
        ("DELETE", ["group_memberships", "destroy_many"]) => {
            Key::DeleteMembership(ids(&request.query).first().copied().unwrap_or_default())
        }
        ("DELETE", ["users", _]) => Key::DeleteUser(id(1)),
        ("DELETE", ["users", _, _, _]) => Key::DeleteMembership(id(3)),
        ("DELETE", ["deleted_users", _]) => Key::EraseUser(id(1)),
        ("DELETE", ["groups", _]) => Key::DeleteGroup(id(1)),
        ("DELETE", ["group_memberships", _]) => Key::DeleteMembership(id(1)),
        ("POST", ["users", "logout_many"]) => return nonce_of_logout(&request.query),
        ("POST", ["group_memberships", ..] | ["users", _, "group_memberships"]) => {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let row =
                if path.contains(&"create_many") { &body["group_memberships"][0] } else { &body["group_membership"] };
            Key::AddMembership(
                row["user_id"].as_i64().unwrap_or_else(|| id(1)),
                row["group_id"].as_i64().unwrap_or_default(),
            )
        }
        _ => return written(&request.body),
    };
    state.book.of(key)
}

/// Nobody's sessions are ended: the ids are made of the call's number.
pub const LOGOUT: i64 = 1_000_000_000;

fn nonce_of_logout(query: &str) -> u64 {
    ids(query).first().and_then(|id| u64::try_from(id - LOGOUT).ok()).unwrap_or_default()
}

/// The number in what is written: a text value `n12`, or a file's name that begins so.
fn written(body: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(body);
    let at = text.match_indices("\"n").find(|(at, _)| text[at + 2..].starts_with(|first: char| first.is_ascii_digit()));
    let digits = at.map_or("", |(at, _)| &text[at + 2..]);
    digits.split(|char: char| !char.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

fn done(state: &mut State, nonce: u64, made: &Made, response: Response) -> Response {
    state.book.done(nonce, made);
    response
}

fn shown(state: &State, status: u16, key: &str, kind: Kind, id: i64) -> Response {
    let record = state.world.ever(kind, id).expect("it was just written");
    Response::new(status, format!(r#"{{"{key}":{}}}"#, record.json()))
}

/// Carries out a write.
pub fn write(state: &mut State, request: &Request, path: &[&str], nonce: u64) -> Response {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let id = |at: usize| path.get(at).and_then(|segment| segment.parse().ok()).unwrap_or_default();
    if let Some(task) = task(request, path, &body) {
        state.book.done(nonce, &[]);
        return state.start(nonce, task);
    }
    match (request.method.as_str(), path) {
        ("POST", ["users"]) => create(state, Kind::User, "user", nonce),
        ("POST", ["groups"]) => create(state, Kind::Group, "group", nonce),
        ("POST", ["users", "create_or_update"]) => {
            let (id, created) = upsert(state, body["user"]["external_id"].as_str().unwrap_or_default(), nonce);
            let made = made(state, Kind::User, id);
            let response = shown(state, if created { 201 } else { 200 }, "user", Kind::User, id);
            done(state, nonce, &made, response)
        }
        ("POST", ["users", "request_create"]) => done(state, nonce, &Vec::new(), Response::new(200, "null")),
        ("POST", ["users", "logout_many"]) => done(state, nonce, &Vec::new(), Response::new(202, "null")),
        ("PUT", ["users", _]) => change(state, Kind::User, "user", id(1), nonce),
        ("PUT", ["groups", _]) => change(state, Kind::Group, "group", id(1), nonce),
        ("PUT", ["users", _, "merge"]) => {
            let target = body["user"]["id"].as_i64().unwrap_or_default();
            let Some(version) = state.world.change(Kind::User, target, nonce, |_| ()) else { return missing() };
            let Some(ended) = state.world.end(Kind::User, id(1), nonce, Life::Deleted) else { return missing() };
            let made = vec![(Kind::User, target, version), (Kind::User, id(1), ended)];
            let response = shown(state, 200, "user", Kind::User, target);
            done(state, nonce, &made, response)
        }
        ("DELETE", ["users", _]) => end(state, Kind::User, id(1), nonce, Life::Deleted, Some("user")),
        ("DELETE", ["deleted_users", _]) => {
            if state.world.get(Kind::User, id(1)).is_none_or(|user| user.now.life != Life::Deleted) {
                return missing();
            }
            end(state, Kind::User, id(1), nonce, Life::Gone, Some("deleted_user"))
        }
        ("DELETE", ["groups", _]) => end(state, Kind::Group, id(1), nonce, Life::Deleted, None),
        ("DELETE", ["group_memberships", _]) => end(state, Kind::Membership, id(1), nonce, Life::Gone, None),
        ("DELETE", ["users", _, "group_memberships", _]) => {
            end(state, Kind::Membership, id(3), nonce, Life::Gone, None)
        }
        ("POST", ["group_memberships"] | ["users", _, "group_memberships"]) => {
            let row = &body["group_membership"];
            let user = row["user_id"].as_i64().unwrap_or_else(|| id(1));
            let Some(membership) = join(state, user, row["group_id"].as_i64().unwrap_or_default(), nonce) else {
                let text = r#"{"error":"RecordInvalid","details":{"user_id":[{"error":"DuplicateValue","description":"User has already been taken"}]}}"#;
                return Response::new(422, text);
            };
            let made = made(state, Kind::Membership, membership);
            let response = shown(state, 201, "group_membership", Kind::Membership, membership);
            done(state, nonce, &made, response)
        }
        ("PUT", ["users", _, "group_memberships", _, "make_default"]) => make_default(state, id(1), id(3), nonce),
        _ => missing(),
    }
}

/// The newest version of a record.
fn made(state: &State, kind: Kind, id: i64) -> Made {
    vec![(kind, id, state.world.ever(kind, id).expect("it was just written").now.version)]
}

fn create(state: &mut State, kind: Kind, key: &str, nonce: u64) -> Response {
    let id = state.world.create(kind, nonce, |_| ());
    let made = made(state, kind, id);
    let response = shown(state, 201, key, kind, id);
    done(state, nonce, &made, response)
}

fn change(state: &mut State, kind: Kind, key: &str, id: i64, nonce: u64) -> Response {
    let Some(version) = state.world.change(kind, id, nonce, |_| ()) else { return missing() };
    let response = shown(state, 200, key, kind, id);
    done(state, nonce, &vec![(kind, id, version)], response)
}

fn end(state: &mut State, kind: Kind, id: i64, nonce: u64, life: Life, key: Option<&str>) -> Response {
    let Some(version) = state.world.end(kind, id, nonce, life) else { return missing() };
    let response = key.map_or(Response::new(204, ""), |key| shown(state, 200, key, kind, id));
    done(state, nonce, &vec![(kind, id, version)], response)
}

/// Creates or updates the user with this external id; says whether it was created.
pub fn upsert(state: &mut State, external_id: &str, nonce: u64) -> (i64, bool) {
    let there = state.world.live(Kind::User).find(|user| user.external_id == external_id).map(|user| user.id);
    if let Some(id) = there {
        state.world.change(Kind::User, id, nonce, |_| ());
        return (id, false);
    }
    (state.world.create(Kind::User, nonce, |user| external_id.clone_into(&mut user.external_id)), true)
}

/// Makes a user a member of a group; not twice.
pub fn join(state: &mut State, user: i64, group: i64, nonce: u64) -> Option<i64> {
    let groups = state.world.roster(Kind::User, user);
    if groups.contains(&group) {
        return None;
    }
    let first = groups.is_empty();
    Some(state.world.create(Kind::Membership, nonce, |row| (row.user, row.group, row.default) = (user, group, first)))
}

fn make_default(state: &mut State, user: i64, membership: i64, nonce: u64) -> Response {
    if state.world.get(Kind::Membership, membership).is_none() {
        return missing();
    }
    let rows: Vec<(i64, bool)> =
        state.world.live(Kind::Membership).filter(|row| row.user == user).map(|row| (row.id, row.default)).collect();
    let mut made = Vec::new();
    for (id, was) in rows {
        let is = id == membership;
        if is || was {
            let version = state.world.change(Kind::Membership, id, nonce, |row| row.default = is);
            made.push((Kind::Membership, id, version.expect("it is there")));
        }
    }
    let rows = state.world.live(Kind::Membership).filter(|row| row.user == user).map(Record::json);
    let text = format!(r#"{{"group_memberships":[{}]}}"#, rows.collect::<Vec<_>>().join(","));
    done(state, nonce, &made, Response::new(200, text))
}

/// What a request for many is to do in the background.
fn task(request: &Request, path: &[&str], body: &Value) -> Option<Task> {
    let rows = |key: &str, name: &str| -> Vec<String> {
        let rows = body[key].as_array().into_iter().flatten();
        rows.map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect()
    };
    Some(match (request.method.as_str(), path) {
        ("POST", ["users", "create_many"]) => Task::CreateUsers(rows("users", "notes").len()),
        ("POST", ["users", "create_or_update_many"]) => {
            let users = body["users"].as_array().into_iter().flatten();
            // Who is named by id has an external id that follows from it.
            let name = |user: &Value| match (user["id"].as_i64(), user["external_id"].as_str()) {
                (Some(id), _) => format!("x{id}"),
                (None, name) => name.unwrap_or_default().to_owned(),
            };
            Task::UpsertUsers(users.map(name).collect())
        }
        ("PUT", ["users", "update_many"]) => match param(&request.query, "external_ids") {
            Some(names) => Task::UpsertUsers(names.split(',').map(str::to_owned).collect()),
            None if !ids(&request.query).is_empty() => Task::UpdateUsers(ids(&request.query)),
            None => Task::UpdateUsers(body["users"].as_array()?.iter().filter_map(|row| row["id"].as_i64()).collect()),
        },
        ("DELETE", ["users", "destroy_many"]) => Task::DeleteUsers(ids(&request.query)),
        ("POST", ["group_memberships", "create_many"]) => {
            let row = |row: &Value| Some((row["user_id"].as_i64()?, row["group_id"].as_i64()?));
            Task::Join(body["group_memberships"].as_array()?.iter().filter_map(row).collect())
        }
        ("DELETE", ["group_memberships", "destroy_many"]) => Task::EndMemberships(ids(&request.query)),
        _ => return None,
    })
}
