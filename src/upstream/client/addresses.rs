//! Which address of a name is tried first.
//!
//! A name has several addresses, and one of them may be dead while the others work: its packets are dropped, or it accepts
//! connections and never speaks. The system's order is the same each time, so whoever always begins with the first address
//! would never get past such a one. So the outcome of each dial is remembered: an address that failed, or was slower than
//! another one dialled after it, is tried last for a while.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// How long an address is tried last after a failure, at first and at most. It doubles with each failure in a row.
const AVOIDED: Duration = Duration::from_mins(1);
const LONGEST_AVOIDED: Duration = Duration::from_mins(16);

/// How long a dial may take before the next address is dialled beside it: the first of RFC 8305, section 8, and at most. In
/// between it is twice as long as the last successful dial took, since ours includes the TLS handshake.
const APART: Duration = Duration::from_millis(250);
const FARTHEST_APART: Duration = Duration::from_secs(1);

/// Finds the addresses of a name.
pub type Lookup = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync;

/// The addresses of an origin, and what is known of each.
pub struct Addresses {
    lookup: Box<Lookup>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The addresses that the last look-up found.
    known: Vec<IpAddr>,
    failures: HashMap<IpAddr, Failure>,
    dials: Vec<Dial>,
    last_number: u64,
    /// How long the last successful dial took.
    pace: Duration,
}

#[derive(Clone, Copy)]
struct Failure {
    at: Instant,
    avoided: Duration,
}

/// An attempt to connect that is under way.
#[derive(Clone, Copy)]
struct Dial {
    number: u64,
    address: IpAddr,
    began: Instant,
}

impl Addresses {
    /// Asks the system for addresses.
    pub fn of_system() -> Arc<Self> {
        Self::new(Box::new(|name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        }))
    }

    /// Asks `lookup` for addresses.
    pub fn new(lookup: Box<Lookup>) -> Arc<Self> {
        Arc::new(Self { lookup, state: Mutex::default() })
    }

    /// True if an attempt to connect has taken so long that another one should be made beside it, and there is an address that
    /// none goes to.
    pub fn is_next_due(&self) -> bool {
        let state = self.state();
        let latest = state.dials.iter().map(|dial| dial.began).max();
        latest.is_some_and(|began| began.elapsed() >= state.apart())
            && state.known.iter().any(|address| state.dials.iter().all(|dial| dial.address != *address))
    }

    /// Notes that what was connected to this address did not work.
    pub fn failed(&self, address: IpAddr) {
        self.state().fail(address);
    }

    /// Returns how many addresses the last look-up found.
    pub(super) fn count(&self) -> usize {
        self.state().known.len()
    }

    /// Notes that a dial goes to this address. Returns its number.
    pub(super) fn begin(&self, address: IpAddr) -> u64 {
        let mut state = self.state();
        state.last_number += 1;
        let number = state.last_number;
        state.dials.push(Dial { number, address, began: Instant::now() });
        number
    }

    /// Notes that a dial succeeded, and to which address, if that is known. Dials that had begun before it, and should have ended,
    /// go to addresses that are worse.
    pub(super) fn succeeded(&self, number: u64, reached: Option<IpAddr>) {
        let mut state = self.state();
        let Some(this) = state.remove(number) else { return };
        let reached = reached.unwrap_or(this.address);
        state.pace = this.began.elapsed();
        state.failures.remove(&reached);
        let (began, apart) = (this.began, state.apart());
        let mut worse: Vec<IpAddr> =
            state.dials.iter().filter(|dial| dial.began + apart <= began).map(|dial| dial.address).collect();
        if reached != this.address {
            worse.push(this.address);
        }
        worse.into_iter().filter(|address| *address != reached).for_each(|address| state.fail(address));
    }

    /// Notes that a dial ended without a connection: by itself, or because nobody waits for it any more.
    pub(super) fn ended(&self, number: u64, by_itself: bool) {
        let mut state = self.state();
        let Some(dial) = state.remove(number) else { return };
        if by_itself || dial.began.elapsed() >= state.apart() {
            state.fail(dial.address);
        }
    }

    /// Looks a name up. Returns its addresses in the order in which to try them.
    pub(super) async fn find(&self, name: String) -> io::Result<Vec<IpAddr>> {
        let found = alternating((self.lookup)(name).await?);
        let mut state = self.state();
        state.known.clone_from(&found);
        state.failures.retain(|address, _| found.contains(address));
        Ok(state.ordered(found))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apart(&self) -> Duration {
        (self.pace * 2).clamp(APART, FARTHEST_APART)
    }

    fn fail(&mut self, address: IpAddr) {
        let at = Instant::now();
        let avoided = match self.failures.get(&address) {
            None => AVOIDED,
            // Several dials may find it out at once; only one that was made after that time confirms it.
            Some(before) if before.at.elapsed() < before.avoided => before.avoided,
            Some(before) => (before.avoided * 2).min(LONGEST_AVOIDED),
        };
        self.failures.insert(address, Failure { at, avoided });
    }

    fn remove(&mut self, number: u64) -> Option<Dial> {
        let place = self.dials.iter().position(|dial| dial.number == number)?;
        Some(self.dials.swap_remove(place))
    }

    /// Puts addresses last that failed, and those that others are being slow to connect to.
    fn ordered(&self, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let rank = |address: &IpAddr| {
            let failure = self.failures.get(address).filter(|failure| failure.at.elapsed() < failure.avoided);
            let is_slow = |dial: &&Dial| dial.address == *address && dial.began.elapsed() >= APART;
            let slow = self.dials.iter().filter(is_slow).count();
            (slow + usize::from(failure.is_some()), slow, failure.map(|failure| failure.at))
        };
        addresses.sort_by_cached_key(rank);
        addresses
    }
}

