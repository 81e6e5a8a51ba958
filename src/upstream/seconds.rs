//! Durations as operators read them.

use std::time::Duration;

use serde::Serializer;

/// Writes a duration as a number of seconds.
pub fn seconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}
