//! Who may pass for a replica of the fleet.

use http::{HeaderMap, HeaderValue, Request};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zendesk_gateway::fleet::kubernetes::pinned;
use zendesk_gateway::fleet::wire::{
    ACCOUNT, CONTRACT, CONTRACT_OF, HEARD, HELLO, HOLDER, INVALIDATE, PING, Passport, TAKE, TERM, TOKEN, VOID,
};

use super::cluster::{AUDIENCE, Elected};
use super::served_by;
use crate::support::account;

/// Somebody who has found the internal port of the leader.
struct Stranger {
    requests: h2::client::SendRequest<bytes::Bytes>,
}

impl Stranger {
    async fn new(fleet: &Elected, key: &str) -> Result<Self, String> {
        let port = fleet.leader().internal.expect("a port");
        let socket = TcpStream::connect(port).await.expect("it listens");
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let tls = TlsConnector::from(pinned(key)).connect(name, socket).await.map_err(|error| error.to_string())?;
        let (requests, connection) = h2::client::handshake(tls).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self { requests })
    }

    async fn ask(&mut self, path: &str, headers: &HeaderMap) -> HeaderMap {
        let mut request = Request::post(format!("https://fleet{path}")).body(()).expect("a request");
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let mut requests = self.requests.clone().ready().await.expect("a connection");
        let answer = requests.send_request(request, true).expect("sent").0.await.expect("an answer");
        answer.into_parts().0.headers
    }

    /// Says who it is, with a token or without; returns the code of the answer.
    async fn hello(&mut self, token: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CONTRACT_OF, CONTRACT.into());
        headers.insert(VOID, HeaderValue::from_static("all"));
        headers.extend(token.map(|token| (TOKEN, HeaderValue::from_str(token).expect("a token"))));
        code(&self.ask(HELLO, &headers).await)
    }
}

fn code(headers: &HeaderMap) -> String {
    headers["grpc-status"].to_str().expect("digits").to_owned()
}

fn passport(term: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let via = HeaderValue::from_static("gateway-9");
    Passport { caller: "anonymous".into(), grant: u8::MAX >> 3, from: [10, 0, 0, 9].into(), via, term }
        .write(&mut headers);
    headers
}

