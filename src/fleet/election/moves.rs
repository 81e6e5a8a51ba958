//! How a replica moves from one role to another.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Action, Asked, Cause, Doubt, Election, GAP, Holder, Kind, Lease, Number, Open, READING, READS_APART, RENEWAL, Role,
    Seen, UNCHANGED, Unwritten, is_made_up,
};

impl Election {
    pub(super) fn request(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let heard = self.heard;
        match &self.role {
            Role::Follower => self.send_read(now, actions),
            _ if self.outdated => self.send_read(now, actions),
            Role::Leaving { to } => {
                let to = Arc::clone(to);
                self.send_write(Kind::HandOver, to, heard + 1, now, actions);
            }
            // Who cannot be reached must not keep the Lease.
            Role::Taking | Role::Leader if self.able => {
                let (me, term) = (Arc::clone(&self.me), self.term);
                self.send_write(Kind::Renewal, me, term, now, actions);
            }
            Role::Taking | Role::Leader => {}
        }
    }

    fn send_read(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let number = self.begin(Kind::Read, 0, now);
        actions.push(Action::Read(number));
    }

    fn send_write(&mut self, kind: Kind, holder: Arc<Holder>, term: u64, now: Duration, actions: &mut Vec<Action>) {
        let Some(version) = self.seen.as_ref().map(|seen| seen.lease.version.clone()) else { return };
        if now < self.pause {
            self.due = self.due.min(self.pause);
            return;
        }
        let number = self.begin(kind, term, now);
        actions.push(Action::Write(number, Lease { holder: Some(holder), term, version }));
    }

    fn begin(&mut self, kind: Kind, term: u64, now: Duration) -> Number {
        self.numbers += 1;
        self.open = Some(Open { number: self.numbers, kind, begun: now, term });
        self.due = now + if self.role == Role::Follower { READING } else { RENEWAL };
        self.numbers
    }

    pub(super) fn close(&mut self, number: Number) -> Option<Open> {
        self.open.take_if(|open| open.number == number)
    }

    pub(super) fn read(&mut self, lease: Option<Lease>, open: Open, now: Duration, actions: &mut Vec<Action>) {
        let Some(mut lease) = lease else {
            // The time in which it is unchanged begins anew, or every stall of the API server would end in a race.
            if let Some(seen) = &mut self.seen {
                seen.since = now;
            }
            return;
        };
        // As if an old copy had been restored: whoever leads writes its own.
        if is_made_up(lease.term, self.heard) {
            lease.term = 0;
        }
        let is_same = self.seen.as_ref().is_some_and(|seen| seen.lease == lease);
        let since = match &self.seen {
            Some(seen) if is_same && open.begun <= seen.at + READS_APART => seen.since,
            _ => now,
        };
        self.seen = Some(Seen { lease: lease.clone(), since, at: open.begun });
        let is_mine = lease.holder.as_ref().is_some_and(|holder| holder.process == self.me.process);
        // An old copy may have been restored.
        let is_old = lease.term < self.heard;
        self.hear(lease.term, now);
        self.outdated = false;
        self.ask(lease.holder.as_ref().filter(|_| !is_mine), now);
        match &self.role {
            // Others may have led while it was suspended.
            Role::Leader if !is_same && self.doubt.is_some_and(|doubt| doubt.cause == Cause::Suspended) => {
                self.follow(actions);
            }
            // Not if others may have heard for SILENCE that it does not lead: who finds the Lease idle then may be about to take it.
            Role::Leader if is_mine && lease.term == self.term && !is_old => {
                let is_new = |doubt: &Doubt| doubt.since <= open.begun && now.saturating_sub(doubt.since) <= GAP;
                self.doubt.take_if(|doubt| doubt.cause == Cause::Changed && is_new(doubt));
            }
            // It was handed over to it, or an own write came late. It leads in that term once it has renewed.
            Role::Leader if is_mine && !is_old => {
                self.follow(actions);
                self.hold(lease.term);
            }
            Role::Leader if is_mine || lease.holder.is_none() => self.take(now, actions),
            // Whoever it names may lead by now.
            Role::Leader if lease.term < self.term => {
                self.follow(actions);
                self.take(now, actions);
            }
            Role::Taking if is_mine && !is_old => self.term = lease.term,
            Role::Leaving { to } if lease.holder.as_ref() == Some(to) => {
                actions.push(Action::Hand(Arc::clone(to), lease.term));
                self.follow(actions);
            }
            Role::Leaving { .. } if is_mine => {}
            Role::Leader | Role::Taking | Role::Leaving { .. } => self.follow(actions),
            Role::Follower if is_mine && self.handed == Some(lease.term) && lease.term > self.term => {
                self.hold(lease.term);
                // Somebody who saw it idle may be about to take it.
                self.doubt(Cause::Other, now);
            }
            Role::Follower if self.may_be_taken(&lease, open, now) => self.take(now, actions),
            // The next read is due when it may be taken; no sooner while its holder answers, however long it is unchanged.
            Role::Follower => {
                let silent = self.asked.iter().map(Asked::silent_at).max().unwrap_or_default();
                let free = silent.max(since + UNCHANGED);
                if open.begun < free {
                    self.due = self.due.min(free).max(now);
                }
            }
        }
    }

