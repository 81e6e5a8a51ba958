//! Organizations.

use super::user_writes::new_user;
use super::*;

#[tokio::test]
async fn organizations_are_listed_both_ways_sorted_counted_and_shown() {
    let t = unlimited().await;
    let held = t.sandbox.store().organization_ids();
    let page = t.get("/organizations?page[size]=2").await.json();
    assert_eq!((page["organizations"][0]["id"].as_i64(), &page["meta"]["has_more"]), (Some(held[0]), &json!(true)));
    assert_eq!(t.get("/organizations?per_page=100&sort=-id").await.ids("organizations").last(), Some(&held[0]));
    assert_eq!(t.get("/organizations/count").await.json()["count"]["value"], held.len());
    let shown = t.get_of("/organizations/{}", held[0]).await.json();
    assert_eq!(shown["organization"], page["organizations"][0]);
    let related = t.get_of("/organizations/{}/related", held[0]).await.json();
    let users = t.get_of("/organizations/{}/users/count", held[0]).await.json();
    assert_eq!(related["organization_related"]["users_count"], users["count"]["value"]);
    for path in
        ["/organizations/7", "/organizations/7/related", "/users/7/organizations", "/users/7/organizations/count"]
    {
        assert_eq!(t.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn organizations_are_found_by_ids_and_names() {
    let t = unlimited().await;
    let store = t.sandbox.store();
    let held = store.organization_ids();
    let asked = format!("{},7,{}", held[2], held[1]);
    assert_eq!(t.get_of("/organizations/show_many?ids={}", asked).await.ids("organizations"), [held[1], held[2]]);
    assert_eq!(t.get("/organizations/show_many").await.status, 400);
    let known = held.iter().filter_map(|id| store.organization(*id)).find(|one| one["external_id"].is_string());
    let known = known.expect("some have an external id");
    let text = |key: &str| known[key].as_str().expect("text").to_uppercase().replace(' ', "%20");
    let found = [known["id"].as_i64().expect("an id")];
    for path in [
        format!("/organizations/show_many?external_ids={},no", text("external_id")),
        format!("/organizations/search?external_id={}", text("external_id")),
        format!("/organizations/search?name={}", text("name")),
        format!("/organizations/autocomplete?name={}", text("name")),
    ] {
        assert_eq!(t.get(&path).await.ids("organizations"), found, "{path}");
    }
    assert_eq!(t.get("/organizations/search?name=Org").await.ids("organizations"), [] as [i64; 0]);
    assert!(t.get("/organizations/autocomplete?name=org").await.ids("organizations").len() > 2);
    for path in ["/organizations/search", "/organizations/autocomplete"] {
        assert_eq!(t.get(path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_users_organization_is_one_of_the_account() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A", "organization": {"name": "New & Co"}})).await;
    let of_user = t.get_of("/users/{}/organizations", id).await.json();
    assert_eq!(of_user["organizations"][0]["name"], "New & Co");
    assert_eq!(t.get_of("/users/{}/organizations/count", id).await.json()["count"]["value"], 1);
    let beside = t.get_of("/users/{}?include=organizations", id).await.json();
    assert_eq!(beside["organizations"], of_user["organizations"]);
}

#[tokio::test]
async fn an_organization_is_created_changed_and_deleted_and_its_users_stay() {
    let t = unlimited().await;
    let new = json!({"organization": {"name": " Acme ", "external_id": "A1", "tags": ["Big One"], "unknown": 1}});
    let made = t.post("/organizations", new).await;
    assert_eq!(made.status, 201);
    let made = made.json()["organization"].clone();
    assert_eq!(
        (&made["name"], &made["tags"], &made["domain_names"]),
        (&json!("Acme"), &json!(["big", "one"]), &json!([]))
    );
    let id = made["id"].as_i64().expect("an id");
    for (field, taken) in
        [("name", json!({"name": "ACME"})), ("external_id", json!({"name": "B", "external_id": "a1"}))]
    {
        let refused = t.post("/organizations", json!({"organization": taken})).await;
        assert_eq!((refused.status, &refused.json()["details"][field][0]["error"]), (422, &json!("DuplicateValue")));
    }
    let change = json!({"organization": {"external_id": "a1", "notes": "n", "domain_names": ["a.example"]}});
    let changed = t.post("/organizations/create_or_update", change).await;
    assert_eq!((changed.status, &changed.json()["organization"]["id"]), (200, &json!(id)));
    let other =
        t.post("/organizations/create_or_update", json!({"organization": {"name": "C", "external_id": "c"}})).await;
    assert_eq!(other.status, 201);
    let path = format!("/organizations/{id}");
    let changed = t.put(&path, json!({"organization": {"notes": null, "organization_fields": {"k": 1}}})).await.json();
    let told = &changed["organization"];
    assert_eq!((&told["notes"], &told["organization_fields"]), (&json!(null), &json!({"k": 1})));
    let user = new_user(&t, json!({"name": "A", "organization_id": id})).await;
    assert_eq!(t.delete(&path).await.status, 204);
    assert_eq!((t.get(&path).await.status, t.delete(&path).await.status), (404, 404));
    assert_eq!(t.sandbox.store().user(user).expect("it stays")["organization_id"], json!(null));
}
