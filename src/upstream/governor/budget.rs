//! One budget, the account's or an endpoint's: what is left according to Zendesk's last response, and when more may be spent.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Window;
use crate::upstream::call::Priority;

mod left;
#[cfg(test)]
mod tests;

pub use left::{Left, millis};

/// The length of a window where nothing longer has been seen. The account's is documented as a minute.
const MINUTE: Duration = Duration::from_mins(1);
/// Most by which two responses differ about the end of the same window: it is stated in whole seconds, plus network time.
const TOLERANCE: Duration = Duration::from_secs(5);
/// How long after its stated end a window may still go on.
const DOUBT: Duration = Duration::from_secs(1);
/// How often a request may go to find out how things stand: in doubt whether a new window has begun, and where as many as should be
/// are under way and none of them is answered.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// The same while nothing is known: the smallest plan has 200 requests a minute.
const ASK_AT_FIRST_EVERY: Duration = Duration::from_secs(1);
/// How long an answer is trusted to show what others spend.
const FRESH: Duration = Duration::from_secs(10);
/// Most requests under way while a count may be that of the old window.
const WHILE_DOUBTFUL: u32 = 2;
/// Most requests under way while nothing is known.
const FIRST: usize = 10;

/// A request that was sent so long before another one is counted in what the answer to that one says is left.
const COUNTED_AFTER: Duration = Duration::from_secs(1);

/// When a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// At once.
    Now,
    /// When one of those under way has been answered, or at this time: they may have been swallowed.
    OnAnswer(Instant),
    /// At this time, as far as can be told.
    At(Instant),
}

impl Opening {
    /// Returns when both allow it.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(one), Self::At(other)) => Self::At(one.max(other)),
            (Self::At(at), _) | (_, Self::At(at)) => Self::At(at),
            (Self::OnAnswer(one), Self::OnAnswer(other)) => Self::OnAnswer(one.max(other)),
            (Self::OnAnswer(at), _) | (_, Self::OnAnswer(at)) => Self::OnAnswer(at),
            (Self::Now, Self::Now) => Self::Now,
        }
    }
}

/// One budget.
#[derive(Debug)]
pub struct Budget {
    /// Share of the limit that is never spent, in percent.
    headroom: u32,
    /// Assumed per minute while responses state nothing; 0 does not pace.
    assumed: u32,
    told: Option<Told>,
    /// Whether answers state no budget.
    silent: bool,
    /// The longest window seen.
    length: Duration,
    /// When each request under way was let through, in that order.
    under_way: VecDeque<Instant>,
    last_spent: Option<Instant>,
    closed_until: Option<Instant>,
}

/// What the newest response said.
#[derive(Debug, Clone, Copy)]
struct Told {
    limit: u32,
    remaining: u32,
    ends: Instant,
    /// When the request of that response was sent.
    asked: Instant,
    /// When the last response said anything.
    heard: Instant,
    /// When the first response of this window came.
    begun: Instant,
    /// True if the limit was assumed, not read from a response.
    assumed: bool,
    /// True if only this response says that a new window has begun, with a count that fits the old one. Zendesk counts and
    /// tells the time in different places: at the turn of the minute a response can state the new window and the old count.
    doubtful: bool,
}

