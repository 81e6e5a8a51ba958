//! The changes that callers with one credential wait for, and the pages that they share.
//!
//! The requests of one credential go one after the other. So of two pages that ended at the present, the one that was asked for
//! later ends at the same place or at a later one, and whoever has it can go on from the end of the earlier one: it gets some
//! changes twice, and loses none. That is how all who have reached the present come to wait at one place, for one request.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::error::Result;
use crate::gateway::read::Reads;
use crate::gateway::token;
use crate::proto::{ErrorReason, StreamChangedUsersResponse};
use crate::rest::changes::{Changed, From, page};
use crate::rest::page::Next;
use crate::telemetry::Trace;
use crate::upstream::credential::Credential;
use crate::upstream::rest::Rest;

/// How often Zendesk is asked for changes at the present: three of its ten requests a minute.
const EVERY: Duration = Duration::from_secs(20);
/// How long a page is kept for those who come to its place a little later than the others, and a feed for those who read what they
/// have got.
const KEPT: Duration = EVERY;
/// Most bytes of rows in one message.
const BYTES: usize = 16 << 10;

/// The list that tokens of this stream are bound to.
pub fn list() -> Rest {
    page(&From::Time(0))
}

/// Returns the token of what comes after a cursor.
pub fn token_of(cursor: &str) -> String {
    token::write(&Next::Cursor(cursor.to_owned()), &list().path)
}

/// A page of changes, encoded.
#[derive(Debug)]
pub struct Page {
    /// Its messages; the last one has the token of what comes next.
    pub messages: Vec<Bytes>,
    /// Where the next page begins.
    pub next: From,
    /// True if it reaches to the present.
    pub is_end: bool,
    /// True if it has rows, or had some that cannot be read.
    pub has_rows: bool,
    /// Its place in the order of all requests, of whatever feed.
    number: u64,
}

impl Page {
    /// Encodes what was answered to the request with this number, from this place.
    fn new(changed: Changed, from: &From, number: u64) -> Self {
        let Changed { users, cursor, is_end, unreadable_rows } = changed;
        let has_rows = !users.is_empty() || unreadable_rows > 0;
        let mut messages = vec![StreamChangedUsersResponse::default()];
        let mut bytes = 0;
        for user in users {
            bytes += user.encoded_len();
            let message = messages.last_mut().expect("there is one");
            if bytes > BYTES && !message.users.is_empty() {
                bytes = user.encoded_len();
                messages.push(StreamChangedUsersResponse { users: vec![user], ..Default::default() });
            } else {
                message.users.push(user);
            }
        }
        let last = messages.last_mut().expect("there is one");
        last.next_page_token = cursor.as_deref().map(token_of).unwrap_or_default();
        (last.caught_up, last.unreadable_rows) = (is_end, unreadable_rows);
        let messages = messages.iter().map(|message| message.encode_to_vec().into()).collect();
        let next = cursor.map_or_else(|| from.clone(), From::Cursor);
        Self { messages, next, is_end, has_rows, number }
    }

    /// Returns how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(Bytes::len).sum()
    }
}

/// What all feeds share.
pub struct Shared {
    /// What sends the requests.
    pub reads: Reads,
    feeds: Mutex<HashMap<u128, Feed>>,
    /// Requests so far. Pages outlive the feeds that they came by, and are compared with those of later ones.
    requests: AtomicU64,
}

/// What is asked with one credential.
pub struct Feed {
    /// The credential as the newest caller has it.
    pub credential: Credential,
    /// Where the requests are traced.
    pub trace: Trace,
    wake: Arc<Notify>,
    wanted: Vec<Wanted>,
    /// What is being asked.
    current: Option<Wanted>,
    /// The number of the last request.
    number: u64,
    /// When it ended.
    ended: Instant,
    /// When the present was last asked for.
    asked: Option<Instant>,
    kept: VecDeque<(From, Arc<Page>, Instant)>,
    /// The last request that was made for each caller.
    turns: HashMap<Option<u64>, u64>,
}

/// Where a page is sent to.
type Waiter = oneshot::Sender<Result<Arc<Page>>>;

/// Where a page comes from.
pub type Receiver = oneshot::Receiver<Result<Arc<Page>>>;

/// What a caller wants: the page from a place, after the last that it has got.
pub struct Want<'a> {
    pub credential: &'a Credential,
    pub trace: &'a Trace,
    pub caller: u64,
    pub from: &'a From,
    pub last: Option<&'a Page>,
}

/// A place from which somebody wants the next page.
struct Wanted {
    from: From,
    /// The request by which they have come to the present; none if they are behind it.
    present: Option<u64>,
    due: Instant,
    /// The caller who asked first; none for all who have come to the present.
    caller: Option<u64>,
    waiters: Vec<Waiter>,
}

impl Wanted {
    fn is_wanted(&mut self) -> bool {
        self.waiters.retain(|waiter| !waiter.is_closed());
        !self.waiters.is_empty()
    }

    /// True if the page from here serves somebody at this place, who has come to the present by this request.
    fn serves(&self, from: &From, present: Option<u64>) -> bool {
        self.from == *from || self.present.zip(present).is_some_and(|(here, theirs)| here <= theirs)
    }
}

impl Feed {
    fn new(credential: Credential, trace: Trace) -> Self {
        Self {
            credential,
            trace,
            wake: Arc::default(),
            wanted: Vec::new(),
            current: None,
            number: 0,
            ended: Instant::now(),
            asked: None,
            kept: VecDeque::new(),
            turns: HashMap::new(),
        }
    }

