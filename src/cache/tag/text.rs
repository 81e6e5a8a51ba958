//! Tags as operators write them: `user:7`, `groups`.

use std::fmt;
use std::str::FromStr;

use super::{ALONE, RECORDS, Tag, memberships_of_group, memberships_of_user};

type WithId = fn(i64) -> Tag;

/// Words that need an id after them, as in `user:7`, beside those of single records.
pub(super) const LISTS: [(&str, WithId); 2] =
    [("memberships_of_user", memberships_of_user), ("memberships_of_group", memberships_of_group)];

/// Returns all words that need an id after them.
fn with_id() -> impl Iterator<Item = (&'static str, WithId)> {
    RECORDS.iter().chain(&LISTS).copied()
}

/// Why a text is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTag {
    /// No tag begins like this.
    #[error("`{0}` is not a tag; tags are {words}", words = words())]
    Word(String),
    /// The word stands alone.
    #[error("`{0}` takes no id")]
    Id(String),
    /// The word needs an id.
    #[error("`{0}` needs a positive id, as in `{0}:7`")]
    NoId(String),
}

impl FromStr for Tag {
    type Err = NoTag;

    fn from_str(text: &str) -> Result<Self, NoTag> {
        let (word, id) = match text.split_once(':') {
            Some((word, id)) => (word, Some(id)),
            None => (text, None),
        };
        if let Some((_, tag)) = with_id().find(|(known, _)| *known == word) {
            let digits = id.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
            let id = digits.and_then(|id| id.parse().ok()).filter(|id| *id > 0);
            return id.map(tag).ok_or_else(|| NoTag::NoId(word.to_owned()));
        }
        match ALONE.iter().find(|(known, _)| *known == word) {
            Some(_) if id.is_some() => Err(NoTag::Id(word.to_owned())),
            Some((_, tag)) => Ok(tag()),
            None => Err(NoTag::Word(word.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((word, _)) = with_id().find(|(_, tag)| tag(self.id) == *self) {
            return write!(to, "{word}:{}", self.id);
        }
        let alone = ALONE.iter().find(|(_, tag)| tag() == *self);
        to.write_str(alone.map_or("", |(word, _)| word))
    }
}

fn words() -> String {
    let with_id = with_id().map(|(word, _)| format!("{word}:ID"));
    with_id.chain(ALONE.iter().map(|(word, _)| (*word).to_owned())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_its_tag_and_nothing_else_is_one() {
        for (word, tag) in with_id() {
            assert_eq!(format!("{word}:6100000000007").parse(), Ok(tag(6_100_000_000_007)), "{word}");
            for bad in
                [word.to_owned(), format!("{word}:"), format!("{word}:0"), format!("{word}:-7"), format!("{word}:+7")]
            {
                assert_eq!(bad.parse::<Tag>(), Err(NoTag::NoId(word.to_owned())), "{bad}");
            }
        }
        for (word, tag) in ALONE {
            assert_eq!(word.parse(), Ok(tag()), "{word}");
            assert_eq!(format!("{word}:7").parse::<Tag>(), Err(NoTag::Id((*word).to_owned())));
        }
        for bad in ["", ":7", "User:7", "ticket:7", "*"] {
            let error = bad.parse::<Tag>().expect_err(bad).to_string();
            assert!(error.contains("user:ID") && error.contains("membership_lists"), "{error}");
        }
    }
}
