//! Cursor and offset pagination.

use super::*;

#[tokio::test]
async fn cursor_pages_cover_a_list_once_in_id_order() {
    let t = probe(Config::default()).await;
    let mut seen = Vec::new();
    let mut query = "page[size]=60".to_owned();
    loop {
        let page = t.get(&format!("/users?{query}")).await;
        let ids = page.ids("users");
        if ids.is_empty() {
            assert_eq!(page.json()["links"]["next"], Value::Null);
            assert_eq!(page.json()["meta"]["after_cursor"], Value::Null);
            assert_eq!(page.json()["meta"]["before_cursor"], Value::Null);
            break;
        }
        seen.extend(ids);
        query = page.link_query("/links/next");
    }
    assert_eq!(seen, t.sandbox.store().user_ids());
}

#[tokio::test]
async fn the_last_page_keeps_its_links_and_the_first_has_a_previous_one() {
    let t = probe(Config::default()).await;
    let only = t.get("/group_memberships?page[size]=100&sort=id").await.json();
    assert_eq!(only["meta"]["has_more"], false);
    for link in ["/links/prev", "/links/next", "/meta/after_cursor"] {
        assert!(only.pointer(link).is_some_and(Value::is_string), "{link}");
    }
    assert_eq!(only.get("count"), None, "cursor mode has no count");
}

#[tokio::test]
async fn a_page_can_be_walked_back_to_the_start() {
    let t = probe(Config::default()).await;
    let first = t.get("/users?page[size]=10").await;
    let second = t.get(&format!("/users?{}", first.link_query("/links/next"))).await;
    let back = t.get(&format!("/users?{}", second.link_query("/links/prev"))).await;
    assert_eq!(back.ids("users"), first.ids("users"));
    let before_all = t.get(&format!("/users?{}", back.link_query("/links/prev"))).await;
    assert_eq!(before_all.ids("users"), Vec::<i64>::new());
}

#[tokio::test]
async fn every_list_says_has_more_without_being_asked() {
    let t = probe(Config::default()).await;
    let user = t.sandbox.store().staff_ids()[0];
    for path in ["/users", "/groups", "/groups/assignable", "/group_memberships", "/deleted_users", "/job_statuses"] {
        let page = t.get(&format!("{path}?page[size]=2")).await.json();
        assert_eq!(page["meta"]["has_more"], true, "{path}");
    }
    let groups = t.get(&format!("/users/{user}/groups?page[size]=100")).await.json();
    assert_eq!(groups["meta"]["has_more"], false);
}

#[tokio::test]
async fn an_account_may_say_has_more_of_users_and_groups_on_request_only() {
    let mut config = Config::default();
    config.assumptions.has_more_on_request = true;
    let t = probe(config).await;
    let user = t.sandbox.store().staff_ids()[0];
    for path in ["/users", "/groups", &format!("/users/{user}/groups")] {
        let plain = t.get(&format!("{path}?page[size]=2")).await.json();
        assert_eq!(plain["meta"].get("has_more"), None, "{path}");
        let asked = format!("{path}?page[size]=2&include_boundary_indicators=true");
        assert!(t.get(&asked).await.json()["meta"]["has_more"].is_boolean(), "{path}");
    }
    for path in ["/group_memberships", "/deleted_users", "/job_statuses"] {
        let plain = t.get(&format!("{path}?page[size]=2")).await.json();
        assert_eq!(plain["meta"]["has_more"], true, "{path}");
    }
}

