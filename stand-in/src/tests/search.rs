//! Search and autocomplete.

use super::*;

async fn with_people() -> Probe {
    let t = probe(Config::default()).await;
    for json in [
        r#"{"id":1,"name":"Terry Gilliam","email":"terry@film.example","external_id":"X1"}"#,
        r#"{"id":2,"name":"Gilda Radner","email":"gilda@film.example","role":"agent"}"#,
        r#"{"id":3,"name":"Virgil Tracy","email":"virgil@tb.example"}"#,
    ] {
        t.sandbox.store().insert_raw_user(json);
    }
    t
}

#[tokio::test]
async fn search_finds_words_by_their_start_and_properties_exactly() {
    let t = with_people().await;
    for (query, ids) in [
        ("gil", vec![1, 2]),
        ("terry%20gil", vec![1]),
        ("email:VIRGIL@tb.example", vec![3]),
        ("role:agent%20name:gilda", vec![2]),
        ("external_id:x1", vec![1]),
        ("%22terry%20gilliam%22", vec![1]),
        ("nobodyatall", vec![]),
    ] {
        let found = t.get_of("/users/search?query={}", query).await;
        assert_eq!(found.ids("users"), ids, "{query}");
    }
    assert_eq!(t.get("/users/search?external_id=x1").await.ids("users"), [1]);
}

#[tokio::test]
async fn search_pages_by_number_and_counts() {
    let t = with_people().await;
    let page = t.get("/users/search?query=role:end-user&per_page=10&page=2").await;
    assert_eq!(page.ids("users").len(), 10);
    assert!(page.json()["count"].as_i64() > Some(200));
    let next = page.link_query("/next_page");
    assert_eq!(next, "page=3&per_page=10&query=role%3Aend-user");
}

#[tokio::test]
async fn autocomplete_completes_names_and_wants_one() {
    let t = with_people().await;
    assert_eq!(t.get("/users/autocomplete?name=gil").await.ids("users"), [1, 2]);
    let agents = t.get("/users/autocomplete?name=gil&filter=assignable").await;
    assert_eq!(agents.ids("users"), [2]);
    assert_eq!(t.get("/users/autocomplete").await.status, 400);
    assert_eq!(t.get("/users/autocomplete?name=g&filter=odd").await.status, 400);
}

#[tokio::test]
async fn search_may_lag_while_lists_do_not() {
    let t = probe(Config { search_lag: std::time::Duration::from_mins(1), ..Config::default() }).await;
    let made = t.post("/users", serde_json::json!({"user": {"name": "Slartibartfast"}})).await;
    let id = made.id("user");
    assert_eq!(t.get("/users/search?query=slarti").await.ids("users"), Vec::<i64>::new());
    assert_eq!(t.get("/users/autocomplete?name=slarti").await.ids("users"), Vec::<i64>::new());
    assert!(t.sandbox.store().user_ids().contains(&id));
    let known = t.get("/users/search?query=role:end-user&per_page=1").await.ids("users")[0];
    t.delete(&format!("/users/{known}")).await;
    let still = t.get("/users/search?query=role:end-user&per_page=1").await;
    assert_eq!(still.ids("users"), [known], "search still finds what is gone");
}

#[tokio::test]
async fn autocomplete_reads_a_posted_body_too() {
    let t = with_people().await;
    let found = t.post("/users/autocomplete", serde_json::json!({"name": "gil", "filter": "assignable"})).await;
    assert_eq!(found.ids("users"), [2]);
}
