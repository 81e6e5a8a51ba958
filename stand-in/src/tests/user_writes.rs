//! Creating and changing single users.

use super::*;

pub async fn new_user(t: &Probe, user: Value) -> i64 {
    t.post("/users", json!({ "user": user })).await.id("user")
}

#[tokio::test]
async fn a_name_is_all_a_new_user_needs() {
    let t = probe(Config::default()).await;
    let made = t.post("/users", json!({"user": {"name": "Roger Wilco"}})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let user = &made.json()["user"];
    assert_eq!(user["url"], format!("{}/api/v2/users/{}.json", t.origin(), user["id"]));
    assert_eq!(made.header("location"), user["url"]);
    for (key, value) in [
        ("role", json!("end-user")),
        ("email", json!(null)),
        ("restricted_agent", json!(true)),
        ("ticket_restriction", json!("requested")),
        ("role_type", json!(null)),
        ("moderator", json!(false)),
        ("alias", json!(null)),
        ("tags", json!([])),
    ] {
        assert_eq!(user[key], value, "{key}");
    }
    let blank = t.post("/users", json!({"user": {"email": "a@b.example"}})).await;
    assert_eq!(blank.finding("name").0, "BlankValue");
    assert_eq!(t.post("/users", json!({})).await.status, 400);
}

#[tokio::test]
async fn what_is_set_is_read_back_and_null_clears_it() {
    let t = unlimited().await;
    let given = json!({"name": "A", "alias": "Al", "details": "d", "notes": "n", "external_id": "X-1",
        "phone": "+15550001", "time_zone": "Berlin", "locale": "de", "tags": ["b", "a"],
        "user_fields": {"plan": "gold", "seats": 3}});
    let id = new_user(&t, given.clone()).await;
    let user = t.get_of("/users/{}", id).await.json()["user"].clone();
    for key in ["alias", "details", "notes", "external_id", "phone", "time_zone", "locale"] {
        assert_eq!(user[key], given[key], "{key}");
    }
    assert_eq!((&user["tags"], &user["locale_id"]), (&json!(["a", "b"]), &json!(8)));
    assert_eq!(user["user_fields"]["seats"], 3);

    let path = format!("/users/{id}");
    let clear = json!({"alias": null, "notes": "", "external_id": null, "user_fields": {"seats": null}});
    let user = t.put(&path, json!({ "user": clear })).await.json()["user"].clone();
    assert_eq!((&user["alias"], &user["notes"]), (&Value::Null, &json!("")));
    assert_eq!((&user["external_id"], &user["details"]), (&Value::Null, &json!("d")));
    assert_eq!(user["user_fields"]["plan"], "gold");
    assert_eq!(user["user_fields"]["seats"], Value::Null);
}

#[tokio::test]
async fn an_address_belongs_to_one_user_whatever_its_case() {
    let t = unlimited().await;
    new_user(&t, json!({"name": "A", "email": "Ann@x.example"})).await;
    let again = t.post("/users", json!({"user": {"name": "B", "email": "aNN@X.example"}})).await;
    let description = "Email: aNN@X.example is already being used by another user";
    assert_eq!(again.finding("email"), ("DuplicateValue".into(), description.into()));
    let malformed = t.post("/users", json!({"user": {"name": "B", "email": "x"}})).await;
    assert_eq!(malformed.finding("email").1, "Email: x is not properly formatted");
}

#[tokio::test]
async fn an_updated_address_becomes_a_second_one_and_is_taken_too() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A", "email": "one@x.example"})).await;
    let path = format!("/users/{id}");
    let updated = t.put(&path, json!({"user": {"email": "two@x.example"}})).await;
    assert_eq!(updated.json()["user"]["email"], "one@x.example");
    let shown = t.get_of("/users/{}?include=identities", id).await.json();
    let identities = shown["identities"].as_array().expect("identities");
    let values: Vec<&Value> = identities.iter().map(|identity| &identity["value"]).collect();
    assert_eq!(values, ["one@x.example", "two@x.example"]);
    assert_eq!(identities[1]["primary"], false);
    let taken = t.post("/users", json!({"user": {"name": "B", "email": "TWO@x.example"}})).await;
    assert_eq!(taken.finding("email").0, "DuplicateValue");
}

