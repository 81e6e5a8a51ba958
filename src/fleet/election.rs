//! Which replica leads, as a pure function of state, event and time.
//!
//! Replicas agree through one Kubernetes `Lease`. Its holder leads for as long as it answers: a leader that cannot renew because
//! the API server is away goes on. A follower takes the Lease only if it has read it unchanged for [`UNCHANGED`] **and** the holder
//! has not said for [`SILENCE`], when asked, that it leads; or at once, if the holder is an earlier process of its own pod. Clocks of
//! two machines are never compared: each replica measures with its own, which may run at half or at twice the true rate.
//!
//! The periods were found with the simulation beside this file. It finds two leaders at once with a [`GAP`] and a [`SILENCE`] of
//! 3 s and a [`RENEWAL`] of 2 s.
//!
//! [`Election::step`] takes what happened and when, and returns what to do; it reads no clock and sends nothing. Whoever drives it
//! sends what it asks for, and tells it each answer; of a request to the API server also, after [`TIMEOUT`], that none came.

use std::sync::Arc;
use std::time::Duration;

mod moves;
#[cfg(test)]
mod simulation;

/// How often the driver sends [`Event::Tick`].
pub const TICK: Duration = Duration::from_millis(250);
/// A leader whose ticks are further apart than this was suspended, and one that no tick has called able for this cannot be reached,
/// perhaps for long enough to be replaced. Four times this, as clocks may differ by a factor of four, is less than [`SILENCE`].
pub const GAP: Duration = Duration::from_secs(1);
/// How often a leader renews the Lease. So it also learns that the Lease was replaced: with the slowest clock after about twice this
/// time.
pub const RENEWAL: Duration = Duration::from_secs(1);
/// How often a follower reads the Lease.
pub const READING: Duration = Duration::from_secs(2);
/// Successful reads of an unchanged Lease that begin further apart than this say nothing about the time between them.
pub const READS_APART: Duration = Duration::from_millis(2_500);
/// How long a Lease must have been read unchanged before it may be taken.
pub const UNCHANGED: Duration = Duration::from_secs(6);
/// How often a holder's internal port is asked.
pub const PING: Duration = Duration::from_millis(500);
/// How long a holder must not have said that it leads before its Lease may be taken.
pub const SILENCE: Duration = Duration::from_secs(5);
/// How long the driver waits for the answer to a request to the API server. By a slow clock it is twice as long, and no longer than
/// [`UNCHANGED`] by a fast one: what an answer says must still be true.
pub const TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a leader that does not answer is still taken to be there.
pub const HELD: Duration = Duration::from_secs(3);
/// No fleet comes to so many changes of its leader; Kubernetes can hold some more.
const MOST_TERM: u64 = 2_000_000_000;
/// Nor to so many while a replica of it is away.
const MOST_CHANGES: u64 = 1_000_000;

/// True for a term that somebody has made up, to a replica that has heard of `heard` before: terms only grow, and if it were believed there
/// would soon be none left.
pub fn is_made_up(term: u64, heard: u64) -> bool {
    term >= MOST_TERM || heard > 0 && term > heard + MOST_CHANGES
}

/// One process, as the Lease names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What no other process has, not even an earlier one of the same pod.
    pub process: String,
    /// The pod, which outlives its containers.
    pub pod: String,
    /// Where its internal port listens.
    pub address: String,
    /// SHA-256 of the key of its internal port, in hexadecimal digits.
    pub key: String,
}

/// What the Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who leads, or will once nobody else can. Absent until a replica took it for the first time.
    pub holder: Option<Arc<Holder>>,
    /// Grows with each change of the leader.
    pub term: u64,
    /// Kubernetes' `resourceVersion`: a write names the one that it replaces.
    pub version: String,
}

/// The number of a request to the API server, so that an answer that comes too late is recognised.
pub type Number = u64;

