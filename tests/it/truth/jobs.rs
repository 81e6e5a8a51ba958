//! Background jobs of the upstream, which are done at once or a moment later.

use std::collections::BTreeMap;

use super::changes::{join, upsert};
use super::http::Response;
use super::reads::{missing, param};
use super::state::State;
use super::world::{Kind, Life};

/// How many jobs are remembered.
const REMEMBERED: usize = 200;

#[derive(Debug, Clone)]
pub enum Task {
    CreateUsers(usize),
    UpsertUsers(Vec<String>),
    UpdateUsers(Vec<i64>),
    DeleteUsers(Vec<i64>),
    Join(Vec<(i64, i64)>),
    EndMemberships(Vec<i64>),
}

#[derive(Debug, Clone)]
struct Job {
    nonce: u64,
    task: Task,
    /// What became of each item, as JSON; none while it is not done.
    results: Option<Vec<String>>,
}

#[derive(Default)]
pub struct Jobs {
    next: u64,
    jobs: BTreeMap<u64, Job>,
}

fn name(number: u64) -> String {
    format!("V3-{number:032x}")
}

fn number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("V3-")?, 16).ok()
}

impl Jobs {
    pub fn add(&mut self, nonce: u64, task: Task) -> u64 {
        self.next += 1;
        self.jobs.insert(self.next, Job { nonce, task, results: None });
        if self.jobs.len() > REMEMBERED {
            self.jobs.pop_first();
        }
        self.next
    }

    fn json(&self, number: u64) -> Option<String> {
        let job = self.jobs.get(&number)?;
        let (status, results) = match &job.results {
            None => ("working", "null".to_owned()),
            Some(results) => ("completed", format!("[{}]", results.join(","))),
        };
        let (id, nonce) = (name(number), job.nonce);
        Some(format!(r#"{{"id":"{id}","url":"{id}?n={nonce}","status":"{status}","results":{results}}}"#))
    }

    pub fn one(&self, id: &str) -> Response {
        let job = number(id).and_then(|number| self.json(number));
        job.map_or_else(missing, |job| Response::new(200, format!(r#"{{"job_status":{job}}}"#)))
    }

    pub fn many(&self, ids: &str) -> Response {
        let rows = ids.split(',').filter_map(|id| self.json(number(id)?));
        Response::new(200, format!(r#"{{"job_statuses":[{}]}}"#, rows.collect::<Vec<_>>().join(",")))
    }

    pub fn page(&self, query: &str) -> Response {
        let after =
            param(query, "page[after]").and_then(|cursor| cursor.strip_prefix('c')).and_then(|id| id.parse().ok());
        let size = param(query, "page[size]").and_then(|size| size.parse().ok()).unwrap_or(100);
        let newest = self.jobs.range(..after.unwrap_or(u64::MAX)).rev().map(|(number, _)| *number);
        let page: Vec<u64> = newest.take(size).collect();
        let more = page.last().is_some_and(|last| self.jobs.range(..last).next().is_some());
        let cursor = page.last().map_or("null".to_owned(), |last| format!(r#""c{last}""#));
        let rows: Vec<String> = page.iter().filter_map(|number| self.json(*number)).collect();
        let text =
            format!(r#"{{"job_statuses":[{}],"meta":{{"has_more":{more},"after_cursor":{cursor}}}}}"#, rows.join(","));
        Response::new(200, text)
    }

    /// The id of one of the newest jobs.
    pub fn newest(&self, back: usize) -> Option<String> {
        self.jobs.keys().rev().nth(back).or_else(|| self.jobs.keys().next_back()).map(|number| name(*number))
    }

    /// Whose job it is.
    pub fn nonce(&self, id: &str) -> Option<u64> {
        self.jobs.get(&number(id)?).map(|job| job.nonce)
    }
}

impl State {
    /// Carries a job out.
    pub fn carry_out(&mut self, number: u64) {
        let Some(job) = self.jobs.jobs.get(&number).cloned() else { return };
        let (mut results, mut made) = (Vec::new(), Vec::new());
        let mut note = |state: &Self, kind: Kind, id: i64, word: &str, index: usize| {
            let version = state.world.ever(kind, id).map(|record| record.now.version).unwrap_or_default();
            made.push((kind, id, version));
            results.push(format!(r#"{{"id":{id},"index":{index},"status":"{word}","success":true}}"#));
        };
        match &job.task {
            Task::CreateUsers(count) => {
                for index in 0..*count {
                    let id = self.world.create(Kind::User, job.nonce, |_| ());
                    note(self, Kind::User, id, "Created", index);
                }
            }
            Task::UpsertUsers(names) => {
                for (index, name) in names.iter().enumerate() {
                    let (id, created) = upsert(self, name, job.nonce);
                    note(self, Kind::User, id, if created { "Created" } else { "Updated" }, index);
                }
            }
            Task::UpdateUsers(ids) => {
                for (index, id) in ids.iter().enumerate() {
                    self.world.change(Kind::User, *id, job.nonce, |_| ());
                    note(self, Kind::User, *id, "Updated", index);
                }
            }
            Task::DeleteUsers(ids) => {
                for (index, id) in ids.iter().enumerate() {
                    self.world.end(Kind::User, *id, job.nonce, Life::Deleted);
                    note(self, Kind::User, *id, "Deleted", index);
                }
            }
            Task::Join(pairs) => {
                for (index, (user, group)) in pairs.iter().enumerate() {
                    let id = join(self, *user, *group, job.nonce).unwrap_or_else(|| {
                        let mut there = self.world.live(Kind::Membership);
                        there.find(|row| row.user == *user && row.group == *group).map_or(0, |row| row.id)
                    });
                    note(self, Kind::Membership, id, "Created", index);
                }
            }
            Task::EndMemberships(ids) => {
                for (index, id) in ids.iter().enumerate() {
                    self.world.end(Kind::Membership, *id, job.nonce, Life::Gone);
                    note(self, Kind::Membership, *id, "Deleted", index);
                }
            }
        }
        self.book.made(job.nonce, &made);
        if let Some(job) = self.jobs.jobs.get_mut(&number) {
            job.results = Some(results);
        }
    }
}
