//! The judge: compares what a caller was told with what was true between its question and its answer.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::book::{Claim, Entry, Key};
use super::clock::{MILLISECOND, SECOND, lag, now};
use super::floors::{COUNT, COUNT_OF_DELETED};
use super::state::State;
use super::world::{Kind, Life, Stamp};

/// What a packet may take from the gateway to the upstream's own eyes, beside what the machine is late by.
const ON_THE_WAY: u64 = 100 * MILLISECOND;
/// The same where other tests run at the same time. A request that left only when a connection was made at last, after the
/// second repetition of a SYN, comes later.
const BESIDE_OTHERS: u64 = 2 * SECOND;
/// How long "no such record" may be remembered.
const NOT_FOUND_KEPT: u64 = 10 * SECOND;

/// A question.
#[derive(Debug, Clone)]
pub struct Asked {
    pub rpc: &'static str,
    pub begun: u64,
    pub how: String,
}

impl Asked {
    fn told(&self) -> String {
        let Self { rpc, begun, how } = self;
        format!("{rpc} from {} to {} ms, {how}", begun / MILLISECOND, now() / MILLISECOND)
    }
}

/// A record in a reply.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub kind: Kind,
    pub id: i64,
    pub url: Option<&'a str>,
    /// The value that the same call wrote which the stamp names.
    pub written: Option<&'a str>,
    /// Which life the record must have had in that version, where the list says so.
    pub life: Option<Life>,
}

impl State {
    /// Judges a record in a reply, and whether it is the one that was asked for.
    pub fn seen(&mut self, asked: &Asked, seen: Seen<'_>, wanted: Option<i64>) {
        self.tally.rows += 1;
        let Seen { kind, id, url, written, life } = seen;
        let history = || self.world.ever(kind, id).map_or("unknown here".to_owned(), super::world::Record::told);
        let told =
            |what: &str| format!("{}: {what}; it says id {id}, {url:?}; its history: {}", asked.told(), history());
        let stamp = url.and_then(Stamp::read);
        let (kind_of_violation, text) = match stamp {
            _ if wanted.is_some_and(|wanted| wanted != id) => {
                ("another record was answered than was asked for", told(&format!("{kind:?} {wanted:?} was asked for")))
            }
            None => ("a record without a stamp was answered", told("no stamp")),
            Some(stamp) if (stamp.kind, stamp.id) != (kind, id) => {
                ("a record is mixed of two", told("its id and its stamp differ"))
            }
            Some(stamp) => {
                let floor = self.floors.at(kind, id, asked.begun);
                let Some(record) = self.world.ever(kind, id) else { return };
                let change = record.history.iter().find(|change| change.version == stamp.version);
                if stamp.version > record.now.version {
                    ("a version was answered that never was", told("there is no such version"))
                } else if stamp.version < floor {
                    let text = told(&format!("somebody had been told of v{floor} before"));
                    ("an answer is older than a write that was answered before it was asked for", text)
                } else if let Some(change) = change
                    && (change.nonce != stamp.nonce || life.is_some_and(|life| life != change.life))
                {
                    ("a record is mixed of two", told(&format!("v{} is {change:?}", stamp.version)))
                } else if written.is_some_and(|written| written != format!("n{}", stamp.nonce)) {
                    ("a record is mixed of two", told(&format!("it holds {written:?}")))
                } else {
                    return;
                }
            }
        };
        self.tally.wrong(kind_of_violation, || text);
    }

    /// Judges a claim that there is no such record.
    pub fn missing(&mut self, asked: &Asked, kind: Kind, id: i64, deleted_counts: bool) {
        let Some(record) = self.world.ever(kind, id) else { return };
        let is_there = |life: Life| life == Life::Live || (life == Life::Deleted && !deleted_counts);
        let created = record.history[0];
        let was_new = record.history.len() < 24 && created.at + NOT_FOUND_KEPT > asked.begun;
        let known = self.floors.at(kind, id, asked.begun) > 0;
        if is_there(record.now.life) && (known || !was_new) {
            let text = format!("{}: {kind:?} {id}; its history: {}", asked.told(), record.told());
            self.tally.wrong("a record that was there was not found", || text);
        }
    }

    /// Judges a count of all records of a kind.
    pub fn counted(&mut self, asked: &Asked, kind: Kind, deleted: bool, value: Option<i64>) {
        let (what, counter) = match kind {
            _ if deleted => (COUNT_OF_DELETED, &self.world.deleted),
            Kind::Group => (COUNT, &self.world.groups),
            _ => (COUNT, &self.world.users),
        };
        let floor = self.floors.at(kind, what, asked.begun);
        if !value.is_some_and(|value| counter.was(value, floor)) {
            let text = format!("{}: {value:?}; there are {} now, v{floor} was known", asked.told(), counter.now());
            self.tally.wrong("a count was answered that was true at no moment", || text);
        }
    }

