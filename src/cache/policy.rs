//! How long each kind of answer is cached.

use std::time::Duration;

use smallvec::SmallVec;

use super::tag::Tag;
use crate::config;

/// What kind of answer it is; the kind decides how long it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One record by its id.
    Record,
    /// A page of a list.
    List,
    /// A count.
    Count,
    /// A search or an autocompletion.
    Search,
    /// What Zendesk derives for a record, such as its related counts.
    Related,
    /// Not cached and not shared.
    None,
}

/// How an answer is cached: its kind, and what it is about.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The kind.
    pub kind: Kind,
    /// What the answer is about; a write to any of it makes the answer void.
    pub tags: SmallVec<[Tag; 4]>,
}

impl Policy {
    fn of(kind: Kind, tag: impl Into<Option<Tag>>) -> Self {
        Self { kind, tags: SmallVec::from_iter(tag.into()) }
    }

    /// One record; without a tag if no RPC writes it.
    pub fn record(tag: impl Into<Option<Tag>>) -> Self {
        Self::of(Kind::Record, tag)
    }

    /// A page of a list; without a tag if no RPC writes its rows.
    pub fn list(tag: impl Into<Option<Tag>>) -> Self {
        Self::of(Kind::List, tag)
    }

    /// A count.
    pub fn count(tag: Tag) -> Self {
        Self::of(Kind::Count, tag)
    }

    /// A search or an autocompletion.
    pub fn search(tag: Tag) -> Self {
        Self::of(Kind::Search, tag)
    }

    /// What Zendesk derives for a record.
    pub fn related(tag: Tag) -> Self {
        Self::of(Kind::Related, tag)
    }

    /// Not cached and not shared: each call goes to Zendesk by itself.
    pub fn none() -> Self {
        Self { kind: Kind::None, tags: SmallVec::new() }
    }

    /// Adds something that the answer is about.
    #[must_use]
    pub fn and(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }
}

/// Ages up to which an answer is served. Each is at least as long as the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Served as it is.
    pub fresh: Duration,
    /// Served marked stale, and refreshed in the background.
    pub stale_while_revalidate: Duration,
    /// Served marked stale if Zendesk fails.
    pub stale_if_error: Duration,
}

/// The defaults.
///
/// Writes through this replica are seen at once whatever these say; they bound how long changes from elsewhere go unseen.
/// Ten minutes is how long an outage of Zendesk may last before its callers notice.
#[rustfmt::skip]
fn table(kind: Kind) -> Windows {
    match kind {           // fresh        refreshed    if Zendesk fails
        // Services ask for the same user over and over while they handle one ticket, and hardly ever change it.
        Kind::Record  => row(secs(30),    secs(60),    secs(600)),
        // Anybody may add or remove a row, and one page of an old list does not fit the next page of a new one.
        Kind::List    => row(secs(10),    secs(30),    secs(600)),
        // Zendesk itself refreshes large counts once a day, and nobody acts on the last digit.
        Kind::Count   => row(secs(60),    secs(300),   secs(600)),
        // Zendesk's index lags behind by itself, so more lag is not added; 5 s serve a person who types and corrects.
        Kind::Search  => row(secs(5),     secs(5),     secs(600)),
        // Counts of tickets and the like: they change without any call that the gateway could see.
        Kind::Related => row(secs(30),    secs(60),    secs(600)),
        Kind::None    => row(secs(0),     secs(0),     secs(0)),
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn row(fresh: Duration, stale_while_revalidate: Duration, stale_if_error: Duration) -> Windows {
    let stale_while_revalidate = stale_while_revalidate.max(fresh);
    Windows { fresh, stale_while_revalidate, stale_if_error: stale_if_error.max(stale_while_revalidate) }
}

/// The table with the operator's changes.
#[derive(Debug, Clone)]
pub(super) struct Lifetimes {
    settings: config::Cache,
}

impl Lifetimes {
    pub(super) fn new(settings: &config::Cache) -> Self {
        Self { settings: settings.clone() }
    }

    /// Returns the windows of a kind. A window that is set longer than the ones after it stretches them.
    pub(super) fn of(&self, kind: Kind) -> Windows {
        let set = match kind {
            Kind::Record => self.settings.record,
            Kind::List => self.settings.list,
            Kind::Count => self.settings.count,
            Kind::Search => self.settings.search,
            Kind::Related => self.settings.related,
            Kind::None => config::Windows::default(),
        };
        let default = table(kind);
        row(
            set.fresh.unwrap_or(default.fresh),
            set.stale_while_revalidate.unwrap_or(default.stale_while_revalidate),
            set.stale_if_error.unwrap_or(default.stale_if_error),
        )
    }

    /// Returns the windows of "no such record", which is never served stale: an error has no mark that says so.
    pub(super) fn of_not_found(&self) -> Windows {
        let time = self.settings.not_found;
        row(time, time, time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_changes_one_window_of_one_kind_and_the_rest_keeps_its_defaults() {
        let mut settings = config::Cache::default();
        settings.record.fresh = Some(secs(5));
        settings.list.fresh = Some(secs(3600));
        let lifetimes = Lifetimes::new(&settings);
        assert_eq!(lifetimes.of(Kind::Record), row(secs(5), secs(60), secs(600)));
        assert_eq!(lifetimes.of(Kind::List), row(secs(3600), secs(3600), secs(3600)));
        assert_eq!(lifetimes.of(Kind::Search), row(secs(5), secs(5), secs(600)));
        assert_eq!(lifetimes.of_not_found(), row(secs(10), secs(10), secs(10)));
    }
}
