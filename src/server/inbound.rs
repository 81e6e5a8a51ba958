//! A call on its way in: what the layers of the inbound stack hand to each other.

use http::{Request, Response};
use tokio::time::Instant;
use tonic::body::Body;

use crate::rpc::facts::{Facts, Peer};

/// A call as its connection hands it to the stack.
pub struct Arrival<B> {
    /// Who is at the other end of the connection.
    pub peer: Peer,
    /// The request.
    pub request: Request<B>,
}

/// A call below the top of the stack: what is known of it goes along, so no layer can be reached without it.
pub struct Inbound<B> {
    /// What is known of it.
    pub facts: Facts,
    /// The request.
    pub request: Request<B>,
}

impl<B> Inbound<B> {
    /// Makes a request for the handlers, to whom tonic hands no more than a request: they find the facts in its extensions.
    pub fn into_request(self) -> Request<B> {
        let Self { facts, mut request } = self;
        request.extensions_mut().insert(facts);
        request
    }
}

/// What the stack answers.
pub struct Answer {
    /// The response.
    pub response: Response<Body>,
    /// When the peer must have read it.
    pub deadline: Option<Instant>,
}
