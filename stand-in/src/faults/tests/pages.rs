//! Faults of pagination.

use super::*;

/// A page of users as the altered answers are asked for.
async fn users(stand: &Stand, after: Option<&str>) -> Document {
    let target = after.map_or_else(
        || "/api/v2/users?page%5Bsize%5D=2".to_owned(),
        |cursor| format!("/api/v2/users?page%5Bsize%5D=2&page%5Bafter%5D={}", encoded(cursor)),
    );
    stand.get(&target).await.json()
}

fn encoded(cursor: &str) -> String {
    url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect()
}

#[track_caller]
fn cursor(page: &Document) -> String {
    page["meta"]["after_cursor"].as_str().expect("a cursor").to_owned()
}

/// Returns the cursor in `links.next`.
#[track_caller]
fn linked(page: &Document) -> String {
    let next = page["links"]["next"].as_str().expect("a link");
    let next = url::Url::parse(next).expect("a URL");
    let cursor = next.query_pairs().find_map(|(name, value)| (name == "page[after]").then(|| value.into_owned()));
    cursor.expect("a cursor")
}

#[tokio::test]
async fn has_more_can_be_missing_while_the_cursors_stay() {
    let stand = Stand::start().await;
    stand.fault(get("/users"), MissingHasMore::forever());
    let page = users(&stand, None).await;
    assert_eq!(page["meta"], json!({ "after_cursor": "c1", "before_cursor": "b" }));
    assert_eq!(page["users"], json!([{ "id": 1 }, { "id": 2 }]));
}

#[tokio::test]
async fn a_cursor_loop_repeats_its_second_page_for_good() {
    let stand = Stand::start().await;
    stand.fault(get("/users"), CursorLoop::forever());
    let first = users(&stand, None).await;
    assert_eq!(cursor(&first), "c1");
    for _ in 0..3 {
        let page = users(&stand, Some("c1")).await;
        assert_eq!(page["users"], json!([{ "id": 3 }, { "id": 4 }]));
        assert_eq!(page["meta"]["has_more"], true);
        assert_eq!((cursor(&page).as_str(), linked(&page).as_str()), ("c1", "c1"));
    }
}

#[tokio::test]
async fn a_loop_of_offset_pages_names_the_page_itself() {
    let stand = Stand::start().await;
    stand.fault(get("/search"), CursorLoop::once());
    let page = stand.get("/api/v2/search?query=x&page=2").await.json();
    assert_eq!(page["next_page"], "http://stand.example/api/v2/search?query=x&page=2");
}

#[tokio::test]
async fn empty_pages_claim_more_under_ever_new_cursors() {
    let stand = Stand::start().await;
    stand.fault(get("/users"), EmptyPages::forever());
    let mut seen = Vec::new();
    let mut after = None;
    for _ in 0..5 {
        let page = users(&stand, after.as_deref()).await;
        assert_eq!((&page["users"], &page["meta"]["has_more"]), (&json!([]), &json!(true)));
        let cursor = cursor(&page);
        assert_eq!(linked(&page), cursor);
        assert!(!seen.contains(&cursor), "{cursor} came twice");
        seen.push(cursor.clone());
        after = Some(cursor);
    }
}

#[tokio::test]
async fn empty_offset_pages_lead_to_the_next_number() {
    let stand = Stand::start().await;
    stand.fault(get("/search"), EmptyPages::once());
    let page = stand.get("/api/v2/search?query=x&page=2").await.json();
    assert_eq!(page["results"], json!([]));
    assert_eq!(page["next_page"], "http://stand.example/api/v2/search?query=x&page=3");
}

#[tokio::test]
async fn a_last_page_keeps_its_cursors_and_links() {
    let stand = Stand::start().await;
    stand.fault(get("/users"), LastPage::once());
    let page = users(&stand, None).await;
    assert_eq!(page["meta"]["has_more"], false);
    assert_eq!((cursor(&page).as_str(), linked(&page).as_str()), ("c1", "c1"));
}

#[tokio::test]
async fn an_error_and_an_answer_that_is_no_page_stay_as_they_are() {
    let stand = Stand::start().await;
    stand.fault(any("*"), CursorLoop::forever());
    let refused = stand.get("/api/v2/users?page%5Bafter%5D=unknown").await;
    assert_eq!((refused.status(), refused.json()), (400, json!({ "errors": [] })));
    assert_eq!(stand.get("/api/v2/users/7").await.json(), user());
}
