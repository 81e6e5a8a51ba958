//! Settings of a fleet: several replicas before one account, of which one leads.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::files;

/// `[fleet]`: several replicas that are one gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// `fleet.mode`: `off`, or `static`: the replica with `fleet.listen` leads, and those with `fleet.leader` forward their calls
    /// to it. Default `off`.
    pub mode: FleetMode,
    /// `fleet.name`: what this replica is called in `x-served-by` and in the audit log. Unset is the host's name.
    pub name: Option<String>,
    /// `fleet.listen`: address of the internal port, which other replicas forward their calls to. The replica that has it leads.
    pub listen: Option<SocketAddr>,
    /// `fleet.leader`: host and port of the leader's internal port. The replica that has it follows.
    pub leader: Option<String>,
    /// `fleet.alone_after`: how long a replica holds calls while the leader does not answer; then it acts alone. Default `15s`.
    #[serde(with = "super::span")]
    pub alone_after: Duration,
    /// `[fleet.tls]`: how replicas prove themselves to each other.
    pub tls: FleetTls,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            mode: FleetMode::Off,
            name: None,
            listen: None,
            leader: None,
            alone_after: ALONE_AFTER,
            tls: FleetTls::default(),
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
}

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
        let wrong = self.name.as_deref().is_some_and(|name| !is_name(name));
        mistake(wrong, "name: must be 1 to 64 letters, digits or any of -_.");
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