    /// Notes anything else that must not be.
    pub fn wrong(&mut self, kind: &'static str, asked: &Asked, what: &str) {
        self.tally.wrong(kind, || format!("{}: {what}", asked.told()));
    }

    /// Notes the end of a write, and what its answer makes known.
    pub fn told(&mut self, nonce: u64, key: Option<Key>, claim: Claim, told: &str) {
        if claim == Claim::Done {
            let made = self.book.get(nonce).map(|entry| entry.made.clone()).unwrap_or_default();
            let at = now();
            // Carried out twice, the first time counts: nobody can say which one the answer is of.
            let mut first = std::collections::HashMap::new();
            for (kind, id, version) in made {
                first.entry((kind, id)).or_insert(version);
            }
            for ((kind, id), version) in first {
                self.floors.raise(kind, id, version, at);
                for count in self.world.counts_changed_by(kind, version) {
                    self.floors.raise(kind, count, version, at);
                }
            }
        }
        self.book.end(nonce, key, claim, told.to_owned());
    }

    /// Judges a write once nothing of it can come any more.
    pub fn judge_over(&mut self, nonce: u64, entry: &Entry) {
        let Some((ended, claim, how)) = &entry.end else { return };
        self.tally.judged += 1;
        let after = entry.last.saturating_sub(*ended);
        let told = |what: &str| {
            let Entry { rpc, begun, arrived, last, done, once, .. } = entry;
            format!(
                "{rpc} n{nonce} from {} to {} ms, {how} ({claim:?}): {what}; arrived {arrived} times, the last time at {} ms, \
                 done {done} times, {}",
                begun / MILLISECOND,
                ended / MILLISECOND,
                last / MILLISECOND,
                if *once { "not to be repeated" } else { "may be repeated" }
            )
        };
        let claim = *claim;
        if entry.late > 0 {
            self.tally.wrong("a write left after its caller was gone", || told("it arrived too late"));
        }
        if claim == Claim::NotSent && entry.arrived > entry.throttled {
            self.tally.wrong("a write was sent of which the caller was told that it was not", || told("it was sent"));
        }
        if claim == Claim::Refused && entry.done > 0 && entry.arrived == 1 {
            self.tally
                .wrong("a write was done of which the caller was told that it was refused", || told("it was done"));
        }
        if claim == Claim::Done && entry.done == 0 {
            self.tally
                .wrong("a write was not done of which the caller was told that it was", || told("it was not done"));
        }
        if entry.once && entry.done > 1 {
            self.tally.wrong("a write was done twice", || told(&format!("{after} ns after its end")));
        }
    }
}

/// How much later than its caller's end a request may be read which left before.
pub fn slack() -> u64 {
    let on_the_way = if std::env::var_os("TRUTH_CALLS").is_some() { ON_THE_WAY } else { BESIDE_OTHERS };
    on_the_way + 3 * lag()
}

/// What a status says about a write.
pub fn claim(status: &Status) -> Claim {
    let details = status.get_error_details();
    // The client's own words: the gateway has not answered.
    let Some(info) = details.error_info() else { return Claim::Left };
    match info.reason.as_str() {
        "DEADLINE_EXCEEDED" if status.message().contains("before anything was carried out") => Claim::NotSent,
        "INVALID_FIELD" | "BREAKER_OPEN" | "OVERLOADED" | "CACHE_MISS" | "SHUTTING_DOWN" => Claim::NotSent,
        "UPSTREAM_UNAVAILABLE" if status.message().contains("cannot be reached") => Claim::NotSent,
        "RATE_LIMITED" | "CONFLICT" if info.domain == "zendesk-gateway" => Claim::NotSent,
        "RATE_LIMITED" | "CONFLICT" | "NOT_FOUND" | "RECORD_INVALID" | "DUPLICATE_VALUE" | "UPSTREAM_REFUSED" => {
            Claim::Refused
        }
        _ => Claim::Unknown,
    }
}

/// Whether a status is one that hurried callers get in rough weather.
pub fn is_to_be_expected(rpc: &str, status: &Status) -> bool {
    // Lists, counts and jobs name nothing that could be missing, or only what nothing deletes.
    let names_one =
        !["List", "Stream", "Count", "Search", "Auto", "Batch", "Bulk"].iter().any(|word| rpc.starts_with(word));
    let details = status.get_error_details();
    let failed = details.error_info().is_some_and(|info| info.reason == "UPSTREAM_ERROR");
    // Where the words of a 404 were lost on the way, nobody knows whether they were about the record.
    let lost_its_words =
        status.code() == Code::FailedPrecondition && status.message().contains("HTTP 404, an unreadable JSON body");
    (names_one && (status.code() == Code::NotFound || lost_its_words))
        || (failed && status.code() == Code::Internal)
        || matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted | Code::Cancelled
        )
}
