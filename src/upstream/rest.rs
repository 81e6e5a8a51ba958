//! One REST request: a verb, a path of validated segments, a query, a body.
//!
//! A path is built from checked segments only, because a `..` in a formatted path climbs a level and
//! hits a different endpoint.

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::contract::{ENDPOINTS, Endpoint};
use crate::error::{Checks, Error, Result};

/// Most bytes of a request's path and query: servers refuse request lines of more than 8 KiB, and paging adds some to this.
const LONGEST_TARGET: usize = 7 << 10;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request to Zendesk's REST API v2.
#[derive(Debug, Clone)]
pub struct Rest {
    /// HTTP verb.
    pub method: Method,
    /// Path that begins with `/api/v2/`.
    pub path: String,
    /// The endpoint of the contract that verb and path belong to.
    pub endpoint: &'static Endpoint,
    /// Encoded query without its question mark.
    pub query: String,
    /// Body.
    pub body: Body,
    /// The one user this request updates, where Zendesk limits updates per user.
    pub updated_user: Option<UserKey>,
    /// Whether the path names a record by its id. If it does not, a 404 cannot be about a record.
    pub names_record: bool,
    /// Whose rows the answer holds.
    pub owner: Owner,
    /// What is asked for beside them, by Zendesk's names.
    pub includes: Vec<&'static str>,
    /// What the request does, such as "adding user 7 to group 8", where a refusal does not say what it is about.
    pub doing: Option<String>,
    /// How many bytes the longest text takes in the query, and the field of the request message that it comes from.
    longest_text: Option<(usize, &'static str)>,
}

/// Whose rows a list below `users/{id}`, `groups/{id}` or `organizations/{id}` holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Owner {
    /// Anybody's.
    #[default]
    Anybody,
    /// Those of one user.
    User(i64),
    /// Those of one group.
    Group(i64),
    /// Those of one organization.
    Organization(i64),
}

/// The records that a row names, by their ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Names {
    /// A user.
    pub user: Option<i64>,
    /// A group.
    pub group: Option<i64>,
    /// An organization, where the row is a user's place in it.
    pub organization: Option<i64>,
}

impl Owner {
    /// True unless the row names another record than the owner. Not every kind of row names it.
    pub fn has(self, names: Names) -> bool {
        let (named, id) = match self {
            Self::Anybody => return true,
            Self::User(id) => (names.user, id),
            Self::Group(id) => (names.group, id),
            Self::Organization(id) => (names.organization, id),
        };
        named.is_none_or(|named| named == id)
    }
}

/// What is sent as the body.
#[derive(Debug, Clone)]
pub enum Body {
    /// None.
    Empty,
    /// An encoded JSON document.
    Json(Bytes),
    /// A file in a multipart form.
    File {
        /// The form field's name.
        field: &'static str,
        /// The file.
        content: Bytes,
        /// The file's media type.
        content_type: String,
        /// The file's name, without any path.
        file_name: String,
    },
}

/// How an update names its user; Zendesk allows 5 updates per minute for each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UserKey {
    /// By id.
    Id(i64),
    /// By e-mail address, in lower case.
    Email(String),
    /// By external id, in lower case: Zendesk ignores its case.
    ExternalId(String),
}

/// One segment of a path.
#[derive(Debug)]
pub enum Segment {
    /// A word of the API.
    Word(&'static str),
    /// A record's id.
    Id(i64),
    /// An id that is text.
    TextId(String),
}

impl From<&'static str> for Segment {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

/// Builds a path from literal and checked segments: `path!["users", id("id", self.id)?]`.
#[macro_export]
macro_rules! path {
    ($($segment:expr),+ $(,)?) => {
        &[$($crate::upstream::rest::Segment::from($segment)),+]
    };
}

/// Checks a record id: Zendesk's ids are positive.
pub fn id(field: &str, id: i64) -> Result<Segment> {
    if id > 0 { Ok(Segment::Id(id)) } else { Err(Error::invalid(field, "must be a positive id")) }
}

/// Checks an id that is text, such as a job's. Zendesk documents no form, so this takes whatever can be sent percent-encoded in
/// a path and in a list of ids.
pub fn text_id(field: &str, id: &str) -> Result<Segment> {
    if is_text_id(id) {
        Ok(Segment::TextId(id.to_owned()))
    } else {
        Err(Error::invalid(field, "must be 1 to 255 bytes of letters, digits, spaces or any of - _ . ~ = : +"))
    }
}

/// True if a text can be an id. Zendesk's are opaque; what a proxy could take for a part of the path or of the query is none of
/// them.
pub fn is_text_id(id: &str) -> bool {
    let allowed = |char: char| char.is_alphanumeric() || " -_.~=:+".contains(char);
    (1..=255).contains(&id.len()) && id.chars().all(allowed) && id.chars().any(char::is_alphanumeric)
}

fn endpoint_of(verb: &str, segments: &[Segment]) -> Option<&'static Endpoint> {
    use Segment::{Id, TextId, Word};
    include!(concat!(env!("OUT_DIR"), "/endpoint_of.rs"))
}

/// Returns a text as it is sent in a query, in parts.
pub fn encoded(text: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(text, UNRESERVED)
}

impl Rest {
    /// Reads.
    pub fn get(path: &[Segment]) -> Self {
        Self::new(Method::GET, path)
    }

    /// Creates, or starts a job.
    pub fn post(path: &[Segment]) -> Self {
        Self::new(Method::POST, path)
    }

    /// Changes.
    pub fn put(path: &[Segment]) -> Self {
        Self::new(Method::PUT, path)
    }

