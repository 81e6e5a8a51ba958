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

/// Type, value, whether it is verified and whether it is primary, of each.
fn told(page: &Answer) -> Vec<Value> {
    let json = page.json();
    let rows = json["identities"].as_array().expect("identities").clone();
    rows.iter().map(|row| json!([row["type"], row["value"], row["verified"], row["primary"]])).collect()
}

#[tokio::test]
async fn addresses_are_unique_over_all_identities_and_free_once_removed() {
    let t = unlimited().await;
    let one = new_user(&t, json!({"name": "A", "email": "one@x.example"})).await;
    let two = new_user(&t, json!({"name": "B", "email": "two@x.example"})).await;
    let add = |user: i64, value: &str| {
        let body = json!({"identity": {"type": "email", "value": value}});
        let (t, path) = (&t, format!("/users/{user}/identities"));
        async move { t.post(&path, body).await }
    };
    for taken in ["TWO@x.example", "one@X.example"] {
        assert_eq!(add(one, taken).await.finding("value").0, "DuplicateValue", "{taken}");
    }
    assert_eq!(add(one, "no address").await.finding("value").0, "InvalidFormat");
    let added = add(one, "three@x.example").await;
    assert_eq!(added.status, 201);
    let id = added.id("identity");
    assert_eq!(add(two, "three@x.example").await.status, 422);
    let path = format!("/users/{one}/identities/{id}");
    let renamed = t.put(&path, json!({"identity": {"value": "four@x.example"}})).await;
    assert_eq!((renamed.status, renamed.id("identity")), (200, id));
    assert_eq!(add(two, "three@x.example").await.status, 201, "it was given up");
    assert_eq!(t.put(&path, json!({"identity": {"value": "Two@x.example"}})).await.status, 422);
    assert_eq!(t.delete(&path).await.status, 204);
    assert_eq!(t.delete(&path).await.status, 404);
    assert_eq!(add(two, "four@x.example").await.status, 201);
    assert_eq!(add(7, "five@x.example").await.status, 404);
}

#[tokio::test]
async fn the_primary_address_moves_with_its_id_and_cannot_be_removed() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A", "email": "one@x.example", "verified": true})).await;
    let list = format!("/users/{id}/identities");
    let old = t.get(&list).await.ids("identities")[0];
    let added = t.post(&list, json!({"identity": {"type": "email", "value": "two@x.example"}})).await;
    let new = added.id("identity");
    let all = t.put(&format!("{list}/{new}/make_primary"), json!({})).await;
    let wanted = [json!(["email", "one@x.example", true, false]), json!(["email", "two@x.example", false, true])];
    assert_eq!(told(&all), wanted, "an agent may prefer one that is not verified");
    let mut ids = vec![old, new];
    ids.sort_unstable();
    assert_eq!(t.get(&list).await.ids("identities"), ids, "each keeps its id");
    let user = t.sandbox.store().user(id).expect("a user");
    assert_eq!((&user["email"], &user["verified"]), (&json!("two@x.example"), &json!(true)));
    assert_eq!(t.delete(&format!("{list}/{new}")).await.status, 422);
    assert_eq!(t.delete(&format!("{list}/{old}")).await.status, 204);
    let user = t.sandbox.store().user(id).expect("a user");
    assert_eq!(user["verified"], false, "the only verified one is gone");
    let verified = t.put(&format!("{list}/{new}/verify"), json!({})).await.json();
    assert_eq!((&verified["identity"]["id"], &verified["identity"]["verified"]), (&json!(new), &json!(true)));
    let mail = t.put(&format!("{list}/{new}/request_verification"), json!({})).await;
    assert_eq!((mail.status, mail.text.as_str()), (200, "\"\""));
    assert_eq!(t.put(&format!("{list}/{old}/verify"), json!({})).await.status, 404);
}

#[tokio::test]
async fn the_first_of_a_kind_is_primary_and_other_kinds_are_added_beside() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A"})).await;
    let list = format!("/users/{id}/identities");
    for (kind, value) in
        [("twitter", "a"), ("email", "a@x.example"), ("phone_number", "+15550001"), ("phone_number", "+15550002")]
    {
        let added = t.post(&list, json!({"identity": {"type": kind, "value": value, "verified": true}})).await;
        assert_eq!(added.status, 201, "{}", added.text);
    }
    let mut rows = told(&t.get(&list).await);
    rows.sort_by_key(ToString::to_string);
    assert_eq!(
        rows,
        [
            json!(["email", "a@x.example", true, true]),
            json!(["phone_number", "+15550001", true, true]),
            json!(["phone_number", "+15550002", true, false]),
            json!(["twitter", "a", true, false]),
        ]
    );
    assert_eq!(t.sandbox.store().user(id).expect("a user")["phone"], "+15550001");
    for wrong in [json!({"type": "messaging", "value": "a"}), json!({"type": "email"}), json!({"value": "a@x.example"})]
    {
        assert_eq!(t.post(&list, json!({ "identity": wrong })).await.status, 422);
    }
    let owner = t.sandbox.store().user_ids()[0];
    let own = t.get_of("/users/{}/identities", owner).await.ids("identities")[0];
    let refused = t.put(&format!("/users/{owner}/identities/{own}/verify"), json!({})).await;
    assert_eq!(refused.status, 403, "the owner's address is verified by mail");
}

#[tokio::test]
async fn tags_are_changed_at_once_and_kept_in_lower_case() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A", "tags": ["b", "a"]})).await;
    let path = format!("/users/{id}/tags");
    assert_eq!(t.get(&path).await.text, r#"{"tags":["a","b"]}"#);
    let added = t.put(&path, json!({"tags": ["VIP", "a"]})).await;
    assert_eq!((added.status, added.text.as_str()), (200, r#"{"tags":["a","b","vip"]}"#));
    let removed = t.send(Method::DELETE, &path, json!({"tags": ["A", "unknown"]})).await;
    assert_eq!((removed.status, removed.text.as_str()), (200, r#"{"tags":["b","vip"]}"#));
    let set = t.post(&path, json!({"tags": ["c"]})).await;
    assert_eq!((set.status, set.text.as_str()), (201, r#"{"tags":["c"]}"#));
    assert_eq!(t.sandbox.store().user(id).expect("a user")["tags"], json!(["c"]));
    assert_eq!(t.put("/users/7/tags", json!({"tags": ["c"]})).await.status, 404);
    assert_eq!(t.put(&path, json!({"tags": "c"})).await.status, 422);
    assert_eq!(t.put(&path, json!({})).await.status, 400);
}

#[tokio::test]
async fn custom_roles_are_listed_at_once_and_shown() {
    let t = unlimited().await;
    let all = t.get("/custom_roles?per_page=1").await;
    let ids = all.ids("custom_roles");
    assert!(ids.len() > 1 && !all.text.contains("next_page"), "{}", all.text);
    let one = t.get(&format!("/custom_roles/{}", ids[0])).await.json();
    assert_eq!(one["custom_role"], all.json()["custom_roles"][0]);
    assert!(one["custom_role"]["team_member_count"].is_u64(), "{one}");
    assert_eq!(t.get("/custom_roles/7").await.status, 404);
}
