//! A credential whose secret stands in a file that may be rotated at any time.
//!
//! Zendesk accepts the old and the new secret side by side during a rotation, so there is no hurry to take a new one, but
//! good reason not to take a wrong one: a file caught half-written, or a token pasted wrong, looks like any other secret.
//! So the last secret that Zendesk accepted is kept until its successor was accepted; if Zendesk refuses the successor, the
//! call is sent with the old one, and so are those that follow for a while.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tracing::warn;

use super::token::Token;
use crate::config;
use crate::watch::{self, Watched, Watcher};

/// How long a secret that Zendesk refused is not tried again, while an accepted one is known.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// Makes a token of a file's content.
type Read = Arc<dyn Fn(&[u8]) -> anyhow::Result<Token> + Send + Sync>;

pub(super) struct File {
    path: PathBuf,
    read: Read,
    watched: Watched<Token>,
    past: Mutex<Past>,
}

/// What became of secrets so far.
#[derive(Default)]
struct Past {
    /// The last one that Zendesk accepted.
    good: Option<Arc<Token>>,
    /// The one that Zendesk refused, and when.
    refused: Option<(Arc<Token>, Instant)>,
}

impl File {
    pub(super) async fn watch(
        settings: &config::Credential,
        watcher: &Watcher,
        write: impl Fn(&SecretString) -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let (key, path) = settings.file().expect("kinds that are files have one");
        let of = settings.clone();
        let read: Read = Arc::new(move |content| {
            let secret = of.secret(content).map_err(anyhow::Error::msg)?;
            Token::new(&write(&secret))
        });
        let its = read.clone();
        let its = move |content: &[u8]| its(content);
        let watched =
            watcher.file("credential", path, its).await.map_err(|error| anyhow::anyhow!("{key}: {error:#}"))?;
        Ok(Self { path: path.to_owned(), read, watched, past: Mutex::default() })
    }

    /// Returns the secret to begin a call with.
    pub(super) fn current(&self) -> Arc<Token> {
        let current = self.watched.get();
        if current.is_accepted() {
            return current;
        }
        let past = self.past();
        match &*past {
            Past { refused: Some((refused, when)), good: Some(good) }
                if Arc::ptr_eq(refused, &current) && when.elapsed() < REFUSED_FOR =>
            {
                Arc::clone(good)
            }
            _ => current,
        }
    }

    /// Takes note that Zendesk accepted a secret.
    pub(super) fn accepted(&self, token: &Arc<Token>) {
        self.past().good = Some(Arc::clone(token));
    }

    /// Returns the secret to use instead of one that Zendesk refused, if there is another.
    pub(super) async fn instead_of(&self, refused: &Arc<Token>) -> Option<Arc<Token>> {
        let differs = |token: &Arc<Token>| token.header != refused.header;
        let current = self.watched.get();
        if differs(&current) {
            return Some(current);
        }
        // The old secret may have ended before the watcher read the file again.
        let content = watch::read(&self.path).await.unwrap_or_default();
        let there = (self.read)(&content).ok().map(Arc::new).filter(differs);
        if there.is_some() {
            return there;
        }
        let mut past = self.past();
        past.refused = Some((Arc::clone(refused), Instant::now()));
        let good = past.good.clone().filter(differs);
        if good.is_some() {
            warn!("zendesk refuses the new credential; the one before stays in use");
        }
        good
    }

    fn past(&self) -> std::sync::MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The header of basic authentication.
pub(super) fn basic(user: &str, secret: &SecretString) -> String {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", secret.expose_secret())))
}

/// The header of an OAuth token.
pub(super) fn bearer(secret: &SecretString) -> String {
    format!("Bearer {}", secret.expose_secret())
}
