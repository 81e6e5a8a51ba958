//! The frame of a wrapped connector. A client lets a layer wrap the connector that it opens its connections with, and exports
//! neither the connector's target `T` nor its connection `C`.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::Connection;
use tower::Service;
use tower::util::BoxCloneSyncService;

/// Why there is no connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client's own connector.
pub type Inner<T, C> = BoxCloneSyncService<T, C, BoxError>;

/// One attempt to connect.
pub type Attempt<C> = BoxFuture<'static, Result<C, BoxError>>;

/// What is done around the attempts of one connector.
pub trait Around<C>: Send + Sync + 'static {
    /// Returns the connection, which need not be that of `attempt`.
    fn connect(self: Arc<Self>, attempt: Attempt<C>) -> Attempt<C>;
}

/// A client's connector, and what is done around its attempts.
pub struct Connector<T, C, A> {
    inner: Inner<T, C>,
    around: Arc<A>,
}

impl<T, C, A> Connector<T, C, A> {
    /// Wraps a connector.
    pub fn new(inner: Inner<T, C>, around: Arc<A>) -> Self {
        Self { inner, around }
    }
}

impl<T, C, A> Clone for Connector<T, C, A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), around: Arc::clone(&self.around) }
    }
}

impl<T, C, A> Service<T> for Connector<T, C, A>
where
    T: Send + 'static,
    C: Connection + Send + 'static,
    A: Around<C>,
{
    type Response = C;
    type Error = BoxError;
    type Future = Attempt<C>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: T) -> Self::Future {
        Arc::clone(&self.around).connect(self.inner.call(target))
    }
}
