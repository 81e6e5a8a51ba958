//! Says whose certificate was not taken, where only those come who should have a good one: to the internal port of a fleet.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use tracing::warn;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::telemetry::logs::sample::Sampler;
use crate::tls;

/// Most lines a second: anybody can show a certificate.
const MOST_LINES: u32 = 1;

tokio::task_local! {
    /// The peer whose handshake goes on.
    pub static PEER: Option<SocketAddr>;
}

/// Verifies certificates as another verifier does.
#[derive(Debug)]
pub struct Naming {
    verifier: Arc<dyn ClientCertVerifier>,
    lines: Sampler,
}

impl Naming {
    /// Has this verifier decide.
    pub fn of(verifier: Arc<dyn ClientCertVerifier>) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Self { verifier, lines: Sampler::new(MOST_LINES) })
    }

    fn tell(&self, certificate: &CertificateDer<'_>, error: &Error) {
        let Some(left_out) = self.lines.admit() else { return };
        let names = X509Certificate::from_der(certificate).ok();
        let names = names.map(|(_, parsed)| (parsed.subject().to_string(), parsed.issuer().to_string()));
        let (subject, issuer) = names.unwrap_or_default();
        let peer = PEER.try_with(|peer| *peer).ok().flatten();
        warn!(
            peer = peer.map(|peer| peer.to_string()),
            certificate.subject = subject,
            certificate.issuer = issuer,
            error = tls::words(error).unwrap_or_else(|| error.to_string()),
            lines.left_out = left_out,
            "the certificate of a replica was not taken"
        );
    }
}

impl ClientCertVerifier for Naming {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now);
        verified.inspect_err(|error| self.tell(end_entity, error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }
}
