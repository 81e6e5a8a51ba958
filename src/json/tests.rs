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
    assert_eq!((user.name(), user.alias(), counted(&losses).len()), ("A", "b\u{fffd}", 2));
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
fn a_reading_ends_between_two_values_once_nobody_waits_for_it() {
    use std::sync::Arc;
    thread_local! {
        static WAITS: RefCell<Option<Arc<()>>> = const { RefCell::new(None) };
        static READ: Cell<usize> = const { Cell::new(0) };
    }
    struct Row;
    impl<'de> Deserialize<'de> for Row {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            READ.set(READ.get() + 1);
            if READ.get() == 3 {
                WAITS.take();
            }
            IgnoredAny::deserialize(from).map(|_| Self)
        }
    }
    #[derive(Deserialize)]
    struct Rows {
        #[serde(rename = "odd", deserialize_with = "optional_scalar")]
        _odd: Option<bool>,
        rows: Vec<Row>,
    }
    let rows = [r#"{"a":[{}]}"#; 10].join(",");
    let body = format!(r#"{{"odd":{{}},"rows":[{rows}]}}"#);
    let waits = Arc::new(());
    WAITS.set(Some(Arc::clone(&waits)));
    READ.set(3);
    let (read, _) = while_wanted(Arc::downgrade(&waits), || decode::<Rows>(body.as_bytes())).expect("somebody waits");
    assert_eq!(read.rows.len(), 10);
    READ.set(0);
    let left = while_wanted(Arc::downgrade(&waits), || {
        drop(waits);
        decode::<Rows>(body.as_bytes())
    });
    assert_eq!((left.err(), READ.get()), (Some(Malformed::without("the object")), 3));
    assert_eq!(decode::<Rows>(body.as_bytes()).expect("it is read").0.rows.len(), 10, "another reading goes on");
}

#[test]
fn what_is_json_of_another_shape_says_that_its_sender_works() {
    use crate::proto::User;
    for body in ["[]", "null", "5", r#""x""#, "true", r#"[{"id":7}]"#] {
        assert_eq!(decode::<User>(body.as_bytes()).expect_err(body), Malformed::without("the object"));
    }
    assert!(matches!(decode::<User>(b"{").expect_err("half"), Malformed::Unreadable { .. }));
    assert_eq!(value(b"\xef\xbb\xbf{\"a\":\"\xe9\x01\",\"b\":1e400}").expect("JSON")["b"], "1e400");
    let raw = b"{\"id\":7,\n\t\"name\":\"a\\\"\nb\\\\\",\"alias\":\"\x01\"}";
    let (user, losses) = decode::<User>(raw).expect("control characters are read as they are");
    assert_eq!((user.name(), user.alias(), losses.all.len()), ("a\"\nb\\", "\u{1}", 0));
}

fn user(body: &[u8]) -> (crate::proto::User, Vec<String>) {
    let (user, losses) = decode::<crate::proto::User>(body).unwrap_or_else(|error| panic!("{error}"));
    (user, counted(&losses))
}

/// The field of each loss.
fn counted(losses: &Losses) -> Vec<String> {
    let times = |loss: &Loss| vec![loss.field.clone(); usize::try_from(loss.count).expect("few")];
    losses.all.iter().flat_map(times).collect()
}

#[test]
fn a_number_is_the_same_whichever_reader_meets_it() {
    for number in [
        "7",
        "7.0",
        "7e0",
        "0",
        "-0",
        "-0.0",
        "0.0",
        "-7",
        "1.5",
        "1e18",
        "1e15",
        "9007199254740991.0",
        "9007199254740992.0",
        "9007199254740993.0",
        "9223372036854775807",
        "9223372036854775808",
        "9007199254740992",
        "1e400",
        "-1e400",
        "1e-400",
        "-0.5E-1000",
        "0e-400",
        "1e-300",
        "12345678901234567890123",
    ] {
        let fields = format!(
            r#""id":{number},"organization_id":{number},"agent_brand_ids":[{number}],"name":{number},"user_fields":{{"n":{number}}}"#
        );
        let (strict, _) = user(format!("{{{fields}}}").as_bytes());
        let (mut lenient, _) = user(format!(r#"{{{fields},"notes":[]}}"#).as_bytes());
        assert_eq!(lenient.unreadable_fields.pop().as_deref(), Some("notes"));
        assert_eq!(strict, lenient, "{number}");
    }
    let in_fields = |number: &str| {
        let (user, _) = user(format!(r#"{{"id":1,"user_fields":{{"n":{number},"e-mail":"7e-1234"}}}}"#).as_bytes());
        user.user_fields.expect("fields").fields.remove("n").and_then(|value| value.kind)
    };
    for text in ["9007199254740992", "1e-400", "-0.5E-1000", "1e400"] {
        assert_eq!(in_fields(text), Some(prost_types::value::Kind::StringValue(text.to_owned())), "no digit is lost");
    }
    for (text, number) in [("0.0", 0.0), ("0e-400", 0.0), ("9007199254740991", 9_007_199_254_740_991.0)] {
        assert_eq!(in_fields(text), Some(prost_types::value::Kind::NumberValue(number)), "{text}");
    }
    let id = |number: &str| user(format!(r#"{{"id":{number}}}"#).as_bytes()).0.id;
    assert_eq!(id("9007199254740993.0"), 0, "no other id is made of it");
    assert_eq!((id("7.0"), id("9007199254740993"), id("1e18")), (7, 9_007_199_254_740_993, 0));
    assert_eq!(user(br#"{"id":1,"name":-0.0}"#).0.name(), "0");
}

#[test]
fn ids_are_positive_or_unreadable() {
    let (user, _) =
        user(br#"{"id":7,"organization_id":0,"custom_role_id":-9,"agent_brand_ids":[1,0,2],"default_group_id":null}"#);
    assert_eq!((user.organization_id, user.custom_role_id, user.agent_brand_ids), (None, None, vec![1, 2]));
    assert_eq!(user.unreadable_fields, ["organization_id", "custom_role_id", "agent_brand_ids[1]"]);
    let body = br#"{"id":"j","status":"completed","results":[{"id":0,"index":0,"error":"E"}]}"#;
    let (job, losses) = decode::<crate::proto::Job>(body).expect("JSON");
    assert_eq!((job.results[0].id, losses.all.len()), (Some(0), 0), "a result's id may be a position");
}

#[test]
fn each_loss_is_told_once_and_counted_once() {
    let (told, counted) =
        user(br#"{"id":1,"role":"\ud800","locale_id":"\ud800","created_at":"\ud800","tags":"\ud800"}"#);
    let all = ["role", "locale_id", "created_at", "tags"];
    assert_eq!(
        (told.unreadable_fields.as_slice(), counted.as_slice()),
        (&all.map(str::to_owned)[..], &all.map(str::to_owned)[..])
    );
    let (told, counted) = user(b"{\"id\":1,\"role\":\"\xff\",\"active\":\"\xff\",\"name\":\"\xff\"}");
    assert_eq!(
        (told.unreadable_fields, counted.len(), told.name),
        (all_of(&["role", "active", "name"]), 3, Some("\u{fffd}".to_owned()))
    );
}

fn all_of(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn keys_of_custom_fields_are_told_and_never_counted_by() {
    let long = "k".repeat(50_000);
    let body =
        format!(r#"{{"id":1,"user_fields":{{"jane@a.example":"\ud800","{long}":"\ud800","a":{{"b":"\ud800"}}}}}}"#);
    let (user, counted) = user(body.as_bytes());
    assert!(counted.iter().all(|field| field == "user_fields") && counted.len() == 3, "{counted:?}");
    let told = all_of(&["user_fields.jane@a.example", &format!("user_fields.{}", &long[..128]), "user_fields.a.b"]);
    assert_eq!(user.unreadable_fields, told);
}

#[test]
fn many_losses_in_one_field_hide_no_other_field() {
    let odd = ["{}"; 70].join(",");
    let body =
        format!(r#"{{"id":1,"tags":[{odd}],"role":{{}},"photo":"x","created_at":5,"agent_brand_ids":["a","b"]}}"#);
    let (user, counted) = user(body.as_bytes());
    let told = ["tags", "role", "photo", "created_at", "agent_brand_ids[0]", "agent_brand_ids[1]"];
    assert_eq!((user.unreadable_fields, counted.len()), (all_of(&told), 75));
    // Even what is lost without end is told in time.
    let body = format!(r#"{{"id":1,"photo":{{"id":1,"thumbnails":[{}]}}}}"#, vec!["{}"; 50_000].join(","));
    assert_eq!(self::user(body.as_bytes()).0.unreadable_fields, ["photo"]);
}

#[test]
fn of_a_repeated_key_the_last_one_counts_however_it_is_written() {
    let body = r#"{"id":1,"name":{"id":{"id":9}},"id":7,"tags":["x"],"\u0069d" : 8 ,"name":"A","tags":{},"role":{"role":1,"role":2}}"#;
    let (user, counted) = user(body.as_bytes());
    assert_eq!((user.id, user.name(), user.tags.len()), (8, "A", 0));
    assert_eq!(counted, ["tags", "role"]);
}

#[test]
#[ignore = "slow"]
fn what_is_made_of_a_long_body_is_bounded_and_a_list_without_room_costs_itself_alone() {
    // Each of them would become more than ten times as large.
    let (few, many) = (r#"["a","b"]"#.to_owned(), format!("[{}]", vec![r#""a""#; 1_200_000].join(",")));
    let (one, all) = (r#"{"a":1}"#.to_owned(), (0..400_000).map(|at| format!(r#""{at:x}":0"#)).collect::<Vec<_>>());
    let all = format!("{{{}}}", all.join(","));
    for (tags, fields, lost) in [(&many, &one, "tags"), (&few, &all, "user_fields")] {
        for (role, told) in [(r#""agent""#, vec![lost]), ("[]", vec!["role", lost])] {
            let (read, counted) = user(
                format!(
                    r#"{{"id":1,"role":{role},"tags":{tags},"user_fields":{fields},"agent_brand_ids":[1,2],"name":"A"}}"#
                )
                .as_bytes(),
            );
            let kept = (read.tags.len(), read.user_fields.unwrap_or_default().fields.len());
            assert_eq!(kept, if lost == "tags" { (0, 1) } else { (2, 0) });
            assert_eq!((read.agent_brand_ids, read.name.as_deref()), (vec![1, 2], Some("A")));
            assert_eq!((read.unreadable_fields, counted), (all_of(&told), all_of(&told)));
        }
    }
}

#[test]
fn a_result_that_is_a_list_is_kept_as_text() {
    let body = br#"{"id":"j","results":[[1,"a",{"b":[null,true]}],5]}"#;
    let (job, _) = decode::<crate::proto::Job>(body).expect("JSON");
    let raw: Vec<_> = job.results.iter().map(|result| result.raw.as_deref()).collect();
    assert_eq!(raw, [Some(r#"[1,"a",{"b":[null,true]}]"#), Some("5")]);
}

#[test]
fn what_always_has_an_id_says_where_it_has_none() {
    for (photo, told) in [
        ("{}", &["photo.id"][..]),
        (r#"{"id":0}"#, &["photo.id"]),
        (r#"{"id":null}"#, &["photo.id"]),
        (r#"{"id":"x","size":[]}"#, &["photo.id", "photo.size"]),
        (r#"{"id":5,"thumbnails":{}}"#, &["photo.thumbnails"]),
        (r#"{"id":5,"thumbnails":[{"id":6},{}]}"#, &["photo.thumbnails[1].id"]),
        ("[]", &["photo"]),
        ("null", &[]),
    ] {
        let (user, counted) = user(format!(r#"{{"id":1,"photo":{photo}}}"#).as_bytes());
        assert_eq!((user.unreadable_fields, counted.len()), (all_of(told), told.len()), "{photo}");
    }
}

#[test]
fn the_sentences_about_a_result_may_come_in_a_list() {
    for (details, read, lost) in [
        (r#""one""#, Some("one"), 0),
        (r#"["one","two"]"#, Some("one; two"), 0),
        (r#"["one",{},5]"#, Some("one; 5"), 1),
        ("[]", None, 0),
        ("null", None, 0),
        ("{}", None, 1),
    ] {
        let body = format!(r#"{{"id":"j","results":[{{"index":0,"details":{details}}}]}}"#);
        let (job, losses) = decode::<crate::proto::Job>(body.as_bytes()).expect("JSON");
        assert_eq!((job.results[0].details.as_deref(), losses.all.len()), (read, lost), "{details}");
    }
}

#[test]
fn a_null_in_a_list_is_nothing() {
    let body =
        br#"{"id":1,"tags":[null,"a"],"agent_brand_ids":[null,5],"suspension_details":{"channels":[null,"all"]}}"#;
    let (read, counted) = user(body);
    assert_eq!((read.tags, read.agent_brand_ids, counted), (all_of(&["a"]), vec![5], Vec::new()));
    assert_eq!(read.suspension_details.expect("details").channels.len(), 1);
}

#[test]
fn the_keys_of_a_message_are_known() {
    assert_eq!(keys::<crate::proto::GetUserResponse>(), ["user"]);
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
    fn a_lenient_reading_of_any_json_is_the_same(text in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (read, losses) = lenient::reading::<Value>(text.as_bytes()).expect("JSON");
        prop_assert_eq!(read.expect("any value"), serde_json::from_str::<Value>(&text).expect("JSON"));
        prop_assert!(losses.all.is_empty());
        // And of anything else it is none, or something.
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop(lenient::reading::<Value>(&bytes));
        drop(decode::<crate::proto::User>(&bytes));
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

/// What the strict reader refuses is read again, which takes twice as long.
#[test]
fn an_ordinary_agent_is_read_strictly() {
    let body = include_bytes!("../../benches/common/user.json");
    let read: Result<Object<crate::proto::GetUserResponse>, _> = sonic_rs::from_slice(body);
    let Object(read) = read.expect("nothing in it is odd");
    assert_eq!(read.user.expect("a user").role_type, Some(crate::proto::RoleType::CustomAgent.into()));
}
