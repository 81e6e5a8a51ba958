use super::*;
use crate::proto::GroupMembership;

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
    for unreadable in ["[]", r#"{"groups":null}"#, r#"{"groups":{}}"#, r#"[[{"id":1}]]"#] {
        assert!(matches!(read(unreadable), Err(Malformed::Incomplete)), "{unreadable} is JSON: {:?}", read(unreadable));
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
    for paging in
        [r#""meta":{"has_more":7}"#, r#""meta":"x""#, r#""has_more":{}"#, r#""after_cursor":[1]"#, r#""links":"x""#]
    {
        let unclear = read(&format!(r#"{{"groups":[{{"id":1}}],{paging}}}"#));
        assert!(matches!(unclear, Err(Malformed::Incomplete)), "{paging}");
    }
}

#[test]
fn a_page_by_number_that_was_asked_for_by_cursor_goes_on_by_number_and_is_never_the_whole_list() {
    let rows = r#""users":[{"id":1},{"id":2}]"#;
    let after = |rest: &str| {
        let page: Page<User> = serde_json::from_str(&format!("{{{rows},{rest}}}")).expect("a page");
        page.after(2)
    };
    let numbered = |number, size| Next::Numbered { number, size };
    let (asked, own) = (Size::Asked, Size::Own);
    let link = "https://x.example/api/v2/users.json?page=2";
    for (rest, wanted) in [
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
        assert_eq!(after(&rest), wanted, "{rest}");
    }
    assert_eq!(page(r#"{"groups":[{"id":1}]}"#).after(2), Next::End, "not full");
    assert_eq!(page(r#"{"groups":[{"id":1},{"id":2},{"id":3}]}"#).after(2), Next::End, "the list takes no page size");
}

#[test]
fn a_cursor_is_found_wherever_it_stands() {
    let cursor = Next::Cursor("a=".to_owned());
    let link = r#""links":{"next":"https://other.example/api/v2/groups?page%5Bafter%5D=a%3D&page%5Bsize%5D=1"}"#;
    for rest in [
        r#""after_cursor":"a=""#.to_owned(),
        r#""after_cursor":"a=","has_more":true"#.to_owned(),
        link.to_owned(),
        format!(r#""meta":{{"has_more":true}},{link}"#),
        format!(r#"{link},"next_page":null"#),
        r#""next_page":"https://x.example/?page[after]=a%3D""#.to_owned(),
    ] {
        assert_eq!(page(&format!(r#"{{"groups":[{{"id":1}}],{rest}}}"#)).after(1), cursor, "{rest}");
        assert_eq!(
            page(&format!(r#"{{{rest},"groups":[]}}"#)).after(1),
            if rest.contains("true") && !rest.contains("links") { cursor.clone() } else { Next::End }
        );
    }
    assert_eq!(page(r#"{"groups":[{"id":1}],"after_cursor":"a","has_more":false}"#).after(1), Next::End);
}

#[test]
fn a_page_by_number_says_by_its_link_or_by_being_full_that_there_is_more() {
    for (rest, wanted) in [
        (r#""next_page":"https://x.example/?page=3""#, Next::Page(3)),
        (r#""next_page":"elsewhere""#, Next::Page(3)),
        (r#""next_page":null"#, Next::End),
        (r#""next_page":"""#, Next::End),
        (r#""count":500"#, Next::Page(3)),
        (r#""meta":{"has_more":true}"#, Next::Nowhere),
        (r#""next_page":null,"meta":{"has_more":true,"after_cursor":"a"}"#, Next::Nowhere),
        (r#""meta":{"has_more":false}"#, Next::End),
    ] {
        assert_eq!(page(&format!(r#"{{"groups":[{{"id":1}}],{rest}}}"#)).after_page(2, 1), wanted, "{rest}");
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
