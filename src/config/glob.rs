//! Patterns in settings: `*` stands for any characters, also for none and for `/`.

/// Whether a pattern fits the whole of a text.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut tail) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return tail.is_empty() };
    for part in parts {
        let Some((_, after)) = tail.split_once(part) else { return false };
        tail = after;
    }
    tail.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_everything_else_for_itself() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "api_key:a"),
            ("api_key:a", "api_key:a"),
            ("api_key:*", "api_key:"),
            ("spiffe://a/*/sa/*", "spiffe://a/ns/b/sa/c"),
            ("*aa", "aaa"),
            ("a*b*b", "abb"),
            ("User*/Get*", "UserService/GetUser"),
        ] {
            assert!(fits(pattern, text), "{pattern} fits {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("api_key:a", "api_key:ab"),
            ("api_key:a", "xapi_key:a"),
            ("api_key:*", "api_keys:a"),
            ("a*a", "a"),
            ("a*b*b", "ab"),
            ("spiffe://a/*", "spiffe://ab/c"),
            ("User*/Get", "UserService/GetUser"),
        ] {
            assert!(!fits(pattern, text), "{pattern} does not fit {text}");
        }
    }
}
