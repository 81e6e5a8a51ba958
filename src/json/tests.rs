//! Two readers that must agree.

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::*;

#[test]
fn a_body_nested_without_end_is_read_without_recursion_where_no_field_wants_it() {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Small {
        id: i64,
    }
    for depth in [100, 1_000, 100_000, 1_000_000] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let cut = format!(r#"{{"unknown":{open}"#);
        assert!(decode::<Small>(cut.as_bytes()).is_err(), "{depth}");
        let whole = format!(r#"{{"unknown":{open}{close},"id":7}}"#);
        assert_eq!(decode::<Small>(whole.as_bytes()).expect("JSON").0.id, 7, "{depth}");
    }
}

#[test]
fn what_is_nested_too_deeply_or_is_no_text_costs_itself_and_is_told() {
    use crate::proto::User;
    let deep = "[".repeat(130) + &"]".repeat(130);
    let body = format!(r#"{{"id":7,"name":"A","alias":"b\ud800","user_fields":{{"deep":{deep},"flat":1}}}}"#);
    let (user, losses) = decode::<User>(body.as_bytes()).expect("JSON");
    let told: Vec<&str> = user.unreadable_fields.iter().map(|path| path.split('[').next().expect("a name")).collect();
    assert_eq!(told, ["alias", "user_fields.deep"]);
    assert_eq!((user.name(), user.alias(), losses.all.len()), ("A", "b\u{fffd}", 2));
    assert!(user.user_fields.is_some_and(|fields| fields.fields.contains_key("flat")));
    // No client reads a message of more than 100 levels.
    let (shallow, _) =
        decode::<User>(format!(r#"{{"id":7,"user_fields":{{"k":{}}}}}"#, "[".repeat(90) + &"]".repeat(90)).as_bytes())
            .expect("JSON");
    prost::Message::encode_to_vec(&shallow);
    assert_eq!(shallow.unreadable_fields.len(), 1);
    let mut garbled = br#"{"id":7,"user_fields":{"a\xff":1,"a\xfe":2}}"#.to_vec();
    for (escape, byte) in [(&b"\\xff"[..], 0xff), (b"\\xfe", 0xfe)] {
        let at = garbled.windows(4).position(|part| part == escape).expect("it is there");
        garbled.splice(at..at + 4, [byte]);
    }
    let (user, _) = decode::<User>(&garbled).expect("JSON");
    assert!(!user.unreadable_fields.is_empty(), "one of two keys was lost");
}

#[test]
fn what_is_json_of_another_shape_says_that_its_sender_works() {
    use crate::proto::User;
    for body in ["[]", "null", "5", r#""x""#, "true", r#"[{"id":7}]"#] {
        assert_eq!(decode::<User>(body.as_bytes()).expect_err(body), Malformed::Incomplete);
    }
    assert!(matches!(decode::<User>(b"{").expect_err("half"), Malformed::Unreadable { .. }));
    assert_eq!(value(b"\xef\xbb\xbf{\"a\":\"\xe9\x01\",\"b\":1e400}").expect("JSON")["b"], "1e400");
    let raw = b"{\"id\":7,\n\t\"name\":\"a\\\"\nb\\\\\",\"alias\":\"\x01\"}";
    let (user, losses) = decode::<User>(raw).expect("control characters are read as they are");
    assert_eq!((user.name(), user.alias(), losses.all.len()), ("a\"\nb\\", "\u{1}", 0));
}

/// JSON as text, with numbers at the edges and every kind of escape.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        // Few digits: of longer numbers serde_json may take a neighbour of the nearest double.
        any::<i32>().prop_map(|number| format!("{:?}", f64::from(number) / 8.0)),
        Just("0".to_owned()),
        Just("-1".to_owned()),
    ];
    let text = prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
        Just(r#""\u00e9\ud83d\ude00\n\/\"""#.to_owned()),
    ];
    let leaf = prop_oneof![Just("null".to_owned()), any::<bool>().prop_map(|it| it.to_string()), number, text.clone()];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let pair = (text.clone(), inner.clone()).prop_map(|(key, value)| format!("{key} : {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            prop::collection::vec(pair, 0..6).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn both_readers_read_the_same(text in json()) {
        let one: Value = sonic_rs::from_slice(text.as_bytes()).expect("JSON");
        prop_assert_eq!(one, serde_json::from_slice::<Value>(text.as_bytes()).expect("JSON"));
    }

    #[test]
    fn what_is_accepted_the_other_reader_accepts_too(text in json(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        let accepted = sonic_rs::from_slice::<Value>(&bytes).is_ok();
        prop_assert!(!accepted || serde_json::from_slice::<Value>(&bytes).is_ok(), "{}", String::from_utf8_lossy(&bytes));
    }

    // Of a string that nobody wants neither looks at every escape, and they differ in that.
    #[test]
    fn what_no_field_wants_is_still_read_to_its_end(text in json(), at in any::<prop::sample::Index>()) {
        let mut bytes = text.into_bytes();
        bytes.truncate(at.index(bytes.len()));
        let (one, other) = (sonic_rs::from_slice::<IgnoredAny>(&bytes), serde_json::from_slice::<IgnoredAny>(&bytes));
        prop_assert_eq!(one.is_ok(), other.is_ok(), "{}", String::from_utf8_lossy(&bytes));
    }
}