/// Why a write has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritten {
    /// The Lease has another version.
    Conflict,
    /// No answer, or none that says whether it was written.
    Unknown,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// [`TICK`] has passed.
    Tick {
        /// False while the replica's own internal port does not answer; of one that does not lead also while it cannot answer calls
        /// yet, or shuts down.
        able: bool,
    },
    /// The Lease was read, or could not be read.
    Read(Number, Option<Lease>),
    /// The Lease was written, and has this version now, or not.
    Written(Number, Result<String, Unwritten>),
    /// A replica answered a ping.
    Answered {
        /// Which one.
        holder: Arc<Holder>,
        /// In which term it leads, if it does.
        leads: Option<u64>,
        /// The highest term that it has heard of.
        heard: u64,
    },
    /// A call or a ping named this term.
    Heard(u64),
    /// This leader is to hand the lead over to this follower, which has said that it would take it.
    HandOver(Arc<Holder>),
    /// The leader has written this replica into the Lease, in this term.
    Handed(u64),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the Lease.
    Read(Number),
    /// Write the Lease, if it has the version that is named.
    Write(Number, Lease),
    /// Ask a replica's internal port whether it leads, and tell it of the highest term.
    Ping(Arc<Holder>, u64),
    /// Ask all replicas that were heard of in this way.
    AskAround(u64),
    /// Forget what is cached, and lead in this term.
    Lead(u64),
    /// Lead no more.
    Follow,
    /// Tell this replica that it holds the Lease in this term.
    Hand(Arc<Holder>, u64),
}

/// Whom a replica sends its calls to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It leads, in this term.
    Leads(u64),
    /// It forwards to this leader.
    Forwards(Arc<Holder>, u64),
    /// To nobody: it knows of no leader that answers.
    Nobody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Follower,
    /// It holds the Lease, and waits until nobody else can lead any more.
    Taking,
    Leader,
    /// It hands the Lease over to this one, and leads no more.
    Leaving {
        to: Arc<Holder>,
    },
}

/// The Lease as it was last read or written.
#[derive(Debug, Clone)]
struct Seen {
    lease: Lease,
    /// Since when every read has shown this version. Begins anew after a read that failed or came too late, or a suspension.
    since: Duration,
    /// When the last successful read or write began.
    at: Duration,
}

/// A holder whose internal port is asked.
#[derive(Debug, Clone)]
struct Asked {
    holder: Arc<Holder>,
    /// Since when it is asked. Begins anew after a suspension.
    since: Duration,
    /// When it said last that it leads.
    led: Option<Duration>,
    /// The highest term of which it had heard when it said that it does not lead; 0 if it has said since that it leads.
    obeys: u64,
    /// When it is asked again.
    next: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Renewal,
    Taking,
    HandOver,
}

/// A request to the API server that is under way.
#[derive(Debug, Clone, Copy)]
struct Open {
    number: Number,
    kind: Kind,
    begun: Duration,
    /// The term that it writes; 0 if it reads.
    term: u64,
}

/// It is not certain any more that nobody else leads. A write that is begun later, and succeeds, ends it.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Duration,
    /// Of several the last in their order.
    cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// The Lease has changed. A read that shows that this replica still holds it ends the doubt, too.
    Changed,
    /// Nobody reaches it, or somebody has heard of a higher term.
    Other,
    /// It was suspended.
    Suspended,
}

/// The part that one process takes in the election.
#[derive(Debug, Clone)]
pub struct Election {
    me: Arc<Holder>,
    role: Role,
    /// The term in which this replica holds the Lease; of a follower, the last in which it did.
    term: u64,
    /// The highest term that it has heard of.
    heard: u64,
    seen: Option<Seen>,
    /// True if the Lease must be read before it can be written.
    outdated: bool,
    open: Option<Open>,
    numbers: Number,
    /// When the next request to the API server is due.
    due: Duration,
    /// Writes in a row that did not succeed, and before when no other one begins.
    unwritten: u32,
    pause: Duration,
    ticked: Duration,
    /// What the last tick said: see [`Event::Tick`].
    able: bool,
    /// When a tick last said that it is able.
    answers: Duration,
    doubt: Option<Doubt>,
    /// When all replicas are asked next, because the Lease does not say who leads.
    around: Duration,
    /// The holder of the Lease, and whoever led before it and may still do so.
    asked: Vec<Asked>,
    /// The term of which the leader before has said that it has handed the Lease over.
    handed: Option<u64>,
}

impl Election {
    /// A replica that begins as a follower.
    pub fn new(me: Holder, now: Duration) -> Self {
        Self {
            me: Arc::new(me),
            role: Role::Follower,
            term: 0,
            heard: 0,
            seen: None,
            outdated: true,
            open: None,
            numbers: 0,
            due: now,
            unwritten: 0,
            pause: Duration::ZERO,
            ticked: now,
            able: false,
            answers: now,
            doubt: None,
            around: now,
            asked: Vec::new(),
            handed: None,
        }
    }

