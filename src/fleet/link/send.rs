//! Sends calls to the leader.

use std::sync::atomic::Ordering::SeqCst;

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;

use super::{Course, Inner, Link};
use crate::fleet::hop::Lost;

impl Link {
    /// Sends a call to the leader.
    pub async fn send(&self, streaming: bool, term: u64, request: Request<Body>) -> Result<Response<Incoming>, Lost> {
        let inner = &*self.0.inner;
        let outcome = inner.send(streaming, request).await;
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

impl Inner {
    async fn send(&self, streaming: bool, request: Request<Body>) -> Result<Response<Incoming>, Lost> {
        let Some(route) = self.route() else { return Err(Lost::NotTaken(Some(Box::new(request)))) };
        let line = route.lines.line(streaming);
        let mut open = line.now();
        if open.is_none() {
            open = line.open(&route.way, self.drain.get().filter(|_| streaming)).await.ok();
        }
        let Some(open) = open else {
            self.doubted.notify_one();
            return Err(Lost::NotTaken(Some(Box::new(request))));
        };
        open.send(request).await
    }
}
