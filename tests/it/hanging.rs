//! An upstream that never answers some requests, seen by callers with a real channel and deadlines of their own.

use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Request, Status};
use zendesk_gateway::config::identity::{Method, Rule};
use zendesk_gateway::contract::Risk;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::{CreateGroupRequest, GetGroupRequest, GetUserRequest, GroupInput, UpdateGroupRequest};
use zendesk_gateway::sandbox::faults::{Hang, any, get, put};

use crate::support::{TestGateway, account, key_file, refused, settings, until, with};

/// What hangs: groups whose ids begin so.
const HUNG: i64 = 77_000;

/// A gateway for callers whose keys are their names.
async fn gateway(names: &[String]) -> (TestGateway, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let keys: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let path = folder.path().join("keys");
    std::fs::write(&path, key_file(&keys)).expect("a temporary file");
    let mut config = settings();
    config.identity.methods = vec![Method::ApiKey];
    config.identity.api_keys.file = Some(path);
    let (callers, methods) = (vec!["*".to_owned()], vec!["*".to_owned()]);
    let risks = vec![Risk::Read, Risk::Write, Risk::Admin];
    config.authorization.rules = vec![Rule { callers, risks, methods, impersonate: false }];
    (TestGateway::configured(account(), config).await, folder)
}

fn of<M>(caller: &str, time: Duration, message: M) -> Request<M> {
    let mut request = with(message, &[("x-api-key", caller)]);
    request.set_timeout(time);
    request
}

fn named(name: &str) -> GroupInput {
    GroupInput { name: Some(name.to_owned()), ..GroupInput::default() }
}

/// One caller has 128 calls at Zendesk that hang. The calls of the others, 20 at once, are answered at once.
async fn besieged(callers: usize, hang: fn(Channel, i64) -> BoxFuture<'static, Result<(), Status>>) {
    const TIME: Duration = Duration::from_secs(10);
    let names: Vec<String> = (0..callers).map(|number| format!("modest-{number}")).collect();
    let all: Vec<String> = names.iter().cloned().chain(["greedy".to_owned()]).collect();
    let (t, _folder) = gateway(&all).await;
    let group = CreateGroupRequest { group: Some(named("theirs")) };
    let group = t.groups().create_group(of(&names[0], TIME, group)).await.expect("created");
    let id = group.into_inner().group.expect("set").id;
    t.sandbox.fault(get("/groups/77*"), Hang::before_headers().forever());
    t.sandbox.fault(put("/groups/77*"), Hang::before_headers().forever());
    let before = t.sandbox.total_hits();
    let mut greedy = JoinSet::new();
    // On connections of its own, each of which has room for 100.
    let connection = || Channel::from_shared(format!("http://{}", t.address)).expect("a URI").connect_lazy();
    let connections = [connection(), connection()];
    for number in 0..128 {
        let connection = &connections[usize::from(number >= 64)];
        greedy.spawn(hang(connection.clone(), HUNG + number));
    }
    until(|| t.sandbox.total_hits() >= before + 60).await;
    let began = Instant::now();
    let calls = (0..20).map(|number| {
        let (name, mut groups) = (names[number % names.len()].clone(), t.groups());
        async move {
            for round in 0..5 {
                let begun = Instant::now();
                if number % 2 == 0 {
                    let read = with(
                        GetGroupRequest { id, ..Default::default() },
                        &[("x-api-key", name.as_str()), ("x-cache-control", "no-cache")],
                    );
                    groups.get_group(read).await.expect("another's calls that hang are no matter");
                } else {
                    let change = UpdateGroupRequest {
                        id,
                        group: Some(named(&format!("{number}-{round}"))),
                        ..Default::default()
                    };
                    groups
                        .update_group(of(&name, TIME, change))
                        .await
                        .expect("another's calls that hang are no matter");
                }
                assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
            }
        }
    });
    join_all(calls).await;
    println!("{callers} callers: 100 calls took {:?}", began.elapsed());
    assert!(greedy.try_join_next().is_none(), "they hang");
    greedy.shutdown().await;
}

fn reads(channel: Channel, id: i64) -> BoxFuture<'static, Result<(), Status>> {
    let read = of("greedy", Duration::from_mins(1), GetGroupRequest { id, ..Default::default() });
    async move { GroupServiceClient::new(channel).get_group(read).await.map(drop) }.boxed()
}

fn writes(channel: Channel, id: i64) -> BoxFuture<'static, Result<(), Status>> {
    let change = UpdateGroupRequest { id, group: Some(named("hangs")), ..Default::default() };
    let write = of("greedy", Duration::from_mins(1), change);
    async move { GroupServiceClient::new(channel).update_group(write).await.map(drop) }.boxed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn reads_of_one_caller_that_hang_are_no_matter_to_the_others() {
    besieged(1, reads).await;
    besieged(19, reads).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn writes_of_one_caller_that_hang_are_no_matter_to_the_others() {
    besieged(1, writes).await;
    besieged(19, writes).await;
}

/// Its own timer ends a call without a word of why. So the gateway's answer has to be there before, whatever the way.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn callers_with_timers_of_their_own_learn_why_nothing_came() {
    // For one who is 20 ms away the timer ends so long before the gateway's clock says.
    const AWAY: Duration = Duration::from_millis(40);
    // The best counts: what else the machine does only ever adds.
    const ATTEMPTS: usize = 5;
    let t = TestGateway::start().await;
    t.users()
        .get_user(GetUserRequest { id: 1, ..Default::default() })
        .await
        .expect_err("no such user, but the connection is open");
    t.sandbox.fault(any("*"), Hang::before_headers().forever());
    for time in [Duration::from_secs(1), Duration::from_secs(2)] {
        let mut bare = usize::MAX;
        for _ in 0..ATTEMPTS {
            let calls = (0..40).map(|number| {
                let (mut users, mut groups) = (t.users(), t.groups());
                let call = async move {
                    if number % 2 == 0 {
                        let mut read = Request::new(GetUserRequest { id: 1_000 + number, ..Default::default() });
                        read.set_timeout(time);
                        return users.get_user(read).await.map(drop);
                    }
                    let mut write = Request::new(CreateGroupRequest { group: Some(named(&number.to_string())) });
                    write.set_timeout(time);
                    groups.create_group(write).await.map(drop)
                };
                tokio::time::timeout(time.saturating_sub(AWAY), call)
            });
            let answered = join_all(calls).await;
            bare = answered.iter().filter(|outcome| outcome.is_err()).count();
            for refused in answered.into_iter().flatten().map(refused) {
                // From the second attempt on, the writes of the one before may still hang.
                let reasons = ["DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN", "OVERLOADED"];
                assert!(reasons.contains(&&*refused.reason), "{:?} {}", refused.code, refused.message);
            }
            if bare == 0 {
                break;
            }
        }
        assert_eq!(bare, 0, "of 40 calls with {time:?}");
    }
    t.stop().await;
}
