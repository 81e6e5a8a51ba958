//! Zendesk's address, and the settings of the HTTP clients that connect to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

mod addresses;
pub mod connector;
mod dial;
pub mod received;
mod tls;

use dial::Resolver;

pub use addresses::Addresses;
pub use dial::peer;

/// Scheme, host and port of the account, with what a client needs to speak to it.
#[derive(Clone)]
pub struct Origin {
    url: Url,
    /// Made once and shared, because each connection has a client of its own.
    tls: rustls::ClientConfig,
    addresses: Arc<Addresses>,
}

impl Origin {
    /// Reads the trusted certificates if `url` is an `https` one.
    pub fn new(url: &Url, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let tls = if url.scheme() == "https" { tls::config(ca_file)? } else { tls::none()? };
        Ok(Self { url: url.clone(), tls, addresses: Addresses::of_system() })
    }

    /// Looks the host up in another way.
    #[cfg(test)]
    #[must_use]
    pub fn found_at(self, addresses: Arc<Addresses>) -> Self {
        Self { addresses, ..self }
    }

    /// Returns the addresses of the host, and what is known of each.
    pub fn addresses(&self) -> &Arc<Addresses> {
        &self.addresses
    }

    /// Returns the address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// True if connections use TLS, which negotiates the HTTP version. Without TLS it is HTTP/1.1.
    pub fn has_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Returns a builder for a client without redirects, cookies or retries of its own; at an `https` origin it refuses `http`.
    ///
    /// Requests to an `https` origin go through the proxy that the environment names, if it names one: the proxy makes a
    /// tunnel, and sees nothing of what goes through it. A proxy for `http` would read every credential, and the only `http`
    /// origins are on this machine; so they are connected to directly, whatever the environment says.
    pub fn client(&self) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder();
        let builder = if self.has_tls() { builder } else { builder.no_proxy() };
        builder
            .user_agent(concat!("zendesk-gateway/", env!("CARGO_PKG_VERSION")))
            .https_only(self.has_tls())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .http1_max_headers(MOST_HEADERS)
            .http2_max_header_list_size(HEADER_LIST)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(Resolver::new(&self.addresses))
            .connector_layer(dial::Layer::new(&self.addresses))
    }
}

/// Why a body was not read.
#[derive(Debug)]
pub enum Unread {
    /// It is larger than the limit.
    TooLarge,
    /// It broke off, or its encoding is wrong. The URL, which can hold names, is left out.
    Broken(reqwest::Error),
}

impl Unread {
    /// Says so of a body that might have had `most` bytes.
    pub fn of_at_most(self, most: usize) -> anyhow::Error {
        match self {
            Self::TooLarge => anyhow::anyhow!("larger than {most} bytes"),
            Self::Broken(error) => anyhow::Error::new(error).context("the body"),
        }
    }
}

/// Reads a body of at most `most` bytes, counted after decompression: a small compressed one must not become gigabytes of memory.
/// Each part that arrives is told to `arrived`.
pub async fn read_body(response: &mut reqwest::Response, most: usize, arrived: impl Fn()) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    read_into(&mut body, response, most, arrived).await?;
    Ok(body)
}

/// The same into `body`, which keeps the part that came if reading fails.
pub async fn read_into(
    body: &mut Vec<u8>,
    response: &mut reqwest::Response,
    most: usize,
    arrived: impl Fn(),
) -> Result<(), Unread> {
    body.reserve_exact(announced(response, most)?);
    while let Some(part) = next_part(response, body.len(), most).await? {
        arrived();
        body.extend_from_slice(&part);
    }
    Ok(())
}

/// Returns how many bytes a response says that its body has; 0 if it does not say so.
pub fn announced(response: &reqwest::Response, most: usize) -> Result<usize, Unread> {
    let announced = usize::try_from(response.content_length().unwrap_or_default()).unwrap_or(usize::MAX);
    if announced > most { Err(Unread::TooLarge) } else { Ok(announced) }
}

/// Returns the next part of a body of which so many bytes have come; none at its end.
pub async fn next_part(response: &mut reqwest::Response, came: usize, most: usize) -> Result<Option<Bytes>, Unread> {
    let part = response.chunk().await.map_err(|error| Unread::Broken(error.without_url()))?;
    if part.as_ref().is_some_and(|part| came + part.len() > most) { Err(Unread::TooLarge) } else { Ok(part) }
}

/// Most headers of a response over HTTP/1.1: Zendesk's have some forty, and proxies add theirs.
const MOST_HEADERS: usize = 256;
/// Most bytes of a response's headers over HTTP/2.
const HEADER_LIST: u32 = 64 << 10;

/// Bytes of an answer that may come before they are read: those of a usual page. What is not read on waits at the peer.
pub const STREAM_WINDOW: u32 = 128 << 10;
/// The same for all answers of a connection, so that some that are not read on are in the way of no other.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// How long an unused connection is kept. Longer than a minute, so that a call a minute does not pay for a connection each
/// time; shorter than the middleboxes that forget connections without a word.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(220);