#[tokio::test]
#[ignore = "slow"]
async fn nobody_without_a_token_of_the_fleet_passes_for_a_replica() {
    let fleet = Elected::start(2).await;
    let (api, id) = (&fleet.api, fleet.user(3));
    let term = api.term();
    let get = "/zendesk.gateway.v1.UserService/GetUser";
    let foreign = crate::support::issuer::Key::ec("cluster").sign(&serde_json::json!({
        "iss": "https://kubernetes.default.svc", "aud": [AUDIENCE], "sub": "system:serviceaccount:shop:gateway",
        "exp": crate::support::issuer::now() + 600,
    }));
    let wrong = [
        None,
        Some(String::new()),
        Some("no token".to_owned()),
        Some(api.token("gateway", "another")),
        Some(api.token("somebody", AUDIENCE)),
        Some(foreign),
    ];
    served_by(fleet.leader(), id).await;
    // Who only says that it is a replica is no caller who is not known.
    let mut stranger = Stranger::new(&fleet, &api.key()).await.expect("the port has this key");
    for _ in 0..100 {
        assert_eq!(stranger.hello(None).await, "16");
    }
    assert_eq!(fleet.leader().findings().await, [""; 0]);
    for token in wrong {
        let mut stranger = Stranger::new(&fleet, &api.key()).await.expect("the port has this key");
        assert_eq!(stranger.hello(token.as_deref()).await, "16", "{token:?}");
        assert_eq!(code(&stranger.ask(get, &passport(term)).await), "16", "{token:?}");
        for path in [INVALIDATE, TAKE] {
            let mut headers = HeaderMap::from_iter([(VOID, HeaderValue::from_static("all"))]);
            headers.insert(TERM, 99.into());
            assert_eq!(code(&stranger.ask(path, &headers).await), "16", "{path}: {token:?}");
        }
        // It is told who leads, and not listened to.
        let mut ping = HeaderMap::from_iter([(HEARD, HeaderValue::from(99))]);
        ping.insert(HOLDER, HeaderValue::from_static("f/gateway-9/127.0.0.1:1/00"));
        assert_eq!(stranger.ask(PING, &ping).await[TERM], HeaderValue::from(term));
    }
    assert_eq!(fleet.sandbox.total_hits(), 1, "nothing was asked, and nothing made void");
    assert_eq!((served_by(fleet.leader(), id).await, fleet.sandbox.total_hits()), (fleet.leader().name.clone(), 1));
    assert_eq!(api.term(), term);

    let mut stranger = Stranger::new(&fleet, &api.key()).await.expect("the port has this key");
    let token = HeaderValue::from_str(&api.token("gateway", AUDIENCE)).expect("a token");
    let mut twice = HeaderMap::from_iter([(CONTRACT_OF, CONTRACT.into()), (TOKEN, token.clone())]);
    twice.append(TOKEN, token);
    let refused = stranger.ask(HELLO, &twice).await;
    assert_eq!(code(&refused), "16", "which one is it?");
    assert!(!refused.contains_key(ACCOUNT), "it is not told whose gateway this is");

    let mut friend = Stranger::new(&fleet, &api.key()).await.expect("the port has this key");
    assert_eq!(friend.hello(Some(&api.token("gateway", AUDIENCE))).await, "0");
    assert_eq!(code(&friend.ask(get, &passport(term)).await), "16", "of another account, as it has not said of which");
    let refused = Stranger::new(&fleet, &"0".repeat(64)).await.err().expect("the key is another one");
    assert!(refused.contains("certificate"), "{refused}");
    fleet.stop().await;
}

/// More connections than the port has places.
#[tokio::test]
#[ignore = "slow"]
async fn strangers_who_fill_the_port_are_in_the_way_of_no_replica() {
    let fleet = Elected::start(3).await;
    let (key, id, leader) = (fleet.api.key(), fleet.user(3), fleet.leader().name.clone());
    let mut strangers = Vec::new();
    for came in 0..700 {
        let stranger = tokio::time::timeout(std::time::Duration::from_secs(2), Stranger::new(&fleet, &key)).await;
        strangers.extend(stranger.ok().and_then(Result::ok));
        for replica in &fleet.replicas {
            let wanted = if replica.name == leader { "leads" } else { "follows" };
            assert_eq!(replica.course(), wanted, "after {came} strangers");
        }
        if came % 50 == 0 {
            for replica in &fleet.replicas {
                assert_eq!(served_by(replica, id).await, leader, "after {came} strangers");
            }
        }
    }
    let mut left = 0;
    for stranger in strangers {
        left += usize::from(stranger.requests.ready().await.is_ok());
    }
    assert!((100..600).contains(&left), "some made room: {left}");
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn where_keys_may_not_be_read_the_api_server_reviews_tokens() {
    let sandbox_account = account();
    let mut fleet = Elected::of(sandbox_account, crate::support::settings(), 1).await;
    fleet.api.hide_keys();
    fleet.join().await;
    fleet.settled().await;
    assert!(fleet.api.reviews() > 0);
    let follower = fleet.followers().next().expect("one follows");
    assert_eq!(served_by(follower, fleet.user(3)).await, fleet.leader().name);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_follower_whose_token_cannot_be_verified_acts_alone_and_says_why() {
    let mut fleet = Elected::of(account(), crate::support::settings(), 1).await;
    fleet.api.hide_keys();
    fleet.api.refuse_reviews();
    let place = fleet.join().await;
    let lonely = &fleet.replicas[place];
    lonely.is("untrusted").await;
    lonely.finds(&["fleet_untrusted"]).await;
    assert_eq!(served_by(lonely, fleet.user(3)).await, lonely.name);
    assert_eq!(lonely.get("/readyz").await.0, 200);
    fleet.stop().await;
}
