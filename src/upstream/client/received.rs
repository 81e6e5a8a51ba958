//! When something last came on a connection, whatever it was.
//!
//! The HTTP/2 client pings by itself, and tells nobody whether the answer has come until it gives the connection up. Nor can the
//! connection be wrapped. But each TLS record that comes is deciphered by an object that belongs to one connection. So the cipher
//! suites of TLS 1.3 are wrapped here, and these objects note when they were used. Of a connection over TLS 1.2 nothing is noted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Tls13AeadAlgorithm,
    UnsupportedOperationError,
};
use rustls::{CipherSuiteCommon, ConnectionTrafficSecrets, Error, SupportedCipherSuite, Tls13CipherSuite};
use tokio::time::Instant;

tokio::task_local! {
    /// The connection that this task opens.
    static OPENING: Arc<Received>;
}

/// When the last record of a connection came.
pub struct Received {
    began: Instant,
    /// Milliseconds after `began`.
    last: AtomicU64,
}

impl Received {
    /// Of a connection that is not there yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), last: AtomicU64::new(0) })
    }

    /// Opens the connection.
    pub async fn open<C>(self: &Arc<Self>, attempt: impl Future<Output = C>) -> C {
        OPENING.scope(Arc::clone(self), attempt).await
    }

    /// Returns for how long nothing has come; none if that is not known.
    pub fn silence(self: &Arc<Self>) -> Option<Duration> {
        // Where no other has it, nothing deciphers what comes, or with keys that were changed since.
        let is_noted = Arc::strong_count(self) > 1;
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        is_noted.then(|| self.began.elapsed().saturating_sub(last))
    }

    /// Notes that something came.
    pub fn note(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }
}

/// Returns the provider's cipher suites, those of TLS 1.3 wrapped.
pub fn suites() -> Vec<SupportedCipherSuite> {
    // The library wants them to live as long as the process, and there are three.
    static SUITES: LazyLock<Vec<SupportedCipherSuite>> =
        LazyLock::new(|| default_provider().cipher_suites.into_iter().map(wrapped).collect());
    SUITES.clone()
}

fn wrapped(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let SupportedCipherSuite::Tls13(suite) = suite else { return suite };
    let CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit } = suite.common;
    SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
        common: CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: Box::leak(Box::new(Noting(suite.aead_alg))),
        quic: None,
    })))
}

/// A cipher whose decrypters note when they are used.
struct Noting(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for Noting {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.0.encrypter(key, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        let inner = self.0.decrypter(key, iv);
        match OPENING.try_with(Arc::clone) {
            Ok(received) => Box::new(Decrypter { inner, received }),
            // Nobody asks, or the keys of an open connection change.
            Err(_) => inner,
        }
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct Decrypter {
    inner: Box<dyn MessageDecrypter>,
    received: Arc<Received>,
}

impl MessageDecrypter for Decrypter {
    fn decrypt<'a>(
        &mut self,
        message: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        self.received.note();
        self.inner.decrypt(message, number)
    }
}
