//! TLS on the gRPC port: the handshake, and certificates that change while the gateway runs.
//!
//! A connection keeps the certificate that it began with; new connections get the newest valid one. So replacing a
//! certificate needs no restart and fails no call.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::{self, Guard};
use crate::config::{self, ClientAuth};
use crate::files;
use crate::server::counts::Distrusted;
use crate::server::spoken::Spoken;
use crate::share::Shares;
use crate::telemetry::view;
use crate::watch::{Watched, Watcher};

mod handshake;
mod naming;

use handshake::Handshake;
use naming::{Naming, PEER};

/// The first byte of a TLS connection: a record of its handshake.
const HANDSHAKE: u8 = 0x16;
/// Most bytes of a file that is read.
const MOST_BYTES: u64 = 4 << 20;

/// Makes TLS connections.
#[derive(Clone)]
pub struct Tls {
    loaded: Source,
    handshake_timeout: Duration,
}

/// Where it comes from.
#[derive(Clone)]
enum Source {
    Files(Watched<Loaded>),
    Made(Arc<Loaded>),
}

impl Source {
    fn get(&self) -> Arc<Loaded> {
        match self {
            Self::Files(files) => files.get(),
            Self::Made(loaded) => Arc::clone(loaded),
        }
    }
}

/// What is made of the files.
struct Loaded {
    config: Arc<ServerConfig>,
    certificates: Vec<view::Certificate>,
}

impl Tls {
    /// Reads the files that the settings name, and reads them again when they change; returns none if the port is plaintext.
    ///
    /// # Errors
    /// A file cannot be read or is not valid.
    pub async fn load(settings: &config::Tls, watcher: &Watcher) -> anyhow::Result<Option<Self>> {
        let (Some(certificate), Some(key)) = (&settings.cert_file, &settings.key_file) else { return Ok(None) };
        let mut paths = vec![certificate.clone(), key.clone()];
        paths.extend(settings.client_ca_file.clone());
        let auth = settings.client_auth();
        let guard = Guard::default();
        let read = move |contents: &[Vec<u8>]| {
            guard.look(&contents[0], "server.tls.cert_file")?;
            let config = Arc::new(server_config(contents, auth, rustls::DEFAULT_VERSIONS, |verifier| verifier)?);
            let (own, authority) = ("certificate of the gRPC port", "certificate of the callers' authority");
            Ok(Loaded { config, certificates: certificates::ends(contents, own, authority) })
        };
        let loaded = watcher.files("certificate", paths, read).await?;
        Ok(Some(Self { loaded: Source::Files(loaded), handshake_timeout: settings.handshake_timeout }))
    }

    /// The same for the internal port of a fleet: TLS 1.3, and a certificate of the fleet's authority on both sides. `paths` are
    /// the certificate, its key and the authority.
    ///
    /// # Errors
    /// See [`Tls::load`].
    pub async fn of_fleet(paths: Vec<PathBuf>, watcher: &Watcher) -> anyhow::Result<Self> {
        let guard = Guard::default();
        let read = move |contents: &[Vec<u8>]| {
            guard.look(&contents[0], "fleet.tls.cert_file")?;
            let tls13 = [&rustls::version::TLS13];
            let config = Arc::new(server_config(contents, ClientAuth::Required, &tls13, Naming::of)?);
            Ok(Loaded { config, certificates: certificates::ends_of_fleet(contents) })
        };
        let loaded = watcher.files("fleet_certificate", paths, read).await?;
        Ok(Self { loaded: Source::Files(loaded), handshake_timeout: config::Tls::default().handshake_timeout })
    }

    /// The same for the internal port of a fleet that elects its leader: its key is made at the start, and stays.
    pub fn of_key(config: ServerConfig) -> Self {
        let loaded = Arc::new(Loaded { config: Arc::new(config), certificates: Vec::new() });
        Self { loaded: Source::Made(loaded), handshake_timeout: config::Tls::default().handshake_timeout }
    }

    /// Returns the certificates in use, with the times at which they expire.
    pub fn certificates(&self) -> Vec<view::Certificate> {
        self.loaded.get().certificates.clone()
    }

    /// Does the handshake, and returns the peer's verified certificate chain, if it presented one.
    ///
    /// # Errors
    /// The peer does not speak TLS or HTTP/2, presents no valid certificate where one is required, takes too long, or sends more
    /// than there is memory for in `shares`.
    pub async fn accept(
        &self,
        socket: TcpStream,
        shares: &Shares,
    ) -> io::Result<(TlsStream<Handshake<TcpStream>>, Option<Arc<[CertificateDer<'static>]>>)> {
        let peer = socket.peer_addr().ok();
        let handshake =
            TlsAcceptor::from(Arc::clone(&self.loaded.get().config)).accept(Handshake::begin(socket, shares));
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time");
        let handshake = PEER.scope(peer, timeout(self.handshake_timeout, handshake.into_fallible()));
        let shaken = handshake.await.map_err(late)?;
        let mut stream = shaken.map_err(|(error, socket)| match socket.first() {
            [HANDSHAKE, ..] if is_end(&error) => io::Error::new(error.kind(), Left),
            [] | [HANDSHAKE, ..] => error,
            first => io::Error::new(error.kind(), Spoken::of(first)),
        })?;
        stream.get_mut().0.end();
        let certificates = stream.get_ref().1.peer_certificates().map(Arc::from);
        Ok((stream, certificates))
    }
}

/// The peer has greeted, and left within the handshake. So do the clients of gRPC's C core that do not take the port's certificate:
/// they send no alert. A balancer's probe sends nothing at all.
#[derive(Debug)]
struct Left;

impl fmt::Display for Left {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("the peer left within the handshake, as some do who do not take the certificate")
    }
}

