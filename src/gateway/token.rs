//! Page tokens: opaque, versioned, bound to the list they come from.
//!
//! A token is `1 | check of the list's request | c cursor`, `1 | check | p page number`, or, where a list was asked for by
//! cursor and answered by page number, `1 | check | n page number | rows of a page | whether they are asked for`, in
//! base64url. Because of the check, a token used with other filters is a clear error and does not return rows from another
//! list. The check is no secret and no protection.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::error::{Error, Result};
use crate::rest::Style;
use crate::rest::page::{Next, Size, is_cursor};

const VERSION: u8 = 1;

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Position {
    /// At the list's beginning.
    Start,
    /// After a cursor.
    After(String),
    /// At a page number, from 1.
    Page(u32),
    /// At a page number of a list that was asked for by cursor and answered by page number.
    Numbered {
        /// The page number, from 2.
        number: u32,
        /// Rows of a page, 1 to 100.
        size: Size,
    },
}

impl Position {
    /// Returns the page number; a list begins with page 1.
    pub fn number(&self) -> u32 {
        match self {
            Self::Page(number) | Self::Numbered { number, .. } => *number,
            Self::Start | Self::After(_) => 1,
        }
    }
}

/// Returns the token of the page that follows; empty where none does.
pub fn write(next: &Next, list: &str) -> String {
    let (kind, payload) = match next {
        Next::Cursor(cursor) => (b'c', cursor.as_bytes().to_vec()),
        Next::Page(number) => (b'p', number.to_be_bytes().to_vec()),
        Next::Numbered { number, size } => {
            let asked = u8::from(matches!(size, Size::Asked(_)));
            (b'n', [&number.to_be_bytes()[..], &size.rows().to_be_bytes(), &[asked]].concat())
        }
        Next::End | Next::Nowhere => return String::new(),
    };
    let mut token = vec![VERSION];
    token.extend(check(list).to_be_bytes());
    token.push(kind);
    token.extend(payload);
    BASE64_URL_SAFE_NO_PAD.encode(token)
}

/// Reads a token.
///
/// # Errors
/// [`Error::Invalid`] for `page_token` if the token was not written for this list and paging style.
pub fn read(token: &str, list: &str, style: Style) -> Result<Position> {
    let Some((bound, kind, payload)) = parts(token)? else { return Ok(Position::Start) };
    let payload = payload.as_slice();
    if bound != check(list) {
        return Err(refuse(
            "comes from another RPC, or from this one with other filters: send it with the request that it came with",
        ));
    }
    match (kind, style) {
        (b'c', Style::Cursor | Style::CursorOrOffset | Style::Export) => match std::str::from_utf8(payload) {
            Ok(cursor) if !cursor.is_empty() && is_cursor(cursor) => Ok(Position::After(cursor.to_owned())),
            _ => Err(refuse("is none of this service: send next_page_token as it is")),
        },
        (b'p', Style::Offset) => match payload.try_into().map(u32::from_be_bytes) {
            Ok(number) if number > 1 => Ok(Position::Page(number)),
            _ => Err(refuse("is none of this service: send next_page_token as it is")),
        },
        (b'n', Style::Cursor | Style::CursorOrOffset) => {
            numbered(payload).ok_or_else(|| refuse("is none of this service: send next_page_token as it is"))
        }
        _ => Err(refuse("comes from another RPC")),
    }
}

/// Refuses what is no token of this service, whatever list it is of.
pub fn sound(token: &str) -> Result<()> {
    parts(token).map(drop)
}

/// Takes a token apart: the check of its list, its kind and what it says. None for no token.
fn parts(token: &str) -> Result<Option<(u64, u8, Vec<u8>)>> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| refuse("is none of this service: send next_page_token as it is"))?;
    let [VERSION, tail @ ..] = bytes.as_slice() else {
        return Err(refuse("is of another version: begin the list anew"));
    };
    let Some((bound, [kind, payload @ ..])) = tail.split_first_chunk::<8>() else {
        return Err(refuse("is cut short: send next_page_token as it is"));
    };
    Ok(Some((u64::from_be_bytes(*bound), *kind, payload.to_vec())))
}

