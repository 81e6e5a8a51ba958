//! What those who share a call are told of it while the transport waits.

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::support::{ask, millis, read};
use crate::cache::WaitsFor;
use crate::config;
use crate::error::Error;
use crate::upstream::call::Call;
use crate::upstream::client::Origin;
use crate::upstream::transport::Transport;

#[tokio::test]
async fn who_shares_a_call_is_told_that_nothing_was_sent_as_long_as_that_is_so() {
    // It accepts connections and never speaks: over TLS none comes about, and without there is one at once.
    for (scheme, is_sent) in [("https", false), ("http", true)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("{scheme}://{}", listener.local_addr().expect("it is bound"));
        let origin = Origin::new(&url.parse().expect("a URL"), None).expect("nothing is read");
        let transport = Transport::new(&origin, &config::Upstream::default()).expect("a client");
        let call = Call { waits_for: WaitsFor::noted(), ..read() };
        let noted = call.waits_for.clone();
        assert!(timeout(millis(500), ask(&transport, call)).await.is_err(), "nobody answers");
        assert_eq!(matches!(noted.get(), Error::Deadline { sent: false }), !is_sent);
    }
}
