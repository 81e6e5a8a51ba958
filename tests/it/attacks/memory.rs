//! Calls that take much memory: by messages that are unpacked, decoded, half sent, or never read, by pages of streams, by metadata,
//! by sessions of reflection and by watches. All kinds at once cost 64 MiB at most.

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use prost_types::FieldMask;
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use zendesk_gateway::proto::{
    BatchGetUsersRequest, BulkCreateUsersRequest, CreateUserRequest, StreamUsersRequest, UpdateUserRequest,
    UserIdentityInput, UserInput, WatchJobsRequest,
};
use zendesk_gateway::sandbox::{self, Sandbox};

use super::*;
use crate::support::raw::Call;

const CREATE_USER: &str = "/zendesk.gateway.v1.UserService/CreateUser";
const UPDATE_USER: &str = "/zendesk.gateway.v1.UserService/UpdateUser";
const BULK_CREATE: &str = "/zendesk.gateway.v1.UserService/BulkCreateUsers";
const STREAM_BULK: &str = "/zendesk.gateway.v1.UserService/StreamBulkCreateUsers";
const STREAM_USERS: &str = "/zendesk.gateway.v1.UserService/StreamUsers";
const WATCH_JOBS: &str = "/zendesk.gateway.v1.JobService/WatchJobs";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const BATCH_GET: &str = "/zendesk.gateway.v1.UserService/BatchGetUsers";
/// More than this no mixture of messages may cost.
const MAX_GROWTH: u64 = 64 << 20;

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(message).expect("memory");
    packed.finish().expect("memory")
}

/// Calls whose message is there but not their end, over connections of a hundred calls each.
async fn unfinished(address: &str, number: usize, path: &str, message: &Bytes, encoding: &str) -> Vec<(Raw, Call)> {
    let mut held = Vec::new();
    while held.len() < number {
        let (client, _) = Raw::connect(address).await;
        for _ in 0..100.min(number - held.len()) {
            let Ok(mut call) = client.begin(path, &[("grpc-encoding", encoding)]).await else { break };
            call.request.send_data(message.clone(), false).ok();
            held.push((client.clone(), call));
        }
    }
    held
}

/// A message just below the limit of 4 MiB, packed into a few kilobytes.
fn inflating() -> Bytes {
    let name = Some("n".repeat((4 << 20) - 100));
    let user = Some(UserInput { name, ..UserInput::default() });
    framed(1, &gzip(&CreateUserRequest { user, ..Default::default() }.encode_to_vec()))
}

/// Calls whose answers nobody reads, over connections of 75 calls each; they ask, and go on or not.
async fn unread(address: &str, number: usize, path: &str, messages: &Bytes, is_all: bool) -> Vec<(Raw, Call)> {
    let mut held = Vec::new();
    while held.len() < number {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        let (client, _) = Raw::with(address, builder).await;
        for _ in 0..75.min(number - held.len()) {
            let Ok(mut call) = client.begin(path, &[]).await else { break };
            call.request.send_data(messages.clone(), is_all).ok();
            held.push((client.clone(), call));
        }
    }
    held
}

