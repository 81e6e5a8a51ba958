//! One connection of a caller.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

/// Who is at the other end of a connection; it travels in the extensions of each request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The certificates that it proved to own, its own first; they are verified.
    pub certificates: Option<Arc<[CertificateDer<'static>]>>,
}
