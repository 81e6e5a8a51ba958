//! The check of values of user fields against the account's definitions.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use prost_types::value::Kind;
use prost_types::{FieldMask, Value};
use regex_automata::Input;
use regex_automata::dfa::dense::{self, DFA};
use regex_automata::dfa::{Automaton as _, StartKind};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;

use super::answer::is_unread;
use crate::error::{Checks, Result, quoted, snippet};
use crate::json;
use crate::proto::{CustomFieldOption, UserField, UserFieldType, UserInput};

/// Most options that a refusal names.
const MOST_NAMED: usize = 10;
/// Most memory of the automaton of a pattern. A value is not checked by a pattern that takes more, nor by one for which there is no
/// automaton that looks at each byte once: else values of megabytes, of which a caller may send many, took minutes.
const LARGEST_PATTERN: usize = 256 << 10;
/// Longest pattern by which values are checked. What a longer one costs to be read, its automaton's size does not bound.
const LONGEST_PATTERN: usize = 4 << 10;

/// The values that a write sends of one user's fields.
#[derive(Debug)]
pub struct Given<'a> {
    /// The path of the user in the request.
    within: String,
    /// The fields by their keys, each with its value; none for one that is cleared.
    fields: Vec<(&'a str, Option<&'a Value>)>,
}

impl<'a> Given<'a> {
    /// Returns it in parts of so many fields at most.
    pub fn parts(&self, most: usize) -> impl Iterator<Item = Given<'a>> {
        self.fields.chunks(most).map(|fields| Given { within: self.within.clone(), fields: fields.to_vec() })
    }

    /// Returns the number of fields.
    pub fn number(&self) -> usize {
        self.fields.len()
    }
}

/// Returns the values that a write sends of a user's fields, if they are to be checked and there are any.
pub fn given<'a>(
    is_wanted: bool,
    user: Option<&'a UserInput>,
    mask: Option<&'a FieldMask>,
    within: impl FnOnce() -> String,
) -> Option<Given<'a>> {
    let fields = json::custom_fields(user.filter(|_| is_wanted)?, mask);
    (!fields.is_empty()).then(|| Given { within: within(), fields })
}

/// The account's definitions of user fields.
#[derive(Debug)]
pub struct Definitions {
    fields: HashMap<String, Definition>,
    /// True if a key that has no definition here has none.
    is_whole: bool,
}

#[derive(Debug)]
struct Definition {
    field: UserField,
    /// The pattern of values; none if there is none that can be tested.
    pattern: OnceLock<Option<Pattern>>,
    /// The values of the options; none if they could not all be read.
    values: OnceLock<Option<HashSet<String>>>,
}

type Pattern = DFA<Vec<u32>>;

impl Definitions {
    /// Returns what these rows define. `is_whole` says that the account has no others.
    pub fn of(rows: Vec<UserField>, mut is_whole: bool) -> Self {
        let mut fields = HashMap::with_capacity(rows.len());
        for field in rows {
            match field.key.clone().filter(|_| !is_unread(&field.unreadable_fields, "key")) {
                Some(key) => drop(fields.insert(key, Definition::of(field))),
                None => is_whole = false,
            }
        }
        Self { fields, is_whole }
    }

    /// Returns the fields of these values whose patterns are not ready yet.
    pub fn unready<'a>(&'a self, given: &'a Given<'_>) -> impl Iterator<Item = &'a str> {
        given.fields.iter().map(|(key, _)| *key).filter(|key| !self.is_ready(key))
    }

    /// True if a field has no pattern, or if it is ready.
    fn is_ready(&self, key: &str) -> bool {
        let is_unready = |definition: &Definition| {
            definition.field.r#type() == UserFieldType::Regexp && definition.pattern.get().is_none()
        };
        !self.fields.get(key).is_some_and(is_unready)
    }

    /// Makes the pattern of a field ready, which can take milliseconds.
    pub fn make_ready(&self, key: &str) {
        if let Some(definition) = self.fields.get(key) {
            definition.pattern();
        }
    }

    /// Refuses, each by its path, keys that no field has, fields that are not active, and values that are none of their field's type.
    pub fn check(&self, given: &[Given<'_>]) -> Result<()> {
        let mut checks = Checks::default();
        for Given { within, fields } in given {
            for (key, value) in fields {
                if let Some(problem) = self.problem(key, *value) {
                    checks.refuse(&format!("{within}.user_fields.{}", snippet(key)), &problem);
                }
            }
        }
        checks.end(Some(()))
    }

    fn problem(&self, key: &str, value: Option<&Value>) -> Option<String> {
        let Some(definition) = self.fields.get(key) else {
            return self.is_whole.then(|| "is no user field of the account".to_owned());
        };
        // Zendesk does not say what becomes of a value that is written to such a field, so the caller cannot rely on anything.
        if definition.field.active == Some(false) {
            return Some("is a user field that is not active".to_owned());
        }
        value.and_then(|value| value.kind.as_ref()).and_then(|kind| definition.refuses(kind))
    }
}

impl Definition {
    fn of(field: UserField) -> Self {
        Self { field, pattern: OnceLock::new(), values: OnceLock::new() }
    }

