//! Where a page says that its list goes on, and what is left out of it.

use super::*;
use crate::proto::{GroupMembership, User};

fn page(json: &str) -> Page<Group> {
    serde_json::from_str(json).expect("a page")
}

#[test]
fn a_last_page_ends_although_its_cursors_and_links_are_set() {
    let last = page(
        r#"{"groups":[{"id":1}],"meta":{"has_more":false,"after_cursor":"a","before_cursor":"b"},
            "links":{"next":"https://other.example/api/v2/groups.json?page%5Bafter%5D=a","prev":null}}"#,
    );
    assert_eq!((last.rows.len(), last.after(100)), (1, Next::End));
}

#[test]
fn without_has_more_a_list_goes_on_until_a_page_is_empty() {
    let cursor = Next::Cursor("a".to_owned());
    assert_eq!(page(r#"{"groups":[{"id":1}],"meta":{"after_cursor":"a"}}"#).after(100), cursor);
    assert_eq!(page(r#"{"groups":[],"meta":{"after_cursor":"a"}}"#).after(100), Next::End);
    assert_eq!(page(r#"{"groups":[{"id":1}],"meta":{"after_cursor":null}}"#).after(100), Next::End);
    assert_eq!(page(r#"{"groups":[{"id":1}]}"#).after(100), Next::End);
    assert_eq!(page(r#"{"groups":[],"meta":null}"#).after(100), Next::End);
}

#[test]
fn a_page_that_claims_more_without_a_cursor_leads_nowhere() {
    assert_eq!(page(r#"{"groups":[{"id":1}],"meta":{"has_more":true}}"#).after(100), Next::Nowhere);
}

#[test]
fn an_offset_list_goes_on_by_its_link_and_not_by_its_count() {
    let more = page(r#"{"groups":[],"next_page":"https://x.example/?page=3","count":5}"#);
    assert_eq!((more.after_page(2, 100), more.count), (Next::Page(3), Some(5)));
    assert_eq!(page(r#"{"groups":[],"next_page":null,"count":5000}"#).after_page(2, 100), Next::End);
}

#[test]
fn an_object_without_the_list_is_no_empty_page() {
    let read = |body: &str| Page::<Group>::read(body.as_bytes(), Owner::Anybody);
    assert!(matches!(read(r#"{"error":"x"}"#), Err(Malformed::Foreign)));
    for unreadable in ["{}", "[]", r#"{"groups":null}"#, r#"{"groups":{}}"#, r#"[[{"id":1}]]"#] {
        assert!(
            matches!(read(unreadable), Err(Malformed::Incomplete { .. })),
            "{unreadable} is JSON: {:?}",
            read(unreadable)
        );
    }
}

#[test]
fn a_row_without_an_id_that_can_be_read_is_left_out_and_counted() {
    let read = |body: &str| Page::<Group>::read(body.as_bytes(), Owner::Anybody);
    let odd =
        [r#"[1,"u"]"#, "null", "7", r#""x""#, "true", "1.5", "{}", r#"{"id":null}"#, r#"{"id":"x"}"#, r#"{"id":0}"#];
    for row in odd {
        let page =
            read(&format!(r#"{{"groups":[{{"id":1}},{row},{{"id":2,"name":["x"]}}],"meta":{{"has_more":false}}}}"#));
        let page = page.unwrap_or_else(|error| panic!("{row}: {error}"));
        assert_eq!(page.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1, 2], "{row}");
        assert_eq!((page.unreadable_rows, page.after(3)), (1, Next::End), "{row}");
        assert_eq!(page.rows[1].unreadable_fields, ["name"], "{row}");
        assert!(page.rows[0].unreadable_fields.is_empty());
    }
}

#[test]
fn a_row_of_no_use_is_counted_once_whatever_else_is_lost_in_it() {
    let body = r#"{"users":[{"id":1,"role":[]},{"id":{"x":1},"tags":"t","photo":{}},{"id":2,"role":[]}]}"#;
    let (page, losses) = json::decode::<Page<User>>(body.as_bytes()).expect("JSON");
    let counted: Vec<_> = losses.all.iter().map(|loss| (loss.field.as_str(), loss.met, loss.count)).collect();
    assert_eq!(counted, [("users.role", "list", 2), ("users", "no object with an id", 1)]);
    assert_eq!((losses.rows, page.rows.len()), (1, 2));
}

#[test]
fn what_says_where_a_list_goes_on_must_be_read_and_nothing_else() {
    let read = |members: &str| {
        let body = format!(r#"{{"groups":[{{"id":1}}],{members}}}"#);
        Page::<Group>::read_of_many(body.as_bytes(), Owner::Anybody, false).map(|page| page.after(1))
    };
    for unclear in [
        r#""meta":{"has_more":7}"#,
        r#""meta":{"has_more":true,"after_cursor":"\ud800"}"#,
        r#""meta":"x""#,
        r#""has_more":{}"#,
        r#""after_cursor":[1]"#,
        r#""meta":{"has_more":true,"after_cursor":5}"#,
        r#""meta":{"has_more":true},"links":"x""#,
        r#""links":"x""#,
        r#""links":{"next":"\ud800"}"#,
    ] {
        assert!(matches!(read(unclear), Err(Malformed::Incomplete { .. })), "{unclear}: {:?}", read(unclear));
    }
    for odd in
        ["false", "true", "0", "5", "1.5", "1e400", r#""x""#, r#""""#, "[]", "[5]", "{}", r#"{"a":1}"#, r#""\ud800""#]
    {
        for members in [
            r#""meta":{"has_more":false},"links":ODD"#,
            r#""meta":{"has_more":false,"after_cursor":ODD},"links":{"next":null}"#,
            r#""meta":{"has_more":false},"links":{"next":ODD}"#,
            r#""meta":{"has_more":false},"links":{},"count":ODD"#,
            r#""meta":{"has_more":false},"links":{},"next_page":ODD"#,
            r#""next_page":null,"count":ODD"#,
            r#""next_page":null,"count":2,"meta":ODD"#,
            r#""next_page":null,"count":2,"links":ODD"#,
            r#""meta":{"after_cursor":ODD},"links":{"next":null}"#,
        ] {
            let members = members.replace("ODD", odd);
            let is_text = odd.starts_with('"') || odd == "1e400";
            if is_text && !members.contains("has_more") && members.contains("after_cursor") {
                continue; // A text is a cursor, and what no double holds is read as its text.
            }
            let after = read(&members).unwrap_or_else(|error| panic!("{members}: {error}"));
            assert_eq!(after, Next::End, "{members}");
        }
        let members = format!(r#""meta":{{"has_more":true,"after_cursor":"a"}},"links":{odd}"#);
        assert_eq!(read(&members).expect("the cursor says where"), Next::Cursor("a".to_owned()), "{members}");
        let members = format!(r#""meta":{odd},"next_page":"https://x.example/?page=2&per_page=1""#);
        assert!(matches!(read(&members).expect("the link says where"), Next::Numbered { number: 2, .. }), "{members}");
    }
    let link = r#""links":{"next":"https://x.example/?page%5Bafter%5D=b"}"#;
    for cursor in ["false", "0", "[]", "5"] {
        let members = format!(r#""meta":{{"has_more":true,"after_cursor":{cursor}}},{link}"#);
        assert_eq!(read(&members).expect("the link has one"), Next::Cursor("b".to_owned()), "{cursor}");
    }
    for more in ["1", "7", "{}", "[]", r#""yes""#, "null"] {
        let members = format!(r#""meta":{{"has_more":{more},"after_cursor":"a"}}"#);
        assert_eq!(read(&members).expect("the cursor says where"), Next::Cursor("a".to_owned()), "{more}");
        let members = format!(r#""meta":{{"has_more":{more}}},{link}"#);
        assert_eq!(read(&members).expect("the link says where"), Next::Cursor("b".to_owned()), "{more}");
    }
    let garbled = r#""meta":{"has_more":true},"links":{"next":"https://x.example/?page%5Bafter%5D=%ff"}"#;
    assert_eq!(read(garbled).expect("it can be read"), Next::Nowhere, "no cursor is made of it");
    for no_more in ["0", "false", r#""false""#] {
        let members = format!(r#""meta":{{"has_more":{no_more},"after_cursor":"a"}},{link}"#);
        assert_eq!(read(&members).expect("it ends"), Next::End, "{no_more}");
    }
    let numbered = |members: &str| {
        let body = format!(r#"{{"groups":[{{"id":1}}],{members}}}"#);
        Page::<Group>::read_of_many(body.as_bytes(), Owner::Anybody, true).map(|page| page.after_page(2, 1))
    };
    assert_eq!(numbered(r#""meta":{"has_more":false},"next_page":5"#).expect("it ends"), Next::End);
    assert_eq!(numbered(r#""next_page":"\ud800","count":2"#).expect("there is a link"), Next::Page(3));
    assert!(numbered(r#""meta":{"has_more":[]}"#).is_err());
}

#[test]
fn a_page_says_whether_all_around_its_rows_was_read() {
    let read = |members: &str| {
        let body = format!(r#"{{"groups":[{{"id":1}}]{members}}}"#);
        Page::<Group>::read(body.as_bytes(), Owner::Anybody).expect(members)
    };
    for clear in [
        "",
        r#","count":1"#,
        r#","count":null"#,
        r#","next_page":null"#,
        r#","meta":{"has_more":false,"after_cursor":"a"}"#,
    ] {
        assert!(read(clear).is_stated_clearly() && !read(clear).leaves_open_whether_there_is_more(), "{clear}");
    }
    for odd in [r#""x""#, "[]", "true", "1e400", "-1"] {
        let page = read(&format!(r#","next_page":null,"count":{odd}"#));
        assert!(!page.is_stated_clearly() && page.leaves_open_whether_there_is_more() && page.count.is_none(), "{odd}");
    }
    assert!(read(r#","next_page":5"#).leaves_open_whether_there_is_more());
    assert!(!read(r#","meta":{"has_more":false},"links":5"#).leaves_open_whether_there_is_more());
}

#[test]
fn a_page_by_number_that_was_asked_for_by_cursor_goes_on_by_number_and_is_never_the_whole_list() {
    let rows = r#""users":[{"id":1},{"id":2}]"#;
    let after = |members: &str| {
        let page: Page<User> = serde_json::from_str(&format!("{{{rows},{members}}}")).expect("a page");
        page.after(2)
    };
    let numbered = |number, size| Next::Numbered { number, size };
    let (asked, own) = (Size::Asked, Size::Own);
    let link = "https://x.example/api/v2/users.json?page=2";
    for (members, wanted) in [
        (format!(r#""next_page":"{link}&per_page=2","previous_page":null,"count":5"#), numbered(2, asked(2))),
        (format!(r#""next_page":"{link}","count":250"#), numbered(2, own(2))),
        (format!(r#""meta":null,"next_page":"{link}&per_page=7""#), numbered(2, asked(7))),
        (format!(r#""meta":[],"next_page":"{link}&per_page=7#x""#), numbered(2, asked(7))),
        (format!(r#""meta":{{"has_more":true}},"next_page":"{link}""#), numbered(2, own(2))),
        (format!(r#""links":{{"next":"{link}"}}"#), numbered(2, own(2))),
        (r#""next_page":"https://x.example/api/v2/users.json""#.to_owned(), Next::Nowhere),
        (r#""next_page":"https://x.example/?page=1""#.to_owned(), Next::Nowhere),
        (r#""next_page":"https://x.example/?page=2&per_page=1000""#.to_owned(), Next::Nowhere),
        (r#""next_page":true"#.to_owned(), Next::Nowhere),
        (r#""next_page":null,"count":2"#.to_owned(), Next::End),
        (r#""next_page":"""#.to_owned(), Next::End),
        (r#""next_page":false"#.to_owned(), Next::End),
        (format!(r#""meta":{{"has_more":false}},"next_page":"{link}""#), Next::Nowhere),
        (r#""count":2"#.to_owned(), Next::Nowhere),
    ] {
        assert_eq!(after(&members), wanted, "{members}");
    }
    assert_eq!(page(r#"{"groups":[{"id":1}]}"#).after(2), Next::End, "not full");
    assert_eq!(page(r#"{"groups":[{"id":1},{"id":2},{"id":3}]}"#).after(2), Next::End, "the list takes no page size");
}

#[test]
fn a_cursor_is_found_wherever_it_stands() {
    let cursor = Next::Cursor("a=".to_owned());
    let link = r#""links":{"next":"https://other.example/api/v2/groups?page%5Bafter%5D=a%3D&page%5Bsize%5D=1"}"#;
    for members in [
        r#""after_cursor":"a=""#.to_owned(),
        r#""after_cursor":"a=","has_more":true"#.to_owned(),
        link.to_owned(),
        format!(r#""meta":{{"has_more":true}},{link}"#),
        format!(r#"{link},"next_page":null"#),
        r#""next_page":"https://x.example/?page[after]=a%3D""#.to_owned(),
    ] {
        assert_eq!(page(&format!(r#"{{"groups":[{{"id":1}}],{members}}}"#)).after(1), cursor, "{members}");
        assert_eq!(
            page(&format!(r#"{{{members},"groups":[]}}"#)).after(1),
            if members.contains("true") && !members.contains("links") { cursor.clone() } else { Next::End }
        );
    }
    assert_eq!(page(r#"{"groups":[{"id":1}],"after_cursor":"a","has_more":false}"#).after(1), Next::End);
}

#[test]
fn a_page_by_number_says_by_its_link_or_by_being_full_that_there_is_more() {
    for (members, wanted) in [
        (r#""next_page":"https://x.example/?page=3""#, Next::Page(3)),
        (r#""next_page":"elsewhere""#, Next::Page(3)),
        (r#""next_page":null"#, Next::End),
        (r#""next_page":"""#, Next::End),
        (r#""count":500"#, Next::Page(3)),
        (r#""meta":{"has_more":true}"#, Next::Nowhere),
        (r#""next_page":null,"meta":{"has_more":true,"after_cursor":"a"}"#, Next::Nowhere),
        (r#""meta":{"has_more":false}"#, Next::End),
    ] {
        assert_eq!(page(&format!(r#"{{"groups":[{{"id":1}}],{members}}}"#)).after_page(2, 1), wanted, "{members}");
    }
    assert_eq!(page(r#"{"groups":[{"id":1}],"count":500}"#).after_page(2, 100), Next::End, "not full");
}

#[test]
fn rows_of_another_owner_are_not_the_list_that_was_asked_for() {
    let read = |owner| {
        let rows = r#"{"group_memberships":[{"id":1,"user_id":7,"group_id":5},{"id":2,"group_id":5}]}"#;
        Page::<GroupMembership>::read(rows.as_bytes(), owner)
    };
    for owner in [Owner::Anybody, Owner::Group(5), Owner::User(7)] {
        assert_eq!(read(owner).expect("they are").rows.len(), 2, "{owner:?}");
    }
    for owner in [Owner::Group(6), Owner::User(8)] {
        assert!(matches!(read(owner), Err(Malformed::Foreign)), "{owner:?}");
    }
}

#[test]
fn odd_sideloads_do_not_cost_the_rows_beside_which_they_stand() {
    for (users, lost) in [("null", 0), ("{}", 1), (r#""x""#, 1), ("7", 1), (r#"[{"id":7},{"id":"x"}]"#, 1)] {
        let body = format!(r#"{{"group_memberships":[{{"id":1}}],"users":{users},"meta":{{"has_more":false}}}}"#);
        let page = Page::<GroupMembership>::read(body.as_bytes(), Owner::Anybody).expect(users);
        assert_eq!((page.rows.len(), page.unreadable_rows), (1, lost), "{users}");
    }
}

#[test]
fn a_sideloaded_record_comes_once() {
    let body = r#"{"group_memberships":[{"id":1}],"users":[{"id":7},{"id":7},{"id":8}],"groups":[{"id":9},{"id":9}]}"#;
    let page = Page::<GroupMembership>::read(body.as_bytes(), Owner::Anybody).expect("a page");
    let beside = page.beside.only(&["users", "groups"]);
    assert_eq!((beside.users.len(), beside.groups.len(), page.unreadable_rows), (2, 1, 0));
}

#[test]
#[ignore = "slow"]
fn a_row_that_takes_all_the_room_it_may_costs_itself_and_no_other_row() {
    let many = vec!["0"; 1 << 20].join(",");
    let other = |id: i64| format!(r#"{{"id":{id},"name":"B","tags":["a","b"],"user_fields":{{"a":[1,2]}}}}"#);
    let large = format!(r#"{{"id":1,"name":"A","role":[],"user_fields":{{"a":[{many}],"b":1}}}}"#);
    let body = format!(r#"{{"users":[{large},{},{large},{}]}}"#, other(2), other(3));
    let page = Page::<User>::read(body.as_bytes(), Owner::Anybody).expect("a page");
    assert_eq!((page.rows.len(), page.unreadable_rows), (4, 0));
    for row in &page.rows {
        let is_large = row.id == 1;
        assert_eq!(row.unreadable_fields.is_empty(), !is_large, "{}: {:?}", row.id, row.unreadable_fields);
        assert_eq!((row.name.is_some(), row.tags.len()), (true, if is_large { 0 } else { 2 }), "{}", row.id);
        let has_all = row.user_fields.as_ref().is_some_and(|fields| fields.fields.contains_key("a"));
        assert!(is_large || has_all, "{}", row.id);
    }
}

#[test]
#[ignore = "slow"]
fn a_page_is_read_whole_however_many_fields_its_rows_have_and_refused_where_its_rows_alone_take_too_much() {
    let page = |rows: usize, rest: &str| {
        let rows: Vec<String> = (1..=rows).map(|id| format!(r#"{{"id":{id}{rest}}}"#)).collect();
        let body = format!(r#"{{"users":[{}],"meta":{{"has_more":false}}}}"#, rows.join(","));
        Page::<User>::read(body.as_bytes(), Owner::Anybody)
    };
    // A thousand rows, which is what Zendesk sends at most, with as many custom fields as an account has at most.
    let fields: Vec<String> = (0..400).map(|at| format!(r#""field_{at}":null"#)).collect();
    let fields = format!(r#","name":"A","tags":["a","b"],"user_fields":{{{}}}"#, fields.join(","));
    for odd in ["", r#","role":[]"#] {
        let page = page(1_000, &format!("{fields}{odd}")).expect("it is read");
        assert_eq!((page.rows.len(), page.unreadable_rows), (1_000, 0));
        let has_all = |row: &User| row.user_fields.as_ref().is_some_and(|fields| fields.fields.len() == 400);
        assert!(page.rows.iter().all(has_all), "{odd}");
    }
    assert_eq!(page(5_000, "").expect("it is read").rows.len(), 5_000);
    for odd in ["", r#","role":[]"#] {
        let refused = page(100_000, odd).expect_err("more than there is room for");
        assert!(matches!(refused, Malformed::TooMuch { .. }), "{refused}");
    }
}

#[test]
#[ignore = "slow"]
fn rows_that_are_left_out_leave_the_others_their_room() {
    let tags = vec![r#""a""#; 100].join(",");
    let row = |id: &str| format!(r#"{{"id":{id},"tags":[{tags}]}}"#);
    let body = format!(r#"{{"users":[{},{}]}}"#, vec![row("{}"); 5_000].join(","), row("7"));
    let page = Page::<User>::read(body.as_bytes(), Owner::Anybody).expect("it is read");
    assert_eq!((page.unreadable_rows, page.rows.len(), page.rows[0].tags.len()), (5_000, 1, 100));
}
