//! Identities of users.

use super::user_writes::new_user;
use super::*;

#[tokio::test]
async fn a_new_user_has_the_identities_it_came_with() {
    let t = unlimited().await;
    let id = new_user(
        &t,
        json!({"name": "A", "email": "one@x.example", "phone": "+15550001", "identities": [
            {"type": "twitter", "value": "tester84", "verified": true},
            {"type": "email", "value": "two@x.example", "verification_method": "low"},
            {"type": "phone_number", "value": "+15550002", "primary": true},
        ]}),
    )
    .await;
    let page = t.get_of("/users/{}/identities", id).await.json();
    let rows = page["identities"].as_array().expect("identities");
    let told: Vec<_> =
        rows.iter().map(|row| json!([row["type"], row["value"], row["verified"], row["primary"]])).collect();
    assert_eq!(
        told,
        [
            json!(["email", "one@x.example", false, true]),
            json!(["phone_number", "+15550001", false, true]),
            json!(["twitter", "tester84", true, false]),
            json!(["email", "two@x.example", true, false]),
            json!(["phone_number", "+15550002", false, true]),
        ]
    );
    let user = t.sandbox.store().user(id).expect("a user");
    assert_eq!(user["verified"], true, "any of the identities is verified");
}

#[tokio::test]
async fn an_identity_has_the_recorded_keys_and_can_be_shown() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A", "email": "one@x.example"})).await;
    let page = t.get_of("/users/{}/identities", id).await;
    let row = &page.json()["identities"][0];
    let at = t.sandbox.store().user(id).expect("a user")["created_at"].clone();
    let start = format!(
        "{{\"identities\":[{{\"url\":{},\"id\":{},\"user_id\":{id},\"type\":\"email\",\"value\":\"one@x.example\",\
         \"verified\":false,\"primary\":true,\"created_at\":{at},\"updated_at\":{at},\"undeliverable_count\":0,\
         \"deliverable_state\":\"deliverable\"}}]",
        row["url"], row["id"]
    );
    assert!(page.text.starts_with(&start), "{}", page.text);
    let path = row["url"].as_str().and_then(|url| url.strip_prefix(&t.origin())).expect("a link to here");
    assert_eq!(t.get(&format!("!{path}")).await.json()["identity"], *row);
    let sideloaded = t.get_of("/users/{}?include=identities", id).await.json();
    assert_eq!(sideloaded["identities"][0], *row);
}

#[tokio::test]
async fn identities_are_paged_both_ways_and_filtered_by_type() {
    let t = unlimited().await;
    let more: Vec<Value> = (0..7).map(|at| json!({"type": "email", "value": format!("{at}@x.example")})).collect();
    let id = new_user(&t, json!({"name": "A", "phone": "+15550001", "identities": more})).await;
    let list = format!("/users/{id}/identities");
    let all = t.get(&list).await;
    assert_eq!((all.json()["count"].as_i64(), all.ids("identities").len()), (Some(8), 8));
    for (size, next) in [("page[size]=3", "/links/next"), ("per_page=3", "/next_page")] {
        let (mut seen, mut query) = (Vec::new(), size.to_owned());
        loop {
            let page = t.get(&format!("{list}?{query}")).await;
            seen.extend(page.ids("identities"));
            if page.json()["meta"]["has_more"] == false || page.json().pointer(next) == Some(&Value::Null) {
                break;
            }
            query = page.link_query(next);
        }
        assert_eq!(seen, all.ids("identities"), "{size}");
    }
    let numbers = t.get(&format!("{list}?type[]=phone_number&type[]=twitter")).await.json();
    assert_eq!(numbers["identities"][0]["value"], "+15550001");
    assert_eq!(numbers["count"], 1);
}

#[tokio::test]
async fn an_identity_keeps_its_id_while_others_come() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A", "identities": [{"type": "twitter", "value": "a"}]})).await;
    let before = t.get_of("/users/{}/identities", id).await.ids("identities");
    for change in [json!({"email": "one@x.example"}), json!({"email": "two@x.example"})] {
        t.put(&format!("/users/{id}"), json!({ "user": change })).await;
    }
    let after = t.get_of("/users/{}/identities", id).await.ids("identities");
    assert!(after.len() == 3 && after.contains(&before[0]), "{before:?} {after:?}");
}

#[tokio::test]
async fn only_living_users_have_identities() {
    let t = probe(Config::default()).await;
    let gone = t.sandbox.store().deleted_user_ids()[0];
    assert_eq!(t.get_of("/users/{}/identities", gone).await.status, 404);
    assert_eq!(t.get("/users/1/identities").await.status, 404);
    let owner = t.sandbox.store().user_ids()[0];
    assert_eq!(t.get(&format!("/users/{owner}/identities/7")).await.status, 404);
}
