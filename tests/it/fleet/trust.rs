//! Who may say who calls: replicas with a certificate of the fleet, on the internal port, and nobody else.

use std::sync::Arc;

use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use prost::Message as _;
use prost::bytes::Bytes;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Code, Status};
use zendesk_gateway::config::Config;
use zendesk_gateway::config::identity::{Method, Rule};
use zendesk_gateway::contract::Risk;
use zendesk_gateway::fleet::wire::{HELLO, INVALIDATE, NOT_LEADER, Passport, VOID};
use zendesk_gateway::proto::{DeleteUserRequest, GetUserRequest, UpdateUserRequest, UserInput, UserRole};
use zendesk_gateway::sandbox::faults::any;

use super::support::{Fleet, Papers};
use crate::support::authority::{Authority, Signed};
use crate::support::raw::{Raw, framed};
use crate::support::{Dynamic, account, key_file, refused, settings, with};

/// Settings with two callers, whose keys are their names: `crm` may read, and write users; `hr` may also make agents and do what
/// cannot be undone, but not read.
fn callers(folder: &TempDir) -> Config {
    let mut config = settings();
    let path = folder.path().join("keys");
    std::fs::write(&path, key_file(&[("crm", "crm"), ("hr", "hr")])).expect("a temporary file");
    config.identity.methods = vec![Method::ApiKey];
    config.identity.api_keys.file = Some(path);
    let rule = |caller: &str, risks: &[Risk]| Rule {
        callers: vec![format!("api_key:{caller}")],
        risks: risks.to_vec(),
        methods: vec!["*".to_owned()],
        impersonate: false,
    };
    config.authorization.rules =
        vec![rule("crm", &[Risk::Read, Risk::Write]), rule("hr", &[Risk::Write, Risk::Admin, Risk::Destructive])];
    config
}

