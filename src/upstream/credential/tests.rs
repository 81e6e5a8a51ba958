//! Tests of the parts that work on their own clock.

mod client;
mod layer;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::client::{Client, Get};
use super::exchange::Issued;
use super::{Credential, Origin, fingerprint};
use crate::error::Error;
use crate::upstream::Jitter;

const SECOND: Duration = Duration::from_secs(1);

/// A token endpoint that notes when it was asked.
#[derive(Clone, Default)]
struct Endpoint {
    asked: Arc<Mutex<Vec<Instant>>>,
    /// What the next exchanges fail with.
    failures: Arc<Mutex<VecDeque<Error>>>,
    /// How long an exchange takes.
    takes: Duration,
    /// How long tokens last; zero for no end.
    lifetime: Duration,
}

impl Endpoint {
    fn lasting(lifetime: Duration) -> Self {
        Self { lifetime, ..Self::default() }
    }

    fn asked(&self) -> usize {
        self.asked.lock().expect("no test panics inside").len()
    }

    fn fail(&self, error: &Error, times: usize) {
        self.failures.lock().expect("no test panics inside").extend(std::iter::repeat_n(error.clone(), times));
    }

    fn get(&self) -> Get {
        let its = self.clone();
        Box::new(move || {
            let its = its.clone();
            Box::pin(async move {
                let number = {
                    let mut asked = its.asked.lock().expect("no test panics inside");
                    asked.push(Instant::now());
                    asked.len()
                };
                sleep(its.takes).await;
                match its.failures.lock().expect("no test panics inside").pop_front() {
                    Some(error) => Err(error),
                    None => Ok(Issued {
                        token: format!("token-{number}").into(),
                        lifetime: Some(its.lifetime).filter(|life| !life.is_zero()),
                    }),
                }
            })
        })
    }

    fn client(&self) -> Client {
        Client::start(self.get(), Jitter::OFF)
    }

    fn credential(&self) -> Credential {
        let fingerprint = fingerprint::of(&[b"client"]);
        let origin = Origin::Client(Arc::new(self.client()));
        Credential { token: None, own: true, fingerprint, on_behalf_of: None, origin }
    }
}

fn sent(credential: &Credential) -> String {
    credential.header().expect("a token").to_str().expect("ASCII").to_owned()
}
