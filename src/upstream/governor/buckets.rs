//! Budgets of single endpoints, learnt from `zendesk-ratelimit-<name>` headers.
//!
//! Which endpoints have one is not documented in one place and changes, so nothing is configured: a bucket applies to the
//! routes on whose responses it was seen. A route is the verb and the path without ids. Where the contract says how many requests
//! a minute Zendesk documents, that holds until responses state a bucket: the account may have more.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::time::Instant;

use super::budget::{Budget, Left, Opening};
use crate::contract::ENDPOINTS;
use crate::limits::{JOBS, Window};
use crate::upstream::call::Priority;
use crate::upstream::rest::Rest;

/// Most buckets and routes that are remembered, whatever the responses say.
const MOST: usize = 256;

/// An endpoint: verb and path without ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route(u64);

impl Route {
    /// Returns the route of a request. A segment with a digit is an id.
    pub fn of(rest: &Rest) -> Self {
        Self::new(rest.method.as_str(), &rest.path)
    }

    fn new(verb: &str, path: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        verb.hash(&mut hasher);
        for segment in path.trim_start_matches("/api/v2/").split('/') {
            let is_id = segment.starts_with('{') || segment.bytes().any(|byte| byte.is_ascii_digit());
            if is_id { "{id}" } else { segment }.hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

/// The budgets of all endpoints.
#[derive(Debug)]
pub struct Buckets {
    headroom_percent: u32,
    /// Those that are documented come first.
    named: Vec<(String, Budget)>,
    documented: HashMap<Route, usize>,
    routes: HashMap<Route, Vec<usize>>,
    closed: HashMap<Route, Instant>,
}

impl Buckets {
    /// Returns those that the contract knows. Responses add others.
    pub fn new(headroom_percent: u32) -> Self {
        let limited = ENDPOINTS.iter().filter(|endpoint| endpoint.per_minute > 0);
        // No header has such a name.
        let named = limited.clone().map(|limited| (limited.path.to_owned(), Budget::documented(limited.per_minute)));
        let routes = limited.zip(0..).map(|(endpoint, place)| (Route::new(endpoint.verb, endpoint.path), place));
        let documented: HashMap<Route, usize> = routes.collect();
        let routes = documented.iter().map(|(route, place)| (*route, vec![*place])).collect();
        Self { headroom_percent, named: named.collect(), documented, routes, closed: HashMap::new() }
    }

    /// Returns when the next call on this route may go.
    pub fn opening(&self, route: Route, priority: Priority, now: Instant) -> Opening {
        let closed = self.closed.get(&route).filter(|until| now < **until);
        let first = closed.map_or(Opening::Now, |until| Opening::At(*until));
        self.of(route).map(|budget| budget.opening(priority, now)).fold(first, Opening::and)
    }

    /// Returns when a call with `ahead` others before it on this route is likely to get its turn.
    pub fn estimate(&self, route: Route, priority: Priority, ahead: u32, now: Instant) -> Instant {
        let closed = self.closed.get(&route).copied().unwrap_or(now).max(now);
        self.of(route).map(|budget| budget.estimate(priority, ahead, now)).fold(closed, Instant::max)
    }

    /// Counts a request, and returns the buckets that it is counted in.
    pub fn spend(&mut self, route: Route, now: Instant) -> Vec<usize> {
        let places = self.routes.get(&route).cloned().unwrap_or_default();
        for place in &places {
            self.named[*place].1.spend(now);
        }
        places
    }

    /// Ends a request, let through at `asked`, that these buckets count; `heard` are the buckets that its response stated.
    pub fn ended(&mut self, places: &[usize], asked: Instant, sent: bool, heard: &[(String, Window)]) {
        for place in places {
            let (name, budget) = &mut self.named[*place];
            let unheard = sent && !heard.iter().any(|(stated, _)| stated == name);
            budget.ended(asked, unheard);
        }
    }

    /// Learns what the response to a request on this route says about one bucket.
    pub fn hear(&mut self, route: Route, name: &str, window: &Window, asked: Instant) {
        if let Some(budget) = self.learn(route, name) {
            budget.hear(window, asked);
            let documented = self.documented.get(&route);
            self.routes.entry(route).and_modify(|places| places.retain(|place| Some(place) != documented));
        }
    }

    /// Learns that a successful response on this route stated no bucket.
    pub fn hear_nothing(&mut self, route: Route) {
        match self.documented.get(&route) {
            Some(place) => self.routes.insert(route, vec![*place]),
            None => self.routes.remove(&route),
        };
    }

    /// Closes one bucket.
    pub fn close(&mut self, route: Route, name: &str, until: Instant) {
        if let Some(budget) = self.learn(route, name) {
            budget.close(until);
        }
    }

    /// Closes one route, for a 429 that does not say which budget is spent.
    pub fn close_route(&mut self, route: Route, until: Instant) {
        let now = Instant::now();
        self.closed.retain(|_, until| now < *until);
        if self.closed.len() < MOST {
            self.closed.insert(route, until);
        }
    }

    /// Returns the latest time until which a 429 has closed a bucket or a route. It may have passed.
    pub fn closed_until(&self) -> Option<Instant> {
        let named = self.named.iter().filter_map(|(_, budget)| budget.closed_until());
        named.chain(self.closed.values().copied()).max()
    }

    /// Returns each bucket that responses have stated, by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Budget)> {
        self.named.iter().skip(self.documented.len()).map(|(name, budget)| (name.as_str(), budget))
    }

    /// Returns what is left of each, by its name.
    pub fn left_now(&self, now: Instant) -> Vec<(String, Left)> {
        self.named.iter().map(|(name, budget)| (name.clone(), budget.left_now(now))).collect()
    }

    /// Goes on from what others have left. Which routes a bucket applies to is learnt from responses.
    pub fn go_on(&mut self, left: &[(String, Left)], now: Instant) {
        for (name, left) in left {
            if let Some(place) = self.place(name) {
                self.named[place].1.go_on(left, now);
            }
        }
    }

    fn of(&self, route: Route) -> impl Iterator<Item = &Budget> {
        self.routes.get(&route).into_iter().flatten().map(|place| &self.named[*place].1)
    }

    /// Returns the place of the bucket of this name; none if there are too many.
    fn place(&mut self, name: &str) -> Option<usize> {
        let known = self.named.iter().position(|(known, _)| known == name);
        if known.is_none() && self.named.len() < MOST {
            self.named.push((name.to_owned(), Budget::new(self.headroom_percent, 0)));
            return Some(self.named.len() - 1);
        }
        known
    }

    /// Returns the bucket, which applies to the route from now on.
    fn learn(&mut self, route: Route, name: &str) -> Option<&mut Budget> {
        if name == JOBS {
            return None;
        }
        let place = self.place(name)?;
        if self.routes.len() < MOST || self.routes.contains_key(&route) {
            let places = self.routes.entry(route).or_default();
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Some(&mut self.named[place].1)
    }
}
