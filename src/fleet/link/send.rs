//! Sends calls to the leader.

use std::sync::atomic::Ordering::SeqCst;

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;

use super::{Course, Link};
use crate::fleet::hop::{Lost, Open};

impl Link {
    /// Returns a connection to the leader, which is opened if it is not. None if it cannot be.
    pub async fn line(&self, streaming: bool) -> Option<Open> {
        let inner = &*self.0.inner;
        let route = inner.route()?;
        let line = route.lines.line(streaming);
        if let Some(open) = line.now() {
            return Some(open);
        }
        let open = line.open(&route.way, inner.drain.get().filter(|_| streaming)).await.ok();
        if open.is_none() {
            inner.lost[1].fetch_add(1, SeqCst);
            inner.doubted.notify_one();
        }
        open
    }

    /// Sends a call to the leader.
    pub async fn send(&self, open: Open, term: u64, request: Request<Body>) -> Result<Response<Incoming>, Lost> {
        let inner = &*self.0.inner;
        let outcome = open.send(request).await;
        match &outcome {
            Ok(_) => {}
            Err(Lost::Unknown) => drop(inner.lost[0].fetch_add(1, SeqCst)),
            Err(Lost::NotTaken(_)) => drop(inner.lost[1].fetch_add(1, SeqCst)),
            Err(Lost::NotLeader) => {
                inner.lost[1].fetch_add(1, SeqCst);
                if inner.elected.is_some() && *inner.course.borrow() == Course::Leader(term) {
                    inner.renounced.notify_one();
                }
            }
        }
        outcome
    }

    /// Counts a call whose reply broke off.
    pub fn lost_in_reply(&self) -> Lost {
        self.0.inner.lost[0].fetch_add(1, SeqCst);
        Lost::Unknown
    }
}
