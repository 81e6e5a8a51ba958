//! What can go wrong with a gateway, one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Channel, Endpoint};
use zendesk_gateway::sandbox::faults::{Delay, Refuse, Respond, Throttle, any, get};
use zendesk_gateway::sandbox::{self, Credentials, Sandbox};

use super::subject::{Callers, Change, Subject};
use crate::support::account;
use crate::support::authority::{Authority, Signed};
use crate::support::binary::Binary;
use crate::support::issuer::{self, AUDIENCE, ISSUER, Key, claims, jwks};

/// What must be told of a gateway.
#[derive(Clone)]
pub struct Expected {
    /// What fails; the job in the series.
    pub name: &'static str,
    /// The kinds of which one is the first finding.
    pub findings: &'static [&'static str],
    /// Its own alert.
    pub alert: Option<&'static str>,
    /// How soon that fires.
    pub within: Duration,
    /// Whether callers notice, so that the error budget burns, too.
    pub calls_fail: bool,
}

impl Expected {
    /// All alerts that fire in the end, each with its job.
    pub fn alerts(&self) -> Vec<(&'static str, &'static str)> {
        let burning = ["ZendeskGatewayCallsFail", "ZendeskGatewayCallsFailSlowly"];
        let burning = burning.into_iter().filter(|_| self.calls_fail);
        self.alert.into_iter().chain(burning).map(|alert| (self.name, alert)).collect()
    }
}

/// A gateway that is about to be put before an account.
struct Made {
    expected: Expected,
    folder: TempDir,
    sandbox: Sandbox,
    settings: Vec<(&'static str, String)>,
    fails: Change,
    mends: Change,
    callers: Callers,
}

const MINUTE: Duration = Duration::from_mins(1);

impl Made {
    async fn new(expected: Expected, account: sandbox::Config) -> Self {
        let folder = TempDir::new().expect("a folder");
        let sandbox = Sandbox::start(account).await.expect("the stand-in starts");
        let callers = Callers::of(sandbox.store().user_ids());
        let known = &sandbox.config().credential;
        let token = folder.path().join("token");
        std::fs::write(&token, &known.api_token).expect("written");
        let settings = vec![
            ("UPSTREAM__BASE_URL", sandbox.base_url().to_string()),
            ("UPSTREAM__CREDENTIAL__KIND", "api_token".to_owned()),
            ("UPSTREAM__CREDENTIAL__EMAIL", known.email.clone()),
            ("UPSTREAM__CREDENTIAL__TOKEN_FILE", token.to_string_lossy().into_owned()),
        ];
        Self {
            expected,
            folder,
            sandbox,
            settings,
            fails: Box::new(|_| ()),
            mends: Box::new(|sandbox| sandbox.faults().clear()),
            callers,
        }
    }

    fn set(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.settings.retain(|(known, _)| *known != key);
        self.settings.push((key, value.into()));
        self
    }

    fn fails(mut self, fails: impl FnOnce(&Sandbox) + Send + Sync + 'static) -> Self {
        self.fails = Box::new(fails);
        self
    }

    fn mends(mut self, mends: impl FnOnce(&Sandbox) + Send + Sync + 'static) -> Self {
        self.mends = Box::new(mends);
        self
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(key, value)| (*key, value.as_str())).collect()
    }

    async fn start(self) -> Subject {
        let gateway = Binary::before_another(&self.settings()).await;
        let channel = plain(&gateway).connect_lazy();
        self.called(gateway, channel)
    }

    fn called(self, gateway: Binary, channel: Channel) -> Subject {
        let Self { expected, folder, sandbox, fails, mends, callers, .. } = self;
        let (fails, mends) = (Some(fails), Some(mends));
        Subject {
            expected,
            gateway,
            sandbox,
            fails,
            mends,
            kept: Vec::new(),
            _folder: folder,
            _callers: callers.start(channel),
        }
    }
}

fn plain(gateway: &Binary) -> Endpoint {
    Endpoint::from_shared(format!("http://{}", gateway.address)).expect("a URI")
}

