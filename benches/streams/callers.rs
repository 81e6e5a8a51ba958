//! Those who want the rows.

use anyhow::ensure;
use serde::Deserialize;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use url::Url;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    StreamSearchUsersRequest, StreamUsersRequest, StreamUsersResponse, User, UserSearchFilter,
};

use super::gateway::Gateway;

#[derive(Deserialize)]
struct Page {
    users: Vec<User>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    has_more: bool,
    after_cursor: Option<String>,
}

/// Asks for page after page itself.
pub async fn direct(upstream: &Url, rows: u32) -> anyhow::Result<()> {
    // A client of its own for each walk would open a connection each time.
    static CLIENT: std::sync::OnceLock<reqwest::Client> = std::sync::OnceLock::new();
    let client = CLIENT.get_or_init(reqwest::Client::new);
    let (mut seen, mut after) = (0, None::<String>);
    loop {
        let mut url = upstream.join("/api/v2/users?page[size]=100&include_boundary_indicators=true")?;
        if let Some(cursor) = &after {
            url.query_pairs_mut().append_pair("page[after]", cursor);
        }
        let body = client.get(url).basic_auth("owner@sandbox.example/token", Some("x")).send().await?.bytes().await?;
        let page: Page = serde_json::from_slice(&body)?;
        seen += page.users.len();
        if !page.meta.has_more {
            break;
        }
        after = page.meta.after_cursor;
    }
    ensure!(seen == rows as usize, "{seen} of {rows} rows");
    Ok(())
}

/// Streams all users.
pub async fn users(gateway: &Gateway, rows: u32) -> anyhow::Result<()> {
    let mut stream = client(gateway).await?.stream_users(StreamUsersRequest::default()).await?.into_inner();
    let mut seen = 0;
    while let Some(message) = stream.message().await? {
        seen += message.users.len();
    }
    ensure!(seen == rows as usize, "{seen} of {rows} rows");
    Ok(())
}

/// Streams some users and leaves.
pub async fn some(gateway: &Gateway, rows: usize) -> anyhow::Result<()> {
    let mut stream = client(gateway).await?.stream_users(StreamUsersRequest::default()).await?.into_inner();
    let mut seen = 0;
    while seen < rows
        && let Some(message) = stream.message().await?
    {
        seen += message.users.len();
    }
    Ok(())
}

/// Streams what a search finds.
pub async fn search(gateway: &Gateway, rows: u32) -> anyhow::Result<()> {
    let filter = Some(UserSearchFilter { query: Some("type:user".to_owned()), ..UserSearchFilter::default() });
    let request = StreamSearchUsersRequest { filter, ..StreamSearchUsersRequest::default() };
    let mut stream = client(gateway).await?.stream_search_users(request).await?.into_inner();
    let mut seen = 0;
    while let Some(message) = stream.message().await? {
        seen += message.users.len();
    }
    ensure!(seen == rows as usize, "{seen} of {rows} rows");
    Ok(())
}

/// Callers who have read one message and read no more.
pub struct Stalled {
    _streams: Vec<Streaming<StreamUsersResponse>>,
}

impl Stalled {
    /// Begins so many streams, fifty on each connection.
    pub async fn begin(gateway: &Gateway, callers: u32) -> anyhow::Result<Self> {
        let mut streams = Vec::new();
        for _ in 0..callers / 50 {
            // Each stream stalls at its own window, the smallest there is, before the connection's.
            let endpoint =
                endpoint(gateway)?.initial_stream_window_size(65_535).initial_connection_window_size(16 << 20);
            let client = UserServiceClient::new(endpoint.connect().await?);
            for _ in 0..50 {
                let mut stream = client.clone().stream_users(StreamUsersRequest::default()).await?.into_inner();
                stream.message().await?;
                streams.push(stream);
            }
        }
        Ok(Self { _streams: streams })
    }
}

async fn client(gateway: &Gateway) -> anyhow::Result<UserServiceClient<Channel>> {
    Ok(UserServiceClient::new(endpoint(gateway)?.connect().await?))
}

fn endpoint(gateway: &Gateway) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::from_shared(format!("http://{}", gateway.address))?)
}
