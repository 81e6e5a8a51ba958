//! Who may call, and what strangers are told.

use super::*;

async fn me(t: &Probe, login: &str, secret: &str) -> Answer {
    let request = t.request(Method::GET, "/users/me");
    answer(request.basic_auth(login, Some(secret))).await
}

#[tokio::test]
async fn token_password_and_bearer_all_mean_the_owner() {
    let t = probe(Config::default()).await;
    let keys = t.sandbox.config().credential.clone();
    let owner = t.get("/users/me").await.json()["user"]["id"].clone();
    assert!(owner.is_i64());
    let by_password = me(&t, &keys.email, &keys.password).await.json();
    assert_eq!(by_password["user"]["id"], owner);
    let request = t.request(Method::GET, "/users/me");
    let by_bearer = answer(request.bearer_auth(&keys.oauth_token)).await.json();
    assert_eq!(by_bearer["user"]["id"], owner);
    assert!(by_bearer["user"]["authenticity_token"].is_string());
}

#[tokio::test]
async fn strangers_and_wrong_passwords_are_anonymous_on_me() {
    let t = probe(Config::default()).await;
    let email = t.sandbox.config().credential.email.clone();
    let without = answer(t.request(Method::GET, "/users/me")).await;
    let wrong = me(&t, &email, "wrong").await;
    for answer in [without, wrong] {
        assert_eq!(answer.status, 200);
        let user = &answer.json()["user"];
        assert_eq!((&user["id"], &user["name"]), (&Value::Null, &"Anonymous user".into()));
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_even_on_me() {
    let t = probe(Config::default()).await;
    let refused = r#"{"error":"Couldn't authenticate you"}"#;
    let email = t.sandbox.config().credential.email.clone();
    let answered = me(&t, &format!("{email}/token"), "wrong").await;
    assert_eq!((answered.status, answered.text.as_str()), (401, refused));
    let request = t.request(Method::GET, "/users/me").bearer_auth("wrong");
    let answered = answer(request).await;
    assert_eq!((answered.status, &answered.json()["error"]), (401, &"invalid_token".into()));
    let answered = answer(t.request(Method::GET, "/users")).await;
    assert_eq!((answered.status, answered.text.as_str()), (401, refused));
}

#[tokio::test]
async fn a_token_speaks_for_any_agent_but_not_for_customers() {
    let t = probe(Config::default()).await;
    let store = t.sandbox.store();
    store.insert_raw_user(r#"{"id":5,"name":"A","role":"agent","email":"a@x.example"}"#);
    store.insert_raw_user(r#"{"id":6,"name":"B","role":"end-user","email":"b@x.example"}"#);
    let token = t.sandbox.config().credential.api_token.clone();
    let agent = me(&t, "a@x.example/token", &token).await;
    assert_eq!(agent.json()["user"]["id"], 5);
    assert_eq!(me(&t, "b@x.example/token", &token).await.status, 401);
}

#[tokio::test]
async fn a_bearer_token_can_be_used_on_behalf_of_a_user() {
    let t = probe(Config::default()).await;
    t.sandbox.store().insert_raw_user(r#"{"id":5,"name":"A","email":"a@x.example"}"#);
    let token = t.sandbox.config().credential.oauth_token.clone();
    for (named, status, id) in [("a@x.example", 200, 5.into()), ("5", 200, 5.into()), ("9", 401, Value::Null)] {
        let request = t.request(Method::GET, "/users/me").bearer_auth(&token);
        let answer = answer(request.header("x-on-behalf-of", named)).await;
        assert_eq!((answer.status, &answer.json()["user"]["id"]), (status, &id), "{named}");
    }
}

async fn token(t: &Probe, body: String) -> Answer {
    let request = t.request(Method::POST, "!/oauth/tokens");
    answer(request.header("content-type", "application/json").body(body)).await
}

#[tokio::test]
async fn a_client_gets_tokens_that_expire_and_can_be_revoked() {
    let t = probe(Config::default()).await;
    let keys = t.sandbox.config().credential.clone();
    let ask = |lifetime: u64| {
        format!(
            r#"{{"grant_type":"client_credentials","client_id":"{}","client_secret":"{}","scope":"read","expires_in":{lifetime}}}"#,
            keys.client_id, keys.client_secret
        )
    };
    let issued = token(&t, ask(300)).await.json();
    assert_eq!((&issued["expires_in"], &issued["token_type"]), (&300.into(), &"bearer".into()));
    let use_it = |token: &Value| {
        let token = token["access_token"].as_str().expect("a token").to_owned();
        answer(t.request(Method::GET, "/users/me").bearer_auth(token))
    };
    assert_eq!(use_it(&issued).await.status, 200);
    let spent = token(&t, ask(0)).await.json();
    assert_eq!(use_it(&spent).await.status, 401);
    t.sandbox.revoke_issued_tokens();
    assert_eq!(use_it(&issued).await.status, 401);
}

#[tokio::test]
async fn an_unknown_client_gets_no_token() {
    let t = probe(Config::default()).await;
    let body = r#"{"grant_type":"client_credentials","client_id":"x","client_secret":"y"}"#;
    let refused = token(&t, body.into()).await;
    assert_eq!((refused.status, &refused.json()["error"]), (401, &"invalid_client".into()));
    let refused = token(&t, r#"{"grant_type":"password"}"#.into()).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_rotated_credential_replaces_the_old_one() {
    let t = probe(Config::default()).await;
    let mut keys = t.sandbox.config().credential.clone();
    keys.api_token = "new".into();
    t.sandbox.rotate_credential(keys.clone());
    assert_eq!(t.get("/users/me").await.status, 401);
    assert_eq!(me(&t, &format!("{}/token", keys.email), "new").await.status, 200);
}
