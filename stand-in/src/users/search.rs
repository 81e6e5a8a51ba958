//! Search and autocomplete. Both read an index that may lag behind the tables.

use std::borrow::Cow;

use crate::call::Call;
use crate::errors;
use crate::pagination::{self, HasMore, Listing, Modes, Order, Part};
use crate::reply::Outcome;
use crate::store::user::User;

use super::sideload;

/// Most rows that a search counts and pages through.
const MOST_RESULTS: usize = 10_000;

/// `GET /users/search`
pub fn search(call: &Call) -> Outcome {
    let external_id = call.query.get("external_id");
    let terms = terms(call.query.get("query").unwrap_or_default());
    respond(call, |user| match external_id {
        Some(wanted) => matches_exactly(user.external_id.as_deref(), wanted),
        None => terms.iter().all(|term| term.finds(user)),
    })
}

/// `GET /users/autocomplete`: users whose name starts with the text, or one of
/// its words does (the latter an assumption). `POST` takes the same parameters
/// in the body as well.
pub fn autocomplete(call: &Call) -> Outcome {
    let body = call.json()?;
    let given = |key: &str| call.query.get(key).or_else(|| body.get(key)?.as_str());
    let by_name = given("name").is_some();
    let text = given("name").or_else(|| given("phone"));
    let text = text.ok_or_else(|| errors::parameter_missing("name"))?.to_lowercase();
    let assignable = match given("filter") {
        None | Some("requester") => false,
        Some("assignable") => true,
        Some(_) => return Err(errors::invalid_attribute("filter", "is not included in the list")),
    };
    let long_enough = text.chars().count() >= call.world.config.assumptions.autocomplete_min_length;
    respond(call, |user| {
        let found = if by_name {
            starts_a_word(&user.name, &text)
        } else {
            user.phone.as_deref().is_some_and(|phone| phone.starts_with(&text))
        };
        long_enough && found && (!assignable || user.is_staff())
    })
}

fn respond(call: &Call, wanted: impl Fn(&User) -> bool) -> Outcome {
    let tables = call.world.store.read();
    let found: Vec<&User> = tables.indexed_users().filter(|user| wanted(user)).take(MOST_RESULTS).collect();
    let listing = Listing {
        name: "users",
        rows: Cow::Owned(found),
        // By id; the real order is by relevance, which no client can count on.
        order: Order { name: "id".into(), key: Box::new(|user: &&User| vec![Part::Int(user.id)]) },
        has_more: HasMore::Always,
        modes: Modes::OffsetOnly,
    };
    pagination::page(
        call,
        &listing,
        |user| call.links.user(user),
        |envelope, rows| {
            let ids: Vec<i64> = rows.iter().map(|user| user.id).collect();
            sideload::beside(call, &tables, envelope, &ids)
        },
    )
}

/// One condition of a query; all have to hold.
enum Term {
    /// `key:value`, in the subset of the search syntax that is understood.
    Property(String, String),
    /// Words anywhere, by the start of a word.
    Text(String),
}

impl Term {
    fn finds(&self, user: &User) -> bool {
        match self {
            Self::Text(text) => {
                let fields = [Some(&user.name), user.email.as_ref(), user.notes.as_ref(), user.phone.as_ref()];
                let mut fields = fields.into_iter().flatten();
                fields.any(|field| starts_a_word(field, text))
            }
            Self::Property(key, value) => match key.as_str() {
                "type" => value == "user",
                "email" => matches_exactly(user.email.as_deref(), value),
                "role" => user.role.name() == value,
                "external_id" => matches_exactly(user.external_id.as_deref(), value),
                "name" => starts_a_word(&user.name, value),
                "notes" => user.notes.as_ref().is_some_and(|notes| starts_a_word(notes, value)),
                "phone" => user.phone.as_deref() == Some(value),
                "tags" => user.tags.split_ascii_whitespace().any(|tag| tag == value),
                "organization_id" | "organization" => {
                    user.organization_id.map(|id| id.to_string()).as_deref() == Some(value)
                }
                "is_suspended" | "suspended" => user.suspended.to_string() == *value,
                _ => false,
            },
        }
    }
}

/// Splits a query at blanks outside of quotes; an unknown key makes the term
/// plain text.
fn terms(query: &str) -> Vec<Term> {
    const KEYS: [&str; 12] = [
        "type",
        "email",
        "role",
        "external_id",
        "name",
        "notes",
        "phone",
        "tags",
        "organization_id",
        "organization",
        "is_suspended",
        "suspended",
    ];
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in query.to_lowercase().chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => {
                let last = words.len() - 1;
                words[last].push(letter);
            }
        }
    }
    let words = words.into_iter().filter(|word| !word.is_empty() && word != "*");
    words
        .map(|word| match word.split_once(':') {
            Some((key, value)) if KEYS.contains(&key) => Term::Property(key.into(), value.into()),
            _ => Term::Text(word.trim_end_matches('*').into()),
        })
        .collect()
}

fn matches_exactly(field: Option<&str>, wanted: &str) -> bool {
    field.is_some_and(|field| field.to_lowercase() == wanted.to_lowercase())
}

/// Whether `text` (in lower case) is at the start of a word of `field`.
fn starts_a_word(field: &str, text: &str) -> bool {
    let field = field.to_lowercase();
    let mut places = field.match_indices(text).map(|(at, _)| at);
    places.any(|at| {
        let before = field[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric())
    })
}
