//! The connections seen from outside.

use std::time::Duration;

use super::{Pool, Purpose};
use crate::upstream::transport::connections::Snapshot;
use crate::upstream::transport::end::End;

impl Pool {
    /// Tells of each HTTP/2 connection that is used no more, why, and how old it was.
    pub fn on_end(&self, tell: impl Fn(End, Duration) + Send + Sync + 'static) {
        self.counters.on_end(tell);
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.state().lanes.drain(..).for_each(|lane| lane.end(End::Drained));
    }

    /// Counts a request that is sent again on another connection.
    pub fn moved(&self) {
        self.counters.moved();
    }

    /// Returns how many requests are under way on connections that have fallen silent, if there is another one for others to go on.
    pub fn stuck(&self) -> usize {
        let state = self.state();
        if !state.lanes.iter().any(|lane| lane.is_open() && !lane.is_mute()) && !self.may_open(&state, Purpose::Usual) {
            return 0;
        }
        state.lanes.iter().filter(|lane| lane.is_silent()).map(|lane| lane.taken()).sum()
    }

    /// Returns how many requests all connections together take that there may be, those beside silent ones included; none if it is not
    /// known that one takes fewer than is assumed.
    pub fn ceiling(&self) -> Option<usize> {
        let state = self.state();
        state.streams.is_limited().then(|| 2 * self.settings.most * state.streams.last_known())
    }

    /// Returns the connections as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let mut state = self.state();
        self.tidy(&mut state);
        let shared = || state.lanes.iter().filter(|lane| !lane.is_http1() && lane.is_open());
        let oldest = shared().map(|lane| lane.age()).max().unwrap_or_default();
        let requests = shared().map(|lane| lane.taken()).sum();
        let streams = state.streams.last_known();
        Snapshot { http2_oldest: oldest, http2_requests: requests, http2_streams: streams, ..self.counters.snapshot() }
    }
}
