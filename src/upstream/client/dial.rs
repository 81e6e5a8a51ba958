//! One attempt to connect, from the look-up of the name to the end of the TLS handshake, and what it says of the address.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;

use super::addresses::Addresses;
use super::connector::{Around, Attempt, Connector, Inner};

/// Longest time that a dial may take if the look-up before it found several addresses: `LONGEST` divided by their number, but at
/// least `LEAST`. An address that accepts connections and never speaks would otherwise use up the time for all others.
const LONGEST: Duration = Duration::from_secs(5);
const LEAST: Duration = Duration::from_secs(2);

tokio::task_local! {
    /// The dial that this task makes.
    static DIAL: Arc<Dial>;
}

/// Returns the address that a connection goes to.
pub fn peer(connection: &impl Connection) -> Option<IpAddr> {
    let mut extras = http::Extensions::new();
    connection.connected().get_extras(&mut extras);
    extras.get::<HttpInfo>().map(|info| info.remote_addr().ip())
}

struct Dial {
    addresses: Arc<Addresses>,
    /// Its number in `addresses`, from when the name was looked up until the dial has ended.
    number: Mutex<Option<u64>>,
}

impl Dial {
    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, by_itself: bool) {
        let number = self.number().take();
        if let Some(number) = number {
            self.addresses.ended(number, by_itself);
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        self.ended(false);
    }
}

/// Resolves names for a client, and notes to which address the dial that asks goes first.
pub struct Resolver(Arc<Addresses>);

impl Resolver {
    /// Asks `addresses`.
    pub fn new(addresses: &Arc<Addresses>) -> Arc<Self> {
        Arc::new(Self(Arc::clone(addresses)))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = Arc::clone(&self.0);
        Box::pin(async move {
            let found = addresses.find(name.as_str().to_owned()).await?;
            if let Some(first) = found.first() {
                // A client without the layer has no dial.
                let _ = DIAL.try_with(|dial| *dial.number() = Some(addresses.begin(*first)));
            }
            // The client puts the port in place of 0.
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// Wraps a client's connector, so that its dials are remembered.
#[derive(Clone)]
pub struct Layer(Arc<Addresses>);

impl Layer {
    /// Tells `addresses` what becomes of the dials.
    pub fn new(addresses: &Arc<Addresses>) -> Self {
        Self(Arc::clone(addresses))
    }
}

impl<T: 'static, C: 'static> tower::Layer<Inner<T, C>> for Layer {
    type Service = Connector<T, C, Addresses>;

    fn layer(&self, inner: Inner<T, C>) -> Self::Service {
        Connector::new(inner, Arc::clone(&self.0))
    }
}

impl<C: Connection + Send + 'static> Around<C> for Addresses {
    fn connect(self: Arc<Self>, attempt: Attempt<C>) -> Attempt<C> {
        let dial = Arc::new(Dial { addresses: self, number: Mutex::default() });
        Box::pin(DIAL.scope(Arc::clone(&dial), async move {
            let count = u32::try_from(dial.addresses.count()).unwrap_or(u32::MAX);
            let outcome = if count > 1 {
                timeout((LONGEST / count).max(LEAST), attempt).await.unwrap_or_else(|late| Err(late.into()))
            } else {
                attempt.await
            };
            match &outcome {
                Ok(connection) => {
                    let number = dial.number().take();
                    if let Some(number) = number {
                        dial.addresses.succeeded(number, peer(connection));
                    }
                }
                Err(_) => dial.ended(true),
            }
            outcome
        }))
    }
}
