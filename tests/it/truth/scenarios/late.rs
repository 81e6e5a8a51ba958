//! Writes whose callers are gone before a connection to Zendesk is there.

use super::{Arrived, Duration, Stage, grace, sleep, user, whole};
use crate::support::raw::Raw;
use tonic::Code;
use zendesk_gateway::proto::{CreateUserRequest, UserInput};

const CREATE: &str = "/zendesk.gateway.v1.UserService/CreateUser";

fn create() -> CreateUserRequest {
    CreateUserRequest {
        user: Some(UserInput { name: Some("N".to_owned()), ..UserInput::default() }),
        ..Default::default()
    }
}

async fn stage(arrived: &Arrived) -> Stage {
    let arrived = arrived.clone();
    Stage::set(move |request| {
        arrived.note(&request);
        async { whole(format!(r#"{{"user":{}}}"#, user(7))) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_write_whose_deadline_has_passed_does_not_leave_once_there_is_a_connection() {
    let arrived = Arrived::default();
    let t = stage(&arrived).await;
    let shut = t.server.shut().await;
    // This client enforces no deadline, so the status is the gateway's own.
    let (client, _connection) = Raw::connect(&t.address).await;
    let answer = client.call(CREATE, &[("grpc-timeout", "1S")], &create()).await.expect("an answer");
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    sleep(Duration::from_millis(1_500)).await;
    drop(shut);
    grace().await;
    assert_eq!(arrived.all(), Vec::<String>::new(), "its caller has been answered");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_write_that_its_caller_gave_up_does_not_leave_once_there_is_a_connection() {
    let arrived = Arrived::default();
    let t = stage(&arrived).await;
    let shut = t.server.shut().await;
    let mut users = t.users();
    let call = tokio::spawn(async move { users.create_user(create()).await.map(drop) });
    sleep(Duration::from_secs(1)).await;
    call.abort();
    sleep(Duration::from_millis(1_500)).await;
    drop(shut);
    grace().await;
    assert_eq!(arrived.all(), Vec::<String>::new(), "nobody waits for this write, and nothing of it was sent");
}