/// Lets the two families alternate, beginning with that of the first address (RFC 8305, section 4), and drops what comes twice.
fn alternating(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut single = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !single.contains(&address) {
            single.push(address);
        }
    }
    let first_is_v4 = single.first().is_some_and(IpAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = single.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    async fn order(addresses: &Addresses) -> Vec<IpAddr> {
        addresses.find("a.test".to_owned()).await.expect("they are known")
    }

    fn known(all: &[&str]) -> (Arc<Addresses>, Vec<IpAddr>) {
        let all: Vec<IpAddr> = all.iter().map(|text| ip(text)).collect();
        let found = all.clone();
        (Addresses::new(Box::new(move |_| Box::pin(std::future::ready(Ok(found.clone()))))), all)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_failed_is_tried_last_and_for_twice_as_long_each_time() {
        let (addresses, all) = known(&["10.0.0.1", "10.0.0.2"]);
        let (first, second) = (all[0], all[1]);
        for minutes in [1, 2, 4, 8, 16, 16] {
            assert_eq!(order(&addresses).await, [first, second]);
            for _ in 0..2 {
                addresses.failed(first); // by two at the same time
            }
            tokio::time::sleep(Duration::from_millis(minutes * 60_000 - 1)).await;
            assert_eq!(order(&addresses).await, [second, first]);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        addresses.failed(first);
        let number = addresses.begin(first);
        addresses.succeeded(number, None);
        assert_eq!(order(&addresses).await, [first, second], "it works");
        addresses.failed(first);
        tokio::time::sleep(Duration::from_secs(1)).await;
        addresses.failed(second);
        assert_eq!(order(&addresses).await, [first, second], "of those that failed, the earlier failure first");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_due_when_a_dial_is_slow_and_the_slow_one_is_remembered() {
        let (addresses, all) = known(&["10.0.0.1", "10.0.0.2"]);
        order(&addresses).await;
        let first = addresses.begin(all[0]);
        assert!(!addresses.is_next_due());
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(addresses.is_next_due());
        assert_eq!(order(&addresses).await, [all[1], all[0]]);
        let second = addresses.begin(all[1]);
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(!addresses.is_next_due(), "there is none");
        addresses.succeeded(second, Some(all[1]));
        assert_eq!(order(&addresses).await, [all[1], all[0]]);
        addresses.ended(first, false);
        // A dial takes 400 ms here, so two are 800 ms apart.
        let _slow = addresses.begin(all[1]);
        tokio::time::sleep(Duration::from_millis(799)).await;
        assert!(!addresses.is_next_due());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(addresses.is_next_due());
    }

    #[test]
    fn families_alternate_and_nothing_comes_twice() {
        let all = ["10.0.0.1", "10.0.0.2", "10.0.0.1", "fd00::1", "10.0.0.3"].map(ip);
        assert_eq!(alternating(all.to_vec()), ["10.0.0.1", "fd00::1", "10.0.0.2", "10.0.0.3"].map(ip));
    }
}
