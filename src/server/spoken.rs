//! What a peer speaks who does not speak what the port does: by its first bytes, or by how its TLS handshake fails.

use std::fmt;

/// What every HTTP/2 connection begins with.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How many of the first bytes are enough to tell what a peer speaks.
pub const FIRST: usize = 16;

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/2 without TLS, where there should be TLS.
    Plaintext,
    /// TLS, where there should be none.
    Tls,
    /// HTTP/1.
    Http1,
    /// A header of the PROXY protocol before everything else.
    ProxyHeader,
    /// TLS, but no version or cipher that the port has.
    TlsVersion,
    /// TLS, but its ALPN does not offer HTTP/2.
    Alpn,
    /// Something else.
    Unknown,
}

impl Spoken {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 7] =
        [Self::Plaintext, Self::Tls, Self::Http1, Self::ProxyHeader, Self::TlsVersion, Self::Alpn, Self::Unknown];

    /// Returns what the peer speaks, by its first bytes, which are not what the port speaks.
    pub fn of(first: &[u8]) -> Self {
        let is_method = |word: &[u8]| (3..=7).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase);
        let begins = |with: &[u8]| first.starts_with(&with[..with.len().min(FIRST)]);
        match first {
            _ if begins(b"\x16\x03") => Self::Tls,
            _ if begins(PREFACE) => Self::Plaintext,
            _ if begins(b"PROXY ") || begins(b"\r\n\r\n\0\r\nQUIT\n") => Self::ProxyHeader,
            _ if first.split(|byte| *byte == b' ').next().is_some_and(is_method) => Self::Http1,
            _ => Self::Unknown,
        }
    }

    /// Returns its name in telemetry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Tls => "tls",
            Self::Http1 => "http1",
            Self::ProxyHeader => "proxy_header",
            Self::TlsVersion => "tls_version",
            Self::Alpn => "alpn",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Spoken {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "the peer speaks something else: {}", self.as_str())
    }
}

impl std::error::Error for Spoken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_it_is() {
        for (first, spoken) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], Spoken::Tls),
            (&PREFACE[..], Spoken::Plaintext),
            (&PREFACE[..FIRST], Spoken::Plaintext),
            (b"POST /zendesk.gateway.v1.UserService/GetUser HTTP/1.1\r\n", Spoken::Http1),
            (b"GET / HTTP/1.0\r\n", Spoken::Http1),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 50051\r\n", Spoken::ProxyHeader),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Spoken::ProxyHeader),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Spoken::Unknown),
            (b"\0\0\0", Spoken::Unknown),
        ] {
            assert_eq!(Spoken::of(first), spoken, "{}", first.escape_ascii());
        }
    }
}