    fn want(&mut self, from: &From, last: Option<&Page>, caller: u64) -> Receiver {
        let (waiter, receiver) = oneshot::channel();
        let now = Instant::now();
        self.kept.retain(|(_, _, at)| now - *at < KEPT);
        let is_newer = |page: &Page| last.is_none_or(|last| page.number > last.number);
        if let Some((_, page, _)) = self.kept.iter().find(|(at, page, _)| at == from && is_newer(page)) {
            // The receiver is here.
            let _ = waiter.send(Ok(Arc::clone(page)));
            return receiver;
        }
        let present = last.filter(|last| last.is_end).map(|last| last.number);
        let known = self.current.iter_mut().chain(&mut self.wanted).find(|wanted| wanted.serves(from, present));
        if let Some(wanted) = known {
            wanted.waiters.push(waiter);
        } else {
            // Whoever is slower than the others is behind the present, where they wait.
            let is_alone = self.current.iter().chain(&self.wanted).all(|wanted| wanted.present.is_none());
            let present = present.filter(|_| is_alone);
            let due = self.asked.filter(|_| present.is_some()).map_or(now, |asked| asked + EVERY);
            let caller = Some(caller).filter(|_| present.is_none());
            self.wanted.push(Wanted { from: from.clone(), present, due, caller, waiters: vec![waiter] });
        }
        self.wake.notify_one();
        receiver
    }

    /// Returns when the next request is due, or, if nobody wants any, until when somebody may come back; none after that.
    fn next(&mut self) -> Option<Instant> {
        self.wanted.retain_mut(Wanted::is_wanted);
        let due = self.wanted.iter().map(|wanted| wanted.due).min();
        due.or(Some(self.ended + KEPT).filter(|over| *over > Instant::now()))
    }

    /// Begins what is due, as the request with this number: of several callers, for the one whose last turn is the longest ago.
    fn begin(&mut self, number: u64) -> Option<From> {
        let now = Instant::now();
        let turn = |wanted: &Wanted| self.turns.get(&wanted.caller).copied().unwrap_or_default();
        let due = self.wanted.iter().enumerate().filter(|(_, wanted)| wanted.due <= now);
        let (at, _) = due.min_by_key(|(_, wanted)| (turn(wanted), wanted.due))?;
        let wanted = self.wanted.remove(at);
        self.number = number;
        let callers: HashSet<Option<u64>> = self.wanted.iter().map(|wanted| wanted.caller).collect();
        self.turns.retain(|caller, _| callers.contains(caller));
        self.turns.insert(wanted.caller, self.number);
        let from = wanted.from.clone();
        self.current = Some(wanted);
        Some(from)
    }

    /// True if somebody still wants what is being asked.
    pub fn is_wanted(&mut self) -> bool {
        self.current.as_mut().is_some_and(Wanted::is_wanted)
    }

    /// Takes in how the request ended; none if it was given up, because nobody wanted it any more.
    pub fn end(&mut self, outcome: Option<Result<Changed>>) {
        let Some(mut wanted) = self.current.take() else { return };
        let now = Instant::now();
        self.ended = now;
        match outcome {
            None => {}
            // Whoever asks for changes has time until there is budget again.
            Some(Err(error)) if error.row().reason == ErrorReason::RateLimited => {
                wanted.due = now + error.retry_after().unwrap_or(EVERY);
                self.wanted.push(wanted);
            }
            Some(Err(error)) => wanted.waiters.into_iter().for_each(|waiter| drop(waiter.send(Err(error.clone())))),
            Some(Ok(changed)) => {
                let page = Arc::new(Page::new(changed, &wanted.from, self.number));
                if page.is_end {
                    self.asked = Some(now);
                }
                wanted.waiters.into_iter().for_each(|waiter| drop(waiter.send(Ok(Arc::clone(&page)))));
                self.kept.retain(|(_, _, at)| now - *at < KEPT);
                self.kept.push_back((wanted.from, page, now));
            }
        }
    }
}

impl Shared {
    /// Returns it without any feed.
    pub fn new(reads: Reads) -> Self {
        Self { reads, feeds: Mutex::default(), requests: AtomicU64::new(0) }
    }

    /// Asks for the page from a place, after the last. `begin` has a new feed asked for.
    pub fn want(&self, want: &Want<'_>, begin: impl FnOnce(Arc<Notify>)) -> (Receiver, Arc<Notify>) {
        let mut feeds = self.feeds();
        let feed = feeds.entry(want.credential.fingerprint()).or_insert_with(|| {
            let feed = Feed::new(want.credential.clone(), want.trace.clone());
            begin(Arc::clone(&feed.wake));
            feed
        });
        // The token may have changed since the last one came.
        feed.credential = want.credential.clone();
        (feed.want(want.from, want.last, want.caller), Arc::clone(&feed.wake))
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<u128, Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acts on the feed with this key, if there is one.
    pub fn with<T>(&self, key: u128, act: impl FnOnce(&mut Feed) -> T) -> Option<T> {
        self.feeds().get_mut(&key).map(act)
    }

    /// Begins the request of a feed that is due.
    pub fn begin(&self, key: u128) -> Option<From> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.with(key, |feed| feed.begin(number)).flatten()
    }

    /// Returns when to look at a feed again, or takes it away if nobody has wanted anything for a while.
    pub fn next(&self, key: u128) -> Option<Instant> {
        let mut feeds = self.feeds();
        let next = feeds.get_mut(&key).and_then(Feed::next);
        if next.is_none() {
            feeds.remove(&key);
        }
        next
    }

    /// Takes a feed away: nobody asks any more.
    pub fn remove(&self, key: u128) {
        self.feeds().remove(&key);
    }
}
