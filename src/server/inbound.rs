//! A call, as the layers of the inbound stack hand it to each other.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, Uri};
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

/// A call with its facts, as every layer below the top one gets it: no such layer can be reached without the facts.
///
/// The facts are in the request's extensions from the beginning, because tonic passes its handlers nothing but the request.
/// There no layer has to move them.
pub struct Inbound<B>(Request<B>);

impl<B> Inbound<B> {
    /// Returns a call with these facts.
    pub fn new(facts: Facts, mut request: Request<B>) -> Self {
        request.extensions_mut().insert(facts);
        Self(request)
    }

    /// Returns the call's facts.
    pub fn facts(&self) -> &Facts {
        self.0.extensions().get().expect("an inbound call is made with its facts, and nobody takes them out")
    }

    /// Returns the call's facts, for a layer that adds to them.
    pub fn facts_mut(&mut self) -> &mut Facts {
        self.0.extensions_mut().get_mut().expect("an inbound call is made with its facts, and nobody takes them out")
    }

    /// Returns its path.
    pub fn path(&self) -> &str {
        self.0.uri().path()
    }

    /// Returns its address.
    pub fn uri(&self) -> &Uri {
        self.0.uri()
    }

    /// Returns its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// Returns its headers, for a layer that removes what the layers below must not see.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.0.headers_mut()
    }

    /// Returns it with another body.
    pub fn map<C>(self, body: impl FnOnce(B) -> C) -> Inbound<C> {
        Inbound(self.0.map(body))
    }

    /// Returns the call of a request that had the facts in its extensions all the while.
    pub fn again(request: Request<B>) -> Self {
        Self(request)
    }

    /// Returns the request for the handlers, with the facts in its extensions.
    pub fn into_request(self) -> Request<B> {
        self.0
    }
}

/// What the stack answers.
pub struct Answer {
    /// The response.
    pub response: Response<Body>,
    /// When the peer must have read the response.
    pub deadline: Option<Instant>,
}
