//! Changes of users.
//! <https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/#incremental-user-export-cursor-based>

use std::collections::HashSet;

use crate::json::Malformed;
use crate::path;
use crate::proto::User;
use crate::rest::page::Page;
use crate::upstream::call::Parsed;
use crate::upstream::rest::{Owner, Rest};

/// Most rows that Zendesk serves in a page of changes. It allows few requests, so each asks for as many as it may.
const ROWS: &str = "1000";

/// Where a page of changes begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum From {
    /// At this time, in seconds since 1970.
    Time(i64),
    /// After a cursor.
    Cursor(String),
}

/// A page of changes.
pub struct Changed {
    /// The users, each once: as it was last on this page.
    pub users: Vec<User>,
    /// Where the next page begins; none if nothing was ever changed since the time that was asked for.
    pub cursor: Option<String>,
    /// True if there are no more changes for now.
    pub is_end: bool,
    /// How many rows were left out because they cannot be read.
    pub unreadable_rows: i32,
}

/// Returns the request for a page of changes.
pub fn page(from: &From) -> Rest {
    let rest = Rest::get(path!["incremental", "users", "cursor"]);
    let rest = match from {
        From::Time(seconds) => rest.query("start_time", seconds.to_string()),
        From::Cursor(cursor) => rest.query("cursor", cursor),
    };
    rest.query("per_page", ROWS)
}

/// Reads a page of changes.
///
/// # Errors
/// Those of [`Page::read`], and [`Malformed::Incomplete`] if it does not say where the next page begins.
pub fn read(body: &[u8]) -> Result<Parsed, Malformed> {
    let page = Page::<User>::read_of_many(body, Owner::Anybody, false)?;
    // Without the flag, the stream goes on while pages have rows.
    let is_end = page.is_last().unwrap_or(page.is_empty());
    let cursor = page.cursor().map(str::to_owned);
    if cursor.is_none() && !is_end {
        return Err(Malformed::without("after_cursor"));
    }
    let mut seen = HashSet::new();
    let mut users = page.rows;
    users.reverse();
    users.retain(|user| seen.insert(user.id));
    users.reverse();
    Ok(Box::new(Changed { users, cursor, is_end, unreadable_rows: page.unreadable_rows }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(body: &str) -> Result<Changed, Malformed> {
        read(body.as_bytes()).map(|parsed| *parsed.downcast::<Changed>().expect("what it reads"))
    }

    #[test]
    fn a_user_comes_once_per_page_as_it_was_last() {
        let body =
            r#"{"users":[{"id":1,"name":"a"},{"id":2},{"id":1,"name":"b"}],"after_cursor":"c","end_of_stream":false}"#;
        let page = changed(body).expect("a page");
        let told: Vec<(i64, Option<&str>)> = page.users.iter().map(|user| (user.id, user.name.as_deref())).collect();
        assert_eq!(told, [(2, None), (1, Some("b"))]);
        assert_eq!((page.cursor.as_deref(), page.is_end), (Some("c"), false));
    }

    #[test]
    fn a_page_that_does_not_say_where_the_next_begins_is_refused_unless_it_is_the_last() {
        for (body, is_read) in [
            (r#"{"users":[],"after_cursor":null,"end_of_stream":true}"#, true),
            (r#"{"users":[{"id":1}],"after_cursor":"c","end_of_stream":true}"#, true),
            (r#"{"users":[{"id":1}],"after_cursor":"c"}"#, true),
            (r#"{"users":[{"id":1}],"after_cursor":null,"end_of_stream":false}"#, false),
            (r#"{"users":[{"id":1}],"after_cursor":{},"end_of_stream":false}"#, false),
            (r#"{"users":[{"id":1}]}"#, false),
            (r#"{"error":"x"}"#, false),
        ] {
            assert_eq!(changed(body).is_ok(), is_read, "{body}");
        }
        assert!(!changed(r#"{"users":[{"id":1}],"after_cursor":"c"}"#).expect("it has rows").is_end);
        assert!(changed(r#"{"users":[],"after_cursor":"c"}"#).expect("it has none").is_end);
    }
}
