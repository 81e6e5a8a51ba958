//! The client whose connections are used, and another one when they cannot be trusted any more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

/// Least time between two pools: the answer that shows one to be bad can come again and again, and each pool has its own
/// connections to open.
const LEAST: Duration = Duration::from_secs(1);

/// The connections to Zendesk.
pub struct Pool {
    base: Url,
    state: Mutex<State>,
}

struct State {
    client: reqwest::Client,
    made: Instant,
    /// Whether its connections are to be used no more.
    distrusted: bool,
}

impl Pool {
    /// Returns a pool without connections.
    pub fn new(base: &Url) -> anyhow::Result<Self> {
        let state = State { client: super::client(base)?, made: Instant::now(), distrusted: false };
        Ok(Self { base: base.clone(), state: Mutex::new(state) })
    }

    /// Returns the client to send the next request with.
    pub fn client(&self) -> reqwest::Client {
        let mut state = self.state();
        if state.distrusted {
            self.replace(&mut state);
        }
        state.client.clone()
    }

    /// Opens new connections for what is sent from now on, at most once a second. Requests under way end on the old ones:
    /// the client cannot close a single connection.
    pub fn renew(&self) {
        let mut state = self.state();
        state.distrusted = true;
        self.replace(&mut state);
    }

    fn replace(&self, state: &mut State) {
        if state.made.elapsed() < LEAST {
            return;
        }
        match super::client(&self.base) {
            Ok(client) => *state = State { client, made: Instant::now(), distrusted: false },
            Err(error) => tracing::error!(error = %error, "no new connections to zendesk can be made"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_replaced_at_most_once_a_second() {
        let pool = Pool::new(&"http://127.0.0.1:1".parse().expect("a URL")).expect("a client");
        let made = |pool: &Pool| pool.state().made;
        let first = made(&pool);
        pool.renew();
        drop(pool.client());
        assert_eq!(made(&pool), first, "too soon");
        pool.state().made -= LEAST;
        let aged = made(&pool);
        drop(pool.client());
        assert!(made(&pool) > aged, "what was asked for too soon is done at the next request");
        let second = made(&pool);
        drop(pool.client());
        assert_eq!(made(&pool), second, "once");
    }
}
