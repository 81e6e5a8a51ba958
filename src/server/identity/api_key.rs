//! API keys: a file maps the hashes of keys to callers, and contains no key.
//!
//! A key is 256 random bits, so one SHA-256 is enough. A slow hash protects passwords that can be guessed; here it would only
//! cost time on every call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderValue;

use super::policy::Policy;
use super::why::Why;
use crate::gateway::caller::Known;
use crate::rpc::last_key::LastKey;

/// The key belongs to no caller.
pub const UNKNOWN: Why = Why::new("unknown_key", "the API key is not known");
/// How many readings of a file there were.
static READINGS: AtomicU64 = AtomicU64::new(0);
/// Most bytes of a caller's name.
const LONGEST_NAME: usize = 128;

/// The keys of one file.
pub struct Keys {
    /// Keys by the first 8 bytes of their hash. The whole hash is then compared in constant time.
    slots: HashMap<[u8; 8], Vec<Entry>>,
    /// Which reading of a file they are, of all that there were.
    reading: u64,
}

struct Entry {
    hash: [u8; 32],
    caller: Known,
}

impl Keys {
    /// Reads a file: `name hash` per line, `#` begins a comment. One caller may have several keys, so that keys can be replaced
    /// without a gap.
    ///
    /// # Errors
    /// A line that is malformed, a key that is there twice, or no key at all.
    pub fn read(content: &[u8], policy: &Policy) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(content).context("is not text")?;
        let mut slots: HashMap<[u8; 8], Vec<Entry>> = HashMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [name, hash] => {
                    ensure!(is_name(name), "line {number}: a name is letters, digits and any of -_./@, at most 128");
                    let hash = bytes(hash).with_context(|| format!("line {number}: not a SHA-256 in hexadecimal"))?;
                    let slot = slots.entry(prefix(&hash)).or_default();
                    ensure!(slot.iter().all(|entry| entry.hash != hash), "line {number}: the same key twice");
                    slot.push(Entry { hash, caller: policy.known(&format!("api_key:{name}")) });
                }
                _ => bail!("line {number}: must be a name and a hash"),
            }
        }
        // An empty file is probably being written, and would lock every caller out.
        ensure!(!slots.is_empty(), "holds no key");
        Ok(Self { slots, reading: READINGS.fetch_add(1, Ordering::Relaxed) })
    }

    /// Returns the caller that the key of a connection's call belongs to.
    pub fn of_connection(&self, last: &LastKey, key: &HeaderValue) -> Option<Known> {
        if let Some(known) = last.caller(self.reading, key) {
            return Some(known);
        }
        let known = self.find(key.as_bytes())?;
        last.remember(self.reading, key, &known);
        Some(known)
    }

    /// Returns the caller that a key belongs to.
    fn find(&self, key: &[u8]) -> Option<Known> {
        let hash = digest(&SHA256, key);
        let hash = hash.as_ref();
        let slot = self.slots.get(&hash[..8])?;
        let entry = slot.iter().find(|entry| verify_slices_are_equal(&entry.hash, hash).is_ok())?;
        Some(entry.caller.clone())
    }
}

/// Returns the callers that a file of keys names, in no order.
///
/// # Errors
/// A line that is not a name and the SHA-256 of a key.
pub fn callers(content: &[u8]) -> anyhow::Result<Vec<Arc<str>>> {
    let keys = Keys::read(content, &Policy::without_rules())?;
    Ok(keys.slots.into_values().flatten().map(|entry| entry.caller.name).collect())
}

fn prefix(hash: &[u8; 32]) -> [u8; 8] {
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&hash[..8]);
    prefix
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./@".contains(&byte);
    name.len() <= LONGEST_NAME && name.bytes().all(allowed)
}

fn bytes(hexadecimal: &str) -> Option<[u8; 32]> {
    let digits = hexadecimal.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf '%s' key-one | sha256sum
    const ONE: &str = "2d40c7e6ec2a6d6ee1f5c6b3cd3b5c9e9b1b2f5bd2c1d35b1a2e4a3ad2b0b9a7";

    fn read(text: &str) -> anyhow::Result<Keys> {
        Keys::read(text.as_bytes(), &Policy::without_rules())
    }

    fn hash_of(key: &str) -> String {
        digest(&SHA256, key.as_bytes()).as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    #[test]
    fn a_key_is_found_by_its_hash_and_names_its_caller() {
        let (one, two, other) = (hash_of("one"), hash_of("two").to_uppercase(), hash_of("other"));
        let text = format!("# callers\nbilling {one} # since May\n\n billing\t{two}\nhr/eu {other}\n");
        let keys = read(&text).expect("a file");
        let name = |key: &str| keys.find(key.as_bytes()).map(|known| known.name.to_string());
        assert_eq!(name("one").as_deref(), Some("api_key:billing"));
        assert_eq!(name("two").as_deref(), Some("api_key:billing"));
        assert_eq!(name("other").as_deref(), Some("api_key:hr/eu"));
        for wrong in ["", "One", "one ", &one, "three"] {
            assert!(name(wrong).is_none(), "{wrong}");
        }
        let begins_the_same = format!("a {}{}\n", &one[..16], &other[16..]);
        assert!(read(&begins_the_same).expect("a file").find(b"one").is_none(), "the whole hash counts");
    }

    #[test]
    fn a_connections_calls_may_come_with_several_keys_and_each_ends_with_its_file() {
        let header = |key: &'static str| HeaderValue::from_static(key);
        let text = format!("a {}\nb {}\n", hash_of("one"), hash_of("two"));
        let (keys, last) = (read(&text).expect("a file"), LastKey::default());
        let name = |keys: &Keys, key| keys.of_connection(&last, &header(key)).map(|known| known.name.to_string());
        for _ in 0..2 {
            for (key, caller) in [("one", Some("api_key:a")), ("onE", None), ("two", Some("api_key:b")), ("", None)] {
                for _ in 0..2 {
                    assert_eq!(name(&keys, key).as_deref(), caller, "{key}");
                }
            }
        }
        assert!(name(&keys, "one").is_some());
        let later = read(&format!("b {}\n", hash_of("two"))).expect("a file");
        assert_eq!(name(&later, "one"), None, "the key was taken out");
        let renamed = read(&format!("c {}\n", hash_of("two"))).expect("a file");
        assert_eq!(
            (name(&later, "two").as_deref(), name(&renamed, "two").as_deref()),
            (Some("api_key:b"), Some("api_key:c"))
        );
        assert!(!format!("{last:?}").contains("two"));
    }

    #[test]
    fn a_file_with_anything_wrong_in_it_is_refused_as_a_whole_and_says_where() {
        let good = format!("a {ONE}\n");
        assert!(read(&good).is_ok());
        for (text, problem) in [
            (String::new(), "holds no key"),
            ("# nothing\n".to_owned(), "holds no key"),
            (good[..good.len() - 9].to_owned(), "line 1: not a SHA-256"),
            (format!("{good}b"), "line 2: must be"),
            (format!("{good}b {ONE} c\n"), "line 2: must be"),
            (format!("{good}b {ONE}\n"), "line 2: the same key twice"),
            (format!("a* {ONE}\n"), "line 1: a name is"),
            (format!("a {}g\n", &ONE[1..]), "line 1: not a SHA-256"),
        ] {
            let error = read(&text).err().expect("a mistake");
            assert!(format!("{error:#}").starts_with(problem), "{text:?}: {error:#}");
            assert!(!format!("{error:#}").contains(&ONE[..16]), "no hash in a message");
        }
    }
}
