//! Settings of a fleet: several replicas before one account, of which one leads.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::files;

/// `[fleet]`: several replicas that are one gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// `fleet.mode`: `off`; `static`: the replica with `fleet.listen` leads, and those with `fleet.leader` forward their calls to
    /// it; or `kubernetes`: the replicas elect their leader. Default `off`.
    pub mode: FleetMode,
    /// `fleet.name`: what this replica is called in `x-served-by` and in the audit log. Unset is the host's name.
    pub name: Option<String>,
    /// `fleet.listen`: address of the internal port, which other replicas forward their calls to. With `static` the replica that
    /// has it leads.
    pub listen: Option<SocketAddr>,
    /// `fleet.address`: IP address at which the other replicas reach this one, for `kubernetes`; with a port if that is another one
    /// than in `fleet.listen`.
    pub address: Option<String>,
    /// `fleet.leader`: host and port of the leader's internal port, for `static`. The replica that has it follows.
    pub leader: Option<String>,
    /// `fleet.alone_after`: how long a replica holds calls while the leader does not answer; then it acts alone. Default `15s`.
    #[serde(with = "super::span")]
    pub alone_after: Duration,
    /// `[fleet.tls]`: how replicas prove themselves to each other.
    pub tls: FleetTls,
    /// `[fleet.kubernetes]`: where the replicas elect their leader.
    pub kubernetes: FleetKubernetes,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            mode: FleetMode::Off,
            name: None,
            listen: None,
            address: None,
            leader: None,
            alone_after: ALONE_AFTER,
            tls: FleetTls::default(),
            kubernetes: FleetKubernetes::default(),
        }
    }
}

/// Long enough for a leader to be replaced.
const ALONE_AFTER: Duration = Duration::from_secs(15);

/// Who leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetMode {
    /// Nobody: each replica acts by itself.
    #[default]
    Off,
    /// The replica that the settings name.
    Static,
    /// The replica that holds a Kubernetes Lease.
    Kubernetes,
}

/// `[fleet.kubernetes]`: where the replicas elect their leader.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetKubernetes {
    /// `fleet.kubernetes.lease`: name of the Lease, in the pod's namespace. It must be there.
    pub lease: Option<String>,
    /// `fleet.kubernetes.token_file`: file with a token of the pod's service account for an audience of the fleet's own. Whoever
    /// has such a token may say who calls.
    pub token_file: Option<PathBuf>,
    /// `fleet.kubernetes.folder`: folder with the `token`, `ca.crt` and `namespace` by which the API server is asked. Default
    /// `/var/run/secrets/kubernetes.io/serviceaccount`.
    pub folder: PathBuf,
    /// `fleet.kubernetes.api_server`: URL of the API server. HTTPS unless the host is loopback. Unset is the one of the cluster.
    pub api_server: Option<Url>,
}

impl Default for FleetKubernetes {
    fn default() -> Self {
        Self { lease: None, token_file: None, folder: FOLDER.into(), api_server: None }
    }
}

/// Where pods have the token and the authority of their API server.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// `[fleet.tls]`: how replicas prove themselves to each other.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetTls {
    /// `fleet.tls.cert_file`: PEM file with this replica's certificate and its chain. The leader's names the host of
    /// `fleet.leader`.
    pub cert_file: Option<PathBuf>,
    /// `fleet.tls.key_file`: PEM file with the certificate's key.
    pub key_file: Option<PathBuf>,
    /// `fleet.tls.ca_file`: PEM file with the authority of the fleet. Whoever has a certificate of it may say who calls, so it
    /// signs for nobody else.
    pub ca_file: Option<PathBuf>,
}

impl FleetTls {
    /// Returns the files by the names of their settings.
    fn files(&self) -> [(&'static str, Option<&PathBuf>); 3] {
        [
            ("cert_file", self.cert_file.as_ref()),
            ("key_file", self.key_file.as_ref()),
            ("ca_file", self.ca_file.as_ref()),
        ]
    }

    /// Returns the certificate, its key and the authority, if all are set.
    pub fn paths(&self) -> Option<Vec<PathBuf>> {
        self.files().into_iter().map(|(_, path)| path.cloned()).collect()
    }
}

impl Fleet {
    /// Returns what is wrong although each single value is well-formed.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut mistake = |wrong: bool, text: &str| mistakes.extend(wrong.then(|| format!("fleet.{text}")));
        let is_off = self.mode == FleetMode::Off;
        mistake(is_off && self.listen.is_some(), "listen: is of no use while fleet.mode is off");
        mistake(is_off && self.leader.is_some(), "leader: is of no use while fleet.mode is off");
        if is_off {
            return mistakes;
        }
        let wrong = self.name.as_deref().is_some_and(|name| !is_name(name));
        mistake(wrong, "name: must be 1 to 64 letters, digits or any of -_.");
        if self.mode == FleetMode::Kubernetes {
            self.elected(&mut mistake);
            return mistakes;
        }
        mistake(
            self.listen.is_none() && self.leader.is_none(),
            "leader: not set; name the leader, or set fleet.listen on the replica that leads",
        );
        mistake(
            self.listen.is_some() && self.leader.is_some(),
            "leader: fleet.listen is set too, and a replica leads or follows",
        );
        let wrong = self.leader.as_deref().is_some_and(|leader| host_and_port(leader).is_none());
        mistake(wrong, "leader: must be a host and a port, such as leader.example.com:50052");
        for (key, path) in self.tls.files() {
            match path {
                None => mistakes.push(format!("fleet.tls.{key}: not set, and fleet.mode needs it")),
                Some(path) => mistakes.extend(
                    files::open(path)
                        .err()
                        .map(|error| format!("fleet.tls.{key}: cannot read {}: {error}", path.display())),
                ),
            }
        }
        mistakes
    }

