//! The API server, as far as a fleet needs it: one Lease, the keys of service accounts' tokens, and the review of a token.

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use http::{Method, StatusCode};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};
use url::Url;

use crate::config;
use crate::files;
use crate::fleet::elected::{Access, holder};
use crate::fleet::election::{Holder, Lease, UNCHANGED, Unwritten};
use crate::upstream::client::read_body;
use crate::watch::{Watched, Watcher};

/// Most bytes of an answer.
const MOST_BYTES: usize = 1 << 20;
/// Most bytes of a token or a name.
const MOST_OF_A_FILE: u64 = 16 << 10;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(1);

/// The API server. It is asked as the pod's service account.
pub struct Api {
    client: Watched<reqwest::Client>,
    server: Url,
    /// The path of the Lease.
    lease: String,
    token: PathBuf,
    /// The Lease as it was read or written last, with what others keep in it.
    object: Mutex<Value>,
    /// Writes in a row that met another version.
    conflicts: AtomicU32,
}

/// An answer.
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Api {
    /// Reads where the server is and how it is trusted.
    pub async fn start(settings: &config::FleetKubernetes, lease: &str, watcher: &Watcher) -> anyhow::Result<Self> {
        let server = match &settings.api_server {
            Some(url) => url.clone(),
            None => in_cluster(&|name| std::env::var(name).ok())?,
        };
        let folder = &settings.folder;
        let namespace = text(&folder.join("namespace")).context("folder")?;
        ensure!(is_name(&namespace) && is_name(lease), "lease, or the namespace of folder: is no name");
        let has_tls = server.scheme() == "https";
        let client = if has_tls {
            let trusts = |contents: &[Vec<u8>]| client(Some(&contents[0]));
            watcher.files("kubernetes_authority", vec![folder.join("ca.crt")], trusts).await.context("folder")?
        } else {
            watcher.files("kubernetes_authority", Vec::new(), |_| client(None)).await?
        };
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}");
        Ok(Self {
            client,
            server,
            lease,
            token: folder.join("token"),
            object: Mutex::default(),
            conflicts: AtomicU32::new(0),
        })
    }

    /// Sends a request. The token is read for each, so that a new one is in use at once.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let client = self.client.get();
        let request = client.request(method, self.server.join(path)?).bearer_auth(text(&self.token)?);
        let request = request.header(http::header::ACCEPT, "application/json");
        let request = match body {
            Some(body) => {
                request.header(http::header::CONTENT_TYPE, "application/json").body(serde_json::to_vec(body)?)
            }
            None => request,
        };
        let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        let body = read_body(&mut response, MOST_BYTES, || ()).await.map_err(|unread| unread.of_at_most(MOST_BYTES))?;
        Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() })
    }

    /// Reads the Lease.
    pub async fn read(&self) -> Result<Lease, Access> {
        let answer = self.send(Method::GET, &self.lease, None).await.map_err(|_| Access::Unreachable)?;
        if answer.status != StatusCode::OK {
            return Err(access(answer.status));
        }
        let lease = lease_of(&answer.body).ok_or(Access::Failing)?;
        *self.object.lock().unwrap_or_else(PoisonError::into_inner) = answer.body;
        Ok(lease)
    }

    /// Writes the Lease if it has the version that `lease` names, and returns the new one. What others keep in it stays.
    pub async fn write(&self, lease: &Lease) -> (Result<String, Unwritten>, Access) {
        let before = self.object.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(object) = object_of(before, lease, SystemTime::now()) else {
            return (Err(Unwritten::Unknown), Access::Failing);
        };
        let Ok(answer) = self.send(Method::PUT, &self.lease, Some(&object)).await else {
            return (Err(Unwritten::Unknown), Access::Unreachable);
        };
        match (answer.status, lease_of(&answer.body)) {
            (StatusCode::OK | StatusCode::CREATED, Some(written)) => {
                self.conflicts.store(0, SeqCst);
                *self.object.lock().unwrap_or_else(PoisonError::into_inner) = answer.body;
                (Ok(written.version), Access::Good)
            }
            // One may be another's write in between. The next write names the version that was read after it.
            (StatusCode::CONFLICT, _) => {
                let is_first = self.conflicts.fetch_add(1, SeqCst) == 0;
                (Err(Unwritten::Conflict), if is_first { Access::Good } else { Access::Failing })
            }
            (status, _) => (Err(Unwritten::Unknown), access(status)),
        }
    }

    /// Returns the keys that service accounts' tokens are signed with; none if they may not be read.
    pub async fn keys(&self) -> anyhow::Result<Option<Value>> {
        let Answer { status, body } = self.send(Method::GET, "/openid/v1/jwks", None).await?;
        match status {
            StatusCode::OK => Ok(Some(body)),
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(None),
            other => anyhow::bail!("the API server answered {other}"),
        }
    }

    /// Has the API server look at a token, and returns whose it is, if it is good for this audience.
    pub async fn review(&self, token: &str, audience: &str) -> anyhow::Result<Option<String>> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        });
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let Answer { status, body } = self.send(Method::POST, path, Some(&review)).await?;
        ensure!(status.is_success(), "the API server answered {status}");
        let status = &body["status"];
        let good = status["authenticated"] == true
            && status["audiences"].as_array().is_some_and(|audiences| audiences.iter().any(|one| one == audience));
        Ok(status["user"]["username"].as_str().filter(|_| good).map(str::to_owned))
    }
}

