//! When one more connection may be opened, and how.

use std::sync::Arc;
use std::time::Duration;

use super::super::connector;
use super::super::lane::{Lane, Pings};
use super::super::link::Link;
use super::super::needs::Purpose;
use super::super::sizes;
use super::{Pool, State};
use crate::config;
#[cfg(doc)]
use crate::upstream::client::Addresses;

/// How long opening a connection may take before another is opened beside it: a peer may accept a connection and never speak.
const SLOW: Duration = Duration::from_secs(1);

/// How long before that another one may be opened, to an address that no attempt goes to: see [`Addresses::is_next_due`].
const FIRST_SLOW: Duration = Duration::from_millis(250);

/// Most attempts to connect at a time, each to another address, while no connection is open.
const MOST_ADDRESSES: usize = 6;

/// Most connections of a caller that has some of its own, be they silent or full.
const MOST_APART: usize = 2;

impl Pool {
    /// True if it takes so long to connect on this lane that another attempt should be made beside it.
    pub(super) fn is_slow(&self, lane: &Lane) -> bool {
        let is_next_due = || !lane.is_connected() && self.origin.addresses().is_next_due();
        lane.age() >= SLOW || (lane.age() >= FIRST_SLOW && is_next_due())
    }

    /// True if one more connection may be opened for this purpose. While none is open, others may be tried beside those that do not
    /// come about, even if the settings allow only one: a second one, and more as long as there are other addresses. Those that
    /// answer nothing take the place of no other, up to as many as may be lively: it may be one caller's requests that they do not
    /// answer.
    pub(super) fn may_open(&self, state: &State, purpose: Purpose) -> bool {
        let kin = || state.kin(purpose);
        let count = kin().count();
        let lively = || kin().filter(|lane| !lane.is_mute()).count();
        let beside = || if self.origin.addresses().is_next_due() { MOST_ADDRESSES } else { 2 };
        let most = self.settings.most;
        let has_place = if purpose.is_apart() { count < MOST_APART } else { count < 2 * most && lively() < most };
        count == 0
            || (!kin().any(|lane| lane.is_open()) && count < beside())
            || (has_place && state.no_further.is_none_or(|(failed, believed)| failed.elapsed() > believed))
    }

    pub(super) fn lane(&self, purpose: Purpose) -> anyhow::Result<Arc<Lane>> {
        let config::Connection { ping_interval, ping_timeout, .. } = self.settings;
        let link = Arc::new(Link::new(&self.counters));
        let builder = self
            .origin
            .client()
            .no_gzip()
            .http2_keep_alive_interval(ping_interval)
            .http2_keep_alive_timeout(ping_timeout)
            .http2_keep_alive_while_idle(true);
        let builder = if purpose == Purpose::LargeAnswers { sizes::windows(builder) } else { builder };
        let builder = if self.origin.has_tls() {
            builder.connector_layer(connector::Layer::new(&link))
        } else {
            // Without TLS there is nothing to negotiate.
            link.connected(false);
            builder.connect_timeout(connector::CONNECT_TIMEOUT)
        };
        let pings = Pings { interval: ping_interval, timeout: ping_timeout };
        Ok(Lane::new(builder.build()?, link, purpose, pings, &self.changed))
    }
}
