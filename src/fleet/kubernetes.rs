//! A fleet that elects its leader through a Kubernetes Lease.
//!
//! `api` reads and writes the Lease, `driver` feeds the election, `key` is what the internal port is known by, and `proof`
//! knows whose tokens are of this fleet. There is no Kubernetes library: four requests, on two objects and a list of keys, need
//! none, and those there are hide the transitions of an election or compare the clocks of two machines.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::rand;
use http::HeaderValue;
use tokio::sync::{mpsc, watch};

use super::clock::Clock;
use super::elected::{Elected, Input, Terms, Trial};
use super::election::Holder;
use super::hop::{Trust, Way};
use super::link::{Leads, Link};
use crate::config;
use crate::gateway::Gateway;
use crate::upstream::credential::Source;
use crate::watch::Watcher;

mod api;
mod driver;
mod key;
mod proof;

pub use key::{Key, pinned};

/// What a replica is made of.
pub struct Parts<'a> {
    /// The settings.
    pub settings: &'a config::Fleet,
    /// What the pod is called.
    pub name: &'a str,
    /// The socket of its internal port.
    pub port: SocketAddr,
    /// Its account: see [`wire::account`](super::wire::account).
    pub account: HeaderValue,
    /// What answers its calls.
    pub gateway: &'a Gateway,
    /// Credentials for calls that no caller makes.
    pub credentials: &'a Source,
    /// How many threads serve callers.
    pub threads: usize,
    /// Watches the files that the settings name.
    pub watcher: &'a Watcher,
    /// How fast the election's clock runs, and the contract: other ones than the usual are for tests.
    pub trial: Trial,
}

/// A replica that takes part in the election once it is driven.
pub struct Replica {
    /// Where its calls go.
    pub link: Link,
    /// Its part in the election.
    pub elected: Arc<Elected>,
    /// The key of its internal port.
    pub key: Key,
    /// Drives the election, for ever.
    pub driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Makes a replica.
///
/// # Errors
/// The settings lack something, a file cannot be read, or the service account is `default`, which others may have, too.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn replica(parts: Parts<'_>) -> anyhow::Result<Replica> {
    let Parts { settings, name, port, account, gateway, credentials, threads, watcher, trial } = parts;
    let of = &settings.kubernetes;
    let lease = of.lease.clone().context("fleet.kubernetes.lease: not set")?;
    let token_file = of.token_file.clone().context("fleet.kubernetes.token_file: not set")?;
    let address = settings.address.as_deref().context("fleet.address: not set")?;
    let key = Key::new()?;
    let (process, mut secret) = (random()?, HeaderValue::try_from(random()?)?);
    secret.set_sensitive(true);
    let address = config::address_of(address, port.port()).context("fleet.address")?.to_string();
    let me = Arc::new(Holder { process, pod: name.to_owned(), address, key: key.digest().to_owned() });
    let api = Arc::new(api::Api::start(of, &lease, watcher).await.context("fleet.kubernetes")?);
    let proof = proof::Proof::start(&token_file, &api).context("fleet.kubernetes.token_file")?;
    let (inputs, told) = mpsc::unbounded_channel();
    let verify = Arc::new(proof);
    let own = account.clone();
    let elected = Arc::new(Elected::new(Terms {
        me,
        contract: trial.contract,
        token_file,
        secret,
        clock: Clock::faster(trial.rate),
        gateway: gateway.clone(),
        credentials: credentials.clone(),
        verify: Box::new(move |token| {
            let verify = Arc::clone(&verify);
            Box::pin(async move { verify.is_good(&token).await })
        }),
        inputs,
        way: Box::new(move |elected, to| way(elected, to, own.clone())),
    }));
    let (leads, following) = watch::channel(Leads::Nobody);
    let link = Link::to(following, Some(Arc::clone(&elected)), settings.alone_after, gateway.cache(), threads);
    // Whether the port answers is asked over loopback: what others reach it by is not this replica's to know.
    let mut loopback = port;
    if port.ip().is_unspecified() {
        let ip = if port.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        loopback.set_ip(ip);
    }
    let itself = Holder { address: loopback.to_string(), ..Holder::clone(elected.me()) };
    let itself = Arc::new(way(&elected, &itself, account));
    let driver = Box::pin(driver::run(Arc::clone(&elected), api, told, leads, itself));
    Ok(Replica { link, elected, key, driver })
}

/// Returns what no other process has, and nobody can guess.
fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).ok().context("no random numbers")?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

fn way(elected: &Arc<Elected>, to: &Holder, account: HeaderValue) -> Way {
    let trust = Trust::Key(pinned(&to.key));
    let own = to.process == elected.me().process;
    Way { leader: to.address.clone(), trust, account, elected: Some(Arc::clone(elected)), own }
}

/// How long the API server has for an answer.
fn patience(clock: Clock) -> Duration {
    clock.true_time(super::election::TIMEOUT)
}

/// Tells whoever drives the election what happened.
fn tell(elected: &Elected, event: super::election::Event) {
    elected.tell(Input::Event(event));
}
