//! Changes of users, by cursor.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::call::Call;
use crate::clock::Time;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::store::user::{Life, User};

/// What is left out: the last minute.
const RECENT: u32 = 60;

/// `GET /incremental/users/cursor`: by the time of the last change, deleted
/// users included. That a page has 1,000 rows unless fewer are asked for is an
/// assumption, as is that ties are broken by id.
pub fn page(call: &Call) -> Outcome {
    call.admins_only()?;
    let until = Time(call.world.clock.now().0.saturating_sub(RECENT));
    let after = match (call.query.get("cursor"), call.query.get("start_time")) {
        (Some(cursor), _) => read(cursor).ok_or_else(|| errors::invalid_attribute("cursor", "is not valid"))?,
        (None, Some(start)) => {
            let start = start.parse().map_err(|_| errors::invalid_attribute("start_time", "must be an integer"))?;
            if start > until.0 {
                return Err(errors::too_recent());
            }
            (start, 0)
        }
        (None, None) => return Err(errors::parameter_missing("start_time")),
    };
    let rows = call.query.get("per_page").and_then(|rows| rows.parse().ok()).unwrap_or(1000).clamp(1, 1000);
    let tables = call.world.store.read();
    let place = |user: &User| (user.updated_at.0, user.id);
    let is_due = |user: &&User| user.updated_at < until && place(user) > after;
    let mut users: Vec<&User> = tables.all_users().iter().filter(is_due).collect();
    users.sort_unstable_by_key(|user| place(user));
    let is_end = users.len() <= rows;
    users.truncate(rows);
    let (time, id) = users.last().map_or(after, |user| place(user));
    let cursor = STANDARD.encode(format!("{time}.0||{id}|"));
    let url = format!("{}/api/v2/incremental/users/cursor{}?cursor={cursor}", call.links.origin, call.links.suffix);
    let shown = users.iter().map(|user| match user.life {
        Life::Active => call.links.user(user),
        life => call.links.inactive_user(user, life == Life::Erased),
    });
    let envelope = Envelope::new().rows("users", shown).value("after_url", &url).raw("before_url", b"null");
    let envelope = envelope.value("after_cursor", &cursor).raw("before_cursor", b"null");
    Ok(Reply::ok(envelope.value("end_of_stream", &is_end).finish()))
}

fn read(cursor: &str) -> Option<(u32, i64)> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (time, id) = text.strip_suffix('|')?.split_once(".0||")?;
    Some((time.parse().ok()?, id.parse().ok()?))
}
