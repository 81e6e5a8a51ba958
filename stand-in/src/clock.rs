//! Time as the account sees it.
//!
//! The clock starts at the machine's time and then follows tokio's, so a test
//! that pauses or advances tokio's time moves windows, jobs and timestamps
//! together.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use tokio::time::Instant;

/// A moment in whole seconds since 1970: all that Zendesk shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u32);

impl Time {
    /// The moment `seconds` later.
    pub fn after(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Reads `2026-11-21` with an optional time of day; offsets are ignored,
    /// because Zendesk sends UTC only.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
        let separated = |at: usize, by: u8| text.as_bytes().get(at) == Some(&by);
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        if !separated(4, b'-') || !separated(7, b'-') || !(1970..2100).contains(&year) {
            return None;
        }
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let of_day = match text.len() {
            10 => 0,
            _ if separated(10, b'T') && separated(13, b':') => {
                number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?
            }
            _ => return None,
        };
        Some(Self(days_from_civil(year, month, day) * 86_400 + of_day))
    }

    fn civil(self) -> (u32, u32, u32, u32, u32, u32) {
        let (year, month, day) = civil_from_days(self.0 / 86_400);
        let of_day = self.0 % 86_400;
        (year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60)
    }
}

/// `2026-11-21T10:00:00Z`, the form of every timestamp.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `2022-11-30T00:00:00+00:00`, the form of custom date fields.
pub struct FieldDate(pub Time);

impl fmt::Display for FieldDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.0.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
    }
}

/// `2023-09-18 23:28:07 +0000`, the form in the messages of jobs.
pub struct JobDate(pub Time);

impl fmt::Display for JobDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.0.civil();
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000")
    }
}

/// Days since 1970-01-01 of a Gregorian date, after Hinnant's `days_from_civil`.
fn days_from_civil(year: u32, month: u32, day: u32) -> u32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: u32) -> (u32, u32, u32) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u32::from(month <= 2);
    (year, month, day)
}

/// Tells the time of one sandbox.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Duration,
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { epoch: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), started: Instant::now() }
    }

    /// The current moment as records carry it.
    pub fn now(&self) -> Time {
        let seconds = (self.epoch + self.started.elapsed()).as_secs();
        Time(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// The moment of `instant` as records carry it.
    pub fn at(&self, instant: Instant) -> Time {
        let seconds = (self.epoch + instant.saturating_duration_since(self.started)).as_secs();
        Time(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_being_written_and_read() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T23:59:59Z",
            "2024-02-29T12:00:01Z",
            "2026-11-21T10:00:00Z",
            "2099-12-31T23:59:59Z",
        ] {
            assert_eq!(Time::parse(text).expect("valid").to_string(), text);
        }
        assert_eq!(Time::parse("2020-01-01").map(|t| t.0), Some(1_577_836_800));
    }

    #[test]
    fn nonsense_is_not_a_timestamp() {
        for text in ["", "soon", "2020-13-01", "2020/01/01", "2020-01-01 10:00"] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_tokio_time() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), before.after(90));
    }
}