#[tokio::test]
async fn an_external_id_is_unique_in_any_case() {
    let t = unlimited().await;
    new_user(&t, json!({"name": "A", "external_id": "Ian1"})).await;
    let again = t.post("/users", json!({"user": {"name": "B", "external_id": "IAN1"}})).await;
    let expected = ("DuplicateValue".into(), "External has already been taken".into());
    assert_eq!(again.finding("external_id"), expected);
}

#[tokio::test]
async fn create_or_update_finds_users_and_rewrites_the_case_of_their_external_id() {
    let t = unlimited().await;
    let path = "/users/create_or_update";
    let made = t.post(path, json!({"user": {"name": "A", "external_id": "Acct_1"}})).await;
    let id = made.id("user");
    assert_eq!(made.status, 201);
    assert!(made.header("location").ends_with(&format!("/api/v2/users/{id}.json")));
    let found = t.post(path, json!({"user": {"name": "B", "external_id": "ACCT_1", "email": "b@x.example"}})).await;
    assert_eq!((found.status, found.id("user")), (200, id));
    assert!(found.header("location").ends_with(&format!("/api/v2/users/{id}.json")));
    let user = &found.json()["user"];
    assert_eq!((&user["name"], &user["external_id"]), (&json!("B"), &json!("ACCT_1")));
    let by_email = t.post(path, json!({"user": {"name": "C", "email": "B@x.example"}})).await;
    assert_eq!((by_email.status, by_email.id("user")), (200, id));
}

#[tokio::test]
async fn unknown_attributes_are_ignored_with_a_warning() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A"})).await;
    let path = format!("/users/{id}");
    let updated = t.put(&path, json!({"user": {"id": 9, "name": "B", "shoe_size": 46}})).await;
    assert_eq!((updated.status, updated.id("user")), (200, id));
    assert_eq!(
        updated.header("x-zendesk-api-warn"),
        "{:allowed_parameters=>{:controller=>\"users\", :action=>\"update\", \
         :unpermitted_keys=>[\"user.shoe_size\"], :invalid_values=>[]}}"
    );
    let plain = t.put(&path, json!({"user": {"name": "C"}})).await;
    assert!(!plain.headers.contains_key("x-zendesk-api-warn"));
}

#[tokio::test]
async fn values_that_make_no_sense_are_refused_together() {
    let t = unlimited().await;
    let given = json!({"name": " ", "role": "king", "organization_id": 1, "time_zone": "Mars", "locale": "tlh"});
    let refused = t.post("/users", json!({ "user": given })).await;
    assert_eq!(refused.finding("organization").1, "Organization: Invalid organization");
    for field in ["name", "role", "time_zone", "locale"] {
        refused.finding(field);
    }
}

#[tokio::test]
async fn a_user_can_be_put_into_a_named_organization() {
    let t = unlimited().await;
    let vip = json!({"name": "VIP Customers"});
    let first = new_user(&t, json!({"name": "A", "organization": vip})).await;
    let second = new_user(&t, json!({"name": "B", "organization": vip})).await;
    let organization = |id: i64| t.sandbox.store().user(id).expect("a user")["organization_id"].clone();
    assert!(organization(first).is_i64());
    assert_eq!(organization(first), organization(second));
    let shown = t.get_of("/users/{}?include=organizations", first).await.json();
    assert_eq!(shown["organizations"][0]["name"], "VIP Customers");
}

#[tokio::test]
async fn a_new_agent_joins_the_default_group_and_leaves_all_as_end_user() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A", "role": "agent"})).await;
    let group = t.sandbox.store().default_group_id();
    let user = t.get_of("/users/{}", id).await.json();
    assert_eq!(user["user"]["default_group_id"], group);
    assert_eq!(t.get_of("/users/{}/groups", id).await.ids("groups"), [group]);
    let path = format!("/users/{id}");
    let user = t.put(&path, json!({"user": {"role": "end-user"}})).await.json();
    assert_eq!(user["user"]["default_group_id"], Value::Null);
    let left = t.get_of("/users/{}/group_memberships", id).await;
    assert_eq!(left.ids("group_memberships"), Vec::<i64>::new());
}

