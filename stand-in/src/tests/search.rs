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

/// Ids that a search finds, those of the seed left out.
async fn found(t: &Probe, query: &str) -> Vec<i64> {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let answer = t.get_of("/users/search?per_page=100&query={}", &query).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    let mut ids = answer.ids("users");
    ids.retain(|id| *id < 1000);
    ids
}

#[tokio::test]
async fn search_compares_dates_and_excludes_what_is_negated() {
    let t = probe(Config { users: 1, ..Config::default() }).await;
    for (id, role, created) in [
        (1, "agent", "2019-12-31T23:59:59Z"),
        (2, "end-user", "2020-01-01T00:00:00Z"),
        (3, "admin", "2020-01-01T23:59:59Z"),
        (4, "end-user", "2020-01-02T00:00:00Z"),
    ] {
        let user = json!({"id": id, "name": "Ann", "role": role, "created_at": created, "updated_at": created});
        t.sandbox.store().insert_raw_user(&user.to_string());
    }
    for (query, ids) in [
        ("name:ann created>2020-01-01", vec![4]),
        ("ann created<2020-01-01", vec![1]),
        ("ann created>=2020-01-01", vec![2, 3, 4]),
        ("ann created<=2020-01-01T00:00:00Z", vec![1, 2]),
        ("ann created:2020-01-01", vec![2, 3]),
        ("ann created_at>2019-12-30 updated<2020-01-02", vec![1, 2, 3]),
        ("ann -created:2020-01-01", vec![1, 4]),
        ("ann -role:agent", vec![2, 3, 4]),
        ("-role:end-user -role:admin ann", vec![1]),
        ("role:agent role:admin ann", vec![1, 3]),
        ("type:user -ann", vec![]),
        ("role:agent -role:agent", vec![]),
    ] {
        assert_eq!(found(&t, query).await, ids, "{query}");
    }
}

#[tokio::test]
async fn search_knows_none_wildcards_and_organizations_by_name() {
    let t = with_people().await;
    let id = t.sandbox.store().insert_raw_user(r#"{"id":4,"name":"Ann","organization_id":9}"#);
    for (query, ids) in [
        ("email:none name:ann", vec![id]),
        ("email:*@film.example", vec![1, 2]),
        ("email:g*film*ple", vec![2]),
        ("name:gil*", vec![1, 2]),
        ("external_id:x*", vec![1]),
        ("organization:\"organization 9\"", vec![id]),
        ("organization_id:9", vec![id]),
        ("organization:none name:terry", vec![1]),
        ("is_verified:false name:ann", vec![id]),
    ] {
        assert_eq!(found(&t, query).await, ids, "{query}");
    }
}

#[tokio::test]
async fn a_search_that_is_not_understood_is_refused() {
    let t = with_people().await;
    for query in
        ["created%3E4hours", "created:soon", "shoe_size:46", "role%3Eagent", "suspended:maybe", "name:*gil", "a*b"]
    {
        let refused = t.get_of("/users/search?query={}", query).await;
        let json = refused.json();
        assert_eq!((refused.status, &json["error"]), (422, &json!("invalid")), "{query}");
        assert!(json["description"].as_str().is_some_and(|why| why.starts_with("Invalid search: ")), "{json}");
    }
    for query in ["%22created%3Esoon%22", "", "*", "10%3A30-x"] {
        let status = t.get_of("/users/search?query={}", query).await.status;
        assert_eq!(status, if query.starts_with("10") { 422 } else { 200 }, "{query}");
    }
}

#[tokio::test]
async fn a_search_counts_all_it_finds_and_ends_at_10000() {
    let t = probe(Config { users: 10_050, ..Config::default() }).await;
    let last = t.get("/users/search?query=type:user&page=100").await;
    assert_eq!((last.ids("users").len(), &last.json()["count"]), (100, &json!(10_050)));
    let next = last.link_query("/next_page");
    for query in [next.as_str(), "query=type:user&page=1001&per_page=10"] {
        let refused = t.get_of("/users/search?{}", query).await;
        let text = r#"{"error":"invalid","description":"Invalid search: Requested response size was greater than Search Response Limits"}"#;
        assert_eq!((refused.status, refused.text.as_str()), (422, text), "{query}");
    }
    let found = t.get("/users/autocomplete?name=a").await;
    assert!(found.json()["count"].as_i64() > Some(100));
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
