//! Who is refused learns it before the message is read: a call of which nothing came but its headers is answered.

use prost::Message as _;

use super::*;
use crate::support::issuer::Endpoint;
use crate::support::raw::{Raw, framed};

const READS: [&str; 3] = ["UserService/GetUser", "UserService/StreamUsers", "JobService/WatchJobs"];
const CHANGES: [&str; 4] =
    ["UserService/UpdateUser", "UserService/DeleteUser", "GroupService/CreateGroup", "UserService/BulkUpdateUsers"];

fn path(rpc: &str) -> String {
    format!("/zendesk.gateway.v1.{rpc}")
}

/// Begins a call whose message never comes.
async fn answer(client: &Raw, path: &str, headers: &[(&'static str, &str)]) -> Refused {
    let call = client.begin(path, headers).await.expect("begun");
    refused::<()>(Err(call.answer().await.expect("an answer").status()))
}

#[tokio::test]
async fn a_call_that_is_refused_is_answered_although_its_message_never_comes() {
    let folder = TempDir::new().expect("a folder");
    let t = started(with_keys(&folder)).await;
    let (client, _connection) = Raw::connect(&t.address).await;
    let right = [("x-api-key", "right")];
    let mut waiting = client.begin(&path(READS[0]), &right).await.expect("begun");

    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned();
    for path in READS.into_iter().chain(CHANGES).map(path).chain([reflection]) {
        for headers in [&[][..], &[("x-api-key", "wrong")]] {
            let answer = answer(&client, &path, headers).await;
            let told = (answer.code, answer.reason.as_str());
            assert_eq!(told, (Code::Unauthenticated, "CALLER_UNAUTHENTICATED"), "{path} {headers:?}");
        }
    }
    for path in CHANGES.map(path) {
        let answer = answer(&client, &path, &right).await;
        assert_eq!((answer.code, answer.reason.as_str()), (Code::PermissionDenied, "CALLER_FORBIDDEN"), "{path}");
    }
    assert_eq!(t.sandbox.total_hits(), 0);

    let message = GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() }.encode_to_vec();
    waiting.request.send_data(framed(0, &message), true).expect("its message is waited for");
    assert_eq!(waiting.answer().await.expect("an answer").code(), Code::Ok, "who is let through is read to the end");
}

#[tokio::test]
async fn a_token_is_judged_before_the_message_comes_also_if_its_issuer_must_be_asked_first() {
    let (key, unknown) = (Key::ec("one"), Key::ec("two"));
    let endpoint = Endpoint::start(jwks(&[&key])).await;
    let t = started(tokens::from_url(&endpoint)).await;
    let (client, _connection) = Raw::connect(&t.address).await;
    for (key, rpc, code) in [
        (&unknown, READS[0], Code::Unauthenticated),
        (&unknown, CHANGES[0], Code::Unauthenticated),
        (&key, CHANGES[0], Code::PermissionDenied),
        (&key, CHANGES[1], Code::PermissionDenied),
    ] {
        tokens::later().await;
        let token = format!("Bearer {}", key.sign(&claims("billing")));
        let answer = answer(&client, &path(rpc), &[("authorization", &token)]).await;
        assert_eq!(answer.code, code, "{} {rpc}: {}", key.kid, answer.message);
    }
    assert_eq!(t.sandbox.total_hits(), 0);
}