fn access(status: StatusCode) -> Access {
    match status {
        StatusCode::NOT_FOUND => Access::Missing,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Access::Forbidden,
        _ => Access::Failing,
    }
}

/// Returns where the API server is, as each pod is told.
fn in_cluster(environment: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Url> {
    const MISSING: &str = "api_server: not set, and this is no pod: there is no KUBERNETES_SERVICE_HOST";
    let host = environment("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty()).context(MISSING)?;
    let port = environment("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
    let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host };
    format!("https://{host}:{port}").parse().context("KUBERNETES_SERVICE_HOST")
}

/// True for what can stand in the path of an object.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (1..=253).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('.')
}

fn text(path: &Path) -> anyhow::Result<String> {
    let content = files::read(path, MOST_OF_A_FILE).with_context(|| path.display().to_string())?;
    Ok(String::from_utf8(content)?.trim().to_owned())
}

fn client(authority: Option<&[u8]>) -> anyhow::Result<reqwest::Client> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = authority {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.context("the authority")?).context("the authority")?;
        }
        ensure!(!roots.is_empty(), "no certificate in it");
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The server is near: a proxy is not for it.
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let builder = builder.retry(reqwest::retry::never()).connect_timeout(CONNECT).tls_backend_preconfigured(tls);
    Ok(builder.https_only(authority.is_some()).build()?)
}

/// Reads a Lease object.
fn lease_of(object: &Value) -> Option<Lease> {
    let version = object["metadata"]["resourceVersion"].as_str()?.to_owned();
    let spec = &object["spec"];
    let named = spec["holderIdentity"].as_str().filter(|text| !text.is_empty());
    let holder = named.map(|text| {
        // Whoever wrote something else there answers no ping.
        let unknown =
            || Holder { process: text.to_owned(), pod: String::new(), address: String::new(), key: String::new() };
        Arc::new(holder::read(text).unwrap_or_else(unknown))
    });
    Some(Lease { holder, term: spec["leaseTransitions"].as_u64().unwrap_or_default(), version })
}

/// Returns the object that says so: the one before with another spec. None if Kubernetes could not hold it.
fn object_of(mut before: Value, lease: &Lease, now: SystemTime) -> Option<Value> {
    let term = i32::try_from(lease.term).ok()?;
    let holder = holder::written(lease.holder.as_ref()?);
    let now = humantime::format_rfc3339_micros(now).to_string();
    let is_same = before["spec"]["holderIdentity"] == holder.as_str();
    let acquired = Some(before["spec"]["acquireTime"].clone()).filter(|time| is_same && time.is_string());
    let metadata = before.get_mut("metadata").and_then(Value::as_object_mut).map(std::mem::take);
    let mut metadata: Map<String, Value> = metadata?;
    metadata.remove("managedFields");
    metadata.insert("resourceVersion".to_owned(), lease.version.clone().into());
    Some(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
        "spec": {
            "holderIdentity": holder,
            "leaseTransitions": term,
            "leaseDurationSeconds": UNCHANGED.as_secs(),
            "acquireTime": acquired.unwrap_or_else(|| now.clone().into()),
            "renewTime": now,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(version: &str) -> Lease {
        let part = |text: &str| text.to_owned();
        let holder = Holder { process: part("1"), pod: part("a-0"), address: part("10.0.0.7:1"), key: part("00") };
        Lease { holder: Some(Arc::new(holder)), term: 7, version: version.to_owned() }
    }

    #[test]
    fn a_lease_is_read_as_it_was_written_and_what_others_keep_in_it_stays() {
        let before =
            json!({"metadata": {"name": "l", "labels": {"a": "b"}, "resourceVersion": "1", "managedFields": []}});
        assert_eq!(lease_of(&before), Some(Lease { holder: None, term: 0, version: "1".to_owned() }), "without a spec");
        let written = object_of(before, &lease("1"), SystemTime::UNIX_EPOCH).expect("an object");
        assert_eq!(lease_of(&written), Some(lease("1")));
        assert_eq!(written["metadata"]["labels"]["a"], "b");
        assert_eq!(written["metadata"]["managedFields"], Value::Null);
        assert_eq!(written["spec"]["acquireTime"], "1970-01-01T00:00:00.000000Z");
        let renewed = object_of(written, &lease("2"), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        let renewed = renewed.expect("an object");
        assert_eq!(renewed["spec"]["acquireTime"], "1970-01-01T00:00:00.000000Z", "it is the same holder");
        assert_eq!(renewed["spec"]["renewTime"], "1970-01-01T00:00:01.000000Z");
        assert_eq!(object_of(renewed, &Lease { term: 1 << 31, ..lease("3") }, SystemTime::now()), None);
        for odd in [json!([1]), json!("spec"), json!(null)] {
            let before = json!({"metadata": {"resourceVersion": "1"}, "spec": odd});
            let written = object_of(before, &lease("1"), SystemTime::UNIX_EPOCH).expect("an object");
            assert_eq!(lease_of(&written), Some(lease("1")), "whatever stood there");
        }
    }

    #[test]
    fn a_pod_is_told_where_the_api_server_is() {
        let told = |host: &'static str| in_cluster(&move |name| name.ends_with("HOST").then(|| host.to_owned()));
        assert_eq!(told("10.96.0.1").expect("an address").as_str(), "https://10.96.0.1/");
        assert_eq!(told("fd00::1").expect("an address").as_str(), "https://[fd00::1]/");
        assert!(told("").is_err());
    }
}
