//! What stands before Zendesk is gone for a moment, and refuses connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::{self, Sandbox, Wire};

use super::{What, edge, make, numbered, reason, uncached};
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

/// A gateway whose connections to the stand-in go through a gate.
struct Gated {
    sandbox: Sandbox,
    address: SocketAddr,
    open: watch::Sender<bool>,
    channel: Channel,
    shutdown: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Gated {
    async fn start(account: sandbox::Config) -> Self {
        let sandbox = Sandbox::start(account).await.expect("the stand-in starts on a free port");
        let mut url = sandbox.base_url();
        let to = SocketAddr::from(([127, 0, 0, 1], url.port().expect("it has one")));
        let (address, open) = gate(to).await;
        url.set_port(Some(address.port())).expect("it may have one");
        let trusted = sandbox.ca_pem().map(file_of);
        let mut config = uncached();
        config.upstream.ca_file = trusted.as_ref().map(|file| file.path().to_owned());
        let (_, channel, shutdown, served) = Box::pin(serve(&url, api_token(&sandbox), config)).await;
        let gated = Self { sandbox, address, open, channel, shutdown, served };
        for (what, number) in [(What::Read, 0), (What::Write, 1)] {
            gated.call(what, number, Duration::from_secs(5)).await.expect("all is well");
        }
        gated
    }

    async fn call(&self, what: What, number: usize, deadline: Duration) -> Result<(), Status> {
        let users = UserServiceClient::new(self.channel.clone());
        make(users, &self.sandbox.store().user_ids(), what, number, deadline).await
    }

    /// Cuts all connections, and refuses others from now on.
    async fn shut(&self) {
        self.open.send(false).expect("it listens");
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn open_after(&self, outage: Duration) {
        tokio::time::sleep(outage).await;
        self.open.send(true).expect("it listens");
    }

    async fn stop(self) {
        drop(self.channel);
        self.shutdown.send(()).expect("it listens");
        self.served.await.expect("no panic").expect("it ends well");
    }
}

/// Calls while connections are refused for so long.
async fn survives(wire: impl FnOnce(&mut Wire), outage: Duration) {
    let gated = Gated::start(edge(wire)).await;
    gated.shut().await;
    let calls = (2..60).map(|number| {
        let (gated, what) = (&gated, if number % 3 == 0 { What::Write } else { What::Read });
        async move {
            tokio::time::sleep(Duration::from_millis(10) * number).await;
            let ended = gated.call(what, number as usize, Duration::from_secs(5)).await;
            ended.map_err(|status| (what, number, status))
        }
    });
    let (ended, ()) = tokio::join!(join_all(calls), gated.open_after(outage));
    let failed: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let written = [1].into_iter().chain((3..60).step_by(3));
    let written = written.map(|number| (number, 1)).collect::<BTreeMap<_, _>>();
    assert_eq!(numbered(&gated.sandbox), written, "each is done once");
    gated.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn no_call_with_time_fails_because_connections_are_refused_for_a_moment() {
    survives(|_| {}, Duration::from_millis(900)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_same_over_http_1() {
    survives(|wire| wire.tls = false, Duration::from_millis(900)).await;
}

/// Over HTTP/1.1 each request has a connection to itself, and all of them are cut in the same moment.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_restart_that_cuts_many_connections_over_http_1_opens_no_circuit() {
    for tls in [false, true] {
        let mut account = edge(|wire| (wire.tls, wire.http2) = (tls, false));
        account.latency = sandbox::Latency::Fixed(Duration::from_millis(300));
        let gated = Gated::start(account).await;
        for restart in 0..2 {
            let call = async |what, number: usize, seconds| {
                let number = 1_000 * (restart + 1) + number;
                (what, gated.call(what, number, Duration::from_secs_f32(seconds)).await)
            };
            let kinds = [What::Write, What::Read].into_iter().cycle();
            let under_way = join_all(kinds.clone().enumerate().take(40).map(|(number, what)| call(what, number, 5.0)));
            let restart = async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                gated.shut().await;
                let in_a_hurry = kinds.enumerate().take(20).map(|(number, what)| call(what, 100 + number, 0.3));
                tokio::join!(join_all(in_a_hurry), gated.open_after(Duration::from_millis(300))).0
            };
            let (under_way, in_a_hurry) = tokio::join!(under_way, restart);
            for (what, ended) in &under_way {
                let why = ended.as_ref().err().map(reason);
                let is_right = why.is_none() || *what == What::Write && why.as_deref() == Some("OUTCOME_UNKNOWN");
                assert!(is_right, "{what:?} {why:?}");
            }
            let refused = in_a_hurry.iter().filter_map(|(_, ended)| ended.as_ref().err());
            assert!(
                refused.clone().all(|status| reason(status) != "BREAKER_OPEN"),
                "{:?}",
                refused.map(reason).collect::<Vec<_>>()
            );
        }
        gated.stop().await;
    }
}
