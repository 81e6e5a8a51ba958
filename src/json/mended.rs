//! The text of a body that is JSON but for some of its characters.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns a body as text that can be read, and whether characters of it were replaced: any byte that is no UTF-8 and half a
/// character are one value's fault.
pub fn mended(body: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(body);
    let is_utf8 = matches!(text, Cow::Borrowed(_));
    let whole = without_lone_surrogates(text.trim_start_matches('\u{feff}'));
    let is_mended = !is_utf8 || matches!(whole, Cow::Owned(_));
    (with_escaped_controls(&whole), is_mended)
}

/// Escapes control characters within strings, where JSON has none as they are.
fn with_escaped_controls(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let (mut in_string, mut after_backslash) = (false, false);
    for char in text.chars() {
        if in_string && char < ' ' {
            write!(escaped, "\\u{:04x}", u32::from(char)).expect("writing to a string does not fail");
        } else {
            escaped.push(char);
        }
        in_string ^= char == '"' && !after_backslash;
        after_backslash = in_string && char == '\\' && !after_backslash;
    }
    escaped
}

/// Replaces escapes of half a character, `\ud83d` without its other half, by the replacement character's.
fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    let unit = |at: usize| {
        let escape = text.as_bytes().get(at..at + 6).filter(|escape| escape.starts_with(br"\u"))?;
        u16::from_str_radix(std::str::from_utf8(&escape[2..]).ok()?, 16).ok()
    };
    let mut mended = String::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(next) = memchr::memchr(b'\\', &text.as_bytes()[at..]) {
        at += next;
        let low = |at: usize| unit(at).is_some_and(|unit| (0xDC00..0xE000).contains(&unit));
        match unit(at) {
            Some(0xD800..0xDC00) if low(at + 6) => at += 12,
            Some(0xD800..0xE000) => {
                mended.push_str(&text[copied..at]);
                mended.push_str(r"\ufffd");
                at += 6;
                copied = at;
            }
            // Any other escape is two bytes and what follows; a second backslash does not begin another one.
            _ => at = (at + 2).min(text.len()),
        }
    }
    if copied == 0 {
        return text.into();
    }
    mended.push_str(&text[copied..]);
    mended.into()
}
