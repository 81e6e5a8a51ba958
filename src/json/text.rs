//! A JSON text that is known to be right, read from its beginning to its end.
//!
//! Each value is read where it stands, so a text of any form takes no memory beside what is made of it.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Error;

use super::losses::DEEPEST;

/// Where the reader of a text is.
pub(super) struct Text<'de> {
    whole: &'de str,
    at: usize,
    /// Where the keys begin, in order, that the same object has once more after them.
    overridden: std::iter::Peekable<std::vec::IntoIter<usize>>,
}

impl<'de> Text<'de> {
    /// Begins to read a text.
    pub fn new(text: &'de str) -> Self {
        let overridden = Vec::new().into_iter().peekable();
        let overridden = Self { whole: text, at: 0, overridden }.overridden().into_iter().peekable();
        Self { whole: text, at: 0, overridden }
    }

    /// Returns the byte at which the next token begins; none at the end.
    pub fn peek(&mut self) -> Option<u8> {
        let tail = &self.whole.as_bytes()[self.at..];
        self.at += tail.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.whole.as_bytes().get(self.at).copied()
    }

    /// Takes the next token if it is this byte.
    pub fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Goes to the next item of a list, or the next key of an object, and takes what is before it; false at the end, which this
    /// byte closes.
    pub fn goes_on(&mut self, close: u8) -> bool {
        self.take(b',');
        !self.take(close)
    }

    /// Takes a key and its colon, and says whether the object has the same key once more later.
    pub fn key(&mut self) -> Result<(Cow<'de, str>, bool), Error> {
        self.peek();
        let is_overridden = self.overridden.next_if_eq(&self.at).is_some();
        let key = self.string()?;
        self.take(b':');
        Ok((key, is_overridden))
    }

    /// Takes a string.
    pub fn string(&mut self) -> Result<Cow<'de, str>, Error> {
        let written = self.quoted();
        if written.contains('\\') {
            return serde_json::from_str(written).map(Cow::Owned);
        }
        Ok(written[1..written.len() - 1].into())
    }

    /// Takes a number, or one of the three words.
    pub fn scalar(&mut self) -> &'de str {
        self.peek();
        let tail = &self.whole[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
        let (scalar, _) = tail.split_at(tail.bytes().position(|byte| ends(&byte)).unwrap_or(tail.len()));
        self.at += scalar.len();
        scalar
    }

    /// Takes a value that nobody wants.
    pub fn skip(&mut self) {
        match self.peek() {
            Some(b'{' | b'[') => {
                self.at += 1;
                self.skip_to_close();
            }
            Some(b'"') => {
                self.quoted();
            }
            _ => {
                self.scalar();
            }
        }
    }

    /// Goes to the end of the list or object that it is in.
    pub fn skip_to_close(&mut self) {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.whole.as_bytes()[self.at] {
                b'"' => {
                    self.quoted();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        // The keys that were left out are not asked for any more.
        while self.overridden.next_if(|at| *at < self.at).is_some() {}
    }

    /// Takes a string as it is written.
    fn quoted(&mut self) -> &'de str {
        let bytes = self.whole.as_bytes();
        let begin = self.at;
        self.at += 1;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', &bytes[self.at..]).expect("strings end");
            if bytes[self.at] == b'"' {
                break;
            }
            self.at += 2;
        }
        self.at += 1;
        &self.whole[begin..self.at]
    }

    /// Reads the whole text, and returns where keys begin that come once more in their object: of a repeated key the last one
    /// counts, as every other reader has it.
    fn overridden(mut self) -> Vec<usize> {
        let mut overridden = Vec::new();
        // The hash of each key of the objects that are open, and where it begins.
        let mut keys: Vec<(u64, usize)> = Vec::new();
        // For each open object how many keys were before it; none for a list.
        let mut open = Vec::new();
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    let begin = self.at;
                    self.quoted();
                    if self.peek() == Some(b':') {
                        let mut hasher = DefaultHasher::new();
                        self.key_at(begin).hash(&mut hasher);
                        keys.push((hasher.finish(), begin));
                    }
                    continue;
                }
                b'{' | b'[' if open.len() > DEEPEST => {
                    // Nothing so deep is read.
                    self.skip();
                    continue;
                }
                b'{' => open.push(Some(keys.len())),
                b'[' => open.push(None),
                b'}' | b']' => {
                    if let Some(Some(from)) = open.pop() {
                        self.repeated(&mut keys[from..], &mut overridden);
                        keys.truncate(from);
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        overridden.sort_unstable();
        overridden
    }

    /// Adds to `overridden` those keys of an object that come once more.
    fn repeated(&self, keys: &mut [(u64, usize)], overridden: &mut Vec<usize>) {
        keys.sort_unstable();
        for same_hash in keys.chunk_by(|(one, _), (other, _)| one == other).filter(|keys| keys.len() > 1) {
            for (index, (_, at)) in same_hash.iter().enumerate() {
                let key = self.key_at(*at);
                // The next one is nearly always the same key.
                if same_hash[index + 1..].iter().any(|(_, later)| self.key_at(*later) == key) {
                    overridden.push(*at);
                }
            }
        }
    }

    /// Returns the key that begins here.
    fn key_at(&self, at: usize) -> Option<Cow<'de, str>> {
        Self { whole: self.whole, at, overridden: Vec::new().into_iter().peekable() }.string().ok()
    }
}
