//! Feeds the election: ticks, the answers of the API server and of other replicas; and does what it asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::api::Api;
use super::{patience, tell};
use crate::fleet::elected::{Access, Elected, Input, holder};
use crate::fleet::election::{Action, Election, Event, GAP, Holder, Standing, TICK, Unwritten};
use crate::fleet::hop::{Open, Way};
use crate::fleet::link::Leads;
use crate::fleet::wire::{HEARD, HOLDER, TERM, number};

/// How often a replica is told that it holds the Lease, while it does not say that it has heard.
const HANDING: u32 = 3;
/// An answer of the own port that is older says nothing.
const ABLE: Duration = GAP.checked_div(2).expect("not 0");

/// A connection for pings, which is opened when it is needed. One ping at a time: the answer to the next is as good.
struct Probe {
    way: Arc<Way>,
    open: Mutex<Option<Open>>,
    busy: tokio::sync::Mutex<()>,
}

impl Probe {
    fn new(way: Arc<Way>) -> Arc<Self> {
        Arc::new(Self { way, open: Mutex::default(), busy: tokio::sync::Mutex::default() })
    }

    async fn ping(&self, headers: HeaderMap) -> Option<HeaderMap> {
        let _one = self.busy.try_lock().ok()?;
        let known = self.locked().clone().filter(|open| !open.is_closed());
        let open = match known {
            Some(open) => open,
            None => self.way.greet().await?,
        };
        let answer = open.ping(headers).await;
        *self.locked() = answer.is_some().then_some(open);
        answer
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another replica: the way there, and the connection for its pings.
struct Known {
    way: Arc<Way>,
    probe: Arc<Probe>,
}

struct Driver {
    elected: Arc<Elected>,
    api: Arc<Api>,
    election: Election,
    leads: watch::Sender<Leads>,
    own: Arc<Probe>,
    /// When the own port answered last.
    answered: Arc<Mutex<Duration>>,
    /// By process.
    known: HashMap<String, Known>,
    ticked: Duration,
}

/// Takes part in the election, for ever.
pub async fn run(
    elected: Arc<Elected>,
    api: Arc<Api>,
    mut inputs: UnboundedReceiver<Input>,
    leads: watch::Sender<Leads>,
    own: Arc<Way>,
) {
    let clock = elected.clock();
    let now = clock.now();
    let mut driver = Driver {
        election: Election::new(Holder::clone(elected.me()), now),
        elected,
        api,
        leads,
        own: Probe::new(own),
        answered: Arc::default(),
        known: HashMap::new(),
        ticked: now,
    };
    let mut ticks = interval(clock.true_time(TICK));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            // After a suspension the tick comes first: nothing is begun before it.
            biased;
            _ = ticks.tick() => {
                driver.tick();
                continue;
            }
            Some(input) = inputs.recv() => match input {
                Input::Event(event) => Some(event),
                Input::Look => None,
            },
        };
        if let Some(event) = event {
            driver.step(event, clock.now());
        }
        driver.publish(clock.now());
    }
}

impl Driver {
    fn tick(&mut self) {
        let now = self.elected.clock().now();
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = answered != Duration::ZERO && now.saturating_sub(answered) <= ABLE;
        // Who cannot answer calls yet, or shuts down, takes no lead; but it keeps what it has until another has it.
        let able = is_there && (self.elected.holds() || self.elected.would_lead());
        self.step(Event::Tick { able }, now);
        self.ticked = now;
        self.publish(now);
        self.ask_itself();
    }

    /// Asks the own port whether it answers.
    fn ask_itself(&self) {
        let (own, answered, clock) = (Arc::clone(&self.own), Arc::clone(&self.answered), self.elected.clock());
        let me = self.elected.me().process.clone();
        tokio::spawn(async move {
            let said = own.ping(HeaderMap::new()).await;
            if said.as_ref().and_then(holder_of).is_some_and(|holder| holder.process == me) {
                *answered.lock().unwrap_or_else(PoisonError::into_inner) = clock.now();
            }
        });
    }

