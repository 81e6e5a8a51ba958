//! Which requests a rule is about.

use std::fmt;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// Where the API's paths begin; the functions below take paths relative to it.
const API: &str = "/api/v2";

/// Matches requests by method, path and query. An empty matcher matches every request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// The method; absent means any.
    #[serde(with = "method", skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    /// The path; absent means any.
    path: Pattern,
    /// A text that the decoded query must contain; absent means any query.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
}

/// Matches GET requests for `path`, relative to `/api/v2`: exact (`/users/7`), a template (`/users/{id}`) or a prefix (`/users*`).
///
/// # Panics
///
/// This function and its siblings panic when `path` is none of the three.
#[track_caller]
pub fn get(path: &str) -> Matcher {
    Matcher::new(Some(Method::GET), path)
}

/// Matches PUT requests for `path`; see [`get`].
#[track_caller]
pub fn put(path: &str) -> Matcher {
    Matcher::new(Some(Method::PUT), path)
}

/// Matches POST requests for `path`; see [`get`].
#[track_caller]
pub fn post(path: &str) -> Matcher {
    Matcher::new(Some(Method::POST), path)
}

/// Matches DELETE requests for `path`; see [`get`].
#[track_caller]
pub fn delete(path: &str) -> Matcher {
    Matcher::new(Some(Method::DELETE), path)
}

/// Matches requests for `path` whatever their method; see [`get`]. `any("*")` matches everything.
#[track_caller]
pub fn any(path: &str) -> Matcher {
    Matcher::new(None, path)
}

impl Matcher {
    #[track_caller]
    fn new(method: Option<Method>, path: &str) -> Self {
        let path = if path == "*" { path.to_owned() } else { format!("{API}{path}") };
        match Pattern::try_from(path) {
            Ok(path) => Self { method, path, query: None },
            Err(problem) => panic!("{problem}"),
        }
    }

    /// Matches only requests whose decoded query contains `text`, such as `page[after]`.
    #[must_use]
    pub fn with_query(mut self, text: impl Into<String>) -> Self {
        self.query = Some(text.into());
        self
    }

    pub(super) fn matches(&self, method: &Method, uri: &Uri) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.path.matches(uri.path())
            && self.query.as_ref().is_none_or(|wanted| {
                percent_decode_str(uri.query().unwrap_or_default()).decode_utf8_lossy().contains(wanted)
            })
    }
}

/// A path, a path with `{…}` segments, or a prefix that ends in `*`.
///
/// A `{…}` segment stands for an id, that is, a segment with a digit in it (`7`, `V3-0a1b…`), so that `/users/{id}` leaves
/// `/users/me` and `/users/show_many` alone. Every path means itself with and without `.json`, as the API has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Pattern(String);

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        let path = path.strip_suffix(".json").unwrap_or(path);
        if let Some(prefix) = self.0.strip_suffix('*') {
            return path.starts_with(prefix);
        }
        let (mut wanted, mut given) = (self.0.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if wanted == given => {}
                (Some(wanted), Some(given)) if is_template(wanted) && is_id(given) => {}
                _ => return false,
            }
        }
    }
}

fn is_template(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}

fn is_id(segment: &str) -> bool {
    segment.bytes().any(|byte| byte.is_ascii_digit())
}

impl Default for Pattern {
    fn default() -> Self {
        Self("*".to_owned())
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;

    fn try_from(path: String) -> Result<Self, BadPattern> {
        let bare = path.strip_suffix('*').unwrap_or(&path);
        let rooted = path == "*" || path.starts_with('/');
        let whole_templates = bare.split('/').all(|segment| is_template(segment) || !segment.contains(['{', '}']));
        if !rooted || !whole_templates || bare.contains(['*', '?']) {
            return Err(BadPattern(path));
        }
        Ok(Self(path.strip_suffix(".json").map_or_else(|| path.clone(), str::to_owned)))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

/// A path that is neither exact, nor a template, nor a prefix.
#[derive(Debug)]
struct BadPattern(String);

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a path: it starts with `/`, may have whole `{{…}}` segments, may end in `*`, and has no query",
            self.0
        )
    }
}

/// Methods as text.
mod method {
    use http::Method;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the signature is the one that serde calls")]
    pub fn serialize<S: Serializer>(method: &Option<Method>, to: S) -> Result<S::Ok, S::Error> {
        method.as_ref().map(Method::as_str).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Method>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else {
            return Ok(None);
        };
        match text.as_str() {
            "GET" | "PUT" | "POST" | "DELETE" | "PATCH" | "HEAD" | "OPTIONS" => {
                Method::from_bytes(text.as_bytes()).map(Some).map_err(Error::custom)
            }
            _ => Err(Error::custom(format_args!("`{text}` is not an HTTP method (in capitals)"))),
        }
    }
}
