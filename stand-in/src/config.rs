//! What a sandbox account looks like and how strictly it behaves.
//!
//! Every field has the value of a plain account as default, so a test names
//! only what it is about. Behaviour for which no recording exists is collected
//! in [`Assumptions`], so that nobody takes it for a fact.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod wire;

pub use wire::{GoAway, Wire};

/// The settings of one sandbox.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// How it is spoken to.
    pub wire: Wire,
    /// Number of live users in the seed data; deleted users come on top.
    pub users: u32,
    /// Number of live groups in the seed data; one deleted group comes on top.
    pub groups: u32,
    /// The same seed and sizes give the same records, byte for byte.
    pub seed: u64,
    /// What callers may authenticate with; the e-mail is the account owner's.
    pub credential: Credentials,
    /// Requests per rate window for the whole account.
    pub rate_limit: u32,
    /// Length of the account's rate window; tests shorten it.
    #[serde(with = "humantime_serde")]
    pub rate_window: Duration,
    /// Requests per rate window that integrations other than the caller spend.
    pub foreign_rate: u32,
    /// The limits on changing a single user.
    pub update_limits: UpdateLimits,
    /// Endpoint limits beside the account's.
    pub buckets: Vec<Bucket>,
    /// How long an answer takes.
    pub latency: Latency,
    /// Host in `url` and page links, with `https`. Absent means the host and
    /// scheme that a request was sent to, so that clients can follow the links.
    /// Recorded is also an alias of the account: with one set here, a client
    /// that follows links with its credential is found out.
    pub link_host: Option<String>,
    /// How long search and autocomplete keep seeing a record as it was before
    /// a change.
    #[serde(with = "humantime_serde")]
    pub search_lag: Duration,
    /// Background jobs.
    pub jobs: Jobs,
    /// Lifetime of a token from `POST /oauth/tokens` when the request names none.
    #[serde(with = "humantime_serde")]
    pub oauth_token_lifetime: Duration,
    /// Behaviour that no recording and no page of the vendor settles.
    pub assumptions: Assumptions,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            wire: Wire::default(),
            users: 250,
            groups: 12,
            seed: 1,
            credential: Credentials::default(),
            rate_limit: 700,
            rate_window: Duration::from_mins(1),
            foreign_rate: 0,
            update_limits: UpdateLimits::default(),
            // The limits are documented, their headers' names are assumptions.
            buckets: vec![
                Bucket {
                    name: "deleted-users-destroy".into(),
                    method: "DELETE".into(),
                    path: "/deleted_users/{deleted_user_id}".into(),
                    total: 700,
                    interval: Duration::from_mins(10),
                },
                Bucket {
                    name: "incremental-exports".into(),
                    method: "GET".into(),
                    path: "/incremental/users/cursor".into(),
                    total: 10,
                    interval: Duration::from_mins(1),
                },
                Bucket {
                    name: "search-export".into(),
                    method: "GET".into(),
                    path: "/search/export".into(),
                    total: 100,
                    interval: Duration::from_mins(1),
                },
            ],
            latency: Latency::None,
            link_host: None,
            search_lag: Duration::ZERO,
            jobs: Jobs::default(),
            oauth_token_lifetime: Duration::from_mins(30),
            assumptions: Assumptions::default(),
        }
    }
}

/// The secrets that the sandbox accepts.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credentials {
    /// E-mail of the account owner, an admin.
    pub email: String,
    /// API token: Basic `{email}/token:{api_token}` with the e-mail of any agent.
    pub api_token: String,
    /// The owner's password: Basic `{email}:{password}`.
    pub password: String,
    /// A bearer token that never expires.
    pub oauth_token: String,
    /// OAuth client that may ask for tokens with `client_credentials`.
    pub client_id: String,
    /// The secret of `client_id`.
    pub client_secret: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            email: "owner@sandbox.example".into(),
            api_token: "sandbox-api-token".into(),
            password: "sandbox-password".into(),
            oauth_token: "sandbox-oauth-token".into(),
            client_id: "sandbox-client".into(),
            client_secret: "sandbox-client-secret".into(),
        }
    }
}

/// The limits of "update user" and "create or update user".
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpdateLimits {
    /// Changes to one user per `user_interval`; 0 switches the limit off.
    pub per_user: u32,
    /// The interval of `per_user`.
    #[serde(with = "humantime_serde")]
    pub user_interval: Duration,
    /// Changes in the whole account per `account_interval`; 0 switches it off.
    pub per_account: u32,
    /// The interval of `per_account`.
    #[serde(with = "humantime_serde")]
    pub account_interval: Duration,
}

impl Default for UpdateLimits {
    fn default() -> Self {
        Self {
            per_user: 5,
            user_interval: Duration::from_mins(1),
            per_account: 1,
            account_interval: Duration::from_secs(1),
        }
    }
}

