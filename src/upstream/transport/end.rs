//! Why an HTTP/2 connection is used no more.

/// Why an HTTP/2 connection is used no more. The client says nothing of a connection that ends while no request is under way; the
/// next request finds it closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing was asked on it for a while, and the gateway closed it.
    Idle,
    /// Zendesk sent GOAWAY, and left requests on it unprocessed.
    Goaway,
    /// It was found closed between two requests: by Zendesk, which may have sent GOAWAY and answered all, or because a ping was not
    /// answered.
    Closed,
    /// A ping was not answered while requests were under way.
    PingTimeout,
    /// It broke in another way while requests were under way.
    Error,
    /// The gateway sent its requests on another one: it was silent, took no bodies, or gave the answers to other requests.
    Replaced,
    /// The gateway shut down.
    Drained,
}

impl End {
    /// Every cause.
    pub const ALL: [Self; 7] =
        [Self::Idle, Self::Goaway, Self::Closed, Self::PingTimeout, Self::Error, Self::Replaced, Self::Drained];

    /// Returns its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Goaway => "goaway",
            Self::Closed => "closed",
            Self::PingTimeout => "ping_timeout",
            Self::Error => "error",
            Self::Replaced => "replaced",
            Self::Drained => "drained",
        }
    }

    /// Returns the cause that a client's error tells, for a connection that broke under a request.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        let is_late = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
        };
        if causes.any(is_late) { Self::PingTimeout } else { Self::Error }
    }
}
