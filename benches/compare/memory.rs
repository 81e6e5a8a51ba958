//! What is measured of memory.

use std::time::Duration;

use anyhow::Context as _;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{BatchGetUsersRequest, GetUserRequest, StreamUsersRequest, StreamUsersResponse};

use super::peers::{SERVER_CORE, Server};
use super::stage::Stage;
use super::stand_in::Wire;

/// Resident memory of a gateway.
pub struct Memory {
    /// Idle, in MB.
    pub idle: f64,
    /// With 100,000 users in its cache, in MB.
    pub full: f64,
    /// How many answers the cache holds then.
    pub entries: u64,
    /// How many idle connections were opened.
    pub connections: u32,
    /// What each of them takes, in kB.
    pub connection: f64,
    /// How many streams were opened.
    pub streams: u32,
    /// What each of them takes, in kB.
    pub stream: f64,
}

/// Measures memory.
pub async fn memory(stage: &Stage) -> anyhow::Result<Memory> {
    println!("memory");
    let stand_in = stage.tools.stand_in(stage.size.calls(100_000), Wire::Plain)?;
    let long = [("record.fresh", "1h"), ("record.stale_while_revalidate", "1h"), ("record.stale_if_error", "1h")];
    let mut room: Vec<(String, &str)> = long.iter().map(|(key, value)| (format!("cache.{key}"), *value)).collect();
    room.push(("cache.max_bytes".to_owned(), "268435456"));
    let room: Vec<(&str, &str)> = room.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let filled = stage.gateway("gateway-memory", SERVER_CORE, &stand_in, &room)?;
    let idle = filled.process.resident_megabytes();
    fill(&filled).await?;
    let (full, entries) = (filled.process.resident_megabytes(), entries(&filled).await?);
    drop(filled);
    let (connections, streams) = (stage.size.calls(2_000), stage.size.calls(1_000));
    // All of them are one caller's.
    let unlimited = [
        ("server.max_calls", "4096"),
        ("server.message_memory", "512MiB"),
        ("callers.max_calls", "0"),
        ("callers.max_streams", "0"),
        ("callers.message_memory_percent", "100"),
    ];
    let peopled = stage.gateway("gateway-memory", SERVER_CORE, &stand_in, &unlimited)?;
    let connection = per_connection(&peopled, connections).await?;
    let stream = per_stream(&peopled, streams).await?;
    Ok(Memory { idle, full, entries, connections, connection, streams, stream })
}

/// Reads all users into the cache.
async fn fill(gateway: &Server) -> anyhow::Result<()> {
    let mut client = UserServiceClient::new(endpoint(gateway)?.connect().await?).max_decoding_message_size(16 << 20);
    let mut ids = Vec::new();
    let mut stream = client.stream_users(gateway.asked(StreamUsersRequest::default())?).await?.into_inner();
    while let Some(message) = stream.message().await? {
        ids.extend(message.users.iter().map(|user| user.id));
    }
    for ids in ids.chunks(1_000) {
        let request = BatchGetUsersRequest { ids: ids.to_vec(), ..BatchGetUsersRequest::default() };
        client.batch_get_users(gateway.asked(request)?).await?;
    }
    // moka settles its books now and then, not with each answer.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

async fn entries(gateway: &Server) -> anyhow::Result<u64> {
    let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", gateway.admin)).await?.text().await?;
    let entries =
        metrics.lines().find_map(|line| line.strip_prefix("zendesk_gateway_cache_entries")?.split(' ').next_back());
    Ok(entries.context("the gateway counts its cached answers")?.parse()?)
}

/// Returns what each of so many connections takes, in kB, once one call on it was answered.
async fn per_connection(gateway: &Server, connections: u32) -> anyhow::Result<f64> {
    let user = first(gateway).await?;
    let before = settled(gateway).await;
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut client = UserServiceClient::new(endpoint(gateway)?.connect().await?);
        client.get_user(gateway.asked(GetUserRequest { id: user, ..Default::default() })?).await?;
        open.push(client);
    }
    Ok((settled(gateway).await - before) * 1e3 / f64::from(connections))
}

/// Returns what each of so many streams takes, in kB, whose callers have read one message and read no more. Fifty share a
/// connection.
async fn per_stream(gateway: &Server, streams: u32) -> anyhow::Result<f64> {
    first(gateway).await?;
    let before = settled(gateway).await;
    let mut open: Vec<Streaming<StreamUsersResponse>> = Vec::new();
    for _ in 0..streams / 50 {
        // Each stream stalls at its own window, the smallest there is, before the connection's.
        let endpoint = endpoint(gateway)?.initial_stream_window_size(65_535).initial_connection_window_size(16 << 20);
        let client = UserServiceClient::new(endpoint.connect().await?);
        for _ in 0..50 {
            let request = gateway.asked(StreamUsersRequest::default())?;
            let mut stream = client.clone().stream_users(request).await?.into_inner();
            stream.message().await?;
            open.push(stream);
        }
    }
    Ok((settled(gateway).await - before) * 1e3 / f64::from(streams))
}

/// Returns the first user, for whom what any stream needs was made.
async fn first(gateway: &Server) -> anyhow::Result<i64> {
    let mut client = UserServiceClient::new(endpoint(gateway)?.connect().await?);
    let mut stream = client.stream_users(gateway.asked(StreamUsersRequest::default())?).await?.into_inner();
    let message = stream.message().await?.context("the stand-in has users")?;
    Ok(message.users.first().context("the first message has users")?.id)
}

/// Returns the resident memory in MB once what was done is over.
async fn settled(gateway: &Server) -> f64 {
    tokio::time::sleep(Duration::from_secs(3)).await;
    gateway.process.resident_megabytes()
}

fn endpoint(gateway: &Server) -> anyhow::Result<Endpoint> {
    Ok(Channel::from_shared(format!("http://127.0.0.1:{}", gateway.port))?)
}
