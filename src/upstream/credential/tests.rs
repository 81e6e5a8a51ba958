//! Tests of how tokens are fetched, renewed and used, with time paused; and of how the token endpoint's answer is read.

mod client;
mod layer;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::client::{Client, Get};
use super::exchange::{Issued, Secret};
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
        Client::start(self.get(), constant(), Jitter::OFF)
    }

    fn credential(&self) -> Credential {
        let fingerprint = fingerprint::of(&[b"client"]);
        let origin = Origin::Client(Arc::new(self.client()));
        Credential { token: None, own: true, fingerprint, on_behalf_of: None, origin }
    }
}

/// A secret that does not change.
fn constant() -> Secret {
    watch::channel(Arc::new("s".into())).1
}

fn sent(credential: &Credential) -> String {
    credential.header().expect("a token").to_str().expect("ASCII").to_owned()
}

#[test]
fn a_token_is_read_whatever_stands_beside_it() {
    let read = |body: &[u8]| super::exchange::read(body).map(|issued| issued.lifetime);
    let hour = Some(Some(Duration::from_hours(1)));
    for body in [
        &br#"{"access_token":"t1","expires_in":3600}"#[..],
        b"\xef\xbb\xbf{\"access_token\":\"t1\",\"expires_in\":3600}",
        br#"{"access_token":"t1","expires_in":1,"expires_in":3600}"#,
        br#"{"access_token":"t1","token_type":5,"expires_in":"3600"}"#,
        br#"{"access_token":"t1","token_type":"Bearer","scope":"\ud800","expires_in":3600.5}"#,
        br#"{"access_token":"t1","x":1e400,"expires_in":3600}"#,
    ] {
        assert_eq!(read(body), hour, "{}", String::from_utf8_lossy(body));
    }
    let year = Duration::from_hours(24 * 366);
    for lifetime in ["1e12", "1e18", "9223372036854775807"] {
        let body = format!(r#"{{"access_token":"t1","expires_in":{lifetime}}}"#);
        assert_eq!(read(body.as_bytes()), Some(Some(year)), "{lifetime}");
    }
    for lifetime in ["1e400", "null", "-1", "[]", r#""soon""#, "0"] {
        let body = format!(r#"{{"access_token":"t1","expires_in":{lifetime}}}"#);
        assert_eq!(read(body.as_bytes()), Some(None), "{lifetime}");
    }
    for body in [r#"{"access_token":5}"#, r#"{"access_token":""}"#, r#"{"access_token":"a b"}"#, "{}", "[]", "<html>"] {
        assert!(read(body.as_bytes()).is_none(), "{body}");
    }
    assert!(read(br#"{"access_token":"t1","token_type":"mac"}"#).is_none());
}
