//! How jobs leave the board of which nobody will learn how they go on.

use tokio::time::Instant;

use super::{AFTER_FAILURE, Board, Entry, Follow, Id, NOT_TOLD, News};
use crate::error::Error;

impl Board {
    /// True unless the list has failed since it last answered about this job.
    pub(super) fn is_told_by_the_list(&self, id: &str) -> bool {
        self.entries.get(id).is_none_or(|entry| entry.list_failed.is_none())
    }

    /// Takes in that Zendesk answered oddly about one job, while it answers about others: nobody else's news ends with that.
    pub(super) fn unreadable_by_itself(&mut self, id: &str, error: &Error) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let now = Instant::now();
        if now - entry.told >= NOT_TOLD {
            return self.lose(id, error);
        }
        entry.alone = false;
        entry.schedule(now, AFTER_FAILURE);
    }

    /// Gives up all jobs.
    pub fn lose_all(&mut self, error: &Error) {
        let ids: Vec<Id> = self.entries.keys().cloned().collect();
        for id in &ids {
            self.lose(id, error);
        }
    }

    /// Gives a job up of which nobody will learn how it goes on, and with it its slot.
    pub(super) fn lose(&mut self, id: &str, error: &Error) {
        let Some(entry) = self.entries.get(id) else { return };
        let key = Id::from(id);
        for follower in entry.followers.iter().filter_map(|follow| self.followers.get(&follow.number)) {
            follower.terms.inbox.put(&key, News::Lost(Id::clone(&key), error.clone()));
        }
        drop(self.remove(id));
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        for Follow { number, .. } in &entry.followers {
            let Some(follower) = self.followers.get_mut(number) else { continue };
            follower.open -= 1;
            if follower.open == 0 {
                self.followers.remove(number);
            }
        }
        Some(entry)
    }
}
