//! The connections that are open, and which of them makes room for a newcomer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::Id;

use crate::server::connection::Activity;

/// How long a connection is without a call before another may take its place: whoever calls now and then keeps it.
const IDLE: Duration = Duration::from_secs(2);

/// All open connections, by their tasks.
#[derive(Default)]
pub struct Open(HashMap<Id, (IpAddr, Activity)>);

impl Open {
    /// Takes note of a connection.
    pub fn begun(&mut self, task: Id, address: SocketAddr, activity: Activity) {
        self.0.insert(task, (address.ip().to_canonical(), activity));
    }

    /// Forgets one.
    pub fn ended(&mut self, task: Id) {
        self.0.remove(&task);
    }

    /// Returns how many a peer has.
    pub fn of(&self, peer: SocketAddr) -> usize {
        let peer = peer.ip().to_canonical();
        self.0.values().filter(|(address, _)| *address == peer).count()
    }

    /// Asks the connection that has had no call for longest to leave; returns whether there is one.
    pub fn make_room(&self) -> bool {
        let idle = self.0.values().filter_map(|(_, activity)| Some((activity.idle()?, activity)));
        let longest = idle.max_by_key(|(idle, _)| *idle).filter(|(idle, _)| *idle >= IDLE);
        longest.inspect(|(_, activity)| activity.ask_to_leave()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The connections of a test, oldest first; a second lies between two.
    async fn connections(addresses: &[&str]) -> (Open, Vec<Activity>) {
        let (mut open, mut all) = (Open::default(), Vec::new());
        for address in addresses {
            let activity = Activity::begin();
            let task = tokio::spawn(std::future::pending::<()>()).id();
            open.begun(task, address.parse().expect("an address"), activity.clone());
            all.push(activity);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        (open, all)
    }

    fn leaving(all: &[Activity]) -> Vec<bool> {
        all.iter().map(|activity| activity.idle().is_none()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_idle_longest_makes_room() {
        let (open, all) = connections(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"]).await;
        // The oldest was in use until now.
        all[0].call_ends();
        assert!(open.make_room());
        assert_eq!(leaving(&all), [false, true, false]);
        assert!(!open.make_room(), "the others have been idle for a second at most");
        tokio::time::advance(IDLE).await;
        assert!(open.make_room() && open.make_room());
        assert_eq!(leaving(&all), [true; 3]);
        assert!(!open.make_room(), "nobody is asked twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_call_keeps_its_place() {
        let (open, all) = connections(&["10.0.0.1:1"]).await;
        let call = all[0].calls().token();
        tokio::time::advance(IDLE * 10).await;
        assert!(!open.make_room());
        drop(call);
        assert!(open.make_room());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_its_address_however_it_is_written() {
        let (open, _all) = connections(&["10.0.0.1:1", "[::ffff:10.0.0.1]:2", "10.0.0.2:1"]).await;
        assert_eq!(open.of("10.0.0.1:9".parse().expect("an address")), 2);
    }
}
