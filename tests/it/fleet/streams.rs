//! Streams through a follower: what ends them, and what holds them up.

use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use zendesk_gateway::proto::{
    GetUserRequest, StreamBulkCreateOrUpdateUsersRequest as Upserts, StreamUsersRequest, StreamUsersResponse, UserInput,
};
use zendesk_gateway::sandbox;

use super::metadata;
use super::support::Fleet;
use crate::support::raw::Raw;
use crate::support::{account, narrow, settings};

fn many_users() -> sandbox::Config {
    sandbox::Config { users: 2_000, ..account() }
}

fn ids(message: &StreamUsersResponse) -> Vec<i64> {
    message.users.iter().map(|user| user.id).collect()
}

#[tokio::test]
async fn a_stream_is_whole_and_says_what_it_cost() {
    let fleet = Fleet::of(many_users(), settings(), 1).await;
    let raw = Raw::connect(&fleet.followers[0].address).await.0;
    let request = StreamUsersRequest { page_size: 100, ..StreamUsersRequest::default() };
    let path = "/zendesk.gateway.v1.UserService/StreamUsers";
    let answer = raw.call(path, &[], &request).await.expect("a stream");
    let seen: Vec<i64> = answer
        .messages
        .iter()
        .flat_map(|message| ids(&StreamUsersResponse::decode(message.clone()).expect("a message")))
        .collect();
    assert_eq!(seen, fleet.sandbox.store().user_ids());
    assert_eq!(answer.trailers["x-upstream-calls"], fleet.sandbox.total_hits().to_string().as_str());
    assert_eq!(answer.trailers["grpc-status"], "0");
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_follower_that_leaves_ends_its_streams_at_a_page_and_no_others() {
    let mut fleet = Fleet::of(many_users(), settings(), 2).await;
    let request = StreamUsersRequest { page_size: 100, ..StreamUsersRequest::default() };
    let begin =
        async |address: &str| narrow(address).stream_users(request.clone()).await.expect("a stream").into_inner();
    let mut leaving = begin(&fleet.followers[0].address).await;
    let mut staying = begin(&fleet.followers[1].address).await;
    let first = leaving.message().await.expect("no error").expect("a page");
    let (mut seen, mut token) = (ids(&first), first.next_page_token);
    let mut others = ids(&staying.message().await.expect("no error").expect("a page"));
    fleet.followers[0].shut_down();
    while let Some(message) = leaving.message().await.expect("an end in order") {
        seen.extend(ids(&message));
        token = message.next_page_token;
    }
    let all = fleet.sandbox.store().user_ids();
    assert!(!token.is_empty() && seen.len() < all.len(), "{} of {}", seen.len(), all.len());
    let rest = StreamUsersRequest { page_token: token, ..request.clone() };
    let mut rest = fleet.followers[1].users().stream_users(rest).await.expect("a stream").into_inner();
    while let Some(message) = rest.message().await.expect("the rest") {
        seen.extend(ids(&message));
    }
    assert_eq!(seen, all, "nothing lost and nothing twice");
    while let Some(message) = staying.message().await.expect("no error") {
        others.extend(ids(&message));
    }
    assert_eq!(others, all, "another replica's stream goes on");
    drop(leaving);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn streams_that_nobody_reads_are_in_the_way_of_no_other_call() {
    let mut config = settings();
    config.callers.max_streams = 0;
    let fleet = Fleet::of(many_users(), config, 1).await;
    let follower = &fleet.followers[0];
    let request = StreamUsersRequest { page_size: 100, ..StreamUsersRequest::default() };
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(narrow(&follower.address).stream_users(request.clone()).await.expect("a stream"));
    }
    let other = async {
        let mut stream = follower.users().stream_users(request.clone()).await.expect("a stream").into_inner();
        let mut seen = 0;
        while let Some(message) = stream.message().await.expect("no error") {
            seen += message.users.len();
        }
        let read = follower
            .users()
            .get_user(GetUserRequest { id: fleet.user(1), ..Default::default() })
            .await
            .expect("a read");
        (seen, metadata(&read, "x-served-by"))
    };
    let other = tokio::time::timeout(Duration::from_mins(1), other).await.expect("it is not held up");
    assert_eq!(other, (fleet.sandbox.store().user_ids().len(), "leader".to_owned()));
    drop(held);
    fleet.stop().await;
}

#[tokio::test]
async fn a_stream_both_ways_goes_to_the_leader_message_by_message() {
    let fleet = Fleet::start(1).await;
    let (messages, receiver) = mpsc::channel(1);
    let upserts = |numbers: std::ops::Range<usize>| Upserts {
        users: numbers
            .map(|number| UserInput {
                name: Some(format!("S {number}")),
                external_id: Some(format!("s-{number}")),
                ..UserInput::default()
            })
            .collect(),
        ..Upserts::default()
    };
    messages.send(upserts(0..100)).await.expect("there is room");
    let stream = fleet.followers[0].users().stream_bulk_create_or_update_users(ReceiverStream::new(receiver)).await;
    let stream = stream.expect("a stream");
    assert_eq!(metadata(&stream, "x-served-by"), "leader");
    let mut replies = stream.into_inner();
    // The first hundred are sent to Zendesk while the second are not there yet.
    while fleet.sandbox.hits("/users/create_or_update_many") == 0 {
        replies.message().await.expect("no error").expect("a message");
    }
    messages.send(upserts(100..150)).await.expect("there is room");
    drop(messages);
    while replies.message().await.expect("no error").is_some() {}
    assert_eq!(fleet.sandbox.hits("/users/create_or_update_many"), 2);
    let line = fleet.leader().told("audit", |_| true).await;
    assert_eq!(line["via"], "follower-0");
    fleet.stop().await;
}
