//! Settings: a TOML file, over it `ZENDESK_GATEWAY__SECTION__KEY` environment variables, over them the flags.
//!
//! Every mistake is reported in one go and by its full key, so that a new deployment is right after one look. Secrets are
//! never settings: settings name the files that hold them.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::files;

mod bytes;
mod cache;
mod callers;
mod credential;
mod fleet;
pub mod glob;
pub mod identity;
mod load;
mod names;
mod resilience;
mod secrets;
mod server;
mod span;
mod stream;
mod telemetry;
mod tls;
mod words;

pub use cache::{Cache, Windows};
pub use callers::{Callers, Weight};
pub use credential::{Credential, CredentialKeys, CredentialKind, OauthClient};
pub use fleet::{Fleet, FleetKubernetes, FleetMode, FleetTls, address_of, host_and_port};
pub use identity::{Authorization, Identity};
pub use load::{Mistakes, Overrides, environment, load, log_format, merge, read};
pub use resilience::{Attempt, Breaker, Connection, Queue, Rate, Retry};
pub use server::{Drain, Server};
pub use stream::Stream;
pub use telemetry::{Admin, LogFormat, Otlp, Telemetry};
pub use tls::{ClientAuth, Tls};

/// Most of anything that is counted.
const MOST_OF_ANYTHING: u64 = 1_000_000_000;

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(not(feature = "sandbox"), derive(Default))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[server]`: what callers connect to.
    pub server: Server,
    /// `[identity]`: how callers prove who they are.
    pub identity: Identity,
    /// `[authorization]`: what each caller may do.
    pub authorization: Authorization,
    /// `[callers]`: what each caller may take of what all share.
    pub callers: Callers,
    /// `[upstream]`: Zendesk.
    pub upstream: Upstream,
    /// `[cache]`: answers kept in memory.
    pub cache: Cache,
    /// `[fleet]`: several replicas that are one gateway.
    pub fleet: Fleet,
    /// `[admin]`: what operators connect to.
    pub admin: Admin,
    /// `[telemetry]`: logs, traces and metrics.
    pub telemetry: Telemetry,
    /// `[sandbox]`: the embedded stand-in.
    #[cfg(feature = "sandbox")]
    #[serde(skip_serializing)]
    pub sandbox: crate::sandbox::Config,
}

/// The stand-in of a demo: an account with a realistic number of users, and the largest plan's request budget.
#[cfg(feature = "sandbox")]
const DEMO_USERS: u32 = 25_000;
#[cfg(feature = "sandbox")]
const DEMO_RATE_LIMIT: u32 = 2_500;

#[cfg(feature = "sandbox")]
impl Default for Config {
    fn default() -> Self {
        Self {
            server: Server::default(),
            identity: Identity::default(),
            authorization: Authorization::default(),
            callers: Callers::default(),
            upstream: Upstream::default(),
            cache: Cache::default(),
            fleet: Fleet::default(),
            admin: Admin::default(),
            telemetry: Telemetry::default(),
            sandbox: crate::sandbox::Config {
                users: DEMO_USERS,
                rate_limit: DEMO_RATE_LIMIT,
                ..crate::sandbox::Config::default()
            },
        }
    }
}

/// `[upstream]`: Zendesk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// `upstream.subdomain`: the account, as in `SUBDOMAIN.zendesk.com`. This or `upstream.base_url`.
    pub subdomain: Option<String>,
    /// `upstream.base_url`: where the account is served. HTTPS unless the host is loopback. No path.
    pub base_url: Option<Url>,
    /// `upstream.ca_file`: PEM file of certificates that are trusted beside the system's, for a proxy that ends TLS.
    pub ca_file: Option<PathBuf>,
    /// `upstream.max_body_bytes`: largest response body, counted after decompression. One at a time may take about ten
    /// times as much memory beside `server.message_memory`. Default 16 MiB.
    #[serde(deserialize_with = "bytes::size")]
    pub max_body_bytes: usize,
    /// `upstream.sort_fields`: fields by which lists may be sorted besides those that the contract names, as a list. Zendesk
    /// documents no complete list, and refuses those that it does not have.
    #[serde(deserialize_with = "identity::list")]
    pub sort_fields: Vec<String>,
    /// `[upstream.credential]`: the gateway's own credential.
    pub credential: CredentialKeys,
    /// `[upstream.attempt]`: how long one HTTP exchange may take.
    pub attempt: Attempt,
    /// `[upstream.connection]`: the connections.
    pub connection: Connection,
    /// `[upstream.queue]`: how many exchanges at a time, and how many calls wait.
    pub queue: Queue,
    /// `[upstream.retry]`: which failures are tried again.
    pub retry: Retry,
    /// `[upstream.breaker]`: when an endpoint class counts as broken.
    pub breaker: Breaker,
    /// `[upstream.rate]`: how the request budget is shared out.
    pub rate: Rate,
    /// `[upstream.stream]`: how the pages of streams are fetched.
    pub stream: Stream,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            subdomain: None,
            base_url: None,
            ca_file: None,
            max_body_bytes: 16 << 20,
            sort_fields: Vec::new(),
            credential: CredentialKeys::default(),
            attempt: Attempt::default(),
            connection: Connection::default(),
            queue: Queue::default(),
            retry: Retry::default(),
            breaker: Breaker::default(),
            rate: Rate::default(),
            stream: Stream::default(),
        }
    }
}

impl Upstream {
    /// Returns where Zendesk is, or what is wrong with the settings that say so.
    pub fn url(&self) -> Result<Url, String> {
        match (&self.base_url, &self.subdomain) {
            (Some(_), Some(_)) => Err("upstream.base_url: upstream.subdomain is set too; keep one".to_owned()),
            (None, None) => Err("upstream.subdomain: not set; name the account, or set upstream.base_url".to_owned()),
            (Some(url), None) => checked(url),
            (None, Some(name)) => {
                names::label(name).map_err(|problem| format!("upstream.subdomain: {problem}"))?;
                Url::parse(&format!("https://{name}.zendesk.com"))
                    .map_err(|error| format!("upstream.subdomain: {error}"))
            }
        }
    }
}

fn checked(url: &Url) -> Result<Url, String> {
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(url) => {}
        _ => return Err("upstream.base_url: must be https unless the host is loopback".to_owned()),
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || url.password().is_some() {
        return Err("upstream.base_url: must be a scheme, a host and perhaps a port, nothing more".to_owned());
    }
    Ok(url.clone())
}

/// Whether a URL's host is this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl Config {
    /// Returns what somebody may not have wanted although a gateway can run with it.
    pub fn remarks(&self) -> Vec<String> {
        let (server, write) = (&self.server, self.upstream.attempt.write_timeout);
        let needed = server.drain.announce.saturating_add(server.unary_deadline.max(write));
        let text = "server.drain.timeout: is less than server.drain.announce and the longer of server.unary_deadline and \
                    upstream.attempt.write_timeout together; writes that are then under way end with OUTCOME_UNKNOWN";
        (server.drain.timeout < needed).then(|| text.to_owned()).into_iter().collect()
    }

    /// Returns what is wrong although each single value is well-formed. With the embedded stand-in as upstream,
    /// `[upstream]` need not name one.
    pub fn mistakes(&self, sandboxed: bool) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !sandboxed {
            mistakes.extend(self.upstream.url().err());
            // The stand-in makes its own when it starts.
            let unread = self.upstream.ca_file.as_deref().and_then(|path| Some((path, files::open(path).err()?)));
            let told = |(path, error): (&Path, std::io::Error)| {
                format!("upstream.ca_file: cannot read {}: {error}", path.display())
            };
            mistakes.extend(unread.map(told));
            match self.upstream.credential.complete() {
                Err(keys) => mistakes.extend(keys),
                Ok(credential) => mistakes.extend(credential.unusable()),
            }
        }
        let positive = [
            ("upstream.max_body_bytes", self.upstream.max_body_bytes == 0),
            ("upstream.stream.parallel_pages", self.upstream.stream.parallel_pages == 0),
        ];
        mistakes.extend(
            positive
                .iter()
                .chain(&self.cache.zeros())
                .filter(|(_, zero)| *zero)
                .map(|(key, _)| format!("{key}: must be more than 0")),
        );
        mistakes.extend(self.too_large());
        mistakes.extend(self.server.mistakes());
        mistakes.extend(self.callers.mistakes());
        let share = self.server.message_memory / 100 * usize::from(self.callers.message_memory_percent);
        if share < self.server.max_response_bytes.max(self.server.max_request_bytes.saturating_mul(2)) {
            mistakes.push(
                "server.message_memory: callers.message_memory_percent of it must be at least server.max_response_bytes and \
                 twice server.max_request_bytes, or some message never fits"
                    .to_owned(),
            );
        }
        mistakes.extend(resilience::mistakes(&self.upstream));
        mistakes.extend(self.admin.mistakes());
        mistakes.extend(self.fleet.mistakes());
        mistakes.extend(self.same_address());
        mistakes.extend(self.telemetry.mistakes());
        mistakes.extend(self.identity.mistakes(&self.server));
        mistakes.extend(self.authorization.mistakes(&self.identity));
        mistakes
    }
}

impl Config {
    /// Numbers of calls, connections and the like that no machine has room for. Sizes have a limit of their own.
    fn too_large(&self) -> Vec<String> {
        fn walk(key: &str, value: &serde_json::Value, wrong: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(table) => {
                    table.iter().for_each(|(name, value)| walk(&format!("{key}.{name}"), value, wrong));
                }
                serde_json::Value::Number(number)
                    if number.as_u64().is_some_and(|number| number > MOST_OF_ANYTHING) =>
                {
                    let is_size = key.ends_with("bytes") || key.ends_with("memory");
                    let mistake =
                        format!("{}: is {number}, and must be at most {MOST_OF_ANYTHING}", key.trim_start_matches('.'));
                    wrong.extend((!is_size).then_some(mistake));
                }
                _ => {}
            }
        }
        let mut wrong = Vec::new();
        walk("", &serde_json::to_value(self).unwrap_or_default(), &mut wrong);
        wrong
    }

    /// Two ports at one address: the second cannot be opened. Port 0 is a free one for each.
    fn same_address(&self) -> Vec<String> {
        let ports = [
            ("server.listen", Some(self.server.listen)),
            ("admin.listen", Some(self.admin.listen)),
            ("fleet.listen", self.fleet.listen),
        ];
        let ports: Vec<_> = ports.into_iter().filter_map(|(key, address)| Some((key, address?))).collect();
        let same = |one: SocketAddr, other: SocketAddr| {
            let overlap = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() == other.port() && one.port() != 0 && overlap
        };
        let taken = |(at, (key, address)): (usize, &(&str, SocketAddr))| {
            let (first, _) = ports[..at].iter().find(|(_, before)| same(*before, *address))?;
            Some(format!("{key}: is {address}, and {first} takes that port; choose another"))
        };
        ports.iter().enumerate().filter_map(taken).collect()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(to, "the configuration has {count} mistake{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|mistake| write!(to, "\n  {mistake}"))
    }
}
