//! Calls that are made with the caller's own credential.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::{Path, Query};
use axum::http::HeaderMap;
use axum::routing::get;
use base64::Engine as _;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::Request;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{BatchGetUsersRequest, ListUsersRequest};

use super::*;
use crate::support::{plain, serve};

async fn passing() -> TestGateway {
    signed(|_| config::Credential::PassThrough).await.0
}

fn with<M>(credential: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-zendesk-authorization", credential.parse().expect("ASCII"));
    request
}

fn basic_header(pair: &str) -> String {
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
}

#[tokio::test]
async fn a_call_is_made_with_the_callers_credential_and_no_other_metadata_reaches_zendesk() {
    let t = passing().await;
    let known = t.sandbox.config().credential.clone();
    for credential in [
        format!("Bearer {}", known.oauth_token),
        basic_header(&format!("{}/token:{}", known.email, known.api_token)),
        basic_header(&format!("{}:{}", known.email, known.password)),
    ] {
        let mut request = with(&credential, GetCurrentUserRequest::default());
        for name in ["authorization", "cookie", "x-evil", "x-forwarded-for", "user-agent", "x-request-id"] {
            request.metadata_mut().insert(name, "Bearer of-the-gateway".parse().expect("ASCII"));
        }
        let me = t.users().get_current_user(request).await.expect("the owner").into_inner();
        assert_eq!(me.user.expect("a user").email.as_ref(), Some(&known.email));
        let seen = t.sandbox.requests().pop().expect("a request").headers;
        assert_eq!(seen["authorization"], credential);
        let mut names: Vec<&str> = seen.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "accept-encoding", "authorization", "host", "user-agent"]);
        assert!(!format!("{seen:?}").contains("of-the-gateway"));
    }
}

#[tokio::test]
async fn without_one_or_with_a_wrong_one_the_caller_is_unauthenticated() {
    let t = passing().await;
    let missing = refused(t.users().get_user(GetUserRequest { id: 7, ..Default::default() }).await);
    assert_eq!((missing.code, missing.reason.as_str()), (Code::Unauthenticated, "CREDENTIAL_MISSING"));
    assert_eq!(t.sandbox.total_hits(), 0);
    let wrong =
        refused(t.users().get_user(with("Bearer wrong-secret", GetUserRequest { id: 7, ..Default::default() })).await);
    assert_eq!((wrong.code, wrong.reason.as_str()), (Code::Unauthenticated, "CREDENTIAL_REFUSED"));
    assert!(!wrong.message.contains("wrong-secret"), "{}", wrong.message);
    assert_eq!(t.sandbox.total_hits(), 1, "nobody can renew a caller's credential");
}

#[tokio::test]
async fn what_is_no_credential_is_refused_before_anything_is_sent() {
    let t = passing().await;
    let long = format!("Bearer {}", "a".repeat(5000));
    for text in ["x", "Digest abc", "Bearer", "Bearer a b", "Bearer a,b", "Basic ::", "Bearer \u{7f}", &long] {
        let Ok(value) = text.parse() else { continue };
        let mut request = Request::new(GetUserRequest { id: 7, ..Default::default() });
        request.metadata_mut().insert("x-zendesk-authorization", value);
        let refused = refused(t.users().get_user(request).await);
        assert_eq!((refused.code, refused.fields), (Code::InvalidArgument, vec!["x-zendesk-authorization".to_owned()]));
    }
    let mut twice = with("Bearer a", GetUserRequest { id: 7, ..Default::default() });
    twice.metadata_mut().append("x-zendesk-authorization", "Bearer b".parse().expect("ASCII"));
    assert_eq!(refused(t.users().get_user(twice).await).code, Code::InvalidArgument);
    assert_eq!(t.sandbox.total_hits(), 0);
}

#[tokio::test]
async fn a_gateway_with_a_credential_of_its_own_does_not_quietly_ignore_the_callers() {
    let t = TestGateway::start().await;
    let refused = refused(t.users().get_user(with("Bearer x", GetUserRequest { id: 7, ..Default::default() })).await);
    assert_eq!((refused.code, refused.fields), (Code::InvalidArgument, vec!["x-zendesk-authorization".to_owned()]));
    assert_eq!(t.sandbox.total_hits(), 0);
}

