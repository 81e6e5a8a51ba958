//! The search syntax: words, `"phrases"`, `key:value`, dates compared by `<` and `>`, and `-` in front for "not".
//!
//! What is not understood is refused: a search that finds nobody must mean
//! that nobody matches.

mod moment;

use crate::store::tables::Tables;
use crate::store::user::User;

use moment::{Comparison, Range};

/// A search for users. All terms have to hold, except that of several values
/// for one property one is enough.
#[derive(Debug)]
pub struct Query(Vec<Term>);

/// One condition.
#[derive(Debug)]
struct Term {
    negated: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The start of a word in the name, the e-mail address, the notes or the phone number.
    Text(String),
    /// The value of a property.
    Is(Property, String),
    Created(Range),
    Updated(Range),
}

/// A property that is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    Type,
    Email,
    Role,
    ExternalId,
    Name,
    Notes,
    Details,
    Phone,
    Tags,
    Organization,
    Suspended,
    Verified,
}

impl Query {
    /// Reads a query, or says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let words = words(&text.to_lowercase());
        words.iter().map(Word::term).filter_map(Result::transpose).collect::<Result<_, _>>().map(Self)
    }

    /// True if it says of what type the records must be.
    pub fn names_a_type(&self) -> bool {
        self.0.iter().any(|term| matches!(term.what, What::Is(Property::Type, _)))
    }

    pub fn finds(&self, tables: &Tables, user: &User) -> bool {
        self.0.iter().all(|term| {
            let found = term.what.finds(tables, user);
            found != term.negated || self.has_alternative(term, tables, user)
        })
    }

    fn has_alternative(&self, term: &Term, tables: &Tables, user: &User) -> bool {
        let What::Is(property, _) = term.what else {
            return false;
        };
        let mut others = self.0.iter().filter(|other| {
            !other.negated && !term.negated && matches!(other.what, What::Is(known, _) if known == property)
        });
        others.any(|other| other.what.finds(tables, user))
    }
}

/// A part of a query between two blanks.
#[derive(Debug, Default)]
struct Word {
    text: String,
    /// Where the first `:`, `<` or `>` outside of quotes is.
    operator: Option<usize>,
    /// True if it begins with a quote.
    is_quoted: bool,
}

/// Splits a query at blanks outside of quotes.
fn words(query: &str) -> Vec<Word> {
    let mut words = vec![Word::default()];
    let mut in_quotes = false;
    for letter in query.chars() {
        if letter == ' ' && !in_quotes {
            words.push(Word::default());
            continue;
        }
        let last = words.len() - 1;
        let word = &mut words[last];
        if letter == '"' {
            in_quotes = !in_quotes;
            word.is_quoted |= word.text.is_empty();
            continue;
        }
        if matches!(letter, ':' | '<' | '>') && !in_quotes && word.operator.is_none() {
            word.operator = Some(word.text.len());
        }
        word.text.push(letter);
    }
    words
}

impl Word {
    /// Reads one condition; none if the word asks for nothing.
    fn term(&self) -> Result<Option<Term>, String> {
        let negated = !self.is_quoted && self.text.starts_with('-') && self.text.len() > 1;
        let from = usize::from(negated);
        let text = &self.text[from..];
        let what = match self.operator {
            Some(at) if at > from => {
                let (key, value) = text.split_at(at - from);
                property(key, value)?
            }
            _ if text.is_empty() || text == "*" => return Ok(None),
            _ => What::Text(word(text)?),
        };
        Ok(Some(Term { negated, what }))
    }
}

/// A word to be found by its start, which `*` at its end does not change.
fn word(text: &str) -> Result<String, String> {
    let word = text.trim_end_matches('*');
    if word.contains('*') || word.is_empty() {
        return Err(format!("{text}: a wildcard is understood at the end of a word only"));
    }
    Ok(word.to_owned())
}

