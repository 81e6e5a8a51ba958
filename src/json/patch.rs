//! The body of a partial update: exactly the masked fields, null where a masked field is unset.

use std::collections::HashSet;

use prost_types::{FieldMask, Struct};
use serde::Serialize;
use serde_json::{Map, Value};

use super::structure::to_json;
use crate::error::{Checks, quoted};

/// The enum fields of a message that is written as JSON: only numbers that have a word can be sent.
pub trait EnumFields {
    /// Notes each enum field whose number has no word; `within` is the path of this message.
    fn check_words(&self, _within: &str, _checks: &mut Checks) {}
}

/// A message whose fields are sent to Zendesk.
pub trait Input: EnumFields + Serialize {
    /// Each field's name, and whether it is a list.
    const FIELDS: &'static [(&'static str, bool)];

    /// The field with the custom fields, which a mask may address one by one, as `user_fields.KEY`; empty if there is none.
    const CUSTOM: &'static str = "";

    /// Returns the custom fields.
    fn custom_fields(&self) -> Option<&Struct> {
        None
    }
}

/// Returns the JSON object of an update, which must change something: see [`body`].
pub fn patch<I: Input>(
    input: &I,
    mask: Option<&FieldMask>,
    within: &str,
    checks: &mut Checks,
) -> Option<Map<String, Value>> {
    let body = body(input, mask, within, checks)?;
    if body.is_empty() && mask.is_none_or(|mask| mask.paths.is_empty()) {
        checks.refuse(within, "names nothing to change: set a field or list it in update_mask");
    }
    Some(body)
}

/// Returns the JSON object of what is set and masked.
///
/// An empty mask means the fields that are set. A masked field that is unset becomes null, a masked list that is empty
/// becomes `[]`, and `user_fields.KEY` addresses one custom field. `within` names the message in errors.
///
/// Each enum number without a word is refused by its field, and then there is no object; each unknown path is as `update_mask`, and
/// left out, so that what is wrong with the others can be told, too.
pub fn body<I: Input>(
    input: &I,
    mask: Option<&FieldMask>,
    within: &str,
    checks: &mut Checks,
) -> Option<Map<String, Value>> {
    let paths = distinct(mask);
    for path in paths.iter().filter(|path| custom_key::<I>(path).is_none() && field::<I>(path).is_none()) {
        let (example, _) = I::FIELDS[0];
        let problem = format!(
            "has the path \"{}\", which is no field of {within}: paths are names of its fields, such as \"{example}\"",
            quoted(path, 512)
        );
        checks.refuse("update_mask", &problem);
    }
    let mut words = Checks::default();
    input.check_words(within, &mut words);
    checks.take(words.end(Some(())))?;
    let Value::Object(set) = serde_json::to_value(input).expect("inputs are objects whose enums have words") else {
        unreachable!("a message is written as an object")
    };
    Some(if paths.is_empty() { set } else { masked(input, set, paths, within, checks) })
}

/// Returns the paths of a mask in its order, each once: a field that is named again and again is no more work than one.
fn distinct(mask: Option<&FieldMask>) -> Vec<&str> {
    let mut known = HashSet::new();
    mask.into_iter().flat_map(|mask| &mask.paths).map(String::as_str).filter(|path| known.insert(*path)).collect()
}

/// Returns the custom fields that are sent of an input, each with its value; none for one that a mask names and that is not set.
pub fn custom_fields<'a, I: Input>(
    input: &'a I,
    mask: Option<&'a FieldMask>,
) -> Vec<(&'a str, Option<&'a prost_types::Value>)> {
    let held = || input.custom_fields().into_iter().flat_map(|object| &object.fields);
    let all = || held().map(|(key, value)| (key.as_str(), Some(value)));
    let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else { return all().collect() };
    let paths = distinct(Some(mask));
    let is_whole = paths.contains(&I::CUSTOM);
    let single = paths.into_iter().filter_map(custom_key::<I>);
    let single = single.map(|key| (key, input.custom_fields().and_then(|object| object.fields.get(key))));
    let mut sent: Vec<_> = if is_whole { all().collect() } else { Vec::new() };
    sent.extend(single.filter(|(_, value)| !is_whole || value.is_none()));
    sent
}

/// Returns the key of the custom field that a path addresses, if it addresses one.
fn custom_key<I: Input>(path: &str) -> Option<&str> {
    field::<I>(I::CUSTOM)?;
    path.strip_prefix(I::CUSTOM)?.strip_prefix('.').filter(|key| !key.is_empty())
}

fn field<I: Input>(path: &str) -> Option<&'static (&'static str, bool)> {
    I::FIELDS.iter().find(|(name, _)| *name == path)
}