#[tokio::test]
async fn values_that_raise_the_risk_of_a_call_are_held_against_its_callers_grant_at_the_leader() {
    let folder = TempDir::new().expect("a folder");
    let fleet = Fleet::of(account(), callers(&folder), 1).await;
    let client = Dynamic::new(fleet.followers[0].channel.clone());
    let (crm, hr) = ([("x-api-key", "crm")], [("x-api-key", "hr")]);
    let id = fleet.user(5);
    let agent = r#""role": "USER_ROLE_AGENT""#;
    let many = format!(r#"{{"ids": [{id}], "user": {{{agent}}}}}"#);
    for (rpc, request) in [
        ("CreateUser", format!(r#"{{"user": {{"name": "A", {agent}}}}}"#)),
        ("CreateOrUpdateUser", format!(r#"{{"user": {{"external_id": "a", {agent}}}}}"#)),
        ("UpdateUser", format!(r#"{{"id": {id}, "user": {{{agent}}}}}"#)),
        ("UpdateUser", format!(r#"{{"id": {id}, "update_mask": "role"}}"#)),
        ("BulkCreateUsers", format!(r#"{{"users": [{{"name": "A", {agent}}}]}}"#)),
        ("BulkCreateOrUpdateUsers", format!(r#"{{"users": [{{"external_id": "a", {agent}}}]}}"#)),
        ("BulkUpdateUsers", many),
        ("StreamBulkCreateUsers", format!(r#"{{"users": [{{"name": "A", {agent}}}]}}"#)),
        ("StreamBulkCreateOrUpdateUsers", format!(r#"{{"users": [{{"external_id": "a", {agent}}}]}}"#)),
        ("StreamBulkUpdateUsers", format!(r#"{{"users": [{{"id": {id}, "user": {{{agent}}}}}]}}"#)),
    ] {
        let outcome = client.call_with(rpc, &request, &crm).await;
        let told = refused(outcome);
        assert_eq!((told.code, told.reason.as_str()), (Code::PermissionDenied, "CALLER_FORBIDDEN"), "{rpc}");
        assert!(
            told.message.contains("api_key:crm") && told.message.contains("with risk admin"),
            "{rpc}: {}",
            told.message
        );
    }
    assert!(fleet.sandbox.requests().iter().all(|sent| sent.method == "GET"), "nothing was written");
    let audit = fleet.leader().lines("audit").await;
    assert!(
        audit.len() == 10 && audit.iter().all(|line| line["caller"] == "api_key:crm" && line["via"] == "follower-0")
    );
    client
        .call_with("UpdateUser", &format!(r#"{{"id": {id}, "user": {{{agent}}}}}"#), &hr)
        .await
        .expect("who may, may");
    fleet.stop().await;
}

/// The headers by which a follower says that this caller calls, and may make calls of every risk class and impersonate.
fn passport(caller: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let via = HeaderValue::from_static("follower-9");
    Passport { caller: caller.into(), grant: u8::MAX >> 3, from: [10, 0, 0, 9].into(), via, term: 0 }
        .write(&mut headers);
    headers
}

/// Metadata by which a caller might pass for another: a whole passport, each part of it alone, missing and twice, other grants, and
/// other headers that replicas or proxies send.
fn attempts() -> Vec<Vec<(HeaderName, HeaderValue)>> {
    let whole: Vec<(HeaderName, HeaderValue)> =
        passport("api_key:hr").iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut attempts = vec![whole.clone()];
    for at in 0..whole.len() {
        attempts.push(vec![whole[at].clone()]);
        let mut without = whole.clone();
        without.remove(at);
        attempts.push(without);
        attempts.push([whole.clone(), vec![whole[at].clone()]].concat());
    }
    for grant in [0, 31, 63, 127, 255] {
        let mut other = whole.clone();
        let grant = HeaderValue::from(grant);
        other.iter_mut().filter(|(name, _)| name == "x-fleet-grant").for_each(|(_, value)| *value = grant.clone());
        attempts.push(other.clone());
        for (name, value) in [
            ("x-served-by", "leader"),
            ("x-fleet-not-leader", "0"),
            ("via", "follower-0"),
            ("x-forwarded-for", "10.0.0.1"),
        ] {
            let more = (HeaderName::from_static(name), HeaderValue::from_static(value));
            attempts.push([other.clone(), vec![more]].concat());
        }
    }
    attempts
}

#[tokio::test]
async fn nobody_becomes_somebody_else_by_metadata_on_a_public_port() {
    let folder = TempDir::new().expect("a folder");
    let fleet = Fleet::of(account(), callers(&folder), 1).await;
    let id = fleet.user(5);
    let agent = UserInput { role: Some(UserRole::Agent.into()), ..UserInput::default() };
    let update = UpdateUserRequest { id, user: Some(agent), update_mask: None, ..Default::default() };
    let attempts = attempts();
    let mut made = 0;
    for replica in fleet.replicas() {
        for attempt in &attempts {
            let mut as_nobody = tonic::Request::new(DeleteUserRequest { id });
            let mut as_crm = with(update.clone(), &[("x-api-key", "crm")]);
            for (name, value) in attempt {
                as_nobody.metadata_mut().as_mut().append(name.clone(), value.clone());
                as_crm.metadata_mut().as_mut().append(name.clone(), value.clone());
            }
            let nobody = replica.users().delete_user(as_nobody).await.expect_err("nobody");
            assert_eq!(nobody.code(), Code::Unauthenticated, "{attempt:?}");
            let crm = replica.users().update_user(as_crm).await.expect_err("not allowed");
            assert_eq!(crm.code(), Code::PermissionDenied, "{attempt:?}");
            assert!(crm.message().contains("api_key:crm"), "{}", crm.message());
            made += 2;
        }
        let raw = Raw::connect(&replica.address).await.0;
        for path in [HELLO, INVALIDATE] {
            let answer = raw
                .call(
                    path,
                    &[("x-api-key", "hr"), ("x-fleet-void", "all")],
                    &GetUserRequest { id, ..Default::default() },
                )
                .await;
            assert_eq!(answer.expect("an answer").code(), Code::Unimplemented, "{path}");
        }
    }
    assert!(made >= 100, "{made}");
    assert_eq!(fleet.sandbox.total_hits(), 0, "nothing reached Zendesk");
    let cache = fleet.leader().telemetry.state().sources.cache.read().expect("a cache");
    assert_eq!(cache.invalidations, 0);
    // A call that its caller may make is carried out under the caller's own name, whoever it says that it is.
    let mut request = with(
        UpdateUserRequest {
            id,
            user: Some(UserInput { name: Some("N".to_owned()), ..UserInput::default() }),
            update_mask: None,
            ..Default::default()
        },
        &[("x-api-key", "crm")],
    );
    for (name, value) in &attempts[0] {
        request.metadata_mut().as_mut().append(name.clone(), value.clone());
    }
    fleet.followers[0].users().update_user(request).await.expect("a write");
    let line = fleet.leader().told("audit", |line| line["outcome"] == "done").await;
    assert_eq!((&line["caller"], &line["via"]), (&"api_key:crm".into(), &"follower-0".into()));
    let sent = fleet.sandbox.requests();
    assert!(
        sent.iter().all(|sent| sent.headers.keys().all(|name| !name.as_str().starts_with("x-fleet"))),
        "no header of the fleet reaches Zendesk"
    );
    fleet.stop().await;
}

/// Connects to an internal port as a replica would.
async fn connect(
    address: std::net::SocketAddr,
    authority: &Authority,
    certificate: Option<&Signed>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<SendRequest<Bytes>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => config.with_no_client_auth(),
        Some(signed) => {
            let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("a key");
            config.with_client_auth_cert(vec![signed.der.clone()], key).expect("a certificate and its key")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from("localhost").expect("a name");
    let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(|error| error.to_string())?;
    let (send, connection) = h2::client::handshake(socket).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    send.ready().await.map_err(|error| error.to_string())
}

/// Makes a call and returns the headers of its response.
async fn call(send: SendRequest<Bytes>, path: &str, headers: HeaderMap) -> Result<HeaderMap, String> {
    let mut send = send.ready().await.map_err(|error| error.to_string())?;
    let mut request = Request::post(format!("https://fleet{path}")).body(()).expect("a request");
    *request.headers_mut() = headers;
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let (response, mut body) = send.send_request(request, false).map_err(|error| error.to_string())?;
    body.send_data(framed(0, &GetUserRequest { id: -1, ..Default::default() }.encode_to_vec()), true)
        .map_err(|error| error.to_string())?;
    Ok(response.await.map_err(|error| error.to_string())?.into_parts().0.headers)
}

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";

fn code(headers: &HeaderMap) -> Code {
    Status::from_header_map(headers).expect("a status").code()
}

#[tokio::test]
async fn the_internal_port_is_for_replicas_alone() {
    let fleet = Fleet::start(0).await;
    let address = fleet.leader().internal.expect("it leads");
    let ours = &fleet.papers.authority;
    let (good, tls13) = (ours.sign(), [&rustls::version::TLS13]);
    let send = connect(address, ours, Some(&good), &tls13).await.expect("a replica gets in");
    let answer = call(send, GET_USER, passport("api_key:anyone")).await.expect("an answer");
    assert_eq!(code(&answer), Code::InvalidArgument, "it got through to the handler");

    let stranger = Authority::new().sign_caller(Some("gateway-9"), &[]);
    for (what, certificate, versions) in [
        ("without a certificate", None, [&rustls::version::TLS13]),
        ("with a certificate of another authority", Some(&stranger), [&rustls::version::TLS13]),
        ("with TLS 1.2", Some(&good), [&rustls::version::TLS12]),
    ] {
        let outcome = match connect(address, ours, certificate, &versions).await {
            // With TLS 1.3 a client learns only with the first answer that its certificate was not taken.
            Ok(send) => call(send, GET_USER, passport("api_key:anyone")).await.map(drop),
            Err(error) => Err(error),
        };
        outcome.expect_err(what);
    }
    let line = fleet.leader().told("zendesk_gateway::server::tls::naming", |_| true).await;
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    assert!(text("peer").starts_with("127.0.0.1:"), "{line}");
    assert!(text("certificate.subject").contains("gateway-9"), "{line}");
    assert!(text("certificate.issuer").contains("rcgen") && text("error").contains("signature"), "{line}");
    let plain = Raw::with(&address.to_string(), h2::client::Builder::new()).await.0;
    plain.call(GET_USER, &[], &GetUserRequest { id: -1, ..Default::default() }).await.expect_err("no plaintext");
    fleet.stop().await;
}

#[tokio::test]
async fn the_internal_port_takes_calls_with_a_whole_passport_of_its_own_term_and_nothing_else() {
    let fleet = Fleet::start(0).await;
    fleet.sandbox.fault(any("*"), zendesk_gateway::sandbox::faults::Respond::with(500).forever());
    let (address, ours) = (fleet.leader().internal.expect("it leads"), &fleet.papers.authority);
    let good = ours.sign();
    let send = connect(address, ours, Some(&good), &[&rustls::version::TLS13]).await.expect("a replica gets in");
    let ask = async |path: &str, headers: HeaderMap| call(send.clone(), path, headers).await.expect("an answer");
    assert_eq!(code(&ask(GET_USER, HeaderMap::new()).await), Code::Unauthenticated);
    for name in passport("a").keys() {
        let mut headers = passport("a");
        headers.remove(name);
        assert_eq!(code(&ask(GET_USER, headers).await), Code::Unauthenticated, "without {name}");
    }
    let mut headers = passport("a");
    headers.insert("x-fleet-term", HeaderValue::from_static("1"));
    let answer = ask(GET_USER, headers).await;
    assert_eq!(
        (code(&answer), answer[NOT_LEADER].as_bytes()),
        (Code::Unavailable, &b"0"[..]),
        "it does not lead in that term"
    );
    let mut headers = passport("a");
    headers.insert("x-fleet-grant", HeaderValue::from_static("0"));
    assert_eq!(code(&ask(GET_USER, headers).await), Code::PermissionDenied, "the grant is checked here, too");
    for path in
        ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/fleet/Other"]
    {
        assert_eq!(code(&ask(path, passport("a")).await), Code::Unimplemented, "{path}");
    }
    for wrong in ["", "user", "user:7,nothing:8", "every"] {
        let headers = HeaderMap::from_iter([(VOID, HeaderValue::from_str(wrong).expect("text"))]);
        assert_eq!(code(&ask(INVALIDATE, headers).await), Code::Unimplemented, "{wrong}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn a_follower_believes_nobody_but_a_replica_of_its_fleet() {
    let mut fleet = Fleet::start(0).await;
    let others = Papers::new();
    let mut config = settings();
    config.fleet.alone_after = std::time::Duration::from_millis(300);
    let stranger = others.follower(&config, 0, fleet.road.address);
    let stranger = super::Replica::start(&fleet.sandbox, stranger, crate::support::api_token(&fleet.sandbox)).await;
    stranger.is("silent").await;
    fleet.followers.push(stranger);
    fleet.stop().await;
}