/// Reads a condition on a property; `operation` starts with the operator.
fn property(key: &str, operation: &str) -> Result<What, String> {
    let (comparison, value) = Comparison::read(operation);
    let range = || Range::read(comparison, value).ok_or_else(|| format!("{key}{operation}: {value} is not a date"));
    let property = match key {
        "created" | "created_at" => return range().map(What::Created),
        "updated" | "updated_at" => return range().map(What::Updated),
        "type" => Property::Type,
        "email" => Property::Email,
        "role" => Property::Role,
        "external_id" => Property::ExternalId,
        "name" => Property::Name,
        "notes" => Property::Notes,
        "details" => Property::Details,
        "phone" => Property::Phone,
        "tags" => Property::Tags,
        "organization_id" | "organization" => Property::Organization,
        "is_suspended" | "suspended" => Property::Suspended,
        "is_verified" | "verified" => Property::Verified,
        _ => return Err(format!("{key} is not a property that can be searched for")),
    };
    let is_flag = matches!(property, Property::Suspended | Property::Verified);
    if comparison != Comparison::Equal || value.is_empty() || is_flag && !matches!(value, "true" | "false") {
        return Err(format!("{key}{operation} is not understood"));
    }
    let value = if property.is_text() { word(value)? } else { value.to_owned() };
    Ok(What::Is(property, value))
}

impl What {
    fn finds(&self, tables: &Tables, user: &User) -> bool {
        match self {
            Self::Text(text) => {
                let fields = [Some(&user.name), user.email.as_ref(), user.notes.as_ref(), user.phone.as_ref()];
                let mut fields = fields.into_iter().flatten();
                fields.any(|field| starts_a_word(field, text))
            }
            Self::Is(property, value) => property.is(value, tables, user),
            Self::Created(range) => range.contains(user.created_at),
            Self::Updated(range) => range.contains(user.updated_at),
        }
    }
}

impl Property {
    /// Whether words of the property are looked for.
    fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::Notes | Self::Details)
    }

    fn is(self, value: &str, tables: &Tables, user: &User) -> bool {
        let says = |field: Option<&str>| field.is_some_and(|field| starts_a_word(field, value));
        match self {
            Self::Type => value == "user",
            Self::Email => is_alike(user.email.as_deref(), value),
            Self::Role => user.role.name() == value,
            Self::ExternalId => is_alike(user.external_id.as_deref(), value),
            Self::Name => says(Some(&user.name)),
            Self::Notes => says(user.notes.as_deref()),
            Self::Details => says(user.details.as_deref()),
            Self::Phone => is_alike(user.phone.as_deref(), value),
            Self::Tags if user.tags.is_empty() => value == "none",
            Self::Tags => user.tags.split_ascii_whitespace().any(|tag| is_alike(Some(tag), value)),
            Self::Organization => {
                let organization = user.organization_id.and_then(|id| tables.organization(id));
                let name = organization.map(|organization| &*organization.name);
                let id = user.organization_id.map(|id| id.to_string());
                is_alike(name, value) || is_alike(id.as_deref(), value)
            }
            Self::Suspended => user.suspended.to_string() == value,
            Self::Verified => (user.verified || user.otherwise_verified).to_string() == value,
        }
    }
}

/// Whether a whole value is what is wanted, in upper or lower case: a text in
/// which `*` stands for anything, or `none` for no value.
pub fn is_alike(field: Option<&str>, wanted: &str) -> bool {
    let (Some(field), wanted) = (field.map(str::to_lowercase), wanted.to_lowercase()) else {
        return wanted == "none";
    };
    let Some((start, others)) = wanted.split_once('*') else {
        return field == wanted;
    };
    let Some(mut left) = field.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = others.rsplit_once('*').unwrap_or(("", others));
    for part in middle.split('*') {
        let Some(at) = left.find(part) else {
            return false;
        };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

/// Whether `text` (in lower case) is at the start of a word of `field`.
pub fn starts_a_word(field: &str, text: &str) -> bool {
    let field = field.to_lowercase();
    let mut places = field.match_indices(text).map(|(at, _)| at);
    places.any(|at| {
        let before = field[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric())
    })
}
