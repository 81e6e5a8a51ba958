//! The TLS configuration for connections to Zendesk.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;

use super::received;
use crate::files;

/// Most bytes of a file with certificates: more than any bundle has.
const MOST_BYTES: u64 = 4 << 20;

/// Returns a configuration that trusts the system's certificates and those in `ca_file`. All connections share one: reading the
/// system's certificates takes a while, and the configuration keeps the sessions that can be resumed.
pub fn config(ca_file: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let authorities = ca_file.map(authorities).transpose()?.unwrap_or_default();
    let mut provider = default_provider();
    // Zendesk's edge prefers this group. If the first message has no key share for it, the edge asks for one, which costs a
    // round trip. With it, the share for plain X25519 is sent as well.
    let hybrid = kx_group::X25519MLKEM768;
    provider.kx_groups.retain(|group| group.name() != hybrid.name());
    provider.kx_groups.insert(0, hybrid);
    provider.cipher_suites = received::suites();
    let provider = Arc::new(provider);
    let verifier = Verifier::new_with_extra_roots(authorities, Arc::clone(&provider))
        .context("the system's certificates cannot be read: SSL_CERT_FILE and SSL_CERT_DIR say where they are")?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous() // rustls calls every verifier so that is not its own
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Returns a configuration that trusts no certificate, for clients without TLS. Without it each client would read the system's
/// certificates, which takes long.
pub fn none() -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Reads certificates.
fn authorities(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> anyhow::Result<Vec<_>> {
        let certificates =
            CertificateDer::pem_slice_iter(&files::read(file, MOST_BYTES)?).collect::<Result<Vec<_>, _>>()?;
        anyhow::ensure!(!certificates.is_empty(), "no certificate in it");
        let is_one = |der: &CertificateDer<'_>| RootCertStore::empty().add(der.clone().into_owned()).is_ok();
        anyhow::ensure!(certificates.iter().all(is_one), "what stands in it as a certificate is none");
        Ok(certificates)
    };
    read().with_context(|| format!("upstream.ca_file: {}", file.display()))
}

#[cfg(test)]
mod tests {
    use rustls::{HandshakeKind, ServerConfig};
    use rustls_pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_wants_the_hybrid_key_exchange_does_not_have_to_ask_for_it() {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::X25519MLKEM768];
        let server = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .expect("they belong together");
        let mut ca_file = tempfile::NamedTempFile::new().expect("a file");
        std::io::Write::write_all(&mut ca_file, signed.cert.pem().as_bytes()).expect("it is written");
        let client = TlsConnector::from(Arc::new(config(Some(ca_file.path())).expect("it is trusted")));
        let server = TlsAcceptor::from(Arc::new(server));
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from("localhost").expect("a name");
        let (client, served) = tokio::join!(client.connect(name, near), server.accept(far));
        client.expect("connected");
        assert_eq!(served.expect("accepted").get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}