/// Calls without a message, with as many small headers as metadata may have: in memory these take several times their bytes.
async fn with_metadata(address: &str, number: usize, path: &str) -> Vec<(Raw, Call)> {
    let names: Vec<&'static str> = (0..350).map(|number| &*Box::leak(format!("x-{number}").into_boxed_str())).collect();
    let headers: Vec<(&'static str, &str)> = names.into_iter().map(|name| (name, "v")).collect();
    let mut held = Vec::new();
    while held.len() < number {
        let (client, _) = Raw::connect(address).await;
        for _ in 0..100.min(number - held.len()) {
            let Ok(call) = client.begin(path, &headers).await else { break };
            held.push((client.clone(), call));
        }
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn messages_of_every_heavy_kind_at_once() {
    let gateway = Binary::start(&[("TELEMETRY__LOG_FILTER", "warn"), ("SANDBOX__USERS", "10000")]).await;
    let ids = gateway.ids().await;
    let id = ids[0];
    let mut users = gateway.users().await;
    let everybody: Vec<i64> = (0..3_000).map(|number| ids[0] + number).collect();
    // What is read once is in the cache, so that it does not count as the attackers'.
    let all = BatchGetUsersRequest { ids: everybody, ..Default::default() };
    users.batch_get_users(all.clone()).await.expect("it fits");
    call(&mut users, id, |made| made >= 50).await;
    let before = gateway.peak();
    let (address, number) = (gateway.address.clone(), scaled(150, 400));

    let mut held = Vec::new();
    // Small on the wire, large unpacked, and never ended.
    held.extend(unfinished(&address, number, CREATE_USER, &inflating(), "gzip").await);
    // Half of a large message, as it is.
    let half = Bytes::from([&[0][..], &(4_u32 << 20).to_be_bytes()[..], &vec![0; 50_000]].concat());
    held.extend(unfinished(&address, number, CREATE_USER, &half, "identity").await);
    // Two bytes for each record.
    let empty = BulkCreateUsersRequest { users: vec![UserInput::default(); 1_000_000], ..Default::default() };
    let empty = framed(1, &gzip(&empty.encode_to_vec()));
    held.extend(unfinished(&address, number / 4, BULK_CREATE, &empty, "gzip").await);
    let identities = vec![UserIdentityInput::default(); 1_000_000];
    let user = Some(UserInput { name: Some("n".to_owned()), identities, ..UserInput::default() });
    let nested = framed(1, &gzip(&CreateUserRequest { user, ..Default::default() }.encode_to_vec()));
    held.extend(unfinished(&address, number / 4, CREATE_USER, &nested, "gzip").await);
    // Streams whose second message is such a one, and does not end.
    let first = framed(0, &[]);
    let streams = |second: &Bytes| Bytes::from([&first[..], second].concat());
    held.extend(unfinished(&address, number / 4, STREAM_BULK, &streams(&half), "identity").await);
    held.extend(unfinished(&address, number / 4, STREAM_BULK, &streams(&inflating()), "gzip").await);
    // Large replies that nobody reads, pages of streams, descriptions, and jobs that are watched.
    let one = |message: &[u8]| framed(0, message);
    held.extend(unread(&address, number * 3 / 4, BATCH_GET, &one(&all.encode_to_vec()), true).await);
    held.extend(
        unread(&address, number, STREAM_USERS, &one(&StreamUsersRequest::default().encode_to_vec()), true).await,
    );
    let describe = MessageRequest::FileContainingSymbol("zendesk.gateway.v1.UserService".to_owned());
    let describe = ServerReflectionRequest { message_request: Some(describe), ..Default::default() }.encode_to_vec();
    held.extend(unread(&address, number * 2, REFLECTION, &one(&describe).repeat(10).into(), false).await);
    let ids = (0..10_000).map(|number| format!("{number:032x}")).collect();
    held.extend(unread(&address, 20, WATCH_JOBS, &one(&WatchJobsRequest { ids }.encode_to_vec()), true).await);
    // Metadata of calls whose message does not come, of callers and of strangers.
    held.extend(with_metadata(&address, number * 4, GET_USER).await);
    held.extend(with_metadata(&address, number * 4, CHECK).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The others are served, and their calls are small.
    let mut times = call(&mut users, id, |made| made >= 200).await;
    let grown = gateway.peak().saturating_sub(before);
    println!("{} heavy calls: memory +{} KiB, p99 {:?}", held.len(), grown >> 10, p99(&mut times));
    assert!(grown < MAX_GROWTH, "memory grew by {grown} bytes");
    let (probe, _) = Raw::connect(&address).await;
    let healthy = probe.call(CHECK, &[], &HealthCheckRequest::default()).await.expect("answered");
    assert_eq!(healthy.code(), Code::Ok);
    drop(held);
    call(&mut users, id, |made| made >= 50).await;
    let again = users.batch_get_users(all).await.expect("what was held is given back");
    assert!(!again.into_inner().users.is_empty());
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

/// Such a message has a megabyte, and takes ten times as much once it is read.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn writes_of_many_user_fields_at_once() {
    many_fields(Duration::from_millis(300), scaled(3, 10)).await;
}

/// What a write has left is not given back before the next one comes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn writes_of_many_user_fields_without_pause() {
    many_fields(Duration::from_millis(20), scaled(3, 40)).await;
}

async fn many_fields(latency: Duration, each: usize) {
    let config = sandbox::Config { latency: sandbox::Latency::Fixed(latency), ..sandbox::Config::default() };
    let sandbox = Sandbox::start(config).await.expect("a free port");
    let gateway = Binary::before(&sandbox, &[("TELEMETRY__LOG_FILTER", "warn")]).await;
    let id = gateway.ids().await[0];
    let value = || prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("v".to_owned())) };
    let fields = (0..60_000).map(|number| (format!("k{number}"), value())).collect();
    let user_fields = Some(prost_types::Struct { fields });
    let user = Some(UserInput { name: Some("n".to_owned()), user_fields, ..UserInput::default() });
    let update = |check_user_fields, paths: &[&str]| {
        let update_mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
        let update = UpdateUserRequest { id, user: user.clone(), update_mask, check_user_fields };
        (UPDATE_USER, framed(0, &update.encode_to_vec()))
    };
    let create = CreateUserRequest { user: user.clone(), check_user_fields: true };
    let writes = [
        update(false, &[]),
        update(true, &[]),
        update(true, &["user_fields", "name"]),
        (CREATE_USER, framed(0, &create.encode_to_vec())),
    ];
    let mut users = gateway.users().await;
    call(&mut users, id, |made| made >= 50).await;
    let before = gateway.peak();
    let (mut writing, address) = (JoinSet::new(), gateway.address.clone());
    for number in 0..40 {
        let (address, (path, write)) = (address.clone(), writes[number % writes.len()].clone());
        writing.spawn(async move {
            let (client, _) = Raw::connect(&address).await;
            for _ in 0..each {
                let mut call = client.begin(path, &[]).await.expect("it is let in");
                call.request.send_data(write.clone(), true).expect("it is sent");
                let _ = call.response.await;
            }
        });
    }
    writing.join_all().await;
    let grown = gateway.peak().saturating_sub(before);
    println!("writes of 60,000 user fields, 40 at a time, {latency:?}: memory +{} KiB", grown >> 10);
    assert!(grown < MAX_GROWTH, "memory grew by {grown} bytes");
}
