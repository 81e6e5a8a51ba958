//! What operators write: settings, files of keys, patterns, tags.

use zendesk_gateway::cache::Tag;
use zendesk_gateway::config::{self, Overrides, glob};
use zendesk_gateway::server::identity::api_key_callers;

/// Settings: every mistake is reported by its key, and none of them is a panic.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let overrides = |sandboxed| Overrides { environment: Vec::new(), flags: &[], sandboxed };
    for sandboxed in [false, true] {
        match config::merge(Some(text), overrides(sandboxed)) {
            Ok(config) => assert!(!format!("{config:?}").contains("hunter2"), "no secret is shown"),
            Err(mistakes) => assert!(mistakes.0.iter().all(|mistake| !mistake.is_empty()) && !mistakes.0.is_empty()),
        }
    }
}

/// Environment variables: `NAME=value` per line.
pub fn environment(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let environment = pairs.map(|(name, value)| (format!("ZENDESK_GATEWAY__{name}"), value.to_owned())).collect();
    if let Err(mistakes) = config::merge(None, Overrides { environment, flags: &[], sandboxed: true }) {
        assert!(!mistakes.0.is_empty());
    }
}

/// Files of API keys: whoever is named can be compared with patterns and written into a line.
pub fn key_file(data: &[u8]) {
    let Ok(callers) = api_key_callers(data) else { return };
    assert!(!callers.is_empty());
    for caller in callers {
        let name = caller.strip_prefix("api_key:").expect("its kind");
        assert!((1..=128).contains(&name.len()), "{name:?}");
        assert!(!name.contains(|char: char| char == '*' || char.is_control() || char.is_whitespace()), "{name:?}");
    }
}

/// Patterns of rules and a text, with a line break between them: a fit is what the definition says.
pub fn pattern(data: &[u8]) {
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        // Whether the pattern so far fits each beginning of the text.
        let mut fits = vec![false; text.len() + 1];
        fits[0] = true;
        for char in pattern {
            let mut next = vec![false; text.len() + 1];
            for end in 0..=text.len() {
                next[end] = match char {
                    '*' => fits[..=end].contains(&true),
                    char => end > 0 && fits[end - 1] && text[end - 1] == *char,
                };
            }
            fits = next;
        }
        fits[text.len()]
    }
    let all = String::from_utf8_lossy(&data[..data.len().min(64)]).into_owned();
    let (pattern, text) = all.split_once('\n').unwrap_or((&all, ""));
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    assert_eq!(glob::fits(pattern, text), by_definition(&chars(pattern), &chars(text)), "{pattern:?} {text:?}");
}

/// Tags of cached answers, as operators name them.
pub fn tag(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(tag) = text.parse::<Tag>() {
        assert!(text.parse::<Tag>().is_ok_and(|again| again == tag));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte)), "{text:?}");
    }
}