    fn pattern(&self) -> Option<&Pattern> {
        self.pattern.get_or_init(|| pattern(&self.field)).as_ref()
    }

    fn refuses(&self, value: &Kind) -> Option<String> {
        let kind = self.field.r#type();
        match (kind, value) {
            (_, Kind::NullValue(_))
            | (UserFieldType::Unspecified, _)
            | (UserFieldType::Text | UserFieldType::Textarea, Kind::StringValue(_))
            | (UserFieldType::Checkbox, Kind::BoolValue(_)) => return None,
            (UserFieldType::Date, Kind::StringValue(text)) if is_date(text) => return None,
            (UserFieldType::Integer, value) if is_integer(value) => return None,
            (UserFieldType::Decimal | UserFieldType::Currency, value) if is_decimal(value) => return None,
            (UserFieldType::Lookup, value) if self.is_name(value) => return None,
            (UserFieldType::Regexp, Kind::StringValue(text)) => {
                let pattern = self.pattern()?;
                // An empty value is none.
                let found = pattern.try_search_fwd(&Input::new(text).earliest(true));
                // It gives up at what it does not know.
                let is_wrong = !text.is_empty() && matches!(found, Ok(None));
                let wanted = self.field.regexp_for_validation();
                return is_wrong.then(|| format!("must be text that matches {}", quoted(wanted, 256)));
            }
            (UserFieldType::Dropdown | UserFieldType::Tagger, Kind::StringValue(text)) => {
                return self.lacks(text).then(|| format!("must be the value of one of {}", self.options()));
            }
            (UserFieldType::Multiselect, Kind::ListValue(list)) if list.values.iter().all(is_text) => {
                let is_wrong = list
                    .values
                    .iter()
                    .any(|item| matches!(&item.kind, Some(Kind::StringValue(text)) if self.lacks(text)));
                return is_wrong.then(|| format!("must be a list of values of {}", self.options()));
            }
            _ => {}
        }
        let wanted = match kind {
            UserFieldType::Checkbox => "must be true or false: the field is a checkbox",
            UserFieldType::Date => "must be a date such as \"2026-11-30\", perhaps with a time",
            UserFieldType::Integer => "must be a whole number, or a string of its digits",
            UserFieldType::Decimal | UserFieldType::Currency => "must be a number, or a string of its digits",
            UserFieldType::Lookup => "must be the id of a record, as a number or a string",
            UserFieldType::Dropdown | UserFieldType::Tagger => {
                "must be a string, the value of one of the field's options"
            }
            UserFieldType::Multiselect => "must be a list of strings, values of the field's options",
            _ => "must be a string",
        };
        Some(wanted.to_owned())
    }

    /// True if no option has this value, and all of them could be read.
    fn lacks(&self, value: &str) -> bool {
        self.values.get_or_init(|| values(&self.field)).as_ref().is_some_and(|values| !values.contains(value))
    }

    fn options(&self) -> String {
        let options = &self.field.custom_field_options;
        let named = options.iter().take(MOST_NAMED).filter_map(|option| option.value.as_deref());
        let named: Vec<String> = named.map(|value| format!("\"{}\"", quoted(value, 64))).collect();
        let more = options.len().saturating_sub(MOST_NAMED);
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        format!("the field's options, which are {}{more}", named.join(", "))
    }

    /// True if a value can name a record of the kind that a lookup is for. Those of custom objects have ids that are text.
    fn is_name(&self, value: &Kind) -> bool {
        let target = self.field.relationship_target_type.as_deref().unwrap_or_default();
        match value {
            Kind::NumberValue(number) => *number > 0.0 && is_integer(value),
            Kind::StringValue(text) if target.starts_with("zen:custom_object:") => !text.trim().is_empty(),
            Kind::StringValue(text) => is_integer(value) && !text.starts_with('-'),
            _ => false,
        }
    }
}

/// Returns the pattern of a field. Ruby, for which it was written, lets `^` and `$` match at each line. One that only Ruby
/// understands is none.
fn pattern(field: &UserField) -> Option<Pattern> {
    let is_read = !is_unread(&field.unreadable_fields, "regexp_for_validation");
    let pattern = field.regexp_for_validation.as_deref().filter(|text| is_read && !text.is_empty())?;
    if pattern.len() > LONGEST_PATTERN {
        return None;
    }
    let limits = dense::Config::new()
        .dfa_size_limit(Some(LARGEST_PATTERN))
        .determinize_size_limit(Some(LARGEST_PATTERN))
        .start_kind(StartKind::Unanchored)
        .unicode_word_boundary(true);
    dense::Builder::new()
        .configure(limits)
        .syntax(syntax::Config::new().multi_line(true))
        .thompson(thompson::Config::new().nfa_size_limit(Some(LARGEST_PATTERN)))
        .build(pattern)
        .ok()
}

