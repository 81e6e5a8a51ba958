//! A Kubernetes cluster, as far as a fleet sees it: an API server that can be away, refuse, lose and delay, and replicas with the
//! files that a pod has.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::sleep;
use url::Url;
use zendesk_gateway::config::{Config, FleetMode};
use zendesk_gateway::fleet::elected::Trial;
use zendesk_gateway::fleet::wire::CONTRACT;
use zendesk_gateway::sandbox::{self, Sandbox};
use zendesk_gateway::upstream::credential::{Credential, Source};

use crate::fleet::support::{Replica, Road};
use crate::support::issuer::{Key, jwks, now};
use crate::support::{account, api_token, settings, until};

pub const SPACE: &str = "shop";
pub const LEASE: &str = "gateway";
pub const AUDIENCE: &str = "gateway.shop";
/// How many times faster the election's clock runs: it takes seconds to replace a leader.
const RATE: u32 = 4;
/// Longer than the election takes for anything.
pub const LONG: Duration = Duration::from_secs(20 / RATE as u64);

/// The API server.
#[derive(Clone)]
pub struct ApiServer {
    pub url: Url,
    state: Arc<Mutex<State>>,
    key: Arc<Key>,
}

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    /// Pods that get no answer, and that may do nothing.
    cut: HashSet<String>,
    denied: bool,
    delay: Duration,
    /// Answers to writes that are lost, though the writes are done.
    lose: u32,
    /// Writes that somebody else overtakes.
    overtake: u32,
    hides_keys: bool,
    refuses_reviews: bool,
    reviews: u32,
    /// The holders that were written, each once in a row.
    holders: Vec<String>,
}

impl ApiServer {
    /// One with a Lease as the chart makes it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
        let server = Self { url, state: Arc::default(), key: Arc::new(Key::ec("cluster")) };
        server.restore();
        let its = server.clone();
        let app = axum::Router::new().fallback(move |request: Request<Body>| {
            let its = its.clone();
            async move { its.answer(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic inside")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let pod = bearer.trim_start_matches("Bearer api-").to_owned();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = to_bytes(request.into_body(), 1 << 20).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let delay = self.state().delay;
        sleep(delay).await;
        if self.state().cut.contains(&pod) || self.state().cut.contains("*") {
            sleep(Duration::from_mins(5)).await;
        }
        let (status, answer) = self.decide(&method, &path, &body, &pod);
        let lost = method == Method::PUT && status == StatusCode::OK && {
            let mut state = self.state();
            let lost = state.lose > 0;
            state.lose = state.lose.saturating_sub(1);
            lost
        };
        if lost {
            sleep(Duration::from_mins(5)).await;
        }
        Response::builder().status(status).body(Body::from(answer.to_string())).expect("a response")
    }

    fn decide(&self, method: &Method, path: &str, body: &Value, pod: &str) -> (StatusCode, Value) {
        let mut state = self.state();
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{SPACE}/leases/{LEASE}");
        if pod.is_empty() {
            return (StatusCode::UNAUTHORIZED, Value::Null);
        }
        match (method, path) {
            (&Method::GET, "/openid/v1/jwks") if state.hides_keys => (StatusCode::FORBIDDEN, Value::Null),
            (&Method::GET, "/openid/v1/jwks") => {
                (StatusCode::OK, serde_json::from_str(&jwks(&[&self.key])).expect("JSON"))
            }
            (&Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews") if state.refuses_reviews => {
                (StatusCode::FORBIDDEN, Value::Null)
            }
            (&Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews") => {
                state.reviews += 1;
                let token = body["spec"]["token"].as_str().unwrap_or_default();
                // Only its own tokens come in tests of reviews.
                let whose = token.split('.').nth(1).and_then(decoded).unwrap_or_default();
                let audiences = &body["spec"]["audiences"];
                let good = *audiences == whose["aud"];
                let user = json!({"username": whose["sub"]});
                (StatusCode::CREATED, json!({"status": {"authenticated": good, "audiences": audiences, "user": user}}))
            }
            _ if state.denied => (StatusCode::FORBIDDEN, Value::Null),
            (&Method::GET, path) if path == lease => match &state.lease {
                Some(lease) => (StatusCode::OK, lease.clone()),
                None => (StatusCode::NOT_FOUND, Value::Null),
            },
            (&Method::PUT, path) if path == lease => {
                if state.overtake > 0 {
                    state.overtake -= 1;
                    state.version += 1;
                    let version = state.version.to_string();
                    if let Some(lease) = &mut state.lease {
                        lease["metadata"]["resourceVersion"] = version.into();
                    }
                }
                let Some(before) = &state.lease else { return (StatusCode::NOT_FOUND, Value::Null) };
                if before["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                    return (StatusCode::CONFLICT, Value::Null);
                }
                assert_eq!(body["metadata"]["labels"], json!({"made-by": "helm"}), "what others keep in it stays");
                state.version += 1;
                let mut lease = body.clone();
                lease["metadata"]["resourceVersion"] = state.version.to_string().into();
                let holder = lease["spec"]["holderIdentity"].as_str().expect("a holder").to_owned();
                if state.holders.last() != Some(&holder) {
                    state.holders.push(holder);
                }
                state.lease = Some(lease.clone());
                (StatusCode::OK, lease)
            }
            other => panic!("no fleet asks for {other:?}"),
        }
    }

    /// Makes the Lease anew, without a holder.
    pub fn restore(&self) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version.to_string();
        let metadata = json!({"name": LEASE, "labels": {"made-by": "helm"}, "resourceVersion": version});
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata});
        state.lease = Some(lease);
    }