#[tokio::test]
async fn assignable_groups_are_walked_by_cursor() {
    let t = probe(Config::default()).await;
    let all = t.get("/groups/assignable").await.ids("groups");
    let (mut seen, mut query) = (Vec::new(), "page[size]=5".to_owned());
    loop {
        let page = t.get(&format!("/groups/assignable?{query}")).await;
        seen.extend(page.ids("groups"));
        if page.json()["meta"]["has_more"] == false {
            break;
        }
        query = page.link_query("/links/next");
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn rows_that_go_between_two_pages_move_no_other_row() {
    let t = probe(Config::default()).await;
    let all = t.sandbox.store().user_ids();
    let first = t.get("/users?page[size]=10").await;
    let gone = format!(r#"{{"id":{},"active":false,"name":"x"}}"#, all[3]);
    t.sandbox.store().insert_raw_user(&gone);
    let second = t.get(&format!("/users?{}", first.link_query("/links/next"))).await;
    assert_eq!(second.ids("users"), all[10..20]);
}

#[tokio::test]
async fn a_page_size_over_100_is_cut_or_refused() {
    let t = probe(Config::default()).await;
    assert_eq!(t.get("/users?page[size]=500").await.ids("users").len(), 100);
    assert_eq!(t.get("/users?per_page=500").await.ids("users").len(), 100);
    let mut config = Config::default();
    config.assumptions.clamp_page_size = false;
    let t = probe(config).await;
    assert_eq!(t.get("/users?page[size]=500").await.status, 400);
}

#[tokio::test]
async fn a_bad_cursor_is_refused_by_name() {
    let t = probe(Config::default()).await;
    for path in ["/users?page[after]=", "/users?page[after]=garbage", "/groups?page[after]=e30="] {
        let refused = t.get(path).await;
        assert_eq!(refused.status, 400, "{path}");
        let error = &refused.json()["errors"][0];
        assert_eq!(error["code"], "InvalidPaginationParameter");
        assert_eq!(error["title"], "page[after] is not valid");
    }
}

#[tokio::test]
async fn a_cursor_of_another_order_is_refused() {
    let t = probe(Config::default()).await;
    let page = t.get("/users?page[size]=2").await.json();
    let cursor = page["meta"]["after_cursor"].as_str().expect("a cursor");
    let refused = t.get(&format!("/users?sort=-id&page[after]={cursor}")).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_list_is_sorted_by_the_field_asked_for_and_no_other() {
    let t = probe(Config::default()).await;
    let mut ids = t.sandbox.store().user_ids();
    ids.reverse();
    let page = t.get("/users?sort=-id&page[size]=10").await;
    assert_eq!(page.ids("users"), ids[..10]);
    let next = t.get(&format!("/users?{}", page.link_query("/links/next"))).await;
    assert_eq!(next.ids("users"), ids[10..20]);

    let refused = t.get("/users?sort=shoe_size").await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["errors"][0]["title"], "sort is not valid");
    let ignored = t.get("/users?page[size]=3&sort_by=name&sort_order=desc").await;
    assert_eq!(ignored.ids("users"), t.sandbox.store().user_ids()[..3]);
}

#[tokio::test]
async fn groups_come_by_folded_name_with_emoji_last() {
    let t = probe(Config { groups: 16, ..Config::default() }).await;
    let mut names = Vec::new();
    let mut query = "page[size]=5".to_owned();
    loop {
        let page = t.get(&format!("/groups?{query}")).await;
        let json = page.json();
        let rows = json["groups"].as_array().expect("groups");
        if rows.is_empty() {
            break;
        }
        names.extend(rows.iter().map(|row| row["name"].to_string()));
        query = page.link_query("/links/next");
    }
    assert_eq!(names.len(), 16);
    assert_eq!(names[0], "\"Billing\"");
    assert!(names[15].contains('🚀') || names[15].contains('👩'));
    let at = |name: &str| names.iter().position(|known| known.contains(name));
    assert!(at("engineering") < at("Escalations"), "case does not count");
}

#[tokio::test]
async fn numbered_pages_count_and_end() {
    let t = probe(Config::default()).await;
    let first = t.get("/users").await.json();
    assert_eq!((&first["count"], &first["previous_page"]), (&250.into(), &Value::Null));
    let last = t.get("/users?page=3").await;
    assert_eq!(last.ids("users").len(), 50);
    assert_eq!(last.json()["next_page"], Value::Null);
    let beyond = t.get("/users?page=4").await;
    assert_eq!((beyond.status, beyond.ids("users")), (200, vec![]));
}

#[tokio::test]
async fn numbered_pages_end_at_10000_records() {
    let t = probe(Config::default()).await;
    for path in ["/users?page=101", "/users?page=101&per_page=1"] {
        let refused = t.get(path).await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.json()["errors"][0]["code"], "InvalidPaginationDepth");
    }
    assert_eq!(t.get("/users?page=100").await.status, 200);
}

#[tokio::test]
async fn lists_without_cursors_refuse_a_page_size() {
    let t = probe(Config::default()).await;
    let refused = t.get("/users/search?query=a&page[size]=2").await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("page must be an integer"));
    for path in ["/groups/assignable?", "/group_memberships/assignable?"] {
        let page = t.get(&format!("{path}page[size]=2")).await.json();
        assert!(page["meta"]["after_cursor"].is_string() && page["next_page"].is_null(), "{path}: {page}");
    }
}

#[tokio::test]
async fn job_statuses_page_by_cursor_only() {
    let t = probe(Config::default()).await;
    let all = t.get("/job_statuses").await.json();
    let all: Vec<&str> =
        all["job_statuses"].as_array().expect("jobs").iter().filter_map(|job| job["id"].as_str()).collect();
    let first = t.get("/job_statuses?page[size]=4").await;
    let second = t.get(&format!("/job_statuses?{}", first.link_query("/links/next"))).await;
    assert_eq!(second.json()["job_statuses"][0]["id"], all[4]);
}
