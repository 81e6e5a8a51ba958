//! What lies between a client and the account: protocol, encryption, distance, and the manners of Zendesk's edge.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the stand-in is spoken to. By default plain HTTP/1.1 on connections that stay open.
#[expect(clippy::struct_excessive_bools, reason = "every one is a setting of its own")]
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wire {
    /// Encrypts connections with a certificate for `localhost`, `127.0.0.1` and `::1`, made at the start and signed by an authority made
    /// at the start.
    pub tls: bool,
    /// File that the authority's certificate is written to, in PEM. Without `tls` nothing is written.
    pub ca_file: Option<PathBuf>,
    /// Offers HTTP/2. Without `tls` there is nothing to choose a version by: then HTTP/2 is spoken only if `http1` is off.
    pub http2: bool,
    /// Offers HTTP/1.1.
    pub http1: bool,
    /// Most streams of one HTTP/2 connection at a time; those beyond are refused with `REFUSED_STREAM`. Absent means 200.
    pub max_concurrent_streams: Option<u32>,
    /// Sends GOAWAY with every so-many-th request of an HTTP/2 connection, as an edge with a limit of requests per connection does.
    pub goaway_every: Option<u32>,
    /// The kind of GOAWAY that `goaway_every` sends.
    pub goaway: GoAway,
    /// Leaves TLS handshakes unanswered, as a hung machine does behind a load balancer that accepts connections for it.
    pub silent_handshakes: bool,
    /// Ends connections that have had no request in progress for so long. Pings do not count.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Option<Duration>,
    /// Time from the client to the stand-in and back, half of it in each direction. A new connection takes one round trip more before
    /// its first byte is seen, for TCP's handshake, which a loopback connection gets for nothing.
    #[serde(with = "humantime_serde")]
    pub round_trip: Duration,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            tls: false,
            ca_file: None,
            http2: true,
            http1: true,
            max_concurrent_streams: None,
            goaway_every: None,
            goaway: GoAway::default(),
            silent_handshakes: false,
            idle_timeout: None,
            round_trip: Duration::ZERO,
        }
    }
}

/// How an HTTP/2 connection is told that it ends (RFC 9113, section 6.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoAway {
    /// Names the last stream that is processed. Streams above it that the client has sent by then are neither processed nor
    /// answered, as nginx and Envoy do it at a limit of requests.
    #[default]
    Abrupt,
    /// Allows any stream at first, and names the last one after a round trip, so that no stream is lost.
    Polite,
}