/// One for each way of failing, and one that is well.
pub async fn situations() -> Vec<Subject> {
    let mut all = Vec::new();
    all.push(Made::new(expect("healthy", &[], None, 0, false), account()).await.start().await);
    all.push(budget_spent().await);
    all.push(credential_refused().await);
    all.push(secret_wrong().await);
    all.push(issuer_down().await);
    all.push(reload_broken().await);

    let expected = expect("upstream-slow", &["upstream_slow"], Some("ZendeskGatewayUpstreamSlow"), 16, false);
    let made = Made::new(expected, account()).await;
    all.push(
        made.fails(|it| {
            it.fault(any("*"), Delay::by(Duration::from_secs(3)).forever());
        })
        .start()
        .await,
    );

    let findings = &["circuit_open", "upstream_down"];
    let expected = expect("upstream-down", findings, Some("ZendeskGatewayCircuitOpen"), 5, true);
    let down = |sandbox: &Sandbox| {
        sandbox.fault(any("*"), Refuse::forever());
        sandbox.reset_connections();
    };
    all.push(Made::new(expected, account()).await.fails(down).start().await);

    let wrong_address = Some("ZendeskGatewayWrongAddress");
    let missing_alert = Some("ZendeskGatewayEndpointNotFound");
    let expected = expect("endpoint-missing", &["endpoint_not_found"], missing_alert, 4, true);
    let missing =
        || Respond::with(404).json(serde_json::json!({"error": "InvalidEndpoint", "description": "Not found"}));
    let made = Made::new(expected, account()).await;
    all.push(
        made.fails(move |it| {
            it.fault(get("/group_memberships"), missing().forever());
        })
        .start()
        .await,
    );

    let expected = expect("account-closed", &["account_not_found"], wrong_address, 4, true);
    let closed = || Respond::with(404).text("There is no help desk configured at this address.");
    all.push(
        Made::new(expected, account())
            .await
            .fails(move |it| {
                it.fault(any("*"), closed().forever());
            })
            .start()
            .await,
    );

    // A single refusal is a caller's own, so no error budget burns.
    let expected = expect("access-refused", &["access_refused"], Some("ZendeskGatewayAccessRefused"), 7, false);
    let refused = || Respond::with(403).json(serde_json::json!({"error": "Forbidden"}));
    let made = Made::new(expected, account()).await;
    all.push(
        made.fails(move |it| {
            it.fault(any("*"), refused().forever());
        })
        .start()
        .await,
    );

    all.push(upstream_late().await);
    all.push(collector_gone().await);
    all.push(overload().await);
    all.push(certificate_ends().await);
    all.push(cache_cold().await);
    all.push(descriptors_short().await);
    all
}

fn expect(
    name: &'static str,
    findings: &'static [&'static str],
    alert: Option<&'static str>,
    minutes: u32,
    calls_fail: bool,
) -> Expected {
    Expected { name, findings, alert, within: MINUTE * minutes, calls_fail }
}

/// Somebody else spends all of the account's requests, so that Zendesk has none for the gateway.
async fn budget_spent() -> Subject {
    let findings = &["paused", "budget_used_up", "budget_spent", "budget_waiting"];
    let expected = expect("budget-spent", findings, Some("ZendeskGatewayBudgetShort"), 5, true);
    let spent = |sandbox: &Sandbox| {
        sandbox.fault(any("*"), Throttle::forever().retry_after(20));
    };
    Made::new(expected, account()).await.fails(spent).start().await
}

/// Somebody revokes the API token.
async fn credential_refused() -> Subject {
    let alert = Some("ZendeskGatewayCredentialRefused");
    let made = Made::new(expect("credential-refused", &["credential_refused"], alert, 3, true), account()).await;
    let before = made.sandbox.config().credential.clone();
    let other = Credentials { api_token: "another".to_owned(), ..before.clone() };
    made.fails(|sandbox| sandbox.rotate_credential(other))
        .mends(|sandbox| sandbox.rotate_credential(before))
        .start()
        .await
}

/// Somebody changes the OAuth client's secret, and Zendesk revokes the tokens that were had by the one before.
async fn secret_wrong() -> Subject {
    let alert = Some("ZendeskGatewayCredentialRefused");
    let made = Made::new(expect("secret-wrong", &["credential_refused"], alert, 3, true), account()).await;
    let before = made.sandbox.config().credential.clone();
    let other = Credentials { client_secret: "another".to_owned(), ..before.clone() };
    let secret = made.folder.path().join("secret");
    std::fs::write(&secret, &before.client_secret).expect("written");
    let id = before.client_id.clone();
    let mut made = made
        .set("UPSTREAM__CREDENTIAL__KIND", "oauth_client")
        .set("UPSTREAM__CREDENTIAL__CLIENT_ID", id)
        .set("UPSTREAM__CREDENTIAL__CLIENT_SECRET_FILE", secret.to_string_lossy());
    made.settings.retain(|(key, _)| !["UPSTREAM__CREDENTIAL__EMAIL", "UPSTREAM__CREDENTIAL__TOKEN_FILE"].contains(key));
    let changed = |sandbox: &Sandbox| {
        sandbox.rotate_credential(other);
        sandbox.revoke_issued_tokens();
    };
    made.fails(changed).mends(|sandbox| sandbox.rotate_credential(before)).start().await
}

