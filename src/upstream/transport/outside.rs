//! What others see of the connections.

use std::sync::Arc;
use std::time::Duration;

use super::connections::Snapshot;
use super::end::End;
use super::pool::Pool;

/// How requests occupy the connections.
#[derive(Debug, Clone, Copy)]
pub struct Occupancy {
    /// How many are under way on connections that have fallen silent, if there is another one for others to go on.
    pub stuck: usize,
    /// How many all connections together take that there may be, as far as that is known.
    pub most: usize,
}

/// The connections of a transport, seen from outside.
#[derive(Clone)]
pub struct Connections(Arc<Pool>);

impl Connections {
    /// Shows those of a pool.
    pub(super) fn of(pool: &Arc<Pool>) -> Self {
        Self(Arc::clone(pool))
    }

    /// Returns them as they are now.
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    /// Tells of each HTTP/2 connection that is used no more, why, and how old it was.
    pub fn on_end(&self, tell: impl Fn(End, Duration) + Send + Sync + 'static) {
        self.0.on_end(tell);
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.0.close();
    }

    /// Returns how requests occupy them.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy { stuck: self.0.stuck(), most: self.0.ceiling().unwrap_or(usize::MAX) }
    }
}
