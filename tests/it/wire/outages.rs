//! What stands before Zendesk is gone for a moment, and refuses connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::transport::Channel;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::{Sandbox, Wire};

use super::{What, edge, make, numbered, uncached};
use crate::support::{api_token, file_of, serve};

/// Passes connections on to `to` while it is open.
async fn gate(to: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (open, mut is_open) = watch::channel(true);
    tokio::spawn(async move {
        loop {
            let mut closed = is_open.clone();
            tokio::select! {
                accepted = listener.accept() => {
                    let (mut from, _) = accepted.expect("it listens");
                    tokio::spawn(async move {
                        let mut to = TcpStream::connect(to).await.expect("it listens");
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                            _ = closed.changed() => {}
                        }
                    });
                }
                _ = is_open.changed() => {
                    drop(listener);
                    if is_open.changed().await.is_err() {
                        return;
                    }
                    listener = TcpListener::bind(address).await.expect("nobody else has it");
                }
            }
        }
    });
    (address, open)
}

/// Calls while connections are refused for so long.
async fn survives(wire: impl FnOnce(&mut Wire), outage: Duration) {
    let sandbox = Sandbox::start(edge(wire)).await.expect("the stand-in starts on a free port");
    let mut url = sandbox.base_url();
    let to = SocketAddr::from(([127, 0, 0, 1], url.port().expect("it has one")));
    let (address, open) = gate(to).await;
    url.set_port(Some(address.port())).expect("it may have one");
    let trusted = sandbox.ca_pem().map(file_of);
    let mut config = uncached();
    config.upstream.ca_file = trusted.as_ref().map(|file| file.path().to_owned());
    let (_, channel, shutdown, served) = Box::pin(serve(&url, api_token(&sandbox), config)).await;
    let users = || UserServiceClient::<Channel>::new(channel.clone());
    let ids = sandbox.store().user_ids();
    let call = async |what, number| make(users(), &ids, what, number, Duration::from_secs(5)).await;
    for (what, number) in [(What::Read, 0), (What::Write, 1)] {
        call(what, number).await.expect("all is well");
    }
    open.send(false).expect("it listens");
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let calls = (2..60).map(|number| {
        let (call, what) = (&call, if number % 3 == 0 { What::Write } else { What::Read });
        async move {
            tokio::time::sleep(Duration::from_millis(10) * number).await;
            call(what, number as usize).await.map_err(|status| (what, number, status))
        }
    });
    let again = async {
        tokio::time::sleep(outage).await;
        open.send(true).expect("it listens");
    };
    let (ended, ()) = tokio::join!(futures_util::future::join_all(calls), again);
    let failed: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let written = [1].into_iter().chain((3..60).step_by(3));
    assert_eq!(numbered(&sandbox), written.map(|number| (number, 1)).collect::<BTreeMap<_, _>>(), "each is done once");
    drop(channel);
    shutdown.send(()).expect("it listens");
    served.await.expect("no panic").expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_with_time_fails_because_connections_are_refused_for_a_moment() {
    survives(|_| {}, Duration::from_millis(900)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_http_1() {
    survives(|wire| wire.tls = false, Duration::from_millis(900)).await;
}