    pub fn delete(&self) {
        self.state().lease = None;
    }

    /// Gives this pod, or all with `*`, no answer any more.
    pub fn cut(&self, pod: &str) {
        self.state().cut.insert(pod.to_owned());
    }

    pub fn heal(&self) {
        self.state().cut.clear();
    }

    pub fn deny(&self, denied: bool) {
        self.state().denied = denied;
    }

    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub fn lose(&self, writes: u32) {
        self.state().lose = writes;
    }

    pub fn overtake(&self, writes: u32) {
        self.state().overtake = writes;
    }

    /// Has the Lease name this term.
    pub fn make_up(&self, term: i64) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version.to_string();
        let lease = state.lease.as_mut().expect("there is one");
        lease["metadata"]["resourceVersion"] = version.into();
        lease["spec"]["leaseTransitions"] = term.into();
    }

    pub fn hide_keys(&self) {
        self.state().hides_keys = true;
    }

    pub fn refuse_reviews(&self) {
        self.state().refuses_reviews = true;
    }

    pub fn reviews(&self) -> u32 {
        self.state().reviews
    }

    pub fn term(&self) -> u64 {
        self.state().lease.as_ref().and_then(|lease| lease["spec"]["leaseTransitions"].as_u64()).unwrap_or_default()
    }

    /// How many holders there were, one after another.
    pub fn holders(&self) -> usize {
        self.state().holders.len()
    }

    fn part_of_holder(&self, place: usize) -> String {
        let state = self.state();
        let holder = state.holders.last().expect("there was a holder");
        holder.split('/').nth(place).expect("four parts").to_owned()
    }

    /// The pod that holds the Lease.
    pub fn holder(&self) -> String {
        self.part_of_holder(1)
    }

    /// The digest of the holder's key.
    pub fn key(&self) -> String {
        self.part_of_holder(3)
    }

    /// A token of the fleet, or another one.
    pub fn token(&self, account: &str, audience: &str) -> String {
        self.key.sign(&json!({
            "iss": "https://kubernetes.default.svc", "aud": [audience], "exp": now() + 600, "nbf": now() - 5,
            "sub": format!("system:serviceaccount:{SPACE}:{account}"),
        }))
    }
}

fn decoded(part: &str) -> Option<Value> {
    use base64::Engine as _;
    serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// A folder with what a pod has.
pub fn pod(api: &ApiServer, name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, text) in
        [("token", format!("api-{name}")), ("namespace", SPACE.to_owned()), ("fleet", api.token("gateway", AUDIENCE))]
    {
        std::fs::write(folder.path().join(file), text).expect("written");
    }
    folder
}

