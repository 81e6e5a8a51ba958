//! Durations: as people write them, and none that a clock could not count.

use std::time::Duration;

use humantime_serde::Serde;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// No duration is longer: what is added to the time of now must be a time.
const MOST: Duration = Duration::from_hours(24 * 366 * 100);

/// A duration, or one that need not be set.
pub(super) trait Span {
    fn longest(&self) -> Duration;
}

impl Span for Duration {
    fn longest(&self) -> Duration {
        *self
    }
}

impl Span for Option<Duration> {
    fn longest(&self) -> Duration {
        self.unwrap_or_default()
    }
}

pub(super) fn serialize<T, S: Serializer>(span: &T, to: S) -> Result<S::Ok, S::Error>
where
    for<'a> Serde<&'a T>: Serialize,
{
    humantime_serde::serialize(span, to)
}

pub(super) fn deserialize<'de, T: Span, D: Deserializer<'de>>(from: D) -> Result<T, D::Error>
where
    Serde<T>: Deserialize<'de>,
{
    let span: T = humantime_serde::deserialize(from)?;
    if span.longest() > MOST { Err(D::Error::custom("is more than 100 years")) } else { Ok(span) }
}
