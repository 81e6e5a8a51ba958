//! The key of a replica's internal port. It is made at the start, and its digest stands in the Lease.
//!
//! There is no certificate: nobody signs for the key, and a name in it would say nothing. TLS 1.3 takes the bare key instead
//! (RFC 7250), so no library that makes certificates is needed.

use std::sync::Arc;

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs as tls;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, ServerConfig, SignatureScheme,
};

/// The key of an internal port.
pub struct Key {
    certified: Arc<CertifiedKey>,
    digest: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn digest_of(key: &[u8]) -> String {
    hex(digest(&SHA256, key).as_ref())
}

impl Key {
    /// Makes a key.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn new() -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok().context("no key can be made")?;
        let secret = pair.to_pkcs8v1().ok().context("no key can be made")?;
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(secret.as_ref().to_vec()));
        let key = tls::sign::any_ecdsa_type(&secret).context("no key can be made")?;
        let public = key.public_key().context("no key can be made")?;
        let digest = digest_of(&public);
        let certified = Arc::new(CertifiedKey::new(vec![CertificateDer::from(public.to_vec())], key));
        Ok(Self { certified, digest })
    }

    /// Returns its SHA-256, by which others know it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the TLS of a port that has this key. Who calls is known by more than TLS.
    ///
    /// # Errors
    /// The library does not know TLS 1.3.
    pub fn server_config(&self) -> anyhow::Result<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(tls::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .context("the protocol version")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.certified))));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Returns the TLS to the port with the key of this digest, and to no other.
pub fn pinned(digest: &str) -> Arc<ClientConfig> {
    let provider = Arc::new(tls::default_provider());
    let verifier = Arc::new(Pinned { digest: digest.to_owned(), algorithms: algorithms(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn algorithms(provider: &CryptoProvider) -> WebPkiSupportedAlgorithms {
    provider.signature_verification_algorithms
}

/// Takes one key.
#[derive(Debug)]
struct Pinned {
    digest: String,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if digest_of(key) == self.digest {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic)) // never: the configuration has TLS 1.3 alone
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// Returns what came through, or what the client has against it.
    async fn said(served: &Key, wanted: &str) -> Result<String, String> {
        let (near, far) = tokio::io::duplex(64 << 10);
        let acceptor = TlsAcceptor::from(Arc::new(served.server_config().expect("TLS 1.3")));
        let serving = tokio::spawn(async move {
            let mut stream = acceptor.accept(far).await.ok()?;
            stream.write_all(b"here").await.ok()?;
            stream.shutdown().await.ok()
        });
        let connector = TlsConnector::from(pinned(wanted));
        let name = ServerName::try_from("10.0.0.7").expect("an address");
        let mut stream = connector.connect(name, near).await.map_err(|error| error.to_string())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.map_err(|error| error.to_string())?;
        serving.await.expect("no panic");
        Ok(text)
    }

    #[tokio::test]
    async fn a_port_is_known_by_its_key_alone() {
        let (key, other) = (Key::new().expect("a key"), Key::new().expect("a key"));
        assert_ne!(key.digest(), other.digest());
        assert_eq!(said(&key, key.digest()).await.as_deref(), Ok("here"));
        let refused = said(&key, other.digest()).await.expect_err("another key");
        assert!(refused.contains("certificate"), "{refused}");
    }
}