/// The issuer of callers' tokens signs with a new key, and its keys cannot be read.
async fn issuer_down() -> Subject {
    let alert = Some("ZendeskGatewayCallersUnverifiable");
    let made = Made::new(expect("issuer-down", &["callers_unverifiable"], alert, 2, true), account()).await;
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    let endpoint = issuer::Endpoint::start(jwks(&[&old])).await;
    let config = made.folder.path().join("config.toml");
    let text = "[[authorization.rules]]\ncallers = [\"jwt:*\"]\nrisks = [\"read\"]\n";
    std::fs::write(&config, text).expect("written");
    let mut made = made
        .set("IDENTITY__METHODS", "jwt")
        .set("IDENTITY__JWT__ISSUER", ISSUER)
        .set("IDENTITY__JWT__AUDIENCE", AUDIENCE)
        .set("IDENTITY__JWT__JWKS_URL", endpoint.url.as_str());
    let gateway = Binary::configured(&config, &made.settings()).await;
    let channel = plain(&gateway).connect_lazy();
    let mut claims = claims("lab");
    claims["exp"] = (issuer::now() + 3600).into();
    let [before, after] = [&old, &new].map(|key| format!("Bearer {}", key.sign(&claims)).parse().expect("ASCII"));
    made.callers.prove_themselves(before);
    let (callers, both) = (made.callers.clone(), jwks(&[&old, &new]));
    let (down, up) = (endpoint.clone(), endpoint);
    made.fails = Box::new(move |_| {
        down.status.store(503, Ordering::SeqCst);
        callers.prove_themselves(after);
    });
    made.mends = Box::new(move |_| {
        up.publish(&both);
        up.status.store(200, Ordering::SeqCst);
    });
    made.called(gateway, channel)
}

/// A wrong file takes the place of the token's.
async fn reload_broken() -> Subject {
    let expected = expect("reload-broken", &["reload_failed"], Some("ZendeskGatewayReloadFailed"), 2, false);
    let made = Made::new(expected, account()).await;
    let (token, file) = (made.sandbox.config().credential.api_token.clone(), made.folder.path().join("token"));
    let again = file.clone();
    let broken = move |_: &Sandbox| std::fs::write(file, "not one line\nbut two\n").expect("written");
    made.fails(broken).mends(move |_| std::fs::write(again, token).expect("written")).start().await
}

/// The collector's process is gone.
async fn collector_gone() -> Subject {
    let expected = expect("collector-gone", &["collector_down"], Some("ZendeskGatewayTelemetryLost"), 27, false);
    let made = Made::new(expected, account()).await;
    let (_, url) = crate::support::collector::Collector::start().await;
    let is_up = Arc::new(AtomicBool::new(true));
    let front = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let made = made
        .set("TELEMETRY__OTLP__ENDPOINT", format!("http://{}", front.local_addr().expect("it is bound")))
        .set("TELEMETRY__SAMPLE_RATIO", "1.0");
    let (up, behind) = (Arc::clone(&is_up), url.trim_start_matches("http://").to_owned());
    tokio::spawn(async move {
        while let Ok((mut from, _)) = front.accept().await {
            let (up, behind) = (Arc::clone(&up), behind.clone());
            tokio::spawn(async move {
                if !up.load(Ordering::Relaxed) {
                    return;
                }
                let mut to = TcpStream::connect(behind).await.expect("the collector listens");
                let gone = async {
                    while up.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                    () = gone => {}
                }
            });
        }
    });
    let (down, again) = (Arc::clone(&is_up), is_up);
    made.fails(move |_| down.store(false, Ordering::Relaxed))
        .mends(move |_| again.store(true, Ordering::Relaxed))
        .start()
        .await
}

