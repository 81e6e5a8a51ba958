//! Requests that no gRPC server should carry out.

use http::{Method, Request};

use super::*;

const CREATE_USER: &str = "/zendesk.gateway.v1.UserService/CreateUser";

#[tokio::test]
#[ignore = "slow"]
async fn floods_of_requests_that_are_no_calls() {
    withstand("wrong content-types and methods", ATTACKERS, async |address| {
        let user = zendesk_gateway::proto::UserInput { name: Some("Page".to_owned()), ..Default::default() };
        let user = zendesk_gateway::proto::CreateUserRequest { user: Some(user), ..Default::default() };
        let body = framed(0, &user.encode_to_vec());
        let (client, _) = Raw::connect(&address).await;
        let rows = [
            (Method::POST, "text/plain", 415),
            (Method::POST, "application/json", 415),
            (Method::POST, "application/grpc-web", 415),
            (Method::POST, "", 415),
            (Method::GET, "application/grpc", 405),
            (Method::OPTIONS, "application/grpc", 405),
        ];
        for _ in 0..scaled(5, 50) {
            for (method, content_type, wanted) in &rows {
                let request = Request::builder().method(method).uri(format!("http://gateway{CREATE_USER}"));
                let request = request.header("content-type", *content_type).body(()).expect("a request");
                let answer = client.send(request, body.clone()).await.expect("answered");
                assert_eq!(answer.status, *wanted, "{method} {content_type}");
            }
        }
    })
    .await;
}