/// Returns the values of a field's options; none if not all of them could be read.
fn values(field: &UserField) -> Option<HashSet<String>> {
    let UserField { custom_field_options: options, unreadable_fields, .. } = field;
    let are_read = !unreadable_fields.iter().any(|path| path.starts_with("custom_field_options"));
    let value = |option: &CustomFieldOption| option.value.clone().filter(|_| option.unreadable_fields.is_empty());
    options.iter().map(value).collect::<Option<_>>().filter(|_| are_read)
}

fn is_text(item: &Value) -> bool {
    matches!(item.kind, Some(Kind::StringValue(_)))
}

fn is_integer(value: &Kind) -> bool {
    match value {
        Kind::NumberValue(number) => number.fract() == 0.0,
        Kind::StringValue(text) => has_digits(text.strip_prefix('-').unwrap_or(text)),
        _ => false,
    }
}

fn is_decimal(value: &Kind) -> bool {
    match value {
        Kind::NumberValue(_) => true,
        Kind::StringValue(text) => {
            let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
            has_digits(whole.strip_prefix('-').unwrap_or(whole)) && has_digits(part)
        }
        _ => false,
    }
}

fn has_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// True if a text is a day of the calendar, alone or with a time after it.
fn is_date(text: &str) -> bool {
    let day = text.get(..10).filter(|day| day.is_ascii()).unwrap_or_default();
    let has_time = text.len() > 10;
    let time = if has_time { text } else { &format!("{day}T00:00:00Z") };
    time.parse::<prost_types::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use prost_types::ListValue;

    use super::*;

    fn text(text: impl Into<String>) -> Value {
        Value { kind: Some(Kind::StringValue(text.into())) }
    }

    fn definition(kind: UserFieldType, pattern: Option<&str>, options: usize) -> Definition {
        let option = |number| CustomFieldOption { value: Some(format!("v{number}")), ..CustomFieldOption::default() };
        Definition::of(UserField {
            r#type: Some(kind.into()),
            regexp_for_validation: pattern.map(str::to_owned),
            custom_field_options: (0..options).map(option).collect(),
            ..UserField::default()
        })
    }

    fn is_refused(definition: &Definition, value: Value) -> bool {
        definition.refuses(&value.kind.expect("a value")).is_some()
    }

    #[test]
    fn a_pattern_costs_each_byte_of_a_value_the_same_or_is_not_checked() {
        let classes = format!("(?i){}", r"\w\W".repeat(LONGEST_PATTERN / 4 - 1));
        let words: Vec<String> = (0..450).map(|number| format!("k{number}x{number}")).collect();
        for pattern in [
            "(a?){100}$",
            ".{0,300}x$",
            r"[a-z]{2,64}@[a-z]{2,64}\.com",
            "(a|b)*a(a|b){30}",
            r"(\w{1,99}){99}",
            &classes,
            &words.join("|"),
        ] {
            let definition = definition(UserFieldType::Regexp, Some(pattern), 0);
            let began = Instant::now();
            definition.pattern();
            is_refused(&definition, text("aa"));
            println!("{:.40}: {:?} to be ready", pattern, began.elapsed());
            assert!(began.elapsed() < Duration::from_secs(5), "{pattern:.40}: {:?}", began.elapsed());
            let began = Instant::now();
            is_refused(&definition, text("a".repeat(400_000)));
            println!("{:?} for 400 KB", began.elapsed());
            // Step by step through all its places, the pattern took seconds.
            assert!(began.elapsed() < Duration::from_secs(1), "{pattern:.40}: {:?}", began.elapsed());
        }
    }

    #[test]
    fn values_are_refused_by_the_patterns_that_do_not_match() {
        for (pattern, right, wrong) in [
            (r"^[A-Z]{2}\d+$", "AB12\nno", "A1"),
            (r"[a-z]{2,64}@[a-z]{2,64}\.com", "to ann@example.com", "ann@example.org"),
            (r"\bcat\b", "a cat", "cats"),
            ("^.{3}$", "äöü", "äö"),
            (r"(?i)^yes$", "YES", "yesno"),
            (r"^\w+$", "größe", "a b"),
        ] {
            let definition = definition(UserFieldType::Regexp, Some(pattern), 0);
            assert!(!is_refused(&definition, text(right)), "{pattern} {right}");
            assert!(is_refused(&definition, text(wrong)), "{pattern} {wrong}");
        }
        for unknown in [r"(?<!a)\h+", "(a|b)*a(a|b){30}", &"a".repeat(LONGEST_PATTERN + 1)] {
            let definition = definition(UserFieldType::Regexp, Some(unknown), 0);
            assert!(!is_refused(&definition, text("no")), "{unknown} is left to Zendesk");
        }
    }

    #[test]
    fn a_list_of_many_values_is_not_compared_with_each_of_many_options() {
        let definition = definition(UserFieldType::Multiselect, None, 5_000);
        let list = |last: &str| {
            let values = (0..50_000).map(|_| text("v4999")).chain([text(last)]).collect();
            Value { kind: Some(Kind::ListValue(ListValue { values })) }
        };
        let (right, wrong) = (list("v0"), list("no"));
        let began = Instant::now();
        assert!(!is_refused(&definition, right) && is_refused(&definition, wrong));
        // Compared with each option, they took many seconds here.
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