impl std::error::Error for Left {}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Returns whose certificate was not taken, if a handshake failed for that.
pub fn distrusted(error: &io::Error) -> Option<Distrusted> {
    use rustls::AlertDescription::{
        BadCertificate, CertificateExpired, CertificateRevoked, CertificateUnknown, UnknownCA, UnsupportedCertificate,
    };
    let error = error.get_ref()?;
    if error.is::<Left>() {
        return Some(Distrusted::Port);
    }
    match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(
            BadCertificate
            | CertificateExpired
            | CertificateRevoked
            | CertificateUnknown
            | UnknownCA
            | UnsupportedCertificate,
        ) => Some(Distrusted::Port),
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => Some(Distrusted::Caller),
        _ => None,
    }
}

/// Returns what the peer speaks, if a handshake failed because that is not what the port speaks.
pub fn spoken(error: &io::Error) -> Option<Spoken> {
    let error = error.get_ref()?;
    match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::PeerIncompatible(_)) => Some(Spoken::TlsVersion),
        Some(rustls::Error::NoApplicationProtocol) => Some(Spoken::Alpn),
        _ => error.downcast_ref::<Spoken>().copied(),
    }
}

/// Makes a configuration from the contents of the files: the certificate, its key, and, if set, the callers' authorities.
fn server_config(
    contents: &[Vec<u8>],
    auth: ClientAuth,
    versions: &[&'static SupportedProtocolVersion],
    around: fn(Arc<dyn ClientCertVerifier>) -> Arc<dyn ClientCertVerifier>,
) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .context("the protocol versions")?;
    let builder = match (auth, contents.get(2)) {
        (ClientAuth::Off, _) | (_, None) => builder.with_no_client_auth(),
        (auth, Some(authorities)) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates::read(authorities).context("the callers' authorities")? {
                roots.add(authority).context("the callers' authorities")?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let verifier = if auth == ClientAuth::Optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(around(verifier.build().context("the callers' authorities")?))
        }
    };
    let chain = certificates::read(&contents[0]).context("the certificate")?;
    // The library's own error is dropped, because it could quote the key.
    let key = PrivateKeyDer::from_pem_slice(&contents[1]).ok().context("the key: it is no PEM private key")?;
    let mut config = builder.with_single_cert(chain, key).context("the certificate and its key")?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Says what is wrong with the certificate of a file, if callers that verify it could not connect now.
///
/// # Errors
/// It cannot be read, has ended, or is not valid yet.
pub fn check(file: &Path) -> anyhow::Result<()> {
    let pem = files::read(file, MOST_BYTES)?;
    certificates::is_current(&pem).map_err(anyhow::Error::msg)
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError};

    use super::*;

    #[test]
    fn a_handshake_without_a_version_or_a_protocol_in_common_is_told() {
        let of = |error| spoken(&io::Error::new(io::ErrorKind::InvalidData, error));
        let version = rustls::PeerIncompatible::Tls12NotOfferedOrEnabled;
        assert_eq!(of(rustls::Error::PeerIncompatible(version)), Some(Spoken::TlsVersion));
        assert_eq!(of(rustls::Error::NoApplicationProtocol), Some(Spoken::Alpn));
        assert_eq!(of(rustls::Error::NoCertificatesPresented), None);
        assert_eq!(spoken(&io::Error::from(io::ErrorKind::UnexpectedEof)), None);
    }

    #[test]
    fn a_handshake_that_fails_for_a_certificate_is_told_from_one_that_was_given_up() {
        let whose = |error| distrusted(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(whose(rustls::Error::AlertReceived(AlertDescription::UnknownCA)), Some(Distrusted::Port));
        assert_eq!(whose(rustls::Error::AlertReceived(AlertDescription::CloseNotify)), None);
        assert_eq!(whose(rustls::Error::NoCertificatesPresented), Some(Distrusted::Caller));
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(whose(expired), Some(Distrusted::Caller));
        assert_eq!(distrusted(&io::Error::from(io::ErrorKind::UnexpectedEof)), None, "a balancer's probe");
        assert_eq!(distrusted(&io::Error::new(io::ErrorKind::UnexpectedEof, Left)), Some(Distrusted::Port));
    }
}
