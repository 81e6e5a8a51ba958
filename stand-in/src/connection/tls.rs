//! Certificates of the stand-in's own making, and the handshake that shows them.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::channel::Link;

/// Whom the certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A server's side of TLS.
pub(super) struct Tls {
    config: ServerConfig,
    /// The certificate of the authority that signed the server's, in PEM.
    pub(super) ca: String,
}

impl Tls {
    /// Makes an authority and a server's certificate.
    pub(super) fn new() -> io::Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Zendesk stand-in");
        let authority = CertifiedIssuer::self_signed(authority, key()?).map_err(io::Error::other)?;
        let key = key()?;
        let leaf = CertificateParams::new(NAMES.map(String::from)).map_err(io::Error::other)?;
        let leaf = leaf.signed_by(&key, &authority).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .map_err(io::Error::other)?;
        Ok(Self { config, ca: authority.pem() })
    }

    /// Shakes hands on `link`, offering `protocols` by ALPN.
    pub(super) async fn accept(&self, link: Link, protocols: Vec<Vec<u8>>) -> io::Result<Box<TlsStream<Link>>> {
        // The copy shares the session tickets of earlier connections.
        let mut config = self.config.clone();
        config.alpn_protocols = protocols;
        Ok(Box::new(TlsAcceptor::from(Arc::new(config)).accept(link).await?))
    }
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}
