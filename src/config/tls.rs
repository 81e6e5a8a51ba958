//! Settings of TLS on the gRPC port.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::files;

/// `[server.tls]`: TLS on the gRPC port. Without a certificate the port is plaintext.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// `server.tls.cert_file`: PEM file with the gateway's certificate and its chain. Without it the port is plaintext.
    pub cert_file: Option<PathBuf>,
    /// `server.tls.key_file`: PEM file with the certificate's key.
    pub key_file: Option<PathBuf>,
    /// `server.tls.client_ca_file`: PEM file with the authorities that may have signed callers' certificates.
    pub client_ca_file: Option<PathBuf>,
    /// `server.tls.client_auth`: `off`, `optional` or `required`: whether callers show a certificate. Unset is `required` with
    /// `client_ca_file` and `off` without.
    pub client_auth: Option<ClientAuth>,
    /// `server.tls.handshake_timeout`: longest that a TLS handshake may take. Default `10s`.
    #[serde(with = "super::span")]
    pub handshake_timeout: Duration,
}

/// Whether callers show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked for one.
    Off,
    /// One that is shown must be right.
    Optional,
    /// Without a right one there is no connection.
    Required,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            client_auth: None,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

impl Tls {
    /// Returns whether callers show a certificate.
    pub fn client_auth(&self) -> ClientAuth {
        let unset = if self.client_ca_file.is_some() { ClientAuth::Required } else { ClientAuth::Off };
        self.client_auth.unwrap_or(unset)
    }

    /// Returns what is wrong although each single value is well-formed.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut mistake = |wrong: bool, text: &str| mistakes.extend(wrong.then(|| format!("server.tls.{text}")));
        let (on, off) = (self.cert_file.is_some(), self.client_auth() == ClientAuth::Off);
        mistake(on && self.key_file.is_none(), "key_file: not set, and cert_file needs it");
        mistake(!on && self.key_file.is_some(), "cert_file: not set, and key_file needs it");
        mistake(!on && self.client_ca_file.is_some(), "cert_file: not set, and client_ca_file needs it");
        mistake(!off && self.client_ca_file.is_none(), "client_ca_file: not set, and client_auth needs it");
        mistake(off && self.client_ca_file.is_some(), "client_auth: off, and client_ca_file is of no use then");
        mistake(self.handshake_timeout.is_zero(), "handshake_timeout: must be more than 0");
        let files =
            [("cert_file", &self.cert_file), ("key_file", &self.key_file), ("client_ca_file", &self.client_ca_file)];
        for (key, path) in files {
            let Some(path) = path else { continue };
            if let Err(error) = files::open(path) {
                mistakes.push(format!("server.tls.{key}: cannot read {}: {error}", path.display()));
            }
        }
        mistakes
    }
}
