//! How many requests a connection takes at a time: what was learnt of it, and for how long that is believed.

use std::time::Duration;

use tokio::time::Instant;

/// Requests on one HTTP/2 connection at a time, until it is known to take fewer: RFC 9113 advises peers to allow at least 100.
pub const STREAMS_ASSUMED: usize = 100;

/// How long the pool goes by what it has learnt, at first and at most: by a smaller number of requests, and by the failure to open
/// a further connection. What turns out to be still so is believed for twice as long.
pub const BELIEVED: Duration = Duration::from_millis(250);
const LONGEST_BELIEVED: Duration = Duration::from_secs(2);

/// For how long a request that cannot be withdrawn does not try whether a connection takes more.
const SAFE: Duration = Duration::from_mins(1);

/// Returns for how long something is believed that has turned out to be still so.
pub fn longer(believed: Duration) -> Duration {
    (believed * 2).min(LONGEST_BELIEVED)
}

/// How many requests a connection takes at a time.
pub struct Streams {
    limit: Option<Limit>,
    /// Most requests that a connection is known to have handled at a time. A new one gets no more until it is settled.
    proven: usize,
}

/// A number that a connection was found not to exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The number.
    pub streams: usize,
    /// When it was found.
    pub learnt: Instant,
    /// For how long it is believed.
    pub believed: Duration,
}

impl Default for Streams {
    fn default() -> Self {
        Self { limit: None, proven: 1 }
    }
}

impl Streams {
    /// Goes by this limit.
    #[cfg(test)]
    pub fn limited(limit: Limit) -> Self {
        Self { limit: Some(limit), proven: 1 }
    }

    /// Returns the limit, believed or not.
    #[cfg(test)]
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Returns how many requests a connection takes, as far as is known. After a while it may be more again; requests that try it
    /// are offered one at a time, so it costs one of them a few milliseconds to find out that it is not.
    pub fn most(&self) -> usize {
        let limit = self.limit.filter(|limit| limit.learnt.elapsed() < limit.believed);
        limit.map_or(STREAMS_ASSUMED, |limit| limit.streams)
    }

    /// Returns the same for a request that may try whether a connection takes more, or for one that may not, because it cannot be
    /// withdrawn.
    pub fn of(&self, tries: bool) -> usize {
        if tries {
            return self.most();
        }
        let limit = self.limit.filter(|limit| limit.learnt.elapsed() < SAFE);
        limit.map_or(STREAMS_ASSUMED, |limit| limit.streams)
    }

    /// Returns the number that was learnt, believed or not, or else the one that is assumed.
    pub fn last_known(&self) -> usize {
        self.limit.map_or(STREAMS_ASSUMED, |limit| limit.streams)
    }

    /// Returns the most requests that a connection is known to have handled at a time.
    pub fn proven(&self) -> usize {
        self.proven
    }

    /// True if connections are known to take fewer requests than is assumed.
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Learns that a connection takes no more than this.
    pub fn learn(&mut self, streams: usize) {
        let streams = streams.min(self.most());
        self.proven = self.proven.min(streams);
        let before = self.limit;
        if before.is_none_or(|before| streams < before.streams) {
            tracing::info!(streams, "zendesk takes fewer requests at a time on one connection");
        }
        // Several requests find it out at once; only a later one confirms it.
        let believed = match before {
            Some(before) if before.streams == streams && before.learnt.elapsed() >= before.believed => {
                longer(before.believed)
            }
            Some(before) if before.streams == streams => before.believed,
            _ => BELIEVED,
        };
        self.limit = Some(Limit { streams, learnt: Instant::now(), believed });
    }

    /// Forgets what was learnt.
    pub fn forget(&mut self) {
        self.limit = None;
    }

    /// Learns that so many requests at a time worked.
    pub fn worked(&mut self, streams: usize) {
        self.proven = self.proven.max(streams.min(self.most()));
        self.limit = self.limit.filter(|limit| limit.streams >= streams);
    }
}
