//! Certificates in files: what is in them, and when they end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::ensure;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tracing::warn;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::telemetry::view;

/// Reads the certificates of a PEM file.
///
/// # Errors
/// There are none, or it is no PEM.
pub fn read(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    ensure!(!certificates.is_empty(), "no certificate in it");
    Ok(certificates)
}

/// Returns when the certificates end that others would notice: of the chain, which comes first in `contents`, the one that ends first;
/// of the authorities, which come third, the next to end or, if all have ended, the last that did. `own` and `authority` are what
/// the two are called.
pub fn ends(contents: &[Vec<u8>], own: &'static str, authority: &'static str) -> Vec<view::Certificate> {
    let expiries = |pem: &[u8]| -> Vec<SystemTime> {
        let expiry = |der: &CertificateDer<'_>| {
            let (_, parsed) = X509Certificate::from_der(der).ok()?;
            let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        };
        read(pem).unwrap_or_default().iter().filter_map(expiry).collect()
    };
    let first = expiries(&contents[0]).into_iter().min();
    let authorities = contents.get(2).map(|pem| expiries(pem)).unwrap_or_default();
    let next =
        authorities.iter().filter(|expiry| **expiry > SystemTime::now()).min().or(authorities.iter().max()).copied();
    let first = first.map(|expires| view::Certificate { what: own, expires });
    first.into_iter().chain(next.map(|expires| view::Certificate { what: authority, expires })).collect()
}

/// Says what is wrong with the time for which a chain is valid.
///
/// # Errors
/// One of it has ended, or is not valid yet.
pub fn is_current(pem: &[u8]) -> Result<(), &'static str> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
    for der in read(pem).unwrap_or_default() {
        let Ok((_, parsed)) = X509Certificate::from_der(&der) else { continue };
        if parsed.validity().not_after.timestamp() <= now {
            return Err("the certificate has ended");
        }
        if parsed.validity().not_before.timestamp() > now {
            return Err("the certificate is not valid yet");
        }
    }
    Ok(())
}

/// The names of a fleet's certificates.
const OF_FLEET: (&str, &str) = ("certificate of the fleet", "certificate of the fleet's authority");

/// Returns when the certificates of a fleet end; see [`ends`].
pub fn ends_of_fleet(contents: &[Vec<u8>]) -> Vec<view::Certificate> {
    ends(contents, OF_FLEET.0, OF_FLEET.1)
}

/// Sees to it that no certificate that is not valid now takes the place of one that is; the first one is in nobody's place.
#[derive(Default)]
pub struct Guard(AtomicBool);

impl Guard {
    /// Looks at a chain.
    ///
    /// # Errors
    /// It is not valid now, and not the first.
    pub fn look(&self, pem: &[u8], setting: &str) -> anyhow::Result<()> {
        let is_later = self.0.swap(true, Ordering::Relaxed);
        if let Err(error) = is_current(pem) {
            ensure!(!is_later, "{error}");
            warn!("{setting}: {error}: whoever verifies it does not connect");
        }
        Ok(())
    }
}
