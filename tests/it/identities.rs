//! Identities, tags and custom roles against the stand-in, and what a write to them does to what is cached.

use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Dynamic, TestGateway, refused};

async fn ask(client: &Dynamic, rpc: &str, request: Value) -> Value {
    let mut replies = client.call(rpc, &request.to_string()).await.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
    replies.remove(0)
}

/// A new user with an address.
async fn user(client: &Dynamic, email: &str) -> i64 {
    let reply = ask(client, "CreateUser", json!({"user": {"name": "I", "email": email}})).await;
    reply["user"]["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn an_identity_is_added_changed_verified_preferred_and_removed() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let user_id = user(&client, "one@x.example").await;
    let two = json!({"user_id": user_id, "skip_verify_email": true, "brand_id": 7,
        "identity": {"type": "IDENTITY_TYPE_EMAIL", "value": "two@x.example"}});
    let added = ask(&client, "CreateUserIdentity", two).await["identity"].clone();
    let id = added["id"].as_i64().expect("an id");
    assert_eq!((&added["type"], &added["verified"]), (&json!("IDENTITY_TYPE_EMAIL"), &json!(false)));
    let post = t.sandbox.requests().into_iter().rfind(|sent| sent.path.ends_with("identities")).expect("it was sent");
    let body: Value = serde_json::from_slice(&post.body).expect("JSON");
    let wanted = json!({"identity": {"type": "email", "value": "two@x.example", "skip_verify_email": true}});
    assert_eq!((body, post.query.as_str()), (wanted, "brand_id=7"));

    let it = json!({"user_id": user_id, "id": id});
    let verified = ask(&client, "VerifyUserIdentity", it.clone()).await;
    assert_eq!(verified["identity"]["verified"], true);
    let change = json!({"user_id": user_id, "id": id, "identity": {"value": "three@x.example", "verified": false}, "update_mask": "value"});
    let changed = ask(&client, "UpdateUserIdentity", change).await;
    assert_eq!(changed["identity"]["value"], "three@x.example");
    assert_eq!(ask(&client, "RequestUserIdentityVerification", it.clone()).await, json!({}));
    let all = ask(&client, "MakeUserIdentityPrimary", it.clone()).await;
    let primary = |row: &Value| row["primary"] == true;
    let rows = all["identities"].as_array().expect("all of them");
    assert_eq!(rows.iter().filter(|row| primary(row)).map(|row| row["id"].clone()).collect::<Vec<_>>(), [json!(id)]);
    assert_eq!(t.sandbox.store().user(user_id).expect("it is there")["email"], "three@x.example");

    let old = rows.iter().find(|row| !primary(row)).expect("the old one")["id"].clone();
    let gone = json!({"user_id": user_id, "id": old});
    ask(&client, "DeleteUserIdentity", gone.clone()).await;
    let seen = refused(client.call("GetUserIdentity", &gone.to_string()).await);
    assert_eq!((seen.code, seen.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
}

#[tokio::test]
async fn a_write_to_an_identity_and_one_to_its_user_void_what_is_kept_of_both() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let user_id = user(&client, "one@x.example").await;
    let values = async || {
        let reply = ask(&client, "ListUserIdentities", json!({"user_id": user_id})).await;
        let rows = reply["identities"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["value"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let email = async || ask(&client, "GetUser", json!({"id": user_id})).await["user"]["email"].clone();
    assert_eq!((values().await, email().await), (vec!["one@x.example".to_owned()], json!("one@x.example")));
    t.sandbox.reset_stats();
    assert_eq!((values().await.len(), email().await, t.sandbox.total_hits()), (1, json!("one@x.example"), 0), "kept");

    ask(&client, "UpdateUser", json!({"id": user_id, "user": {"email": "two@x.example"}})).await;
    assert_eq!(values().await, ["one@x.example", "two@x.example"], "the user's write is seen in the list");
    let rows = ask(&client, "ListUserIdentities", json!({"user_id": user_id})).await;
    let id = rows["identities"][1]["id"].clone();
    ask(&client, "MakeUserIdentityPrimary", json!({"user_id": user_id, "id": id})).await;
    assert_eq!(email().await, "two@x.example", "the identity's write is seen in the user");
}

#[tokio::test]
async fn identities_are_filtered_by_type_and_streamed() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let user_id = user(&client, "one@x.example").await;
    let twitter = json!({"user_id": user_id, "identity": {"type": "IDENTITY_TYPE_TWITTER", "value": "one"}});
    ask(&client, "CreateUserIdentity", twitter).await;
    let types = json!(["IDENTITY_TYPE_TWITTER", "IDENTITY_TYPE_MICROSOFT", "IDENTITY_TYPE_TWITTER"]);
    let only = json!({"user_id": user_id, "filter": {"types": types}});
    let reply = ask(&client, "ListUserIdentities", only).await;
    assert_eq!(reply["identities"].as_array().map(Vec::len), Some(1));
    let streamed = json!({"user_id": user_id, "page_size": 1}).to_string();
    let parts = client.call("StreamUserIdentities", &streamed).await.expect("a stream");
    let rows: usize = parts.iter().map(|part| part["identities"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn tags_are_added_set_and_removed_and_what_became_of_them_is_told() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let user_id = user(&client, "one@x.example").await;
    let held = async || ask(&client, "ListUserTags", json!({"user_id": user_id})).await["tag_list"]["tags"].clone();
    assert_eq!(held().await, Value::Null);
    let set = ask(&client, "SetUserTags", json!({"user_id": user_id, "tags": ["a", "VIP"]})).await;
    assert_eq!(set, json!({"tag_list": {"tags": ["a", "vip"]}, "changed": ["VIP"]}));
    let added = ask(&client, "AddUserTags", json!({"user_id": user_id, "tags": ["b", "a"]})).await;
    assert_eq!(added, json!({"tag_list": {"tags": ["a", "b", "vip"]}}));
    assert_eq!(held().await, json!(["a", "b", "vip"]), "what was kept is void");
    let removed = ask(&client, "RemoveUserTags", json!({"user_id": user_id, "tags": ["VIP", "unknown"]})).await;
    assert_eq!(removed, json!({"tag_list": {"tags": ["a", "b"]}}));
    let user = ask(&client, "GetUser", json!({"id": user_id})).await;
    assert_eq!(user["user"]["tags"], json!(["a", "b"]));
    assert_eq!(ask(&client, "SetUserTags", json!({"user_id": user_id})).await, json!({"tag_list": {}}));
    let writes = t.sandbox.requests().into_iter().filter(|sent| sent.path.ends_with("/tags") && sent.method != "GET");
    assert_eq!(writes.map(|sent| sent.method).collect::<Vec<_>>(), ["POST", "PUT", "DELETE", "POST"]);
}

#[tokio::test]
async fn the_role_of_an_agent_has_a_name_and_is_kept_from_the_list() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let listed = ask(&client, "ListCustomRoles", json!({"page_size": 1})).await;
    let roles = listed["custom_roles"].as_array().expect("roles").clone();
    assert!(roles.len() > 1 && listed["next_page_token"].is_null(), "all at once: {listed}");
    assert!(roles.iter().any(|role| role["configuration"]["ticket_access"] == "within-groups"), "{roles:?}");
    t.sandbox.reset_stats();
    for role in &roles {
        let one = ask(&client, "GetCustomRole", json!({"id": role["id"]})).await;
        assert_eq!(one["custom_role"], *role);
    }
    assert_eq!(t.sandbox.total_hits(), 0, "each is a row of the list");
    let parts = client.call("StreamCustomRoles", "{}").await.expect("a stream");
    let streamed: usize = parts.iter().map(|part| part["custom_roles"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(streamed, roles.len());
    let agent =
        t.sandbox.store().staff_ids().into_iter().find_map(|id| t.sandbox.store().user(id)?["custom_role_id"].as_i64());
    assert!(roles.iter().any(|role| role["id"].as_i64() == agent), "{agent:?}");
}
