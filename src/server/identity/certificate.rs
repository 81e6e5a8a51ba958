//! Finds the caller in a client certificate, which TLS has verified.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::policy::Policy;
use super::why::Why;
use crate::gateway::caller::Known;

const UNREADABLE: Why = Why::new("certificate", "the client certificate cannot be read");
const NO_NAME: Why = Why::new("certificate_name", "the client certificate names no caller");
const SEVERAL_NAMES: Why = Why::new("certificate_name", "the client certificate names more than one caller");

/// Most connections whose caller is remembered.
const MAX_REMEMBERED: u64 = 8192;
/// Most bytes of a caller's name.
const LONGEST_NAME: usize = 2048;

/// A connection's certificates, the caller's own first.
type ConnectionError = Arc<[CertificateDer<'static>]>;

/// Finds callers by their certificates.
pub struct Certificates {
    policy: Arc<Policy>,
    /// Callers by the memory address of their connection's chain. The entry holds the chain, so that no other chain can get the
    /// same address.
    seen: Cache<usize, (ConnectionError, Known)>,
}

impl Certificates {
    /// Starts with an empty cache.
    pub fn new(policy: &Arc<Policy>) -> Self {
        let seen = Cache::builder().max_capacity(MAX_REMEMBERED).time_to_idle(Duration::from_mins(5)).build();
        Self { policy: Arc::clone(policy), seen }
    }

    /// Returns the caller whose certificate chain this is.
    pub fn caller(&self, chain: &ConnectionError) -> Result<Known, Why> {
        let place = chain.as_ptr() as usize;
        if let Some((_, known)) = self.seen.get(&place) {
            return Ok(known);
        }
        let known = self.policy.known(&name(chain.first().ok_or(UNREADABLE)?)?);
        self.seen.insert(place, (Arc::clone(chain), known.clone()));
        Ok(known)
    }
}

/// Returns the SPIFFE id of a certificate, or else `certificate:` and the common name of its subject.
pub fn name(certificate: &[u8]) -> Result<String, Why> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| UNREADABLE)?;
    let alternatives = certificate.subject_alternative_name().map_err(|_| UNREADABLE)?;
    let alternatives = alternatives.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let uris = alternatives.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    let mut ids = uris.filter(|uri| uri.starts_with("spiffe://"));
    let name = match (ids.next(), ids.next()) {
        (Some(_), Some(_)) => return Err(SEVERAL_NAMES),
        (Some(id), None) => id.to_owned(),
        (None, _) => {
            let mut names = certificate.subject().iter_common_name();
            let (first, second) = (names.next(), names.next());
            if second.is_some() {
                return Err(SEVERAL_NAMES);
            }
            let text = first.and_then(|name| name.as_str().ok()).filter(|text| !text.is_empty()).ok_or(NO_NAME)?;
            format!("certificate:{text}")
        }
    };
    // The name is matched against the rules' patterns, in which `*` has a meaning, and written into log lines.
    let plain = name.len() <= LONGEST_NAME && !name.contains('*') && !name.chars().any(char::is_control);
    if plain { Ok(name) } else { Err(NO_NAME) }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(names: &[&str], uris: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for name in names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII")));
        params.subject_alt_names = uris.chain([SanType::DnsName("a.example".try_into().expect("ASCII"))]).collect();
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().clone()
    }

    #[test]
    fn a_spiffe_id_wins_over_the_subject_and_only_one_name_counts() {
        let spiffe = "spiffe://prod.example/ns/billing/sa/api";
        let long = "n".repeat(LONGEST_NAME);
        for (names, uris, wanted) in [
            (&["web"][..], &[][..], Ok("certificate:web")),
            (&["web"], &[spiffe], Ok(spiffe)),
            (&[], &[spiffe], Ok(spiffe)),
            (&["web"], &["https://a.example/"], Ok("certificate:web")),
            (&[], &[], Err(NO_NAME)),
            (&[""], &[], Err(NO_NAME)),
            (&["a*"], &[], Err(NO_NAME)),
            (&["a\nb"], &[], Err(NO_NAME)),
            (&[long.as_str()], &[], Err(NO_NAME)),
            (&["web"], &[spiffe, "spiffe://other.example/x"], Err(SEVERAL_NAMES)),
        ] {
            assert_eq!(name(&certificate(names, uris)), wanted.map(str::to_owned), "{names:?} {uris:?}");
        }
        assert_eq!(name(b"no certificate"), Err(UNREADABLE));
    }

    #[test]
    fn each_connection_is_remembered_for_itself() {
        let policy = Arc::new(Policy::without_rules());
        let certificates = Certificates::new(&policy);
        let chain = |name: &str| -> ConnectionError { vec![certificate(&[name], &[])].into() };
        let (one, two) = (chain("one"), chain("two"));
        for _ in 0..2 {
            assert_eq!(&*certificates.caller(&one).expect("a caller").name, "certificate:one");
            assert_eq!(&*certificates.caller(&two).expect("a caller").name, "certificate:two");
        }
        assert!(certificates.caller(&Vec::new().into()).is_err(), "no certificate at all");
    }
}
