//! The open connections, and which of them makes room for a new one: the one that was silent or idle longest. Counts those of one
//! peer.
//!
//! To measure without it: [`MIN_IDLE`] and [`MIN_SILENCE`] of an hour, so that no connection makes room.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::Id;
use tokio::time::Instant;

use super::activity::Activity;

/// How long a connection must be without a call before a new one may take its place.
const MIN_IDLE: Duration = Duration::from_secs(2);
/// The same for a connection whose peer has not even begun to speak. These go first.
const MIN_SILENCE: Duration = Duration::from_millis(500);

/// Most idle connections that one search finds. Searching thousands for each new connection would delay the others.
const MAX_FOUND: usize = 64;

/// All open connections, by their tasks.
#[derive(Default)]
pub struct Open {
    all: HashMap<Id, (IpAddr, Activity)>,
    /// The connections that had been idle longest at the last search, longest last.
    idle: Vec<Id>,
    /// The earliest time at which a further search can find an idle one.
    not_before: Option<Instant>,
}

impl Open {
    /// Adds a connection.
    pub fn begun(&mut self, task: Id, address: SocketAddr, activity: Activity) {
        self.all.insert(task, (address.ip().to_canonical(), activity));
    }

    /// Removes a connection.
    pub fn ended(&mut self, task: Id) {
        self.all.remove(&task);
    }

    /// Returns how many connections the peer's IP address has.
    pub fn of(&self, peer: SocketAddr) -> usize {
        let peer = peer.ip().to_canonical();
        self.all.values().filter(|(address, _)| *address == peer).count()
    }

    /// Asks the connection that has been silent longest to close, or, if none has been for [`MIN_SILENCE`], the one that has been
    /// idle longest. Returns false if none has been idle for [`MIN_IDLE`].
    pub fn make_room(&mut self) -> bool {
        let now = Instant::now();
        loop {
            while let Some(one) = self.idle.pop() {
                // The connection may have ended or been used since the search.
                let Some((_, activity)) = self.all.get(&one) else { continue };
                if activity.idle(now).is_some_and(|idle| idle >= least(activity)) {
                    activity.ask_to_leave();
                    return true;
                }
            }
            if self.not_before.is_some_and(|then| now < then) {
                return false;
            }
            self.look(now);
            if self.idle.is_empty() {
                return false;
            }
        }
    }

    /// Searches for connections that have been idle for long enough.
    fn look(&mut self, now: Instant) {
        let idle = self.all.iter().filter_map(|(one, (_, activity))| {
            let idle = activity.idle(now)?;
            Some((least(activity).saturating_sub(idle), activity.is_silent(), idle, *one))
        });
        let (mut enough, soon): (Vec<_>, Vec<_>) = idle.partition(|(missing, ..)| missing.is_zero());
        // One that begins now can be silent for long enough after that time.
        let soonest = soon.iter().map(|(missing, ..)| *missing).min().unwrap_or(MIN_SILENCE).min(MIN_SILENCE);
        let more = enough.len() > MAX_FOUND;
        self.not_before = if more { None } else { now.checked_add(soonest) };
        enough.sort_unstable_by_key(|(_, silent, idle, _)| (*silent, *idle));
        let least_idle = enough.len().saturating_sub(MAX_FOUND);
        self.idle = enough[least_idle..].iter().map(|(.., one)| *one).collect();
    }
}

/// Returns how long a connection must be idle before it makes room.
fn least(activity: &Activity) -> Duration {
    if activity.is_silent() { MIN_SILENCE } else { MIN_IDLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The connections of a test, oldest first, begun a second apart.
    async fn connections(addresses: &[&str]) -> (Open, Vec<Activity>) {
        let (mut open, mut all) = (Open::default(), Vec::new());
        for address in addresses {
            let activity = Activity::begin();
            activity.speaks();
            let task = tokio::spawn(std::future::pending::<()>()).id();
            open.begun(task, address.parse().expect("an address"), activity.clone());
            all.push(activity);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        (open, all)
    }

    fn leaving(all: &[Activity]) -> Vec<bool> {
        all.iter().map(|activity| activity.idle(Instant::now()).is_none()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_idle_longest_makes_room() {
        let (mut open, all) = connections(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"]).await;
        // The oldest was in use until now.
        all[0].call_ends();
        assert!(open.make_room());
        assert_eq!(leaving(&all), [false, true, false]);
        assert!(!open.make_room(), "the others have been idle for a second at most");
        tokio::time::advance(MIN_IDLE).await;
        assert!(open.make_room() && open.make_room());
        assert_eq!(leaving(&all), [true; 3]);
        assert!(!open.make_room(), "nobody is asked twice");
    }

    #[tokio::test(start_paused = true)]
    async fn the_silent_make_room_first_and_sooner() {
        let (mut open, mut all) = connections(&["10.0.0.1:1", "10.0.0.1:2"]).await;
        tokio::time::advance(MIN_IDLE).await;
        let silent = Activity::begin();
        open.begun(
            tokio::spawn(std::future::pending::<()>()).id(),
            "10.0.0.1:3".parse().expect("an address"),
            silent.clone(),
        );
        all.push(silent);
        tokio::time::advance(MIN_SILENCE).await;
        assert!(open.make_room());
        assert_eq!(leaving(&all), [false, false, true]);
        assert!(open.make_room());
        assert_eq!(leaving(&all), [true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_call_keeps_its_place() {
        let (mut open, all) = connections(&["10.0.0.1:1"]).await;
        let call = all[0].calls().token();
        tokio::time::advance(MIN_IDLE * 10).await;
        assert!(!open.make_room());
        drop(call);
        all[0].call_ends();
        assert!(!open.make_room());
        tokio::time::advance(MIN_IDLE).await;
        assert!(open.make_room());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_idle_and_is_not_any_more_makes_no_room() {
        let (mut open, all) = connections(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4"]).await;
        tokio::time::advance(MIN_IDLE).await;
        assert!(open.make_room());
        assert_eq!(leaving(&all), [true, false, false, false]);
        // The next one calls, and the one after it ends.
        all[1].call_ends();
        let third = open.all.iter().find(|(_, (_, activity))| activity.is(&all[2])).map(|(one, _)| *one);
        open.ended(third.expect("it is open"));
        assert!(open.make_room());
        assert_eq!(leaving(&all), [true, false, false, true]);
        assert!(!open.make_room());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_its_address_however_it_is_written() {
        let (open, _all) = connections(&["10.0.0.1:1", "[::ffff:10.0.0.1]:2", "10.0.0.2:1"]).await;
        assert_eq!(open.of("10.0.0.1:9".parse().expect("an address")), 2);
    }
}
