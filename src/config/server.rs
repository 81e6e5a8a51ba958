//! Settings of the port that callers connect to: what a peer may hold open, and how the gateway leaves.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Tls;
use super::bytes::size;

/// `[server]`: what callers connect to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// `server.listen`: address of the gRPC port. Default `127.0.0.1:50051`.
    pub listen: SocketAddr,
    /// `server.workers`: threads that serve connections; each connection stays on one. Default one per core.
    pub workers: Option<NonZeroUsize>,
    /// `server.unary_deadline`: longest a unary call may take; also the default where the caller states none. Default `30s`.
    #[serde(with = "super::span")]
    pub unary_deadline: Duration,
    /// `server.stream_deadline`: the same for streams. Default `15m`.
    #[serde(with = "super::span")]
    pub stream_deadline: Duration,
    /// `server.max_request_bytes`: largest request message, counted after decompression. Default 4 MiB.
    #[serde(deserialize_with = "size")]
    pub max_request_bytes: usize,
    /// `server.max_response_bytes`: largest response message, counted before compression. Default 16 MiB.
    #[serde(deserialize_with = "size")]
    pub max_response_bytes: usize,
    /// `server.message_memory`: most bytes that calls under way take together: requests, replies, pages of streams, large metadata
    /// and Zendesk's large answers; what does not fit is refused, or waits. Default 40 MiB.
    #[serde(deserialize_with = "size")]
    pub message_memory: usize,
    /// `server.max_calls`: most calls at a time; more are UNAVAILABLE. Health and reflection are not counted. Default 512.
    pub max_calls: usize,
    /// `server.message_timeout`: longest wait for the whole of a call's request message. Default `10s`.
    #[serde(with = "super::span")]
    pub message_timeout: Duration,
    /// `server.stream_idle_timeout`: longest wait for the next request message of a bulk stream. Default `1m`.
    #[serde(with = "super::span")]
    pub stream_idle_timeout: Duration,
    /// `server.max_connections`: most connections at a time; one more takes the place of the one that has had no call for
    /// longest, and is closed at once if all are in use. Default 4096.
    pub max_connections: usize,
    /// `server.max_connections_per_peer`: most connections at a time from one IP address; more are closed at once. 0 does not
    /// count them, which suits callers behind a proxy or a shared address. Default 0.
    pub max_connections_per_peer: usize,
    /// `server.max_streams_per_connection`: most calls at a time on one connection; clients queue further ones. Default 100.
    pub max_streams_per_connection: u32,
    /// `server.max_header_bytes`: most metadata of one call, counted as HTTP/2 counts it. Default 16384.
    #[serde(deserialize_with = "size")]
    pub max_header_bytes: u32,
    /// `server.preface_timeout`: longest from the connection to its HTTP/2 preface. Default `5s`.
    #[serde(with = "super::span")]
    pub preface_timeout: Duration,
    /// `server.keepalive_interval`: time between two pings of a connection. Default `1m`.
    #[serde(with = "super::span")]
    pub keepalive_interval: Duration,
    /// `server.keepalive_timeout`: longest wait for the answer to a ping; then the connection is closed. Default `20s`.
    #[serde(with = "super::span")]
    pub keepalive_timeout: Duration,
    /// `server.max_connection_age`: age, give or take a tenth, at which a connection is asked to end (GOAWAY), so that
    /// callers spread over new replicas. Default `15m`.
    #[serde(with = "super::span")]
    pub max_connection_age: Duration,
    /// `server.max_connection_age_grace`: how long its calls may go on after that. Default `5m`.
    #[serde(with = "super::span")]
    pub max_connection_age_grace: Duration,
    /// `server.send_timeout`: a peer that takes nothing for so long loses its call, or its connection if it does not read
    /// at all. Default `30s`.
    #[serde(with = "super::span")]
    pub send_timeout: Duration,
    /// `[server.drain]`: how the gateway leaves.
    pub drain: Drain,
    /// `[server.tls]`: TLS.
    pub tls: Tls,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            workers: None,
            unary_deadline: Duration::from_secs(30),
            stream_deadline: Duration::from_mins(15),
            max_request_bytes: 4 << 20,
            max_response_bytes: 16 << 20,
            message_memory: 40 << 20,
            max_calls: 512,
            message_timeout: Duration::from_secs(10),
            stream_idle_timeout: Duration::from_mins(1),
            max_connections: 4096,
            max_connections_per_peer: 0,
            max_streams_per_connection: 100,
            max_header_bytes: 16 << 10,
            preface_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_mins(1),
            keepalive_timeout: Duration::from_secs(20),
            max_connection_age: Duration::from_mins(15),
            max_connection_age_grace: Duration::from_mins(5),
            send_timeout: Duration::from_secs(30),
            drain: Drain::default(),
            tls: Tls::default(),
        }
    }
}

/// `[server.drain]`: how the gateway leaves after SIGTERM or SIGINT.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// `server.drain.announce`: how long the gateway says `NOT_SERVING` and still accepts, so that balancers notice before
    /// anything is refused. Default `8s`.
    #[serde(with = "super::span")]
    pub announce: Duration,
    /// `server.drain.timeout`: longest from the signal to the end; what is not done by then is cut. Default `45s`.
    #[serde(with = "super::span")]
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { announce: Duration::from_secs(8), timeout: Duration::from_secs(45) }
    }
}

impl Server {
    /// Returns what is wrong although each single value is well-formed.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let positive = [
            ("unary_deadline", self.unary_deadline.is_zero()),
            ("stream_deadline", self.stream_deadline.is_zero()),
            ("max_request_bytes", self.max_request_bytes == 0),
            ("max_response_bytes", self.max_response_bytes == 0),
            ("max_calls", self.max_calls == 0),
            ("message_timeout", self.message_timeout.is_zero()),
            ("stream_idle_timeout", self.stream_idle_timeout.is_zero()),
            ("max_connections", self.max_connections == 0),
            ("max_streams_per_connection", self.max_streams_per_connection == 0),
            ("preface_timeout", self.preface_timeout.is_zero()),
            ("keepalive_interval", self.keepalive_interval.is_zero()),
            ("keepalive_timeout", self.keepalive_timeout.is_zero()),
            ("max_connection_age", self.max_connection_age.is_zero()),
            ("max_connection_age_grace", self.max_connection_age_grace.is_zero()),
            ("send_timeout", self.send_timeout.is_zero()),
            ("drain.timeout", self.drain.timeout.is_zero()),
        ];
        let zeros = positive.iter().filter(|(_, zero)| *zero);
        let mut mistakes: Vec<String> = zeros.map(|(key, _)| format!("server.{key}: must be more than 0")).collect();
        if self.workers.is_some_and(|workers| workers.get() > 1024) {
            mistakes.push("server.workers: must be at most 1024".to_owned());
        }
        // The semaphores count no further, and no machine has so many.
        for (key, value) in [("max_calls", self.max_calls), ("max_connections", self.max_connections)] {
            if value > 1_000_000 {
                mistakes.push(format!("server.{key}: must be at most 1000000"));
            }
        }
        if self.max_header_bytes < 4096 {
            mistakes.push("server.max_header_bytes: must be at least 4096, or ordinary calls do not fit".to_owned());
        }
        if self.drain.announce >= self.drain.timeout {
            let text =
                "server.drain.announce: must be less than server.drain.timeout, which is counted from the signal";
            mistakes.push(text.to_owned());
        }
        mistakes.extend(self.tls.mistakes());
        mistakes
    }
}
