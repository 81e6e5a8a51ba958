//! Waits that Zendesk has stated and that are longer than the gateway obeys.
//!
//! After the longest wait that it obeys, the gateway asks again, whatever was stated. Until then every caller who is refused is
//! told what Zendesk has stated, not only the first.

use tokio::time::Instant;

use super::buckets::Route;
use crate::limits::Limit;
use crate::upstream::rest::UserKey;

/// Most waits that are remembered.
const MOST: usize = 256;

/// What a wait is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Account,
    Route(Route),
    User(UserKey),
}

impl About {
    /// True if a call on this route, perhaps an update of this user, is kept back by this.
    fn keeps_back(&self, route: Route, user: Option<&UserKey>, limit: Limit) -> bool {
        match self {
            Self::Account => limit == Limit::Account,
            Self::Route(closed) => limit == Limit::Endpoint && *closed == route,
            Self::User(closed) => matches!(limit, Limit::UserUpdates | Limit::Updates) && Some(closed) == user,
        }
    }
}

/// The waits.
#[derive(Debug, Default)]
pub struct Stated(Vec<Wait>);

#[derive(Debug)]
struct Wait {
    about: About,
    /// Until when calls are refused.
    obeyed: Instant,
    /// What Zendesk has stated.
    stated: Instant,
}

impl Stated {
    /// Remembers a wait, if it is longer than what is obeyed of it.
    pub fn add(&mut self, about: About, obeyed: Instant, stated: Instant, now: Instant) {
        self.0.retain(|wait| now < wait.obeyed && wait.about != about);
        if obeyed < stated && self.0.len() < MOST {
            self.0.push(Wait { about, obeyed, stated });
        }
    }

    /// Returns until when Zendesk has asked to wait, for a call on this route, perhaps an update of this user, that this limit
    /// keeps back.
    pub fn of(&self, route: Route, user: Option<&UserKey>, limit: Limit, now: Instant) -> Option<Instant> {
        let waits = self.0.iter().filter(|wait| now < wait.obeyed && wait.about.keeps_back(route, user, limit));
        waits.map(|wait| wait.stated).max()
    }
}