/// A Zendesk in which everybody sees other users: each is named after the credential that asked.
async fn personal() -> (url::Url, Arc<AtomicU64>) {
    let requests = Arc::<AtomicU64>::default();
    let counted = requests.clone();
    let seen = |headers: &HeaderMap| headers["authorization"].to_str().expect("ASCII").to_owned();
    let user = |id: i64, whose: &str| json!({"id": id, "name": format!("{whose} {id}"), "active": true});
    let rows = move |ids: &mut dyn Iterator<Item = i64>, whose: &str| -> Vec<Value> {
        ids.map(|id| user(id, whose)).collect()
    };
    let routes = axum::Router::new()
        .route(
            "/api/v2/users/me",
            get(move |headers: HeaderMap| async move { Json(json!({"user": user(1, &seen(&headers))})) }),
        )
        .route(
            "/api/v2/users/show_many",
            get(move |headers: HeaderMap, Query(query): Query<std::collections::HashMap<String, String>>| async move {
                tokio::task::yield_now().await;
                let mut ids = query["ids"].split(',').map(|id| id.parse().expect("an id"));
                Json(json!({"users": rows(&mut ids, &seen(&headers))}))
            }),
        )
        .route(
            "/api/v2/users/{id}",
            get(move |headers: HeaderMap, Path(id): Path<i64>| async move {
                Json(json!({"user": user(id, &seen(&headers))}))
            }),
        )
        .route(
            "/api/v2/users",
            get(move |headers: HeaderMap| async move {
                Json(json!({"users": rows(&mut (1..=20), &seen(&headers)), "meta": {"has_more": false}}))
            }),
        )
        .layer(axum::middleware::from_fn(move |request: axum::extract::Request, next: axum::middleware::Next| {
            counted.fetch_add(1, Ordering::Relaxed);
            next.run(request)
        }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, requests)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn ten_thousand_interleaved_calls_of_two_callers_never_get_each_others_answers() {
    let (url, requests) = personal().await;
    let source = Source::start(&config::Credential::PassThrough, &plain(&url), &watcher()).await.expect("no file");
    let mut config = settings();
    // Entries expire all the time, so that flights, refreshes, batches and hits all take part.
    config.cache.record.fresh = Some(Duration::from_millis(20));
    let (_address, channel, _shutdown, _served) = serve(&url, source, config).await;
    let users = UserServiceClient::new(channel);
    let calls = (0..10_000_i64).map(|call| {
        let mut users = users.clone();
        async move {
            let whose = if fastrand::bool() { "Bearer of-a" } else { "Bearer of-b" };
            let id = fastrand::i64(1..=20);
            let right = |user: &zendesk_gateway::proto::User| {
                let name = user.name.as_deref().unwrap_or_default();
                assert_eq!(name, format!("{whose} {}", user.id), "call {call}");
            };
            match fastrand::u8(0..10) {
                0 => {
                    let reply = users.get_current_user(with(whose, GetCurrentUserRequest::default())).await;
                    right(&reply.expect("a user").into_inner().user.expect("a user"));
                }
                1 => {
                    let reply = users.list_users(with(whose, ListUsersRequest::default())).await;
                    reply.expect("users").into_inner().users.iter().for_each(right);
                }
                2 => {
                    let ids = vec![id, fastrand::i64(1..=20)];
                    let reply =
                        users.batch_get_users(with(whose, BatchGetUsersRequest { ids, ..Default::default() })).await;
                    reply.expect("users").into_inner().users.iter().for_each(right);
                }
                kind => {
                    let mut request = with(whose, GetUserRequest { id, ..Default::default() });
                    if kind == 3 {
                        request.metadata_mut().insert("cache-control", "no-cache".parse().expect("ASCII"));
                    }
                    let reply = users.get_user(request).await.expect("a user").into_inner();
                    right(&reply.user.expect("a user"));
                }
            }
        }
    });
    futures_util::stream::iter(calls).buffer_unordered(64).for_each(|()| std::future::ready(())).await;
    let requests = requests.load(Ordering::Relaxed);
    assert!((100..9_000).contains(&requests), "the cache and the batches took part: {requests} requests");
}
