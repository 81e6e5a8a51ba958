//! Zendesk's pages, recorded from the stand-in and replayed after a pause.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use url::Url;
use zendesk_gateway::sandbox::{self, Sandbox};

/// Serves recorded pages; one thread per connection.
pub struct Upstream {
    /// Where it listens.
    pub url: Url,
}

/// The bodies of a list's pages, by cursor or page number.
type Pages = HashMap<String, Vec<u8>>;

#[derive(Deserialize)]
struct Page {
    meta: Option<Meta>,
    next_page: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    has_more: bool,
    after_cursor: Option<String>,
}

impl Upstream {
    /// Records a list and a search of so many users, and replays them.
    pub async fn start(users: u32, latency: Duration) -> anyhow::Result<Self> {
        let pages = Arc::new(record(users).await?);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?).parse()?;
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let pages = Arc::clone(&pages);
                std::thread::spawn(move || serve(&connection, &pages, latency));
            }
        });
        Ok(Self { url })
    }
}

async fn record(users: u32) -> anyhow::Result<Pages> {
    let account = sandbox::Config { users, rate_limit: 1_000_000, ..sandbox::Config::default() };
    let sandbox = Sandbox::start(account).await?;
    let known = sandbox.config().credential.clone();
    let client = reqwest::Client::builder().gzip(false).build()?;
    let readable = reqwest::Client::new();
    let mut pages = Pages::new();
    for first in ["users?page[size]=100&include_boundary_indicators=true", "users/search?query=type:user&per_page=100"]
    {
        let (list, _) = first.split_once('?').context("a query")?;
        let (mut place, mut number) = (String::new(), 1);
        loop {
            let mut url = sandbox.base_url().join(&format!("/api/v2/{first}"))?;
            match (list, place.as_str()) {
                (_, "") => {}
                ("users", cursor) => {
                    url.query_pairs_mut().append_pair("page[after]", cursor);
                }
                (_, number) => {
                    url.query_pairs_mut().append_pair("page", number);
                }
            }
            let user = format!("{}/token", known.email);
            let get = |client: &reqwest::Client| client.get(url.clone()).basic_auth(&user, Some(&known.api_token));
            let packed = get(&client).header("accept-encoding", "gzip").send().await?.error_for_status()?;
            let page: Page = serde_json::from_slice(&get(&readable).send().await?.bytes().await?)?;
            pages.insert(format!("{list} {place}"), packed.bytes().await?.to_vec());
            number += 1;
            place = match (page.meta, page.next_page) {
                (Some(Meta { has_more: true, after_cursor: Some(cursor) }), _) => cursor,
                (None, Some(_)) => number.to_string(),
                _ => break,
            };
        }
    }
    Ok(pages)
}

fn serve(connection: &TcpStream, pages: &Pages, latency: Duration) -> Option<()> {
    connection.set_nodelay(true).ok()?;
    let mut lines = BufReader::new(connection);
    loop {
        let mut target = String::new();
        lines.read_line(&mut target).ok().filter(|read| *read > 0)?;
        let mut line = String::new();
        while lines.read_line(&mut line).ok()? > 2 {
            line.clear();
        }
        let url = Url::parse("http://replay").ok()?.join(target.split(' ').nth(1)?).ok()?;
        let place = url.query_pairs().find(|(name, _)| name == "page[after]" || name == "page");
        let place = place.map(|(_, value)| value.into_owned()).filter(|place| place != "1").unwrap_or_default();
        let body = pages.get(&format!("{} {place}", url.path().trim_start_matches("/api/v2/")))?;
        if !latency.is_zero() {
            std::thread::sleep(latency);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut connection = connection;
        connection.write_all(&[head.as_bytes(), body].concat()).ok()?;
    }
}
