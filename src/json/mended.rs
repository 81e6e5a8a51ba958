//! The text of a body that is JSON but for some of its characters.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns a body as text that can be read, and whether characters of it were replaced: any byte that is no UTF-8 and half a
/// character are one value's fault. A text that can be read as it is is not copied.
pub fn mended(body: &[u8]) -> (Cow<'_, str>, bool) {
    let mut body = body;
    while let Some(tail) = body.strip_prefix("\u{feff}".as_bytes()) {
        body = tail;
    }
    let text = String::from_utf8_lossy(body);
    let is_utf8 = matches!(text, Cow::Borrowed(_));
    let halved = without_lone_surrogates(&text);
    let is_mended = !is_utf8 || halved.is_some();
    let text = halved.map_or(text, Cow::Owned);
    (with_escaped_controls(&text).map_or(text, Cow::Owned), is_mended)
}

/// Escapes control characters within strings, where JSON has none as they are; none if there are none.
fn with_escaped_controls(text: &str) -> Option<String> {
    let (mut escaped, mut copied) = (String::new(), 0);
    let (mut in_string, mut after_backslash) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_string && byte < b' ' {
            escaped.push_str(&text[copied..at]);
            // A line break, a tab and the like have an escape of two bytes.
            match byte {
                b'\n' => escaped.push_str("\\n"),
                b'\r' => escaped.push_str("\\r"),
                b'\t' => escaped.push_str("\\t"),
                byte => write!(escaped, "\\u{byte:04x}").expect("writing to a string does not fail"),
            }
            copied = at + 1;
        }
        in_string ^= byte == b'"' && !after_backslash;
        after_backslash = in_string && byte == b'\\' && !after_backslash;
    }
    if copied == 0 {
        return None;
    }
    escaped.push_str(&text[copied..]);
    Some(escaped)
}

/// Replaces escapes of half a character, `\ud83d` without its other half, by the replacement character's; none if there are none.
fn without_lone_surrogates(text: &str) -> Option<String> {
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
        return None;
    }
    mended.push_str(&text[copied..]);
    Some(mended)
}
