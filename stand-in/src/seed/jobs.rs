//! Job statuses left from earlier: every state and every shape of results.
//!
//! The unfinished ones stay as they are and do not count against the limit of
//! live jobs; they are there to be read.

use tokio::time::Instant;

use crate::clock::{Clock, JobDate, Time};
use crate::store::job::{Entry, Job, Results, Status};
use crate::store::tables::Tables;

use super::{Plan, USERS_FROM};

/// Adds the jobs, oldest first.
pub fn fill(plan: &Plan<'_>, clock: &Clock, tables: &mut Tables) {
    let now = clock.now().0;
    let mut id = plan.dice(5, 0);
    let mut add = |kind: &'static str, status, total, results, minutes_ago: u32| {
        let created = Time(now - minutes_ago * 60);
        let finished = created.after(20);
        let ended = !matches!(status, Status::Queued | Status::Working);
        let (progress, message) = match status {
            Status::Queued => (None, None),
            Status::Working => (Some(3), Some("Updating user #4".to_owned())),
            Status::Completed => (total, Some(format!("Completed at {}", JobDate(finished)))),
            Status::Failed | Status::Killed => (Some(0), Some(format!("Failed at {}", JobDate(finished)))),
        };
        tables.put_job(Job {
            id: format!("V3-{:032x}", id.u128(..)),
            kind: kind.into(),
            total,
            progress,
            status,
            message,
            results,
            created_at: created,
            finished_at: ended.then_some(finished),
            seen_from: Instant::now(),
            left_over: true,
            work: None,
        });
    };
    let completed = Status::Completed;
    add("Bulk Create User", completed, Some(3), created(), 600);
    add("Bulk Update User", completed, Some(2), updated(), 500);
    add("Bulk Update User", completed, Some(3), partial(), 400);
    add("Bulk Create Ticket", Status::Failed, Some(1), refused(), 300);
    add("Bulk Update User", completed, Some(2), destroyed(), 200);
    add("Bulk Delete Ticket", completed, None, Results::Success { success: true }, 100);
    add("Bulk Update Ticket", Status::Killed, Some(40), Results::Pending, 90);
    add("Bulk Update User", Status::Working, Some(100), Results::Pending, 2);
    add("Bulk Create Organization", Status::Queued, Some(50), Results::Pending, 1);
}

fn created() -> Results {
    let entry = |id| Entry { id: Some(id), status: Some("Created"), ..Entry::default() };
    Results::Entries(vec![entry(USERS_FROM + 2), entry(USERS_FROM + 1)])
}

fn updated() -> Results {
    Results::Entries(vec![done("update", "Updated", 1), done("update", "Updated", 2)])
}

fn destroyed() -> Results {
    Results::Entries(vec![done("delete", "Deleted", 1), done("delete", "Deleted", 2)])
}

fn done(action: &'static str, status: &'static str, offset: i64) -> Entry {
    Entry {
        action: Some(action),
        id: Some(USERS_FROM + offset),
        status: Some(status),
        success: Some(true),
        ..Entry::default()
    }
}

fn partial() -> Results {
    let mut entries = vec![done("update", "Updated", 1), done("update", "Updated", 2)];
    entries.insert(
        1,
        Entry {
            index: Some(1),
            error: Some("UserUpdateError"),
            id: Some(USERS_FROM + 3),
            details: Some("Name: is too short (minimum one character)".into()),
            ..Entry::default()
        },
    );
    Results::Entries(entries)
}

fn refused() -> Results {
    Results::Entries(vec![Entry {
        index: Some(0),
        error: Some("TicketCreateFailed"),
        details: Some("Description: cannot be blank".into()),
        ..Entry::default()
    }])
}
