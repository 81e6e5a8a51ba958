//! What is wrong with a certificate or a handshake, in words.

use std::error::Error;
use std::io;

use rustls::CertificateError::{
    BadEncoding, BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
    NotValidYetContext, Revoked, UnknownIssuer,
};

/// Says what an error of the TLS library means; none for any other error.
pub fn words(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return words(inner);
    }
    Some(match error.downcast_ref()? {
        rustls::Error::InvalidCertificate(why) => match why {
            UnknownIssuer => "the peer's certificate is signed by no authority that is trusted here".to_owned(),
            Expired | ExpiredContext { .. } => "the peer's certificate has ended".to_owned(),
            NotValidYet | NotValidYetContext { .. } => "the peer's certificate is not valid yet".to_owned(),
            NotValidForName => "the peer's certificate is for another name".to_owned(),
            NotValidForNameContext { expected, presented } => {
                let plain = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
                let names: Vec<String> = presented.iter().map(plain).collect();
                format!("the peer's certificate is for {}, not for {}", names.join(", "), expected.to_str())
            }
            BadEncoding => "a certificate cannot be read".to_owned(),
            BadSignature => "the signature of a certificate is wrong".to_owned(),
            Revoked => "the peer's certificate was revoked".to_owned(),
            _ => "the peer's certificate is not valid".to_owned(),
        },
        rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
        rustls::Error::InvalidMessage(_) => "the peer does not speak TLS".to_owned(),
        _ => return None,
    })
}

/// Writes an error and all its causes in one line.
pub fn in_words(error: &anyhow::Error) -> String {
    let words: Vec<String> = error.chain().map(|cause| words(cause).unwrap_or_else(|| cause.to_string())).collect();
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn errors_of_the_library_are_said_in_words_wherever_they_are_in_a_chain() {
        let of = |error: rustls::Error| {
            let error = anyhow::Error::new(io::Error::other(io::Error::other(error))).context("upstream");
            in_words(&error)
        };
        for (error, words) in [
            (rustls::Error::InvalidCertificate(UnknownIssuer), "signed by no authority that is trusted here"),
            (rustls::Error::InvalidCertificate(BadEncoding), "upstream: a certificate cannot be read"),
            (rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch), "the key is not that of"),
            (rustls::InvalidMessage::InvalidContentType.into(), "upstream: the peer does not speak TLS"),
        ] {
            assert!(of(error.clone()).contains(words), "{}", of(error));
        }
        let name = rustls_pki_types::ServerName::try_from("a.example").expect("a name");
        let presented = vec![r#"DnsName("b.example")"#.to_owned()];
        let other = NotValidForNameContext { expected: name, presented };
        let text = of(rustls::Error::InvalidCertificate(other));
        assert_eq!(text, "upstream: the peer's certificate is for b.example, not for a.example");
        let plain = Err::<(), _>(io::Error::other("full")).context("disk").expect_err("it is one");
        assert_eq!(in_words(&plain), "disk: full");
    }
}