/// More callers than there is room for.
async fn overload() -> Subject {
    let findings = &["overloaded", "permits_waiting"];
    let made = Made::new(expect("overload", findings, Some("ZendeskGatewayOverloaded"), 11, true), account()).await;
    let made = made.set("UPSTREAM__QUEUE__PERMITS", "2").set("UPSTREAM__QUEUE__WAITING", "4");
    let (crowd, few) = (made.callers.clone(), made.callers.clone());
    let come = move |sandbox: &Sandbox| {
        sandbox.fault(any("*"), Delay::by(Duration::from_secs(1)).forever());
        crowd.ask_for_new(Duration::from_millis(10));
    };
    let leave = move |sandbox: &Sandbox| {
        sandbox.faults().clear();
        few.ask_as_before();
    };
    made.fails(come).mends(leave).start().await
}

/// Zendesk takes longer than the callers wait.
async fn upstream_late() -> Subject {
    let made =
        Made::new(expect("upstream-late", &["upstream_late"], Some("ZendeskGatewayUpstreamLate"), 7, true), account())
            .await;
    let (hasty, patient) = (made.callers.clone(), made.callers.clone());
    let late = move |sandbox: &Sandbox| {
        sandbox.fault(any("*"), Delay::by(Duration::from_secs(2)).forever());
        hasty.wait_for(Duration::from_millis(800));
    };
    let mend = move |sandbox: &Sandbox| {
        sandbox.faults().clear();
        patient.ask_as_before();
    };
    made.fails(late).mends(mend).start().await
}

/// Whoever renews the certificate has not done so.
async fn certificate_ends() -> Subject {
    let expected = expect("certificate-ends", &["certificate_ends"], Some("ZendeskGatewayCertificateEnds"), 65, false);
    let made = Made::new(expected, account()).await;
    let authority = Authority::new();
    let days = |days: u64| SystemTime::now() + Duration::from_hours(24 * days);
    let (fresh, short) = (authority.sign_until(days(90)), authority.sign_until(days(10)));
    let (certificate, key) = (made.folder.path().join("tls.crt"), made.folder.path().join("tls.key"));
    let write = move |signed: &Signed| {
        std::fs::write(&key, &signed.key).expect("written");
        std::fs::write(&certificate, &signed.certificate).expect("written");
    };
    write(&fresh);
    let path = |name: &str| made.folder.path().join(name).to_string_lossy().into_owned();
    let [certificate, key] = ["tls.crt", "tls.key"].map(path);
    let made = made.set("SERVER__TLS__CERT_FILE", certificate).set("SERVER__TLS__KEY_FILE", key);
    let again = write.clone();
    let made = made.fails(move |_| write(&short)).mends(move |_| again(&fresh));
    let gateway = Binary::before_another(&made.settings()).await;
    let address = format!("https://{}", gateway.address);
    let endpoint = Endpoint::from_shared(address).expect("a URI").tls_config(authority.trusted()).expect("TLS");
    made.called(gateway, endpoint.connect_lazy())
}

/// Callers who never ask for the same twice.
async fn cache_cold() -> Subject {
    let expected = expect("cache-cold", &["cache_cold"], Some("ZendeskGatewayCacheCold"), 65, false);
    let made = Made::new(expected, sandbox::Config { users: 25_000, ..account() }).await;
    let (new, old) = (made.callers.clone(), made.callers.clone());
    made.fails(move |_| new.ask_for_new(Duration::from_millis(20))).mends(move |_| old.ask_as_before()).start().await
}

/// The process may open hardly more than it has open.
async fn descriptors_short() -> Subject {
    let alert = Some("ZendeskGatewayDescriptorsShort");
    let made = Made::new(expect("descriptors-short", &["descriptors_short"], alert, 4, false), account()).await;
    let mut subject = made.start().await;
    let id = subject.gateway.id();
    let allow = move |number: usize| {
        let number = format!("--nofile={number}:");
        let done = std::process::Command::new("prlimit").args(["--pid", &id.to_string(), &number]).status();
        assert!(done.expect("util-linux is installed").success());
    };
    let open = move || std::fs::read_dir(format!("/proc/{id}/fd")).expect("it runs").count();
    // So that what is left is a small share, and still enough for scrapes.
    for _ in 0..80 {
        subject.kept.push(plain(&subject.gateway).connect().await.expect("it listens"));
    }
    subject.fails = Some(Box::new(move |_| allow(open() + 8)));
    subject.mends = Some(Box::new(move |_| allow(4_096)));
    subject
}
