//! Callers who do not read what they are told.

use std::time::Duration;

use prost::Message as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::transport::Endpoint;
use zendesk_gateway::proto::bulk_event::Event;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    BulkCreateUsersRequest, GetCurrentUserRequest, StreamBulkCreateUsersRequest, StreamBulkCreateUsersResponse,
    UserInput,
};
use zendesk_gateway::sandbox::faults::{Delay, post};

use crate::support::raw::{Raw, framed};
use crate::support::{TestGateway, refused};

fn user(name: &str) -> UserInput {
    UserInput { name: Some(name.to_owned()), ..UserInput::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_not_read_hold_no_slot() {
    let t = TestGateway::start().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", t.address)).expect("a URI");
    // Nothing that is said on these streams fits into their windows.
    let deaf = UserServiceClient::new(endpoint.initial_stream_window_size(0).connect_lazy());
    let mut streams = Vec::new();
    for number in 0..40 {
        let mut client = deaf.clone();
        let first = StreamBulkCreateUsersRequest { users: vec![user(&format!("deaf {number}"))], ..Default::default() };
        // The other side stays open until the test ends.
        let messages = tokio_stream::iter([first]).chain(tokio_stream::pending());
        streams.push(client.stream_bulk_create_users(messages).await.expect("a stream"));
    }
    let begun = Instant::now();
    let wants = BulkCreateUsersRequest { users: vec![user("reads")], ..BulkCreateUsersRequest::default() };
    let reply = timeout(Duration::from_secs(20), t.users().bulk_create_users(wants)).await;
    let reply = reply.expect("in time").expect("there are slots").into_inner();
    assert_eq!(reply.jobs.len(), 1, "after {:?}", begun.elapsed());
    assert_eq!(t.sandbox.hits("/users/create_many"), 1, "nothing that was not announced is sent");
    drop(streams);
}

/// Streams one user per message, as fast as they are taken, to an account that takes its time. Returns how the stream ends.
async fn row_by_row(t: &TestGateway, rows: usize) -> Result<(), tonic::Status> {
    let message = |number: usize| StreamBulkCreateUsersRequest {
        users: vec![user(&format!("r {number}"))],
        ..Default::default()
    };
    let mut client = t.users();
    let stream = client.stream_bulk_create_users(tokio_stream::iter((0..rows).map(message))).await;
    let mut replies = stream.expect("a stream").into_inner();
    while replies.message().await?.is_some() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn rows_that_come_one_by_one_end_no_connection() {
    let t = TestGateway::start().await;
    t.sandbox.fault(post("/users/create_many"), Delay::by(Duration::from_millis(100)).forever());
    // A frame for each row: some hundred that nobody has read would end the connection.
    let (raw, connection) = Raw::connect(&t.address).await;
    let mut call = raw.begin("/zendesk.gateway.v1.UserService/StreamBulkCreateUsers", &[]).await.expect("a stream");
    for number in 0..1_000 {
        let row = StreamBulkCreateUsersRequest { users: vec![user(&format!("f {number}"))], ..Default::default() };
        call.request.send_data(framed(0, &row.encode_to_vec()), number == 999).expect("the connection is there");
        if number % 25 == 24 {
            sleep(Duration::from_millis(2)).await;
        }
    }
    let answer = call.answer().await.expect("the connection is still there");
    assert_eq!(answer.code(), Code::Ok, "{:?}", answer.trailers);
    let told =
        answer.messages.into_iter().map(|message| StreamBulkCreateUsersResponse::decode(message).expect("a reply"));
    let outcomes = told.filter_map(|reply| match reply.event?.event? {
        Event::Outcomes(told) => Some(told.outcomes.len()),
        _ => None,
    });
    assert_eq!(outcomes.sum::<usize>(), 1_000);
    assert!(!connection.is_finished());
    let other = t.users();
    // Who sends very much so ends its stream only, and learns why.
    let refused = refused(row_by_row(&t, 50_000).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "CALLER_LIMIT"));
    assert!(refused.message.contains("put a hundred rows into each"), "{}", refused.message);
    let me = other.clone().get_current_user(GetCurrentUserRequest::default()).await;
    me.expect("the connection is still there");
}
