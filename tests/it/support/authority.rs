//! An authority that signs certificates, and files of them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls_pki_types::CertificateDer;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use zendesk_gateway::config;

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub struct Signed {
    pub der: CertificateDer<'static>,
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    /// Signs a certificate for `localhost`, of a server or a client.
    pub fn sign(&self) -> Signed {
        self.sign_what(&CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters"))
    }

    /// The same, until a point in time.
    pub fn sign_until(&self, end: SystemTime) -> Signed {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.not_after = end.into();
        self.sign_what(&params)
    }

    /// Signs a certificate with these names, and for these purposes alone, or any if there are none.
    pub fn sign_for(&self, names: &[&str], purposes: &[ExtendedKeyUsagePurpose]) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.extended_key_usages = purposes.to_vec();
        self.sign_what(&params)
    }

    /// Signs a client's certificate with a common name and URIs.
    pub fn sign_caller(&self, name: Option<&str>, uris: &[&str]) -> Signed {
        self.sign_what(&caller(name, uris))
    }

    fn sign_what(&self, params: &CertificateParams) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Signed { der: certificate.der().clone(), certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// What a client needs to trust servers of this authority.
    pub fn trusted(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.pem())).domain_name("localhost")
    }
}

/// What a client's certificate says.
fn caller(name: Option<&str>, uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII"))).collect();
    params
}

impl Signed {
    pub fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }

    /// Writes both into a folder, and returns the settings that name them.
    pub fn write(&self, folder: &Path) -> config::Tls {
        let file = |name: &str, content: &str| -> PathBuf {
            let path = folder.join(name);
            std::fs::write(&path, content).expect("written");
            path
        };
        config::Tls {
            cert_file: Some(file("tls.crt", &self.certificate)),
            key_file: Some(file("tls.key", &self.key)),
            ..config::Tls::default()
        }
    }
}
