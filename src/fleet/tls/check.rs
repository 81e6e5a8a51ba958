//! Whether certificate files are such that replicas can know each other by them, for `check`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{config, roots};
use crate::certificates;
use crate::config::host_and_port;
use crate::files;
use crate::tls::in_words;

/// Most bytes of a file.
const MOST_BYTES: u64 = 4 << 20;

/// Says what is wrong with files by which no connection to another replica could come about, or from one if this replica `leads`:
/// each mistake begins with its setting. The files are the certificate, its key and the authority.
pub fn mistakes(paths: &[PathBuf], leads: bool) -> Vec<String> {
    let read = |place: usize| files::read(&paths[place], MOST_BYTES);
    // Which one cannot be read is said where it is opened.
    let (Ok(chain), Ok(key), Ok(authority)) = (read(0), read(1), read(2)) else { return Vec::new() };
    let mut mistakes = Vec::new();
    let mut told = |key: &str, outcome: anyhow::Result<()>| {
        mistakes.extend(outcome.err().map(|error| format!("fleet.tls.{key}: {}", in_words(&error))));
    };
    let (parsed, roots) = (certificates::read(&chain), roots(&authority));
    let fits = |chain: &Vec<CertificateDer<'static>>| {
        // The library's own error is dropped, because it could quote the key.
        let key = PrivateKeyDer::from_pem_slice(&key).ok().context("it is no PEM private key")?;
        CertifiedKey::from_der(chain.clone(), key, &aws_lc_rs::default_provider())?;
        Ok(())
    };
    told("key_file", parsed.as_ref().map_or(Ok(()), fits));
    let current = certificates::is_current(&chain).map_err(anyhow::Error::msg);
    let is_current = current.is_ok();
    told("cert_file", current);
    if let (Ok(chain), Ok(roots), true) = (&parsed, &roots, is_current) {
        told("cert_file", if leads { serves(chain, roots) } else { calls(chain, roots) });
    }
    told("cert_file", parsed.map(drop));
    told("ca_file", roots.map(drop));
    mistakes
}

/// Fails if followers could not take this chain for the leader's, whatever host they connect to.
fn serves(chain: &[CertificateDer<'static>], roots: &RootCertStore) -> anyhow::Result<()> {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let parsed = ParsedCertificate::try_from(&chain[0])?;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, &chain[1..], UnixTime::now(), algorithms)
        .map_err(|error| unfit(error, "servers (serverAuth)"))?;
    let (_, parsed) = X509Certificate::from_der(&chain[0])?;
    let names = parsed.subject_alternative_name()?.is_some_and(|names| !names.value.general_names.is_empty());
    ensure!(names, "names no host (subjectAltName), and must name the one in the followers' fleet.leader");
    Ok(())
}

/// Fails if the leader would not take this chain for a follower's.
fn calls(chain: &[CertificateDer<'static>], roots: &RootCertStore) -> anyhow::Result<()> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone().into(), provider).build()?;
    verifier
        .verify_client_cert(&chain[0], &chain[1..], UnixTime::now())
        .map(drop)
        .map_err(|error| unfit(error, "clients (clientAuth)"))
}

/// Says why others would not take a certificate for this use.
fn unfit(error: rustls::Error, purpose: &str) -> anyhow::Error {
    match error {
        // The signature is wrong if another authority has the same name.
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            anyhow::anyhow!("is signed by no authority in fleet.tls.ca_file")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => anyhow::anyhow!("is not for {purpose}"),
        other => other.into(),
    }
}

/// Connects to the leader, and looks at the certificate that it shows.
///
/// # Errors
/// The leader cannot be reached, or its certificate is not taken.
pub async fn reach(leader: &str, paths: &[PathBuf]) -> anyhow::Result<()> {
    let (host, port) = host_and_port(leader).context("fleet.leader: no host and port")?;
    let contents = paths.iter().map(|path| files::read(path, MOST_BYTES)).collect::<Result<Vec<_>, _>>()?;
    let socket = TcpStream::connect((host, port)).await?;
    let name = ServerName::try_from(host.to_owned())?;
    TlsConnector::from(Arc::new(config(&contents)?)).connect(name, socket).await?;
    Ok(())
}