/// A limit of one endpoint, announced as `zendesk-ratelimit-{name}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// The last part of the header's name.
    pub name: String,
    /// HTTP method in capitals.
    pub method: String,
    /// Path template below `/api/v2`, such as `/users/{user_id}`.
    pub path: String,
    /// Requests per interval.
    pub total: u32,
    /// Length of the interval.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

/// How long the sandbox takes to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// As fast as it can.
    #[default]
    None,
    /// The medians and maxima of the `x-runtime` values that were recorded.
    Realistic,
    /// The same time for every answer.
    Fixed(Duration),
}

impl<'de> Deserialize<'de> for Latency {
    /// Reads `"none"`, `"realistic"` or a duration such as `"20ms"`.
    fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        use serde::de::IntoDeserializer;
        let text = String::deserialize(source)?;
        match text.as_str() {
            "none" => Ok(Self::None),
            "realistic" => Ok(Self::Realistic),
            other => humantime_serde::deserialize(other.into_deserializer()).map(Self::Fixed),
        }
    }
}

/// How background jobs run.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// Time a job stays queued before it is worked on.
    #[serde(with = "humantime_serde")]
    pub queued_for: Duration,
    /// Time the work on one item takes; progress grows with it.
    #[serde(with = "humantime_serde")]
    pub per_item: Duration,
    /// Time during which a new job is not found by its id yet.
    #[serde(with = "humantime_serde")]
    pub unseen_for: Duration,
    /// Queued and running jobs that the account may have.
    pub live_limit: usize,
    /// Whether bulk import of users is enabled; if not, `create_many` and
    /// `create_or_update_many` answer 403.
    pub bulk_import: bool,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            queued_for: Duration::from_millis(20),
            per_item: Duration::from_millis(1),
            unseen_for: Duration::ZERO,
            live_limit: 30,
            bulk_import: true,
        }
    }
}

/// Choices where evidence is missing.
#[expect(clippy::struct_excessive_bools, reason = "every assumption is a switch of its own")]
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Assumptions {
    /// Users, groups and identities leave `meta.has_more` out unless the request has
    /// `include_boundary_indicators`, as clients report of 2026. Every recording of
    /// 2023 to 2025 has it without being asked.
    pub has_more_on_request: bool,
    /// `page[size]` over 100 is cut to 100; otherwise it is refused.
    pub clamp_page_size: bool,
    /// `url` and page links carry the `.json` suffix, as all recordings do and
    /// the newest specification's examples do not.
    pub json_suffix: bool,
    /// HTTP status of the `TooManyJobs` refusal.
    pub too_many_jobs_status: u16,
    /// Two live groups may have the same name, as in 2015.
    pub duplicate_group_names: bool,
    /// The account's default group may be deleted.
    pub delete_default_group: bool,
    /// Fewest characters that autocomplete looks up; shorter names find nobody.
    pub autocomplete_min_length: usize,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            has_more_on_request: false,
            clamp_page_size: true,
            json_suffix: true,
            too_many_jobs_status: 429,
            duplicate_group_names: true,
            delete_default_group: false,
            autocomplete_min_length: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_read_by_name_or_as_a_duration() {
        let read = |text| serde_json::from_value::<Latency>(serde_json::json!(text));
        assert_eq!(read("none").expect("a name"), Latency::None);
        assert_eq!(read("realistic").expect("a name"), Latency::Realistic);
        assert_eq!(read("20ms").expect("a duration"), Latency::Fixed(Duration::from_millis(20)));
        assert!(read("soon").is_err());
    }

    #[test]
    fn the_wire_is_plain_http_1_unless_set() {
        let plain = Config::default().wire;
        assert!(!plain.tls && plain.http1 && plain.round_trip.is_zero());
        let read = serde_json::from_value::<Config>(serde_json::json!({ "wire": {
            "tls": true, "ca_file": "ca.pem", "http1": false, "max_concurrent_streams": 128, "goaway_every": 1000, "goaway": "polite",
            "idle_timeout": "3m", "round_trip": "40ms",
        } }));
        let wire = read.expect("every setting is known").wire;
        assert!(wire.tls && wire.http2 && !wire.http1 && wire.goaway == GoAway::Polite);
        assert_eq!((wire.max_concurrent_streams, wire.goaway_every), (Some(128), Some(1000)));
        assert_eq!((wire.idle_timeout, wire.round_trip), (Some(Duration::from_mins(3)), Duration::from_millis(40)));
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(
            serde_json::from_value::<Config>(serde_json::json!({"rate_limits": 1})).is_err(),
            "a misspelt key must not be taken for the default"
        );
    }
}
