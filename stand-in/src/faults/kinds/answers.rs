//! Faults that are answers of their own: the handler's answer, if there is one, is thrown away.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields::{HeaderText, Headers, Status};
use super::starts_with_how_often;
use crate::faults::Rule;

/// Answers with this status, body and headers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// The status, from 200 to 999.
    pub(in super::super) status: Status,
    /// The body, empty by default.
    #[serde(default)]
    pub(in super::super) body: String,
    /// The content type; absent means no such header.
    #[serde(default)]
    pub(in super::super) content_type: Option<HeaderText>,
    /// Further headers.
    #[serde(default)]
    pub(in super::super) headers: Headers,
}

impl Respond {
    /// Answers with `status` and an empty body.
    ///
    /// # Panics
    ///
    /// Panics when no final answer can have this status.
    #[track_caller]
    pub fn with(status: u16) -> Rule<Self> {
        match Status::try_from(status) {
            Ok(status) => {
                Rule::of(Self { status, body: String::new(), content_type: None, headers: Headers::default() })
            }
            Err(problem) => panic!("{problem}"),
        }
    }
}

impl Rule<Respond> {
    /// Answers with this body as `application/json; charset=utf-8`.
    #[expect(clippy::needless_pass_by_value, reason = "call sites pass json!(…), where a reference is noise")]
    pub fn json(self, body: serde_json::Value) -> Self {
        self.body("application/json; charset=utf-8", body.to_string())
    }

    /// Answers with this body as `text/plain; charset=utf-8`.
    pub fn text(self, body: impl Into<String>) -> Self {
        self.body("text/plain; charset=utf-8", body)
    }

    /// Answers with this body and content type.
    ///
    /// # Panics
    ///
    /// Panics when the content type cannot stand in a header.
    #[track_caller]
    pub fn body(self, content_type: &str, body: impl Into<String>) -> Self {
        let content_type = HeaderText::of(content_type);
        self.with(|respond| {
            respond.content_type = Some(content_type);
            respond.body = body.into();
        })
    }

    /// Sets a header.
    ///
    /// # Panics
    ///
    /// Panics when the name or the value cannot stand in a header.
    #[track_caller]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|respond| respond.headers.set(name, value))
    }

    /// Sets `Retry-After` in seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header("retry-after", &seconds.to_string())
    }
}

/// Answers 429 as Zendesk does, by default the JSON shape with `Retry-After: 1`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Throttle {
    /// What `Retry-After` says.
    pub(in super::super) retry_after: RetryAfter,
    /// Which of the recorded bodies it has.
    pub(in super::super) shape: Shape,
    /// Further headers, such as the bucket that was exhausted.
    pub(in super::super) headers: Headers,
}

/// What a `Retry-After` header says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// A number of seconds, which is what Zendesk sends.
    Seconds(u64),
    /// An HTTP date this far ahead. Such a date has whole seconds: it is rounded up, so as never to come early.
    DateIn(#[serde(with = "humantime_serde")] Duration),
    /// Any text, for example one that is neither a number nor a date.
    Text(HeaderText),
    /// There is no such header.
    Absent,
}

impl Default for RetryAfter {
    fn default() -> Self {
        Self::Seconds(1)
    }
}

/// The bodies in which Zendesk was seen to say 429.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// `{"error": "APIRateLimitExceeded", "description": …}`.
    #[default]
    Error,
    /// `{"errors": [{"code": "TooManyRequests", …}]}`.
    Errors,
    /// The description alone as plain text.
    Text,
}

impl Rule<Throttle> {
    /// Asks for a wait of this many seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with(|throttle| throttle.retry_after = RetryAfter::Seconds(seconds))
    }

    /// Asks for a wait until a date this far ahead.
    pub fn retry_after_date(self, ahead: Duration) -> Self {
        self.with(|throttle| throttle.retry_after = RetryAfter::DateIn(ahead))
    }

    /// Sends this text as `Retry-After`.
    ///
    /// # Panics
    ///
    /// Panics when the text cannot stand in a header.
    #[track_caller]
    pub fn retry_after_text(self, text: &str) -> Self {
        let text = HeaderText::of(text);
        self.with(|throttle| throttle.retry_after = RetryAfter::Text(text))
    }

    /// Sends no `Retry-After`.
    pub fn without_retry_after(self) -> Self {
        self.with(|throttle| throttle.retry_after = RetryAfter::Absent)
    }

    /// Says it in this shape.
    pub fn shaped(self, shape: Shape) -> Self {
        self.with(|throttle| throttle.shape = shape)
    }

    /// Sets a header, such as `zendesk-ratelimit-users-index: total=100; remaining=0; resets=43`.
    ///
    /// # Panics
    ///
    /// Panics when the name or the value cannot stand in a header.
    #[track_caller]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|throttle| throttle.headers.set(name, value))
    }
}

/// Answers with a page made for browsers, as proxies in front of Zendesk do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Html {
    /// Which page.
    pub(in super::super) page: Page,
}

/// Whose page it is, and with which status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// 200 and a sign-in page.
    Ok,
    /// nginx: 502 Bad Gateway.
    #[serde(rename = "nginx_502")]
    Nginx502,
    /// Cloudflare: 520, the origin's answer made no sense.
    #[serde(rename = "cloudflare_520")]
    Cloudflare520,
    /// Cloudflare: 524, the origin took too long.
    #[serde(rename = "cloudflare_524")]
    Cloudflare524,
}

impl Html {
    /// Answers 200 with a sign-in page.
    pub fn ok() -> Rule<Self> {
        Rule::of(Self { page: Page::Ok })
    }

    /// Answers 502 with nginx's page.
    pub fn nginx_502() -> Rule<Self> {
        Rule::of(Self { page: Page::Nginx502 })
    }

    /// Answers 520 with a Cloudflare page.
    pub fn cloudflare_520() -> Rule<Self> {
        Rule::of(Self { page: Page::Cloudflare520 })
    }

    /// Answers 524 with a Cloudflare page.
    pub fn cloudflare_524() -> Rule<Self> {
        Rule::of(Self { page: Page::Cloudflare524 })
    }
}

/// Answers 409 in plain text, as Zendesk does when two creations of one user collide.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflict {}

/// Answers 200 as JSON without a body.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

starts_with_how_often!(Throttle, Conflict, Empty);
