//! Recent answers of Zendesk that point to a mistake which an operator has to look at.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long after the last such answer the trouble is over.
const OVER_AFTER: Duration = Duration::from_secs(50);
/// How long it is if nothing succeeds: with few calls, there may be none in between.
const OVER_WITHOUT_SUCCESS: Duration = Duration::from_mins(5);

/// What was seen.
#[derive(Debug, Default)]
pub struct Trouble {
    /// Answers that there is no such account, or not this API, at the configured address.
    pub not_there: NotThere,
    /// What Zendesk answered at the start, if the gateway is not ready for it.
    kept_out: Mutex<Option<KeptOut>>,
    /// Redirects.
    pub redirected: Recent,
    /// Answers about something else than was asked for.
    pub foreign: Recent,
}

/// An answer to the first question about the credential with which every call would fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptOut {
    /// What it means.
    pub means: Meaning,
    /// The answer's status.
    pub status: u16,
}

/// What such an answer means: the kind of the finding that calls would be, what it is, and what to do.
pub type Meaning = (&'static str, &'static str, &'static str);
/// 401, 403, or an anonymous user.
pub const CREDENTIAL: Meaning = (
    "credential_refused",
    "Zendesk refuses the gateway's credential",
    "put a valid one where upstream.credential says",
);
/// 404.
pub const ACCOUNT: Meaning = (
    "account_not_found",
    "Zendesk has no such account, or not this API, at this address",
    "check upstream.subdomain or upstream.base_url, and whether the account is closed",
);
/// A redirect.
pub const REDIRECTED: Meaning =
    ("redirected", "Requests are redirected instead of answered", "set upstream.base_url to the account's own address");
/// 402, 423 and the like.
pub const ACCESS: Meaning = (
    "access_refused",
    "Zendesk refuses what is asked for, whoever asks",
    "402 and 423: whether the account is paid and open; another status: whether a proxy on the way answers in its place",
);
/// A page where an answer should be.
pub const MALFORMED: Meaning = (
    "upstream_malformed",
    "Zendesk's answers cannot be read",
    "look for a proxy or a login page on the way that answers in its place",
);

impl KeptOut {
    /// Returns what an answer with this status means that has no user; none if that may pass by itself.
    pub fn of(status: u16) -> Option<Self> {
        let means = match status {
            401 | 403 => CREDENTIAL,
            404 | 410 => ACCOUNT,
            300..=399 => REDIRECTED,
            // A proxy has given up, or it is too early, or there is no budget.
            408 | 425 | 429 => return None,
            400..=499 => ACCESS,
            500.. => return None,
            _ => MALFORMED,
        };
        Some(Self { means, status })
    }
}

impl fmt::Display for KeptOut {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { means: (_, text, _), status } = self;
        match status {
            // Zendesk answers so if it does not know the credential.
            200 if self.means == CREDENTIAL => write!(to, "{text} (it is nobody's)"),
            _ => write!(to, "{text} (HTTP {status})"),
        }
    }
}

impl Trouble {
    /// Notes why the gateway is not ready; none once it is.
    pub fn keep_out(&self, why: Option<KeptOut>) {
        *self.kept_out.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Returns why it is not.
    pub fn kept_out(&self) -> Option<KeptOut> {
        *self.kept_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One kind of answer.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Option<(Seen, u64)>>);

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
    /// Notes that it came; `well` is how many exchanges have succeeded so far.
    pub fn note(&self, well: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let next = match *seen {
            Some((before, then)) if !before.is_over(now, well > then) => {
                Seen { last: now, count: before.count + 1, ..before }
            }
            _ => Seen { since: now, last: now, count: 1 },
        };
        *seen = Some((next, well));
    }

    /// Returns how often it came, unless that is over; `well` is how many exchanges have succeeded so far.
    pub fn read(&self, well: u64) -> Option<Seen> {
        let (seen, then) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(seen).filter(|seen| !seen.is_over(Instant::now(), well > then))
    }
}

impl Seen {
    fn is_over(&self, now: Instant, is_well_since: bool) -> bool {
        let after = if is_well_since { OVER_AFTER } else { OVER_WITHOUT_SUCCESS };
        now.saturating_duration_since(self.last) >= after
    }
}

/// Successes so soon after an answer that there is no such account may have been under way before.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// Answers that there is no such account, or not this API, by endpoint class. What succeeds meanwhile tells the one from the other.
#[derive(Debug, Default)]
pub struct NotThere(Mutex<BTreeMap<&'static str, Missed>>);

/// Such answers of one class.
#[derive(Debug, Clone, Copy)]
struct Missed {
    seen: Seen,
    /// How many exchanges had succeeded at the first of them, and those that were under way then.
    well_before: u64,
    /// How many had at the last one.
    well_then: u64,
}

/// What such answers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// All that is asked for: the account.
    Account,
    /// This class, or something in it: other requests succeed.
    Endpoint,
}

impl NotThere {
    /// Notes such an answer; `well` is how many exchanges have succeeded so far.
    pub fn note(&self, class: &'static str, well: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let missed = match all.get(class) {
            Some(Missed { seen, well_before, well_then }) if !seen.is_over(now, well > *well_then) => {
                let is_early = now.saturating_duration_since(seen.since) < UNDER_WAY;
                let seen = Seen { last: now, count: seen.count + 1, ..*seen };
                Missed { seen, well_before: if is_early { well } else { *well_before }, well_then: well }
            }
            _ => Missed { seen: Seen { since: now, last: now, count: 1 }, well_before: well, well_then: well },
        };
        all.insert(class, missed);
    }