#[tokio::test]
async fn a_custom_role_makes_an_agent_of_an_end_user() {
    let t = unlimited().await;
    let given = json!({"name": "A", "role": "end-user", "custom_role_id": 6_095_000_001_433_i64});
    let id = new_user(&t, given).await;
    let user = t.get_of("/users/{}", id).await.json()["user"].clone();
    assert_eq!((&user["role"], &user["role_type"]), (&json!("agent"), &json!(1)));
}

#[tokio::test]
async fn a_picture_is_uploaded_as_a_form() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A"})).await;
    for size in [1234, 3_900_000] {
        let part = reqwest::multipart::Part::bytes(vec![7; size]).file_name("me.gif").mime_str("image/gif");
        let form = reqwest::multipart::Form::new()
            .part("user[photo][uploaded_data]", part.expect("a type"))
            .text("user[alias]", "Al");
        let path = format!("/users/{id}.json");
        let updated = answer(t.authorized(Method::PUT, &path).multipart(form)).await;
        let user = &updated.json()["user"];
        let photo = &user["photo"];
        assert_eq!((&photo["file_name"], &photo["size"]), (&json!("me.gif"), &json!(size)));
        assert_eq!((&photo["content_type"], &user["alias"]), (&json!("image/gif"), &json!("Al")));
        assert_eq!(photo["thumbnails"][0]["file_name"], "me_thumb.gif");
    }
}

#[tokio::test]
async fn a_second_direct_number_does_not_replace_the_first() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A", "phone": "+15557"})).await;
    let path = format!("/users/{id}");
    let user = t.put(&path, json!({"user": {"phone": "+15558"}})).await.json();
    assert_eq!((&user["user"]["phone"], &user["user"]["shared_phone_number"]), (&json!("+15557"), &json!(false)));
    let other = new_user(&t, json!({"name": "B", "phone": "+15557"})).await;
    let other = t.get_of("/users/{}", other).await.json();
    assert_eq!(other["user"]["shared_phone_number"], true);
}

#[tokio::test]
async fn requests_without_a_result_answer_null() {
    let t = unlimited().await;
    let asked = t.post("/users/request_create", json!({"user": {"name": "A", "email": "a@b.c"}})).await;
    assert_eq!((asked.status, asked.text.as_str()), (200, "null"));
    let out = t.post("/users/logout_many?ids=1,2", json!({})).await;
    assert_eq!((out.status, out.text.as_str()), (202, "null"));
}

#[tokio::test]
async fn agents_who_are_no_admins_change_end_users_only() {
    let t = unlimited().await;
    let agent = new_user(&t, json!({"name": "A", "role": "agent", "email": "agent@x.example"})).await;
    let colleague = new_user(&t, json!({"name": "B", "role": "agent"})).await;
    let customer = new_user(&t, json!({"name": "C"})).await;
    let token = t.sandbox.config().credential.api_token.clone();
    for (id, status) in [(agent, 200), (colleague, 403), (customer, 200)] {
        let request = t.request(Method::PUT, &format!("/users/{id}"));
        let request = request.basic_auth("agent@x.example/token", Some(&token));
        let answered = answer(request.body(r#"{"user":{"alias":"x"}}"#)).await;
        assert_eq!(answered.status, status, "{}", answered.text);
    }
    let request = t.request(Method::DELETE, "/users/destroy_many?ids=1");
    let refused = answer(request.basic_auth("agent@x.example/token", Some(&token))).await;
    assert_eq!((refused.status, &refused.json()["error"]["title"]), (403, &json!("Forbidden")));
}

#[tokio::test]
async fn a_change_runs_to_its_end_without_its_client() {
    let t = probe(Config { latency: crate::Latency::Fixed(std::time::Duration::from_millis(50)), ..Config::default() })
        .await;
    let request = t.authorized(Method::POST, "/users").body(r#"{"user":{"name":"Ghost"}}"#);
    let task = tokio::spawn(request.send());
    while t.sandbox.stats().in_flight == 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
    while t.sandbox.stats().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(t.sandbox.stats().cancelled, 1);
    while t.sandbox.store().user_ids().len() == 250 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let t = probe(Config::default()).await;
    let request = t.authorized(Method::POST, "/users").body("{");
    assert_eq!(answer(request).await.status, 422);
}
