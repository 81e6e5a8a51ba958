//! Where links point to.

use super::*;
use crate::Wire;

/// Every link below `value`: the `url` of a record, of a picture, of another page.
fn links(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map.values().flat_map(links).collect(),
        Value::Array(items) => items.iter().flat_map(links).collect(),
        Value::String(text) if text.contains("://") => vec![text.clone()],
        _ => Vec::new(),
    }
}

async fn text(request: reqwest::RequestBuilder) -> Value {
    answer(request).await.json()
}

#[tokio::test]
async fn page_links_have_the_suffix_and_the_filters() {
    let t = probe(Config::default()).await;
    let page = t.get("/users?role=end-user&page[size]=2").await.json();
    let next = page["links"]["next"].as_str().expect("a link");
    let start = format!("{}/api/v2/users.json?page%5Bafter%5D=", t.origin());
    assert!(next.starts_with(&start), "{next}");
    assert!(next.ends_with("&page%5Bsize%5D=2&role=end-user"), "{next}");

    let page = t.get("/users").await.json();
    assert_eq!(page["next_page"], format!("{}/api/v2/users.json?page=2", t.origin()));
    let page = t.get("/users?page=2&per_page=5").await.json();
    assert_eq!(page["next_page"], format!("{}/api/v2/users.json?page=3&per_page=5", t.origin()));
}

#[tokio::test]
async fn a_client_that_follows_links_reads_a_whole_list() {
    let t = probe(Config::default()).await;
    for (first, next) in [("/users?page[size]=60", "/links/next"), ("/users?per_page=60", "/next_page")] {
        let mut page = t.get(first).await;
        let mut seen = page.ids("users");
        while page.json()["meta"]["has_more"] != false
            && let Some(link) = page.json().pointer(next).and_then(Value::as_str)
        {
            let path = link.strip_prefix(&t.origin()).unwrap_or_else(|| panic!("{link} is elsewhere"));
            page = t.get(&format!("!{path}")).await;
            seen.extend(page.ids("users"));
        }
        assert_eq!(seen, t.sandbox.store().user_ids(), "{first}");
    }
}

#[tokio::test]
async fn links_name_the_host_that_was_asked() {
    let t = probe(Config { users: 30, ..Config::default() }).await;
    for path in ["/users?page[size]=20", "/users?per_page=20", "/groups", "/group_memberships", "/job_statuses"] {
        let page = text(t.authorized(Method::GET, path).header("host", "zendesk.test:81")).await;
        let found = links(&page);
        assert!(!found.is_empty(), "{path}");
        assert!(found.iter().all(|link| link.starts_with("http://zendesk.test:81/")), "{path}: {found:?}");
    }
}

#[tokio::test]
async fn links_have_the_scheme_of_the_connection_and_over_http_2_the_host_too() {
    for http1 in [true, false] {
        let t = probe(Config { wire: Wire { tls: true, http1, ..Wire::default() }, ..Config::default() }).await;
        let ca = reqwest::Certificate::from_pem(t.sandbox.ca_pem().expect("it speaks TLS").as_bytes());
        let client = reqwest::Client::builder().tls_certs_only(ca).build().expect("a client");
        let t = Probe { client, ..t };
        let origin = format!("https://{}/", t.sandbox.base_url().authority());
        for path in ["/users?page[size]=2", "/users.json?page[size]=2"] {
            let page = t.get(path).await.json();
            assert!(links(&page).iter().all(|link| link.starts_with(&origin)), "{path}: {page}");
        }
        let made = t.post("/groups", json!({"group": {"name": "G"}})).await;
        assert!(made.header("location").starts_with(&origin), "{}", made.header("location"));
    }
}

#[tokio::test]
async fn with_an_alias_only_records_just_created_are_on_the_host_that_was_asked() {
    let t = probe(with_alias()).await;
    let alias = "https://alias.zendesk.example/api/v2/";
    for path in ["/users?page[size]=2", "/users", "/groups", "/group_memberships?page[size]=2", "/job_statuses"] {
        let found = links(&t.get(path).await.json());
        assert!(found.iter().all(|link| link.starts_with(alias) || link.contains("/system/photos/")), "{found:?}");
    }
    for (path, body) in [("/users", json!({"user": {"name": "A"}})), ("/groups", json!({"group": {"name": "G"}}))] {
        let made = t.post(path, body).await;
        assert!(made.header("location").starts_with(&t.origin()), "{}", made.header("location"));
        assert!(links(&made.json()).iter().all(|link| link.starts_with(&t.origin())), "{}", made.text);
    }
}
