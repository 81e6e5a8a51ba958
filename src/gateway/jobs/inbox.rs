//! What a follower of jobs has not been told yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::Error;
use crate::proto::Job;

/// A job's id.
pub type Id = Arc<str>;

/// News of jobs that somebody follows.
#[derive(Debug, Clone)]
pub enum News {
    /// A job as it is now: seen for the first time, or changed since. Nothing follows once it has ended.
    Seen(Arc<Job>),
    /// Nobody will learn how this job goes on: Zendesk does not know it or does not show it, or nobody asks any more. Nothing
    /// follows.
    Lost(Id, Error),
    /// Zendesk could not be asked about some of the jobs. It is asked again.
    Failed(Error),
}

/// News that wait for one follower. Of each job only the newest are kept, so however slow the follower is, no more than one for
/// each job wait.
#[derive(Default)]
pub struct Inbox {
    mail: Mutex<Mail>,
    came: Notify,
}

#[derive(Default)]
struct Mail {
    order: VecDeque<Id>,
    news: HashMap<Id, News>,
    failed: Option<Error>,
}

impl Inbox {
    /// Puts in news of one job.
    pub fn put(&self, id: &Id, news: News) {
        let mut mail = self.mail();
        if mail.news.insert(Id::clone(id), news).is_none() {
            mail.order.push_back(Id::clone(id));
        }
        drop(mail);
        self.came.notify_one();
    }

    /// Puts in that Zendesk could not be asked.
    pub fn fail(&self, error: &Error) {
        self.mail().failed = Some(error.clone());
        self.came.notify_one();
    }

    /// Takes out the oldest news; a failure comes after all news of jobs.
    pub fn take(&self) -> Option<News> {
        let mut mail = self.mail();
        match mail.order.pop_front() {
            Some(id) => mail.news.remove(&id),
            None => mail.failed.take().map(News::Failed),
        }
    }

    /// Waits until something is put in.
    pub async fn came(&self) {
        self.came.notified().await;
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