/// A fleet that elects its leader.
pub struct Elected {
    pub sandbox: Sandbox,
    pub api: ApiServer,
    pub replicas: Vec<Replica>,
    /// The way to each replica's internal port, by name.
    pub roads: HashMap<String, Road>,
    config: Config,
    folders: Vec<TempDir>,
    started: usize,
}

impl Elected {
    pub async fn start(replicas: usize) -> Self {
        Self::of(account(), settings(), replicas).await
    }

    /// So many replicas, one of which leads and the others follow.
    pub async fn of(account: sandbox::Config, config: Config, replicas: usize) -> Self {
        let sandbox = Sandbox::start(account).await.expect("the stand-in starts on a free port");
        let api = ApiServer::start().await;
        let (replicas_of, roads, folders) = (Vec::new(), HashMap::new(), Vec::new());
        let mut fleet = Self { sandbox, api, replicas: replicas_of, roads, config, folders, started: 0 };
        for _ in 0..replicas {
            fleet.join().await;
        }
        fleet.settled().await;
        fleet
    }

    pub async fn join(&mut self) -> usize {
        self.join_with(CONTRACT).await
    }

    /// Adds a replica, and does not wait for it. Returns its place.
    pub async fn join_with(&mut self, contract: u32) -> usize {
        let credentials = api_token(&self.sandbox).into();
        self.add(contract, credentials, false).await
    }

    /// Adds one whose credential Zendesk does not take, so that it does not get ready.
    pub async fn join_refused(&mut self) -> usize {
        let refused = Credential::new("Basic cmV2b2tlZA==", true).expect("a header").into();
        self.add(CONTRACT, refused, true).await
    }

    async fn add(&mut self, contract: u32, credentials: Source, asks: bool) -> usize {
        let name = format!("gateway-{}", self.started);
        self.started += 1;
        let folder = pod(&self.api, &name);
        let road = Road::to(SocketAddr::from(([127, 0, 0, 1], 1))).await;
        let mut config = self.config.clone();
        config.fleet.mode = FleetMode::Kubernetes;
        config.fleet.name = Some(name.clone());
        config.fleet.listen = Some(([127, 0, 0, 1], 0).into());
        config.fleet.address = Some(road.address.to_string());
        config.fleet.kubernetes.lease = Some(LEASE.to_owned());
        config.fleet.kubernetes.token_file = Some(folder.path().join("fleet"));
        config.fleet.kubernetes.folder = folder.path().to_owned();
        config.fleet.kubernetes.api_server = Some(self.api.url.clone());
        let trial = Trial { rate: RATE, contract };
        let replica = Box::pin(Replica::begin(&self.sandbox, config, credentials, asks, trial)).await;
        road.lead_to(replica.internal.expect("it has an internal port"));
        self.roads.insert(name, road);
        self.folders.push(folder);
        self.replicas.push(replica);
        self.replicas.len() - 1
    }

    /// Waits until one leads, and all others follow.
    pub async fn settled(&self) {
        until(|| {
            let count = |course| self.replicas.iter().filter(|replica| replica.course() == course).count();
            count("leads") == 1 && count("follows") + 1 == self.replicas.len()
        })
        .await;
    }

    pub fn leader(&self) -> &Replica {
        &self.replicas[self.place()]
    }

    /// The place of the one who leads. It may have to look at the Lease at this moment; so what the Lease says counts.
    pub fn place(&self) -> usize {
        let leader = self.api.holder();
        self.replicas.iter().position(|replica| replica.name == leader).expect("one leads")
    }

    pub fn followers(&self) -> impl Iterator<Item = &Replica> {
        let leader = self.api.holder();
        self.replicas.iter().filter(move |replica| replica.name != leader)
    }

    pub fn road(&self, replica: &Replica) -> &Road {
        &self.roads[&replica.name]
    }

    pub fn user(&self, index: usize) -> i64 {
        self.sandbox.store().user_ids()[index]
    }

    pub async fn stop(self) {
        for replica in self.replicas {
            replica.kill().await;
        }
    }
}
