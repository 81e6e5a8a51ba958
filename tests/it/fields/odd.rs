//! One value of one row breaks, in every message that is read and in every JSON type: everything else is intact.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use zendesk_gateway::json::decode;
use zendesk_gateway::rest::page::Page;
use zendesk_gateway::rest::row::Row;

use super::record;

/// A value of every JSON type, and some that only look harmless.
const ODD: [&str; 14] = [
    "null",
    "true",
    "7",
    "-1",
    "4.5",
    "1e999",
    "123456789012345678901234567890",
    r#""odd""#,
    r#""""#,
    r#""\ud83d""#,
    "[]",
    r#"[1, "a", null, {}]"#,
    "{}",
    r#"{"odd": [1]}"#,
];

/// Every path to a value within a record: keys and positions.
fn paths(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => return,
    };
    for (key, child) in children {
        let path = [path, &[key]].concat();
        paths(child, &path, found);
        found.push(path);
    }
}

/// The top-level fields by which two messages differ.
fn differing<R: Row + std::fmt::Debug>(one: &R, other: &R) -> BTreeSet<String> {
    let fields = |row: &R| -> BTreeSet<String> {
        let text = format!("{row:#?}");
        let mut field = String::new();
        let lines = text.lines().skip(1).map(|line| {
            if line.starts_with("    ") && !line.starts_with("     ") && line.contains(':') {
                line.trim().trim_start_matches("r#").split(':').next().expect("a name").clone_into(&mut field);
            }
            format!("{field}|{line}")
        });
        lines.collect()
    };
    let (one, other) = (fields(one), fields(other));
    let names = one.symmetric_difference(&other).map(|line| line.split('|').next().expect("a name").to_owned());
    names.filter(|name| name != "unreadable_fields").collect()
}

fn breaks<R: Row + PartialEq + std::fmt::Debug>(record: &Value) {
    let read = |rows: &str| {
        let body = format!(r#"{{"{}": [{rows}], "meta": {{"has_more": false}}}}"#, R::KEY);
        let (page, losses) = decode::<Page<R>>(body.as_bytes()).unwrap_or_else(|error| panic!("{rows}: {error}"));
        (page.rows, losses)
    };
    let sound = record.to_string();
    let (rows, losses) = read(&sound);
    let original = rows.into_iter().next().expect("a row");
    assert!(losses.all.is_empty(), "{sound}: {:?}", losses.all);
    let mut all = Vec::new();
    paths(record, &[], &mut all);
    for path in all {
        for odd in ODD {
            // The odd value cannot always be held by serde_json, so it is put into the text.
            let mut marked = record.clone();
            let pointer = format!("/{}", path.join("/"));
            *marked.pointer_mut(&pointer).expect("it is there") = json!("MARK");
            let broken = marked.to_string().replace(r#""MARK""#, odd);
            let (rows, losses) = read(&format!("{sound}, {broken}, {sound}"));
            let about = format!("{} {path:?} = {odd}", R::KEY);
            assert!(rows.first() == Some(&original) && rows.last() == Some(&original), "{about}");
            let [_, row, _] = &rows[..] else {
                assert_eq!((rows.len(), path.as_slice(), losses.rows), (2, &["id".to_owned()][..], 1), "{about}");
                continue;
            };
            let differing = differing(&original, row);
            assert!(differing.iter().all(|field| *field == path[0]), "{about}: {differing:?} differ");
            assert!(losses.untold.is_empty() && losses.rows == 0, "{about}: {losses:?}");
            // By the row, or by a record within it that tells of its own.
            let is_told = |step: &String| format!("{row:?}").contains(&format!("unreadable_fields: [\"{step}"));
            let told = path.iter().any(is_told);
            assert_eq!(told, !losses.all.is_empty(), "{about}: {row:?}");
        }
    }
}

#[test]
#[ignore = "slow"]
fn an_odd_value_costs_itself_only() {
    macro_rules! each {
        ($($row:ident)+) => {
            $(breaks::<zendesk_gateway::proto::$row>(&record(stringify!($row)));)+
        };
    }
    zendesk_gateway::contract_types!(rows, each);
}