    /// The term in which this replica may act as the leader at this moment. The answer is good for [`GAP`] after the last tick: a
    /// process does not know that it was suspended until it looks at the time, so [`elected`](super::elected) does for each call.
    pub fn leads(&mut self, now: Duration) -> Option<u64> {
        self.look_at_the_time(now);
        (self.role == Role::Leader && self.doubt.is_none()).then_some(self.term)
    }

    /// The highest term that it has heard of, to be told with each answer to a ping.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// The other replica that the Lease names, as far as this one has read it.
    pub fn named(&self) -> Option<&Arc<Holder>> {
        self.seen.as_ref()?.lease.holder.as_ref().filter(|holder| **holder != self.me)
    }

    /// Whom this replica sends its calls to.
    pub fn standing(&mut self, now: Duration) -> Standing {
        if let Some(term) = self.leads(now) {
            return Standing::Leads(term);
        }
        let lease = self.seen.as_ref().map(|seen| &seen.lease).filter(|lease| lease.term >= self.heard);
        let holder = lease.and_then(|lease| Some((lease.holder.clone()?, lease.term)));
        let answers = |holder: &Arc<Holder>| {
            let led = self.asked.iter().find(|asked| asked.holder == *holder).and_then(|asked| asked.led);
            self.role == Role::Follower && led.is_some_and(|led| now.saturating_sub(led) < HELD)
        };
        match holder {
            Some((holder, term)) if answers(&holder) => Standing::Forwards(holder, term),
            _ => Standing::Nobody,
        }
    }

    /// Takes what happened at this moment, and returns what to do.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        self.look_at_the_time(now);
        match event {
            Event::Tick { able } => self.tick(able, now, &mut actions),
            Event::Read(number, lease) => {
                if let Some(open) = self.close(number) {
                    self.read(lease, open, now, &mut actions);
                }
            }
            Event::Written(number, result) => {
                if let Some(open) = self.close(number) {
                    self.written(result, open, now, &mut actions);
                }
            }
            Event::Answered { holder, leads, heard } => self.answered(&holder, leads, heard, now, &mut actions),
            Event::Heard(term) => self.hear(term, now),
            Event::HandOver(to) if self.role == Role::Leader => (self.role, self.due) = (Role::Leaving { to }, now),
            Event::HandOver(_) => {}
            Event::Handed(term) => (self.handed, self.due) = (Some(term), now),
        }
        self.lead_if_nobody_else_does(now, &mut actions);
        if self.open.is_none() && now >= self.due {
            self.request(now, &mut actions);
        }
        actions
    }

    /// Notes that it is not certain any more that nobody else leads.
    fn doubt(&mut self, cause: Cause, since: Duration) {
        let cause = self.doubt.map_or(cause, |before| before.cause.max(cause));
        self.doubt = Some(Doubt { since, cause });
    }

    /// Notices that the process was suspended, or that others cannot reach it.
    fn look_at_the_time(&mut self, now: Duration) {
        if now.saturating_sub(self.answers) > GAP {
            let since = self.doubt.map_or(now, |doubt| doubt.since);
            self.doubt(Cause::Other, since);
        }
        if now.saturating_sub(self.ticked) <= GAP {
            return;
        }
        self.ticked = now;
        self.doubt(Cause::Suspended, now);
        // What it did not hear while it was suspended says nothing about others.
        for asked in &mut self.asked {
            asked.since = now;
        }
        if let Some(seen) = &mut self.seen {
            seen.since = now;
        }
    }

    fn tick(&mut self, able: bool, now: Duration, actions: &mut Vec<Action>) {
        (self.ticked, self.able) = (now, able);
        if able {
            self.answers = now;
        }
        let heard = self.heard;
        for asked in self.asked.iter_mut().filter(|asked| asked.next <= now) {
            asked.next = now + PING;
            actions.push(Action::Ping(Arc::clone(&asked.holder), heard));
        }
        // Who cannot read the Lease learns from the others that it names another.
        let is_unread = self.seen.as_ref().is_none_or(|seen| now.saturating_sub(seen.at) > READS_APART);
        if is_unread && self.around <= now && !matches!(self.standing(now), Standing::Forwards(..)) {
            self.around = now + PING;
            actions.push(Action::AskAround(heard));
        }
    }
}

impl Asked {
    /// When it will not have said for [`SILENCE`] that it leads, unless it says so before.
    fn silent_at(&self) -> Duration {
        self.led.map_or(self.since, |led| led.max(self.since)) + SILENCE
    }

    /// True if it has not said for [`SILENCE`] that it leads.
    fn is_silent(&self, now: Duration) -> bool {
        now >= self.silent_at()
    }
}
