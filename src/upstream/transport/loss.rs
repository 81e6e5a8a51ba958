//! What became of a request whose connection or stream ended without an answer.
//!
//! Some endings of HTTP/2 guarantee that nothing was processed (RFC 9113, 6.8 and 8.7): such a request may be sent again, even
//! a write. After any other ending it may have been carried out.

/// How a request was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The peer sent GOAWAY and processes no stream from this one on, or had sent it before this one began.
    NotProcessed,
    /// The peer refused the stream without processing it: `REFUSED_STREAM`.
    Refused,
    /// This stream was reset, for any other reason.
    Stream,
    /// The connection ended.
    Connection,
}

impl Loss {
    /// Reads the loss from a client's error and its causes.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|cause| cause.downcast_ref::<h2::Error>()).map_or(Self::Connection, Self::of_h2)
    }

    /// True if an error inside a body means that the stream has ended; false if the encoding is unreadable.
    pub fn is_of_stream(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.any(|cause| cause.is::<h2::Error>() || cause.is::<hyper::Error>())
    }

    /// True if an error inside a body means that the connection ended; false if only the stream did, or the encoding is
    /// unreadable.
    pub fn is_of_connection(error: &(dyn std::error::Error + 'static)) -> bool {
        Self::is_of_stream(error) && Self::of(error) == Self::Connection
    }

    fn of_h2(error: &h2::Error) -> Self {
        // The client gives a stream the peer's GOAWAY as its error only if the stream is above the last one that the GOAWAY
        // names; those that the peer still wants to answer, and then does not, end with the connection.
        if error.is_go_away() && error.is_remote() {
            return Self::NotProcessed;
        }
        match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Self::Refused,
            _ if error.is_reset() => Self::Stream,
            _ => Self::Connection,
        }
    }
}
