//! Where in a text something is wrong, in the words of whoever asked for it: a field, not a line and a column.

use super::losses::{Step, path};
use crate::contract::FREE_FORM;

/// Most levels that are told.
const DEEPEST: usize = 64;

/// Returns the path of the value that a JSON text is in after so many bytes, such as `users[3].email`. The keys of custom fields
/// are content, so it ends above them. Outside of any value it says which byte.
pub fn place(text: &str, end: usize) -> String {
    let end = text.floor_char_boundary(end);
    let mut levels: Vec<Step> = Vec::new();
    // How many levels there are below those that are told.
    let mut deeper = 0_usize;
    let mut bytes = text[..end].char_indices();
    while let Some((at, char)) = bytes.next() {
        match char {
            '{' | '[' if levels.len() == DEEPEST => deeper += 1,
            '{' => levels.push(Step::Key("".into())),
            '[' => levels.push(Step::Item(0)),
            '}' | ']' if deeper > 0 => deeper -= 1,
            '}' | ']' => drop(levels.pop()),
            ',' if deeper == 0 => match levels.last_mut() {
                Some(Step::Item(index)) => *index += 1,
                Some(Step::Key(key)) => *key = "".into(),
                None => {}
            },
            '"' => {
                let mut is_escaped = false;
                let close = bytes.by_ref().find(|(_, char)| {
                    let closes = *char == '"' && !is_escaped;
                    is_escaped = *char == '\\' && !is_escaped;
                    closes
                });
                let close = close.map_or(end, |(at, _)| at);
                // The first text after an object's beginning or a comma is a key.
                if let (Some(Step::Key(key)), 0) = (levels.last_mut(), deeper)
                    && key.is_empty()
                {
                    *key = text[at + 1..close].into();
                }
            }
            _ => {}
        }
    }
    let told = levels.iter().position(|step| matches!(step, Step::Key(key) if FREE_FORM.contains(&&**key)));
    levels.truncate(told.map_or(levels.len(), |at| at + 1));
    let named: Vec<Step> =
        levels.into_iter().filter(|step| !matches!(step, Step::Key(key) if key.is_empty())).collect();
    if named.is_empty() { format!("byte {end}") } else { path(&named) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_named_in_which_a_text_ends() {
        for (text, wanted) in [
            (r#"{"user":{"id":7,"name":"Jo"#, "user.name"),
            (r#"{"users":[{"id":1},{"id":2},{"id":3,"photo":{"url":"a\",}\"","#, "users[2].photo"),
            (r#"{"users":[{"id":1},{"id":2}"#, "users[1]"),
            (r#"{"user":{"user_fields":{"plan of Jo":{"x":"#, "user.user_fields"),
            (r#"{"count":3"#, "count"),
            ("{\"é\":\"é\",\"b\":\"", "b"),
            ("{", "byte 1"),
            ("", "byte 0"),
            ("<html>", "byte 6"),
        ] {
            assert_eq!(place(text, text.len()), wanted, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(99_990));
        assert_eq!(place(&deep, deep.len()), "[0]".repeat(10));
    }
}
