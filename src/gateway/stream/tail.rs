//! Reads the end of a page's body before the page: there a cursor list says where the next page begins.

use serde::Deserialize;

use crate::rest::page::{Meta, Next};

/// Most bytes searched at the body's end. The paging information is shorter: two cursors, and two links that repeat them.
const MAX_TAIL: usize = 16 << 10;
const KEY: &[u8] = b"\"meta\"";

#[derive(Deserialize)]
struct Tail {
    meta: Meta,
}

/// Returns what a cursor page says comes after it; none where that is not certain and the page must be parsed first.
///
/// From the last `"meta"` key on, the body must be the end of one JSON object. It is not if the key is part of a row or of
/// a string.
pub fn next(body: &[u8]) -> Option<Next> {
    let from = body.len().saturating_sub(MAX_TAIL);
    let at = from + body[from..].windows(KEY.len()).rposition(|window| window == KEY)?;
    let mut object = Vec::with_capacity(body.len() - at + 1);
    object.push(b'{');
    object.extend_from_slice(&body[at..]);
    let tail: Tail = serde_json::from_slice(&object).ok()?;
    tail.meta.next(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(text: &str) -> Next {
        Next::Cursor(text.to_owned())
    }

    #[test]
    fn the_cursor_is_found_behind_the_rows() {
        let links = r#""links":{"prev":"https://x.example/?page%5Bbefore%5D=b","next":null}"#;
        for meta in [
            r#""meta":{"has_more":true,"after_cursor":"a","before_cursor":"b"}"#,
            r#""meta" : { "before_cursor" : "b", "after_cursor" : "a" }"#,
        ] {
            assert_eq!(next(format!(r#"{{"users":[{{"id":1}}],{meta},{links}}}"#).as_bytes()), Some(cursor("a")));
            assert_eq!(next(format!("{{\"users\":[{{\"id\":1}}],{links},{meta}}}\n").as_bytes()), Some(cursor("a")));
        }
        assert_eq!(next(br#"{"users":[],"meta":{"has_more":false,"after_cursor":"a"}}"#), Some(Next::End));
        assert_eq!(next(br#"{"users":[],"meta":{"has_more":true}}"#), Some(Next::Nowhere));
    }

    #[test]
    fn whatever_else_is_called_so_is_not_taken_for_it() {
        for body in [
            r#"{"users":[{"id":1,"user_fields":{"meta":{"after_cursor":"wrong"}}}],"next_page":null}"#,
            r#"{"users":[{"id":1,"meta":{"after_cursor":"wrong"}}]}"#,
            r#"{"users":[{"id":1,"tags":["meta"]}]}"#,
            r#"{"users":[{"id":1,"notes":"\"meta\":{\"after_cursor\":\"wrong\"}"}]}"#,
            r#"{"users":[],"meta":null}"#,
            r#"{"users":[],"meta":{"has_more":true,"after_cursor":"cut o"#,
            r#"{"users":[],"meta":{"after_cursor":"a"}} {"#,
            r#""meta""#,
            "",
        ] {
            assert_eq!(next(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_cursor_before_many_rows_is_left_to_the_reading_of_the_page() {
        let rows = r#"{"id":1},"#.repeat(4_000);
        let body = format!(r#"{{"meta":{{"has_more":true,"after_cursor":"a"}},"users":[{rows}{{"id":2}}]}}"#);
        assert_eq!(next(body.as_bytes()), None);
    }
}