impl Told {
    /// True if a request that was let through at `asked` is counted in what is left, or before it.
    fn counts(&self, asked: Instant) -> bool {
        if self.assumed { asked < self.begun } else { asked + COUNTED_AFTER <= self.asked }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A budget as it is now.
#[derive(Debug, Clone, Copy)]
pub struct View {
    pub limit: u32,
    pub remaining: u32,
    pub ends: Instant,
    pub in_flight: u32,
    pub closed_until: Option<Instant>,
    /// Requests per second that would use up what is left.
    pub pace: f64,
}

impl Budget {
    /// Returns a budget that nothing is known about.
    pub fn new(headroom_percent: u32, assumed_per_minute: u32) -> Self {
        Self {
            headroom: headroom_percent,
            assumed: assumed_per_minute,
            told: None,
            silent: false,
            length: MINUTE,
            under_way: VecDeque::new(),
            last_spent: None,
            closed_until: None,
        }
    }

    /// Returns when the next call of this priority may go.
    pub fn opening(&self, priority: Priority, now: Instant) -> Opening {
        if let Some(until) = self.closed_until.filter(|until| now < *until) {
            return Opening::At(until);
        }
        let Some(told) = self.told(now) else {
            let enough = self.silent || self.under_way.len() < FIRST;
            return if enough { Opening::Now } else { self.unanswered(now, ASK_AT_FIRST_EVERY, None) };
        };
        // Slower than an even pace, so that what is asked to find out takes little of the budget.
        let per_window = (told.limit - self.headroom(told.limit)).max(1);
        let unanswered = || self.unanswered(now, (self.length / per_window * 2).max(ASK_EVERY), Some(told.heard));
        let (left, open) = (self.left(&told), self.open(&told));
        let cautious = (told.limit / 50).max(4).min(told.limit.max(1));
        if told.doubtful && now < told.ends {
            return if open < WHILE_DOUBTFUL { Opening::Now } else { unanswered() };
        }
        if now < told.ends {
            let at = if left < 1 { told.ends } else { self.line(&told, priority, left, told.ends) };
            // Others may spend at the same time, so only a part of what is left is under way at once.
            let fresh = now.saturating_duration_since(told.heard) < FRESH;
            let most = if fresh { (told.remaining / 8).max(8) } else { cautious };
            return match () {
                () if at > now => Opening::At(at),
                () if open >= most => unanswered(),
                () => Opening::Now,
            };
        }
        // By the clock the window is over. What was left of it may still be spent; beyond that only a few requests go, until a
        // response confirms the new window.
        let in_doubt = now < told.ends + DOUBT;
        let most = if in_doubt { 1 } else { cautious };
        let ask_at = self.last_spent.filter(|_| in_doubt).map_or(now, |spent| spent + ASK_EVERY);
        match () {
            () if left >= 1 && open < cautious => Opening::Now,
            () if open >= most && in_doubt => Opening::At(told.ends + DOUBT),
            () if open >= most => unanswered(),
            () if ask_at > now => Opening::At(ask_at),
            () => Opening::Now,
        }
    }

    /// Returns when a call may go although as many are under way as should be. Usually one of them is answered soon. If nothing has
    /// been heard for a while they may hang, writes for half a minute, and must not keep from the others what they would learn.
    fn unanswered(&self, now: Instant, every: Duration, heard: Option<Instant>) -> Opening {
        let at = self.last_spent.max(heard).map_or(now, |since| since + every);
        if at > now { Opening::OnAnswer(at) } else { Opening::Now }
    }

    /// Returns when a call with `ahead` others before it is likely to get its turn, if nobody else spends.
    pub fn estimate(&self, priority: Priority, ahead: u32, now: Instant) -> Instant {
        let open = self.closed_until.map_or(now, |until| until.max(now));
        let Some(told) = self.told(now) else { return open };
        let mut ends = told.ends;
        let mut left = self.left(&told);
        let mut turn = i64::from(ahead) + 1;
        let per_window = i64::from(told.limit - self.headroom(told.limit)).max(1);
        if now >= ends {
            (ends, left) = (now + self.length, per_window);
        } else if told.doubtful {
            left = per_window;
        }
        while turn > left {
            turn -= left.max(0);
            left = per_window;
            ends += self.length;
        }
        self.line(&told, priority, left - turn + 1, ends).max(open)
    }

    /// Goes by what is assumed until responses state something.
    #[must_use]
    pub fn documented(per_minute: u32) -> Self {
        let mut budget = Self::new(0, per_minute);
        budget.hear_nothing(Instant::now());
        budget
    }

    /// Counts a request that is about to be sent.
    pub fn spend(&mut self, now: Instant) {
        self.under_way.push_back(now);
        self.last_spent = Some(now);
    }

    /// Ends a request that was let through at `asked`. `unheard` says that it was sent and no response stated the budget: it has
    /// cost one.
    pub fn ended(&mut self, asked: Instant, unheard: bool) {
        if let Ok(at) = self.under_way.binary_search(&asked) {
            self.under_way.remove(at);
        }
        self.told = self.told(Instant::now());
        if let Some(told) = self.told.as_mut().filter(|told| unheard && !told.counts(asked)) {
            told.remaining = told.remaining.saturating_sub(1);
        }
    }

    /// Learns what the response to a request sent at `asked` says.
    pub fn hear(&mut self, window: &Window, asked: Instant) {
        let now = Instant::now();
        let reset = window.reset.unwrap_or(MINUTE);
        self.length = self.length.max(reset);
        self.silent = false;
        let Window { limit, remaining, .. } = *window;
        let fresh = Told {
            limit,
            remaining,
            ends: now + reset,
            asked,
            heard: now,
            begun: now,
            assumed: false,
            doubtful: false,
        };
        let Some(told) = self.told.as_mut().filter(|told| !told.assumed) else {
            self.told = Some(fresh);
            return;
        };
        let over = asked > told.ends + DOUBT;
        let begins = match window.reset {
            Some(_) => fresh.ends > told.ends + TOLERANCE,
            // Within a window, what is left only shrinks, except when responses overtake each other.
            None => remaining > told.remaining.saturating_add(count(self.under_way.len()) + 1),
        };
        if over || begins {
            let doubtful = !over && remaining <= told.remaining;
            *told = Told { doubtful, ..fresh };
            return;
        }
        let from_before = window.reset.is_some() && fresh.ends + TOLERANCE < told.ends && asked < told.begun;
        if from_before {
            return;
        }
        told.heard = now;
        if told.doubtful && remaining > told.remaining {
            (told.remaining, told.asked, told.doubtful) = (remaining, told.asked.max(asked), false);
            return;
        }
        let young = asked < told.begun + DOUBT;
        // Counts of the old window may still come, but not for a request sent a second after the new window began.
        told.doubtful &= young;
        // No budget shrinks by a quarter in the first second of its window: such a count is that of the old one.
        if young && !told.doubtful && told.remaining - remaining.min(told.remaining) > told.limit / 4 {
            return;
        }
        if asked < told.asked {
            told.remaining = told.remaining.min(remaining);
            return;
        }
        (told.limit, told.remaining, told.asked) = (limit, remaining, asked);
        if window.reset.is_some() {
            told.ends = fresh.ends;
        }
    }

    /// Learns that an answer stated no budget.
    pub fn hear_nothing(&mut self, now: Instant) {
        if self.told.is_none_or(|told| !told.assumed && now > told.ends + self.length) {
            self.silent = true;
            let (limit, ends) = (self.assumed, now + MINUTE);
            self.told = (limit > 0).then_some(Told {
                limit,
                remaining: limit,
                ends,
                asked: now,
                heard: now,
                begun: now,
                assumed: true,
                doubtful: false,
            });
        }
    }

    /// Lets nothing through for a while, because Zendesk asked for it.
    pub fn close(&mut self, until: Instant) {
        self.closed_until = Some(self.closed_until.map_or(until, |before| before.max(until)));
        // If no budget is known, only a few requests at a time (`FIRST`) find out whether the wait is over.
        self.silent = false;
    }

    /// Whether hardly anything is left, so that a refusal is likely to be about this budget.
    pub fn is_spent(window: &Window) -> bool {
        window.remaining <= window.limit / 50
    }

    /// Returns until when a 429 keeps it closed, or kept it.
    pub fn closed_until(&self) -> Option<Instant> {
        self.closed_until
    }

    /// Returns the budget as it is now, where anything is known.
    pub fn view(&self, now: Instant) -> Option<View> {
        let told = self.told(now)?;
        let seconds = told.ends.saturating_duration_since(now).as_secs_f64().max(1.0);
        let left = u32::try_from(self.left(&told)).unwrap_or_default();
        Some(View {
            limit: told.limit,
            remaining: told.remaining,
            ends: told.ends,
            in_flight: count(self.under_way.len()),
            closed_until: self.closed_until.filter(|until| now < *until),
            pace: f64::from(left) / seconds,
        })
    }

    /// Returns what is known; an assumed window that is over renews itself, as if it began at this look. So whatever is found for
    /// `now` must not be later only because time passes.
    fn told(&self, now: Instant) -> Option<Told> {
        let mut told = self.told?;
        if told.assumed && now >= told.ends {
            (told.remaining, told.ends, told.heard, told.begun) = (told.limit, now + MINUTE, now, now);
        }
        Some(told)
    }

    /// Returns how many requests under way are not known to be counted in what is left. One that hangs is, once a later one has been
    /// answered.
    fn open(&self, told: &Told) -> u32 {
        count(self.under_way.len() - self.under_way.partition_point(|asked| told.counts(*asked)))
    }

    fn left(&self, told: &Told) -> i64 {
        i64::from(told.remaining) - i64::from(self.open(told)) - i64::from(self.headroom(told.limit))
    }

    fn headroom(&self, limit: u32) -> u32 {
        u32::try_from(u64::from(limit) * u64::from(self.headroom) / 100).unwrap_or(u32::MAX)
    }

    /// Returns when the reserve of this priority has shrunk to what would be left after one more call.
    fn line(&self, told: &Told, priority: Priority, left: i64, ends: Instant) -> Instant {
        let limit = f64::from(told.limit - self.headroom(told.limit));
        // However few a window has, its first waits for nothing.
        let reserve = (limit * reserve(priority)).min(limit - 1.0);
        let after = f64::from(u32::try_from(left - 1).unwrap_or_default());
        let share = if after < reserve { after / reserve } else { 1.0 };
        ends.checked_sub(self.length.mul_f64(share)).unwrap_or(ends)
    }
}

/// The share of an even pace that calls of this priority leave to those above them.
fn reserve(priority: Priority) -> f64 {
    match priority {
        Priority::Write => 0.0,
        Priority::Interactive => 0.5,
        // Window ends are stated in whole seconds: a reserve of 1.0 would hold up every call of the window's first second.
        Priority::Background => 0.98,
    }
}