fn masked<I: Input>(
    input: &I,
    mut set: Map<String, Value>,
    paths: Vec<&str>,
    within: &str,
    checks: &mut Checks,
) -> Map<String, Value> {
    let mut body = Map::new();
    // All custom fields before single ones, so that the order of the paths decides nothing.
    let (single, whole): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| custom_key::<I>(path).is_some());
    for path in whole.into_iter().chain(single) {
        if let Some(key) = custom_key::<I>(path) {
            let value = input.custom_fields().and_then(|object| object.fields.get(key)).map_or(Value::Null, to_json);
            let object = body.entry(I::CUSTOM).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(object) = object {
                object.insert(key.to_owned(), value);
            }
            continue;
        }
        let Some((name, is_list)) = field::<I>(path) else { continue };
        if *name == I::CUSTOM && !set.contains_key(*name) {
            let problem =
                format!("has no key that is set, though update_mask names it: name single keys as {name}.KEY");
            checks.refuse(&format!("{within}.{name}"), &problem);
            continue;
        }
        let unset = if *is_list { Value::Array(Vec::new()) } else { Value::Null };
        body.insert((*name).to_owned(), set.remove(*name).unwrap_or(unset));
    }
    body
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use prost_types::value::Kind;
    use serde_json::json;

    use super::*;
    use crate::error::{Error, Result};
    use crate::proto::{GroupInput, UserInput, UserRole};

    fn patch<I: Input>(input: &I, mask: Option<&FieldMask>, within: &str) -> Result<Map<String, Value>> {
        let mut checks = Checks::default();
        let body = super::patch(input, mask, within, &mut checks);
        checks.end(body)
    }

    fn mask(paths: &[&str]) -> FieldMask {
        FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
    }

    #[test]
    fn a_field_that_the_mask_names_again_and_again_is_no_more_work_than_one() {
        let input = UserInput { tags: (0..20_000).map(|tag| tag.to_string()).collect(), ..UserInput::default() };
        let began = Instant::now();
        let body = patch(&input, Some(&mask(&vec!["tags"; 20_000])), "user").expect("a body");
        // Copied for each path, the tags took many seconds.
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(body["tags"].as_array().map(Vec::len), Some(20_000));
        let fields = Struct { fields: [("k".to_owned(), prost_types::Value { kind: None })].into() };
        let input = UserInput { user_fields: Some(fields), ..UserInput::default() };
        assert_eq!(custom_fields(&input, Some(&mask(&["user_fields.k"; 9]))).len(), 1);
        let sent = mask(&["user_fields.z", "user_fields.k", "user_fields.z"]);
        let keys: Vec<_> = custom_fields(&input, Some(&sent)).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["z", "k"], "in the order of the mask");
    }

    #[test]
    fn without_a_mask_the_set_fields_are_sent() {
        let input = UserInput {
            name: Some("A".to_owned()),
            role: Some(UserRole::EndUser.into()),
            details: Some(String::new()),
            tags: vec!["t".to_owned()],
            ..UserInput::default()
        };
        let body = patch(&input, None, "user").expect("a body");
        let wanted = json!({"name": "A", "role": "end-user", "details": "", "tags": ["t"]});
        assert_eq!(Value::Object(body.clone()), wanted);
        assert_eq!(patch(&input, Some(&mask(&[])), "user").expect("a body"), body, "an empty mask is no mask");
        assert!(patch(&GroupInput::default(), None, "group").is_err(), "nothing to change");
    }

    #[test]
    fn custom_fields_are_addressed_one_by_one_or_as_a_whole() {
        let number = |number| prost_types::Value { kind: Some(Kind::NumberValue(number)) };
        let fields = [("plan".to_owned(), number(7.0)), ("rate".to_owned(), number(5.5))];
        let input = UserInput { user_fields: Some(Struct { fields: fields.into() }), ..UserInput::default() };
        let some = patch(&input, Some(&mask(&["user_fields.plan", "user_fields.gone"])), "user").expect("a body");
        assert_eq!(Value::Object(some), json!({"user_fields": {"plan": 7, "gone": null}}));
        let all = patch(&input, Some(&mask(&["user_fields"])), "user").expect("a body");
        assert_eq!(Value::Object(all), json!({"user_fields": {"plan": 7, "rate": 5.5}}));
        for order in [["user_fields.gone", "user_fields"], ["user_fields", "user_fields.gone"]] {
            let both = patch(&input, Some(&mask(&order)), "user").expect("a body");
            assert_eq!(
                Value::Object(both),
                json!({"user_fields": {"plan": 7, "rate": 5.5, "gone": null}}),
                "{order:?}"
            );
        }
        let none = patch(&UserInput::default(), Some(&mask(&["user_fields"])), "user")
            .expect_err("nobody knows what null does");
        assert!(matches!(none, Error::Invalid { field, .. } if field == "user.user_fields"));
        for unknown in ["nom", "user_fields.", "name.first", "", "user_fieldsx"] {
            let refused = patch(&input, Some(&mask(&[unknown])), "user").expect_err(unknown);
            assert!(matches!(refused, Error::Invalid { field, .. } if field == "update_mask"), "{unknown}");
        }
    }

    #[test]
    fn large_whole_numbers_are_written_with_all_their_digits() {
        for (number, written) in [
            (12_345_678_901_234_568.0, "12345678901234568"),
            (-9_007_199_254_740_994.0, "-9007199254740994"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (5.5, "5.5"),
            (1e300, "1e+300"),
        ] {
            let value = prost_types::Value { kind: Some(Kind::NumberValue(number)) };
            assert_eq!(to_json(&value).to_string(), written);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_body_holds_exactly_the_masked_fields_with_null_where_unset(
            name in proptest::option::of(".{0,9}"),
            notes in proptest::option::of(".{0,9}"),
            organization_id in proptest::option::of(1_i64..),
            suspended in proptest::option::of(any::<bool>()),
            tags in proptest::collection::vec("[a-z]{1,5}", 0..3),
            picked in proptest::sample::subsequence(&["name", "notes", "organization_id", "suspended", "tags"], 1..=5),
        ) {
            let input = UserInput {
                name: name.clone(), notes: notes.clone(), organization_id, suspended, tags: tags.clone(),
                ..UserInput::default()
            };
            let body = patch(&input, Some(&mask(&picked)), "user").expect("a body");
            let value_of = |field: &str| match field {
                "name" => json!(name),
                "notes" => json!(notes),
                "organization_id" => json!(organization_id),
                "suspended" => json!(suspended),
                _ => json!(tags),
            };
            let mut sent: Vec<&str> = body.keys().map(String::as_str).collect();
            let mut wanted = picked.clone();
            sent.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(sent, wanted);
            for field in picked {
                prop_assert_eq!(&body[field], &value_of(field), "{}", field);
            }
        }
    }
}
