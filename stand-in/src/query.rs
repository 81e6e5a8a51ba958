//! The query of a request, decoded, and the way Zendesk writes one into links.

use std::borrow::Cow;

use url::form_urlencoded::{self, Serializer};

/// Decoded query parameters in the order they came.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(raw: &str) -> Self {
        let pairs = form_urlencoded::parse(raw.as_bytes());
        Self(pairs.map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// The last value given under `name`, as Rails reads it.
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().rev().find(|(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Every value given under `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Whether a flag is `true` (or `1`).
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }

    /// The items of a comma-separated list.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        let items = self.get(name)?.split(',').map(str::trim);
        Some(items.filter(|item| !item.is_empty()).collect())
    }

    /// The query with some parameters replaced or, with `None`, left out,
    /// written as Rails does: sorted by name, brackets percent-encoded.
    pub fn with(&self, changes: &[(&str, Option<String>)]) -> String {
        let kept = self.0.iter().filter(|(key, _)| {
            let replaced = changes.iter().any(|(name, _)| name == key);
            !replaced
        });
        let kept = kept.map(|(key, value)| (key.as_str(), Cow::from(value)));
        let set = changes.iter().filter_map(|(name, value)| {
            let value = value.clone()?;
            Some((*name, Cow::from(value)))
        });
        let mut pairs: Vec<_> = kept.chain(set).collect();
        pairs.sort_by(|a, b| a.0.cmp(b.0));
        Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_in_a_link_is_sorted_and_encoded() {
        let query = Query::parse("role=agent&page%5Bsize%5D=2&page[after]=old");
        assert_eq!(
            query.with(&[("page[after]", Some("a=".into())), ("page[before]", None)]),
            "page%5Bafter%5D=a%3D&page%5Bsize%5D=2&role=agent"
        );
    }
}
