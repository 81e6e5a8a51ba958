//! Zendesk's stand-in, in a process of its own: how it is spoken to, and what it has seen.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Sub;
use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::tls::Version;
use reqwest::{Certificate, Client};
use serde::Deserialize;

use zendesk_gateway::sandbox::{self, Sandbox};

use super::peers::Server;

/// What lies between a translator and Zendesk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.1 without TLS.
    Plain,
    /// TLS 1.3 and HTTP/2, as at Zendesk's edge.
    Edge,
}

/// A running stand-in.
pub struct StandIn {
    /// Its process.
    pub server: Server,
    /// Where it is asked.
    pub url: String,
    /// The authority that signed its certificate, if it speaks TLS.
    pub ca: Option<PathBuf>,
    client: Client,
}

/// Requests that a stand-in has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Seen {
    /// All.
    pub total: u64,
    /// Those that came over HTTP/2.
    pub http2: u64,
    /// Those whose answer was packed with gzip.
    pub gzipped: u64,
}

impl Sub for Seen {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let (http2, gzipped) = (self.http2 - before.http2, self.gzipped - before.gzipped);
        Self { total: self.total - before.total, http2, gzipped }
    }
}

impl StandIn {
    /// Takes over the process, which speaks TLS if there is an authority.
    pub fn new(server: Server, ca: Option<PathBuf>) -> anyhow::Result<Self> {
        let scheme = if ca.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{}", server.port);
        let pem = ca.as_ref().map(fs::read).transpose()?;
        Ok(Self { server, url, ca, client: client(pem.as_deref())? })
    }

    /// Returns the body that it answers a GET with.
    pub async fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = self.client.get(format!("{}{path}", self.url));
        let request = self.server.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        Ok(request.send().await?.error_for_status()?.bytes().await?.to_vec())
    }

    /// Returns what it has seen.
    pub async fn seen(&self) -> anyhow::Result<Seen> {
        serde_json::from_slice(&self.get("/__sandbox/stats").await?).context("the stand-in counts its requests")
    }
}

/// Returns reqwest's client as it comes; with an authority's certificate it speaks TLS 1.3 and trusts nobody else.
pub fn client(ca: Option<&[u8]>) -> reqwest::Result<Client> {
    let Some(ca) = ca else { return Ok(Client::new()) };
    Client::builder().tls_certs_only([Certificate::from_pem(ca)?]).tls_version_min(Version::TLS_1_3).build()
}

/// Serves a stand-in with so many users and without limits.
pub async fn serve_unlimited(port: u16, users: u32) -> anyhow::Result<()> {
    let mut settings = sandbox::Config { users, rate_limit: 1_000_000_000, ..sandbox::Config::default() };
    settings.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Answers say so, and the gateway goes by that instead of what Zendesk documents.
    settings.buckets.iter_mut().for_each(|bucket| bucket.total = 1_000_000_000);
    let _sandbox = Sandbox::start(settings).await?;
    std::future::pending().await
}