    fn step(&mut self, event: Event, now: Duration) {
        for action in self.election.step(event, now) {
            self.act(action);
        }
        self.elected.hear(self.election.heard());
    }

    fn act(&mut self, action: Action) {
        let (elected, api) = (Arc::clone(&self.elected), Arc::clone(&self.api));
        let (clock, patience) = (elected.clock(), patience(elected.clock()));
        match action {
            Action::Read(number) => drop(tokio::spawn(async move {
                let read = timeout(patience, api.read()).await.unwrap_or(Err(Access::Unreachable));
                elected.lease.read(read.as_ref().err().copied().unwrap_or(Access::Good), clock.now());
                tell(&elected, Event::Read(number, read.ok()));
            })),
            Action::Write(number, lease) => drop(tokio::spawn(async move {
                let none = (Err(Unwritten::Unknown), Access::Unreachable);
                let (written, access) = timeout(patience, api.write(&lease)).await.unwrap_or(none);
                elected.lease.written(access, clock.now());
                tell(&elected, Event::Written(number, written));
            })),
            Action::Ping(to, heard) => {
                let probe = Arc::clone(&self.known(&to).probe);
                tokio::spawn(async move {
                    let mut said = elected.said();
                    said.insert(HEARD, heard.into());
                    let Some(answer) = probe.ping(said).await else { return };
                    let of = |name| answer.get(name).and_then(number);
                    let Some(holder) = holder_of(&answer) else { return };
                    let (leads, heard) = (of(TERM), of(HEARD).unwrap_or_default());
                    tell(&elected, Event::Answered { holder: Arc::new(holder), leads, heard });
                });
            }
            Action::AskAround(heard) => {
                for peer in elected.acquaintances() {
                    self.act(Action::Ping(peer, heard));
                }
            }
            Action::Lead(_) => self.elected.begin_term(),
            Action::Follow => self.elected.follows(),
            Action::Hand(to, term) => drop(tokio::spawn(async move {
                for _ in 0..HANDING {
                    if elected.hand(&to, term).await {
                        return;
                    }
                }
            })),
        }
    }

    fn known(&mut self, holder: &Holder) -> &Known {
        let (elected, holders) = (&self.elected, self.known.len());
        if holders > 16 && !self.known.contains_key(&holder.process) {
            self.known.clear(); // of replicas that are long gone
        }
        self.known.entry(holder.process.clone()).or_insert_with(|| {
            let way = Arc::new(elected.way(holder));
            Known { probe: Probe::new(Arc::clone(&way)), way }
        })
    }

    /// Says who leads.
    fn publish(&mut self, now: Duration) {
        let standing = self.election.standing(now);
        self.elected.note(self.election.named());
        let term = if let Standing::Leads(term) = standing { Some(term) } else { None };
        self.elected.publish(term, self.ticked);
        let leads = match standing {
            Standing::Leads(_) if self.elected.is_leaving() => Leads::Nobody,
            Standing::Leads(term) => Leads::Own(term),
            Standing::Forwards(holder, _) => {
                self.elected.lease.follows(now);
                Leads::Other(Arc::clone(&self.known(&holder).way))
            }
            Standing::Nobody => Leads::Nobody,
        };
        self.leads.send_if_modified(|before| {
            let is_new = match (&*before, &leads) {
                (Leads::Nobody, Leads::Nobody) => false,
                (Leads::Own(before), Leads::Own(term)) => before != term,
                (Leads::Other(before), Leads::Other(way)) => !Arc::ptr_eq(before, way),
                _ => true,
            };
            if is_new {
                *before = leads;
            }
            is_new
        });
    }
}

fn holder_of(said: &HeaderMap<HeaderValue>) -> Option<Holder> {
    said.get(HOLDER).and_then(holder::of_header)
}