    /// What is wrong with the settings of a fleet that elects its leader.
    fn elected(&self, mistake: &mut dyn FnMut(bool, &str)) {
        let of = &self.kubernetes;
        mistake(!cfg!(feature = "kubernetes"), "mode: this gateway was built without the feature kubernetes");
        mistake(self.leader.is_some(), "leader: is of no use while the replicas elect their leader");
        for (key, path) in self.tls.files() {
            mistake(path.is_some(), &format!("tls.{key}: is of no use while the replicas elect their leader"));
        }
        mistake(self.listen.is_none(), "listen: not set, and fleet.mode needs it");
        mistake(self.address.is_none(), "address: not set, and fleet.mode needs it");
        let wrong = self.address.as_deref().is_some_and(|address| address_of(address, 1).is_none());
        mistake(wrong, "address: must be an IP address, or one with a port");
        mistake(of.lease.is_none(), "kubernetes.lease: not set, and fleet.mode needs it");
        mistake(of.token_file.is_none(), "kubernetes.token_file: not set, and fleet.mode needs it");
        let is_safe = |url: &Url| url.scheme() == "https" || url.scheme() == "http" && super::is_loopback(url);
        let wrong = of.api_server.as_ref().is_some_and(|url| !is_safe(url));
        mistake(wrong, "kubernetes.api_server: must be https unless the host is loopback");
    }
}

/// Returns where a replica is reached whose internal port has this number, by what its settings say.
pub fn address_of(address: &str, port: u16) -> Option<SocketAddr> {
    let ip = address.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port));
    ip.or_else(|_| address.parse()).ok()
}

/// Takes an address such as `leader.example.com:50052` or `[::1]:50052` apart; the host comes without brackets.
pub fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    rustls_pki_types::ServerName::try_from(host).ok().map(|_| (host, port))
}

/// True for what can be a replica's name: a header's value, and a word in the log.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (address, wanted) in [
            ("leader.example.com:50052", Some(("leader.example.com", 50052))),
            ("127.0.0.1:1", Some(("127.0.0.1", 1))),
            ("[::1]:50052", Some(("::1", 50052))),
            ("leader", None),
            ("leader:", None),
            ("leader:0", None),
            (":50052", None),
            ("https://leader:50052", None),
        ] {
            assert_eq!(host_and_port(address), wanted, "{address}");
        }
    }

    #[test]
    fn a_replica_that_elects_its_leader_says_where_it_is_and_which_lease_it_wants() {
        let fleet = Fleet { mode: FleetMode::Kubernetes, ..Fleet::default() };
        let said = fleet.mistakes().join("; ");
        for part in
            ["listen: not set", "address: not set", "kubernetes.lease: not set", "kubernetes.token_file: not set"]
        {
            assert!(said.contains(&format!("fleet.{part}")), "{said}");
        }
        assert!(!said.contains("tls."), "{said}");
        let kubernetes = FleetKubernetes {
            lease: Some("gateway".to_owned()),
            token_file: Some("/token".into()),
            api_server: Some("http://10.0.0.1".parse().expect("a URL")),
            ..FleetKubernetes::default()
        };
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 50052)));
        let whole = Fleet { listen, address: Some("10.0.0.7".to_owned()), kubernetes, ..fleet };
        let said = whole.mistakes().join("; ");
        assert!(said.contains("kubernetes.api_server: must be https"), "{said}");
        let tls = FleetTls { ca_file: Some("/ca.crt".into()), ..FleetTls::default() };
        let named = Fleet { address: Some("gateway-0".to_owned()), leader: Some("a:1".to_owned()), tls, ..whole };
        let said = named.mistakes().join("; ");
        assert!(said.contains("fleet.tls.ca_file: is of no use") && !said.contains("tls.cert_file"), "{said}");
        assert!(said.contains("address: must be an IP address") && said.contains("leader: is of no use"), "{said}");
        for (address, wanted) in
            [("10.0.0.7", "10.0.0.7:50052"), ("10.0.0.7:1", "10.0.0.7:1"), ("fd00::1", "[fd00::1]:50052")]
        {
            assert_eq!(address_of(address, 50052), Some(wanted.parse().expect("an address")));
        }
    }

    #[test]
    fn a_replica_leads_or_follows_and_has_a_certificate() {
        let told = |fleet: Fleet| fleet.mistakes().join("; ");
        assert_eq!(told(Fleet::default()), "");
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 50052)));
        assert!(told(Fleet { listen, ..Fleet::default() }).contains("fleet.listen: is of no use"));
        let fleet = Fleet { mode: FleetMode::Static, ..Fleet::default() };
        let said = told(fleet.clone());
        for part in ["fleet.leader: not set", "tls.cert_file: not set", "tls.key_file: not set", "tls.ca_file: not set"]
        {
            assert!(said.contains(part), "{said}");
        }
        let both = Fleet { listen, leader: Some("a:1".to_owned()), name: Some("a b".to_owned()), ..fleet };
        let said = told(both);
        assert!(said.contains("leads or follows") && said.contains("fleet.name: must be"), "{said}");
    }
}
