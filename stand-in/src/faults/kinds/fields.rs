//! Parts of an answer that are refused when a rule is made, rather than when it acts.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

/// The status of a final answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Status(pub(in super::super) StatusCode);

impl TryFrom<u16> for Status {
    type Error = String;

    fn try_from(code: u16) -> Result<Self, String> {
        StatusCode::from_u16(code)
            .ok()
            .filter(|status| !status.is_informational())
            .map(Self)
            .ok_or_else(|| format!("{code} is not the status of an answer (200 to 999)"))
    }
}

impl From<Status> for u16 {
    fn from(status: Status) -> Self {
        status.0.as_u16()
    }
}

/// The value of a header.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderText(pub(in super::super) HeaderValue);

impl HeaderText {
    #[track_caller]
    pub(super) fn of(text: &str) -> Self {
        match Self::try_from(text.to_owned()) {
            Ok(value) => value,
            Err(problem) => panic!("{problem}"),
        }
    }
}

impl TryFrom<String> for HeaderText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        HeaderValue::from_str(&text).map(Self).map_err(|_| format!("`{text}` cannot be the value of a header"))
    }
}

impl From<HeaderText> for String {
    fn from(value: HeaderText) -> Self {
        text(&value.0)
    }
}

/// Headers of an answer; in JSON an object of texts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Headers(pub(in super::super) HeaderMap);

impl Headers {
    #[track_caller]
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match header(name, value) {
            Ok((name, value)) => self.0.insert(name, value),
            Err(problem) => panic!("{problem}"),
        };
    }
}

impl TryFrom<BTreeMap<String, String>> for Headers {
    type Error = String;

    fn try_from(headers: BTreeMap<String, String>) -> Result<Self, String> {
        headers.iter().map(|(name, value)| header(name, value)).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Headers> for BTreeMap<String, String> {
    fn from(headers: Headers) -> Self {
        headers.0.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = name.parse().map_err(|_| format!("`{name}` cannot be the name of a header"))?;
    Ok((name, HeaderText::try_from(value.to_owned())?.0))
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