    /// Removes.
    pub fn delete(path: &[Segment]) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn new(method: Method, segments: &[Segment]) -> Self {
        let mut path = String::with_capacity(48);
        path.push_str("/api/v2");
        for segment in segments {
            path.push('/');
            match segment {
                Segment::Word(word) => path.push_str(word),
                Segment::Id(id) => path.push_str(&id.to_string()),
                Segment::TextId(id) => path.extend(encoded(id)),
            }
        }
        let endpoint = endpoint_of(method.as_str(), segments);
        let endpoint = endpoint.unwrap_or_else(|| panic!("no RPC of the contract states {method} {path}"));
        let names_record = segments.iter().any(|segment| !matches!(segment, Segment::Word(_)));
        let owner = match segments {
            [Segment::Word("users"), Segment::Id(id), Segment::Word(_), ..] => Owner::User(*id),
            [Segment::Word("groups"), Segment::Id(id), Segment::Word(_), ..] => Owner::Group(*id),
            [Segment::Word("organizations"), Segment::Id(id), Segment::Word(_), ..] => Owner::Organization(*id),
            _ => Owner::Anybody,
        };
        Self {
            method,
            path,
            endpoint,
            query: String::new(),
            body: Body::Empty,
            updated_user: None,
            names_record,
            owner,
            includes: Vec::new(),
            doing: None,
            longest_text: None,
        }
    }

    /// Adds a query parameter, percent-encoded.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.extend(encoded(name));
        self.query.push('=');
        self.query.extend(encoded(value.as_ref()));
        self
    }

    /// Adds a query parameter where there is a value.
    #[must_use]
    pub fn query_if(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Asks for more beside the records, by Zendesk's names.
    #[must_use]
    pub fn include(self, names: Vec<&'static str>) -> Self {
        let list = Some(names.join(",")).filter(|list| !list.is_empty());
        Self { includes: names, ..self.query_if("include", list) }
    }

    /// Adds what a caller wrote in `field`, if it is set. Refuses a blank text, and the longest one if the request line gets too
    /// long.
    #[must_use]
    pub fn text(self, checks: &mut Checks, field: &'static str, name: &str, text: Option<&str>) -> Self {
        let Some(text) = text else { return self };
        if text.trim().is_empty() {
            checks.refuse(field, "must not be empty");
            return self;
        }
        let before = self.query.len();
        let mut rest = self.query(name, text);
        let longest = rest.longest_text.max(Some((rest.query.len() - before, field)));
        rest.longest_text = longest;
        if let Some((bytes, field)) = longest
            && rest.is_too_long()
        {
            let problem =
                format!("takes {bytes} bytes of a request line that can have {LONGEST_TARGET}, percent-encoded");
            checks.refuse(field, &problem);
        }
        rest
    }

    /// True if servers would refuse the request for the length of its first line.
    pub fn is_too_long(&self) -> bool {
        self.path.len() + self.query.len() > LONGEST_TARGET
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(mut self, document: &impl Serialize) -> Self {
        let document = serde_json::to_vec(document).expect("documents have string keys");
        self.body = Body::Json(document.into());
        self
    }

    /// Says what the request does, for the message of a refusal.
    #[must_use]
    pub fn doing(mut self, what: String) -> Self {
        self.doing = Some(what);
        self
    }

    /// Sets the one user this request updates.
    #[must_use]
    pub fn updates(mut self, user: UserKey) -> Self {
        self.updated_user = Some(user);
        self
    }

    /// True if the answer is one record. It fits into a packet or two uncompressed, so compression would only cost both sides
    /// time. Lists, searches and batches have a query.
    pub fn is_of_one_record(&self) -> bool {
        self.query.is_empty()
    }

    /// Returns the name of the endpoint, for messages: `GET /users/{user_id}`.
    pub fn endpoint_name(&self) -> String {
        format!("{} {}", self.endpoint.verb, self.endpoint.path.trim_start_matches("/api/v2"))
    }

    /// Returns the path of the record that is missing if this request is answered so: without what follows the last id, which says
    /// what is done to it. Only the kind of record if the request is about several, or names it in its body.
    pub fn record(&self) -> String {
        let within = |path: &str| path.trim_start_matches("/api/v2/").split('/').map(str::to_owned).collect::<Vec<_>>();
        let mut path = within(&self.path);
        if let Some(id) = within(self.endpoint.path).iter().rposition(|part| part.starts_with('{')) {
            path.truncate(if self.doing.is_some() { id } else { id + 1 });
        } else if self.method != Method::GET {
            path.truncate(1); // the record is named in the body, and the rest of the path says what is done to it
        }
        path.join("/")
    }

    /// Returns path and query, which identify a read.
    pub fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_of_the_contract_is_found_by_its_segments_and_no_other_path_is() {
        for endpoint in &ENDPOINTS {
            let path = endpoint.path.strip_prefix("/api/v2/").expect("a path of the API");
            for id in [|| Segment::Id(7), || Segment::TextId("V3-7".to_owned())] {
                let segment = |part: &'static str| if part.starts_with('{') { id() } else { Segment::Word(part) };
                let segments: Vec<Segment> = path.split('/').map(segment).collect();
                let found = endpoint_of(endpoint.verb, &segments).expect("it is one");
                assert_eq!((found.verb, found.path, found.number), (endpoint.verb, endpoint.path, endpoint.number));
                assert!(std::ptr::eq(found, &raw const ENDPOINTS[found.number]));
            }
        }
        assert!(endpoint_of("GET", path!["tickets"]).is_none());
        assert!(endpoint_of("GET", path!["tickets", Segment::Id(5)]).is_none());
        assert!(endpoint_of("PATCH", path!["users", Segment::Id(5)]).is_none());
    }
}