fn refuse(problem: &str) -> Error {
    Error::invalid("page_token", problem)
}

/// Reads a position in a list that is read by number.
fn numbered(payload: &[u8]) -> Option<Position> {
    let (number, tail) = payload.split_first_chunk::<4>()?;
    let (rows, asked) = tail.split_first_chunk::<4>()?;
    let (number, rows) = (u32::from_be_bytes(*number), u32::from_be_bytes(*rows));
    let size = match asked {
        [0] => Size::Own(rows),
        [1] => Size::Asked(rows),
        _ => return None,
    };
    (number > 1 && (1..=100).contains(&rows)).then_some(Position::Numbered { number, size })
}

/// FNV-1a: std's hashes may differ between versions, and every replica and version must read a token alike.
fn check(list: &str) -> u64 {
    list.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rest::page::Page;
    use crate::upstream::rest::Owner;

    /// Returns a token with a valid check, followed by any bytes.
    fn forged(bytes: &[u8], list: &str) -> String {
        let mut token = vec![VERSION];
        token.extend(check(list).to_be_bytes());
        token.extend(bytes);
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }

    #[test]
    fn a_token_leads_back_to_where_it_was_written() {
        let cursor = write(&Next::Cursor("eyJvIjoiaWQifQ==".to_owned()), "/api/v2/users");
        let read_back = read(&cursor, "/api/v2/users", Style::Cursor).expect("its own list");
        assert_eq!(read_back, Position::After("eyJvIjoiaWQifQ==".to_owned()));
        let page = write(&Next::Page(7), "/api/v2/groups/assignable");
        assert_eq!(read(&page, "/api/v2/groups/assignable", Style::Offset).expect("its own list"), Position::Page(7));
        let numbered = write(&Next::Numbered { number: 3, size: Size::Own(25) }, "/api/v2/users");
        let place = Position::Numbered { number: 3, size: Size::Own(25) };
        assert_eq!(read(&numbered, "/api/v2/users", Style::Cursor).expect("its own list"), place);
        assert_eq!(write(&Next::End, "/api/v2/users"), "");
        assert_eq!(read("", "/api/v2/users", Style::Cursor).expect("no token"), Position::Start);
    }

    #[test]
    fn every_cursor_that_is_read_makes_a_token_that_is_read() {
        let page = |cursor: &str| {
            let body = format!(r#"{{"users":[{{"id":1}}],"meta":{{"has_more":true,"after_cursor":"{cursor}"}}}}"#);
            Page::<crate::proto::User>::read_of_many(body.as_bytes(), Owner::Anybody, false)
        };
        for cursor in ["c".repeat(3_000), "=".repeat(2_000), "c".repeat(6_144)] {
            let next = page(&cursor).expect("it can be sent").after(1);
            let token = write(&next, "/api/v2/users");
            let read = read(&token, "/api/v2/users", Style::Cursor).expect("its own list");
            assert_eq!(read, Position::After(cursor));
        }
        for cursor in ["c".repeat(6_145), "=".repeat(3_000)] {
            assert!(page(&cursor).is_err(), "no request could carry it");
        }
    }

    #[test]
    fn a_token_of_another_list_or_style_is_refused_by_name() {
        let token = write(&Next::Cursor("c".to_owned()), "/api/v2/users");
        for (list, style) in [("/api/v2/users?role=agent", Style::Cursor), ("/api/v2/users", Style::Offset)] {
            let refused = read(&token, list, style).expect_err("a foreign token");
            assert!(matches!(refused, Error::Invalid { field, .. } if field == "page_token"), "{list}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_text_makes_reading_panic_or_pass(text in "\\PC{1,80}") {
            prop_assert!(read(&text, "/api/v2/users", Style::Cursor).is_err());
        }

        #[test]
        fn no_bytes_behind_a_right_check_make_reading_panic(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            let token = forged(&payload, "/api/v2/users");
            drop(read(&token, "/api/v2/users", Style::Cursor));
            drop(read(&token, "/api/v2/users", Style::Offset));
        }
    }
}
