//! What one gateway hands to the next that answers for the account, so that it need not learn it from what goes wrong.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::Gateway;
use super::bulk::{FOLLOW, follow};
use crate::cache::{Tag, UNKNOWN_SETTLES_AFTER, Unsettled};
use crate::gateway::jobs::Work;
use crate::gateway::turns::Turn;
use crate::rest::Whole;
use crate::share::Share;
use crate::telemetry::Trace;
use crate::upstream::credential::{Asked, Credential, Source};
use crate::upstream::governor::Spent;

/// See the module.
#[derive(Serialize, Deserialize)]
pub struct HandOver {
    /// What writes may still change that are under way, or whose outcome is unknown.
    unsettled: Unsettled,
    /// The groups and users that declarative writes change.
    turns: Vec<Whole>,
    /// The jobs that have not ended.
    jobs: Vec<Running>,
    /// What is left of the account's budgets, and when its users were updated.
    spent: Option<Spent>,
}

/// A job that has not ended.
#[derive(Serialize, Deserialize)]
struct Running {
    id: String,
    /// The caller's credential, if it was started with that.
    authorization: Option<String>,
    on_behalf_of: Option<String>,
    tags: Vec<String>,
    turn: Option<Whole>,
}

impl Running {
    fn new(credential: &Credential, id: &str, work: &Work) -> Self {
        let text = |value: Option<&http::HeaderValue>| value.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            id: id.to_owned(),
            authorization: text(credential.header().filter(|_| credential.is_passed_through()).as_ref()),
            on_behalf_of: text(credential.on_behalf_of()),
            tags: work.tags.iter().map(ToString::to_string).collect(),
            turn: work.turn,
        }
    }
}

impl Gateway {
    /// Returns what the next one must know. What is begun after this is not in it.
    pub fn hand_over(&self) -> HandOver {
        let running = self.jobs.running().into_iter();
        HandOver {
            unsettled: self.cache.unsettled(),
            turns: self.turns.taken(),
            jobs: running.map(|(credential, id, work)| Running::new(&credential, &id, &work)).collect(),
            spent: self.governor.as_ref().map(|governor| governor.spent()),
        }
    }

    /// Leaves the jobs that no call waits for to the one that was told of them.
    pub fn leave_the_rest(&self) {
        self.handed_over.notify_waiters();
    }

    /// Goes on from where another one has stopped.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn take_over(&self, from: HandOver, credentials: &Source) {
        let HandOver { unsettled, turns, jobs, spent } = from;
        self.cache.unsettle(&unsettled);
        if let (Some(governor), Some(spent)) = (&self.governor, spent) {
            governor.go_on(&spent);
        }
        let turns = turns.into_iter().filter_map(|whole| Some((whole, self.turns.take_over(whole)?)));
        let turns: HashMap<Whole, Turn> = turns.collect();
        for job in jobs {
            let turn = job.turn.and_then(|whole| turns.get(&whole)).cloned();
            self.follow_on(job, turn, credentials);
        }
        // Those of writes that may still be carried out. Those of jobs last as long as these.
        tokio::spawn(async move {
            sleep(UNKNOWN_SETTLES_AFTER).await;
            drop(turns);
        });
    }

    /// Follows a job that another one has started, as if it had been this one.
    fn follow_on(&self, job: Running, turn: Option<Turn>, credentials: &Source) {
        let Running { id, authorization, on_behalf_of, tags, .. } = job;
        let asked = Asked {
            authorization: authorization.as_deref().map(str::as_bytes),
            on_behalf_of: on_behalf_of.as_deref().map(str::as_bytes),
            may_impersonate: true,
        };
        // Both are of one account, so both have a credential for it.
        let Ok(credential) = credentials.of(asked) else { return };
        let slots = self.jobs.slots();
        slots.is_new(&id);
        let tags: Vec<Tag> = tags.iter().filter_map(|tag| tag.parse().ok()).collect();
        let work = Work { tags, turn: turn.as_ref().map(Turn::whole) };
        let guard = self.cache.begin_write(&work.tags);
        let (share, until) = (Share::default(), Instant::now() + FOLLOW);
        let mut followed = self.jobs.follow_for(share.clone(), credential, Trace::default(), until);
        followed.hold(&id, Arc::clone(slots).take_over(&share).of(work));
        follow(turn, guard, followed, &self.handed_over);
    }
}
