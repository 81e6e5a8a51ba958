//! A call on its way in: what the layers of the inbound stack hand to each other.

use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::body::Body;

use crate::rpc::facts::{Facts, Peer};

/// A call as its connection hands it to the stack.
pub struct Arrival<B> {
    /// Who is at the other end of the connection.
    pub peer: Arc<Peer>,
    /// The request.
    pub request: Request<B>,
}

/// A call below the top of the stack: what is known of it goes along, so no layer can be reached without it.
///
/// The facts stand in the request's extensions from the beginning, because tonic hands its handlers no more than a request, and
/// there they are moved neither by a layer nor on the way to a handler.
pub struct Inbound<B>(Request<B>);

impl<B> Inbound<B> {
    /// A call of which this is known.
    pub fn new(facts: Facts, mut request: Request<B>) -> Self {
        request.extensions_mut().insert(facts);
        Self(request)
    }

    /// Returns what is known of it.
    pub fn facts(&self) -> &Facts {
        self.0.extensions().get().expect("an inbound call is made with its facts, and nobody takes them out")
    }

    /// Returns the same, to put down what is established on the way.
    pub fn facts_mut(&mut self) -> &mut Facts {
        self.0.extensions_mut().get_mut().expect("an inbound call is made with its facts, and nobody takes them out")
    }

    /// Returns its path.
    pub fn path(&self) -> &str {
        self.0.uri().path()
    }

    /// Returns its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// Returns its headers, to take out what concerns nobody further in.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.0.headers_mut()
    }

    /// Makes a request for the handlers, who find the facts in its extensions.
    pub fn into_request(self) -> Request<B> {
        self.0
    }
}

/// What the stack answers.
pub struct Answer {
    /// The response.
    pub response: Response<Body>,
    /// When the peer must have read it.
    pub deadline: Option<Instant>,
}
