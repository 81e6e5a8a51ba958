//! Recent answers of Zendesk that point to a mistake which an operator has to look at.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long after the last such answer the trouble is over.
const OVER_AFTER: Duration = Duration::from_secs(50);

/// What was seen.
#[derive(Debug, Default)]
pub struct Trouble {
    /// Answers that there is no such account, or not this API, at the configured address.
    pub account_not_found: Recent,
    /// Redirects.
    pub redirected: Recent,
    /// Answers about something else than was asked for.
    pub foreign: Recent,
}

/// One kind of answer.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Option<Seen>>);

/// How often and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When the first of these answers came; a while without one ends the count.
    pub since: Instant,
    last: Instant,
    /// How often it came since then.
    pub count: u64,
}

impl Recent {
    /// Notes that it came.
    pub fn note(&self) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        *seen = Some(match *seen {
            Some(before) if !before.is_over(now) => Seen { last: now, count: before.count + 1, ..before },
            _ => Seen { since: now, last: now, count: 1 },
        });
    }

    /// Returns how often it came, unless that is over.
    pub fn read(&self) -> Option<Seen> {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|seen| !seen.is_over(Instant::now()))
    }
}

impl Seen {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= OVER_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_for_a_while_is_over_and_begins_anew() {
        let recent = Recent::default();
        assert_eq!(recent.read(), None);
        recent.note();
        recent.note();
        assert_eq!(recent.read().map(|seen| seen.count), Some(2));
        recent.0.lock().expect("no panic").as_mut().expect("seen").last -= OVER_AFTER;
        assert_eq!(recent.read(), None);
        recent.note();
        assert_eq!(recent.read().map(|seen| seen.count), Some(1));
    }
}
