//! TLS to the leader: its certificate is of the fleet's authority, and so is the one that this replica shows.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::certificates::{self, Guard};
use crate::telemetry::view;
use crate::watch::{Watched, Watcher};

pub mod check;

/// What is made of the files.
pub struct Loaded {
    /// With what a connection to the leader is made.
    pub config: Arc<ClientConfig>,
    /// When the certificates end.
    pub certificates: Vec<view::Certificate>,
}

/// Reads the certificate, its key and the fleet's authority, and reads them again when they change.
pub async fn follow(paths: Vec<PathBuf>, watcher: &Watcher) -> anyhow::Result<Watched<Loaded>> {
    let guard = Guard::default();
    let read = move |contents: &[Vec<u8>]| {
        guard.look(&contents[0], "fleet.tls.cert_file")?;
        let config = Arc::new(config(contents)?);
        Ok(Loaded { config, certificates: certificates::ends_of_fleet(contents) })
    };
    watcher.files("fleet_certificate", paths, read).await
}

/// Returns the authorities of a file.
fn roots(pem: &[u8]) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for authority in certificates::read(pem)? {
        roots.add(authority)?;
    }
    Ok(roots)
}

fn config(contents: &[Vec<u8>]) -> anyhow::Result<ClientConfig> {
    let roots = roots(&contents[2]).context("the fleet's authority")?;
    let chain = certificates::read(&contents[0]).context("the certificate")?;
    // The library's own error is dropped, because it could quote the key.
    let key = PrivateKeyDer::from_pem_slice(&contents[1]).ok().context("the key: it is no PEM private key")?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context("the protocol version")?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .context("the certificate and its key")?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