    /// True if nobody holds the Lease any more, as far as this replica can tell.
    fn may_be_taken(&self, lease: &Lease, open: Open, now: Duration) -> bool {
        let since = self.seen.as_ref().map_or(now, |seen| seen.since);
        let is_own_pod =
            lease.holder.as_ref().is_some_and(|holder| holder.pod == self.me.pod && holder.process != self.me.process);
        let is_unchanged = open.begun.saturating_sub(since) >= UNCHANGED;
        self.able && (is_own_pod || is_unchanged && self.asked.iter().all(|asked| asked.is_silent(now)))
    }

    fn take(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let (me, term) = (Arc::clone(&self.me), self.heard + 1);
        self.send_write(Kind::Taking, me, term, now, actions);
    }

    pub(super) fn written(
        &mut self,
        result: Result<String, Unwritten>,
        open: Open,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let version = match result {
            Ok(version) => version,
            Err(unwritten) => {
                (self.outdated, self.due) = (true, now);
                // The first may have met another's. What goes on failing is not mended by asking more often.
                self.unwritten += 1;
                if self.unwritten > 1 {
                    self.pause = open.begun + RENEWAL;
                }
                if unwritten == Unwritten::Conflict && open.kind != Kind::HandOver {
                    // Whoever wrote it may lead by now.
                    self.doubt(Cause::Changed, now);
                }
                return;
            }
        };
        let holder = match (&self.role, open.kind) {
            (Role::Leaving { to }, Kind::HandOver) => Arc::clone(to),
            _ => Arc::clone(&self.me),
        };
        self.unwritten = 0;
        let lease = Lease { holder: Some(Arc::clone(&holder)), term: open.term, version };
        self.seen = Some(Seen { lease, since: now, at: open.begun });
        self.heard = self.heard.max(open.term);
        self.doubt.take_if(|doubt| doubt.since <= open.begun);
        match (&self.role, open.kind) {
            (_, Kind::HandOver) => {
                actions.push(Action::Hand(holder, open.term));
                self.follow(actions);
                self.due = now; // to know whom to ask
            }
            (Role::Follower, Kind::Taking) => self.hold(open.term),
            (Role::Leader, Kind::Taking) => self.lead(open.term, actions),
            _ => {}
        }
    }

    /// Holds the Lease from now on.
    fn hold(&mut self, term: u64) {
        (self.role, self.term, self.due) = (Role::Taking, term, Duration::ZERO);
        // An earlier process of the same pod is gone.
        self.asked.retain(|asked| asked.holder.pod != self.me.pod);
    }

    /// Leads once nobody else can.
    pub(super) fn lead_if_nobody_else_does(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let is_free = |asked: &Asked| asked.obeys >= self.term || asked.is_silent(now);
        let is_handed = self.handed == Some(self.term);
        if self.role == Role::Taking && self.doubt.is_none() && (is_handed || self.asked.iter().all(is_free)) {
            self.role = Role::Leader;
            self.asked.clear();
            self.lead(self.term, actions);
        }
    }

    fn lead(&mut self, term: u64, actions: &mut Vec<Action>) {
        self.term = term;
        actions.push(Action::Lead(term));
    }

    fn follow(&mut self, actions: &mut Vec<Action>) {
        (self.role, self.handed) = (Role::Follower, None);
        actions.push(Action::Follow);
    }

    pub(super) fn hear(&mut self, term: u64, now: Duration) {
        if is_made_up(term, self.heard) {
            return;
        }
        let is_new = term > self.heard;
        self.heard = self.heard.max(term);
        if is_new && self.role == Role::Follower && self.seen.as_ref().is_some_and(|seen| seen.lease.term < term) {
            self.due = self.due.min(now); // another leads, and the Lease says who
        }
        if matches!(self.role, Role::Leader | Role::Taking) && self.term < self.heard {
            self.doubt(Cause::Other, now);
            (self.outdated, self.due) = (true, now);
        }
    }

    /// Asks the holder of the Lease, and goes on asking those who may lead although they do not hold it any more.
    fn ask(&mut self, holder: Option<&Arc<Holder>>, now: Duration) {
        self.asked.retain(|asked| Some(&asked.holder) == holder || !asked.is_silent(now));
        if let Some(holder) = holder.filter(|holder| self.asked.iter().all(|asked| asked.holder != **holder)) {
            let holder = Arc::clone(holder);
            self.asked.push(Asked { holder, since: now, led: None, obeys: 0, next: now });
        }
    }

    pub(super) fn answered(
        &mut self,
        holder: &Arc<Holder>,
        leads: Option<u64>,
        heard: u64,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.hear(heard, now);
        if let Some(term) = leads {
            self.learn(holder, term, now, actions);
        }
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.holder.process == holder.process) {
            match leads {
                Some(_) => (asked.led, asked.obeys) = (Some(now), 0),
                None => asked.obeys = heard,
            }
        }
    }

    /// Learns from a replica itself that it leads, in a term of which the Lease, as it was last read, does not know.
    fn learn(&mut self, holder: &Arc<Holder>, term: u64, now: Duration, actions: &mut Vec<Action>) {
        let at = self.seen.as_ref().map_or(Duration::ZERO, |seen| seen.at);
        let is_known = self.seen.as_ref().is_some_and(|seen| seen.lease.term >= term) || self.term >= term;
        if is_known || term < self.heard || is_made_up(term, self.heard) || holder.process == self.me.process {
            return;
        }
        // It must be read before it can be written.
        let lease = Lease { holder: Some(Arc::clone(holder)), term, version: String::new() };
        (self.seen, self.outdated) = (Some(Seen { lease, since: now, at }), true);
        self.hear(term, now);
        if self.role != Role::Follower {
            self.follow(actions);
        }
        self.ask(Some(holder), now);
    }
}

#[cfg(test)]
mod tests;