    /// Returns what is missing, by class; `well` is how many exchanges have succeeded so far.
    pub fn read(&self, well: u64) -> Vec<(&'static str, Seen, Missing)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let current = all.iter().filter(|(_, missed)| !missed.seen.is_over(now, well > missed.well_then));
        current.filter_map(|(class, missed)| Some((*class, missed.seen, missed.means(now, well)?))).collect()
    }
}

impl Missed {
    /// Returns what it means; none if it is over, because the account answers again.
    fn means(&self, now: Instant, well: u64) -> Option<Missing> {
        let between = self.well_then - self.well_before;
        if between >= 2 && between * 10 >= self.seen.count {
            return Some(Missing::Endpoint);
        }
        let is_settled = now.saturating_duration_since(self.seen.last) >= UNDER_WAY;
        match (is_settled && well > self.well_then, self.seen.count) {
            (false, _) => Some(Missing::Account),
            // No account is closed for one request.
            (true, 1) => Some(Missing::Endpoint),
            (true, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_for_a_while_is_over_and_begins_anew() {
        let recent = Recent::default();
        assert_eq!(recent.read(7), None);
        recent.note(7);
        recent.note(7);
        assert_eq!(recent.read(7).map(|seen| seen.count), Some(2));
        let earlier = |by: Duration| recent.0.lock().expect("no panic").as_mut().expect("seen").0.last -= by;
        earlier(OVER_AFTER);
        assert_eq!(recent.read(7).map(|seen| seen.count), Some(2), "nothing has succeeded since");
        assert_eq!(recent.read(8), None);
        recent.note(8);
        assert_eq!(recent.read(8).map(|seen| seen.count), Some(1));
        earlier(OVER_WITHOUT_SUCCESS);
        assert_eq!(recent.read(8), None);
    }

    #[test]
    fn an_account_is_closed_if_nothing_succeeds_and_an_endpoint_is_missing_if_others_do() {
        let missing =
            |what: &NotThere, well| what.read(well).into_iter().map(|(_, _, means)| means).collect::<Vec<_>>();
        let earlier = |what: &NotThere| {
            for missed in what.0.lock().expect("no panic").values_mut() {
                missed.seen.since -= UNDER_WAY;
                missed.seen.last -= UNDER_WAY;
            }
        };
        let closed = NotThere::default();
        closed.note("user_reads", 100);
        // One was under way.
        closed.note("user_reads", 101);
        earlier(&closed);
        closed.note("user_reads", 101);
        assert_eq!(missing(&closed, 101), [Missing::Account]);
        earlier(&closed);
        assert_eq!(missing(&closed, 102), [], "it is open again");

        let endpoint = NotThere::default();
        endpoint.note("group_reads", 100);
        assert_eq!(missing(&endpoint, 101), [Missing::Account], "nothing else is known yet");
        earlier(&endpoint);
        assert_eq!(missing(&endpoint, 101), [Missing::Endpoint], "the others go on");
        endpoint.note("group_reads", 140);
        assert_eq!(missing(&endpoint, 140), [Missing::Endpoint]);
        earlier(&endpoint);
        assert_eq!(missing(&endpoint, 180), [Missing::Endpoint]);
    }
}
