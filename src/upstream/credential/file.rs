//! A credential whose secret stands in a file that may be rotated at any time.
//!
//! Zendesk accepts the old and the new secret side by side during a rotation, so there is no hurry to take a new one, but
//! good reason not to take a wrong one: a file caught half-written, or a token pasted wrong, looks like any other secret.
//! So the last secret that Zendesk accepted is kept until its successor was accepted; if Zendesk refuses the successor, the
//! call is sent with the old one, and so are those that follow for a while.
//!
//! Zendesk is asked at once whether it accepts a new secret, so that operators know it before they revoke the old one.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::token::Token;
use super::whose::{Proof, whose};
use crate::config;
use crate::telemetry::trouble::CREDENTIAL;
use crate::upstream::client::Origin;
use crate::watch::{self, Watched, Watcher};

/// Longest that Zendesk is asked about a new secret at a time.
const PROOF: Duration = Duration::from_secs(10);

/// How long a secret that Zendesk refused is not tried again, while an accepted one is known.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// Makes a token of a file's content.
type Read = Arc<dyn Fn(&[u8]) -> anyhow::Result<Token> + Send + Sync>;

pub(super) struct File {
    path: PathBuf,
    read: Read,
    watched: Watched<Token>,
    /// What the file had at the start.
    first: Arc<Token>,
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
        zendesk: &Origin,
        watcher: &Watcher,
        write: impl Fn(&SecretString) -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Arc<Self>> {
        let (key, path) = settings.file().expect("kinds that are files have one");
        let of = settings.clone();
        let read: Read = Arc::new(move |content| {
            let secret = of.secret(content).map_err(anyhow::Error::msg)?;
            Token::new(&write(&secret))
        });
        let its = read.clone();
        let its = move |content: &[u8]| its(content);
        let watched = watcher
            .file_on_trial("credential", path, its)
            .await
            .map_err(|error| anyhow::anyhow!("{key}: {error:#}"))?;
        let first = watched.get();
        let file = Arc::new(Self { path: path.to_owned(), read, watched, first, past: Mutex::default() });
        tokio::spawn(follow(Arc::downgrade(&file), zendesk.clone()));
        Ok(file)
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
        if token.accepted.swap(true, Ordering::Relaxed) {
            return;
        }
        self.past().good = Some(Arc::clone(token));
        if Arc::ptr_eq(token, &self.watched.get()) {
            if Arc::ptr_eq(token, &self.first) {
                return self.watched.counts().unchanged();
            }
            self.watched.counts().taken();
            info!(file.what = "credential", "a changed file is in use: zendesk accepts it");
        }
    }

    /// Takes note that Zendesk refused a secret; returns the one to use instead.
    fn refused(&self, token: &Arc<Token>) -> Option<Arc<Token>> {
        let mut past = self.past();
        let is_known = past.refused.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, token));
        past.refused = Some((Arc::clone(token), Instant::now()));
        let good = past.good.clone().filter(|good| good.header != token.header);
        if good.is_some() && !is_known {
            self.watched.counts().failed();
            warn!("zendesk refuses the new credential; the one before stays in use");
        }
        good
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
        self.refused(refused)
    }

    fn past(&self) -> std::sync::MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks Zendesk about each new secret until it accepts it.
async fn follow(file: Weak<File>, zendesk: Origin) {
    let Some(mut changes) = file.upgrade().map(|file| file.watched.changes()) else { return };
    while changes.changed().await.is_ok() {
        while let Some(file) = file.upgrade() {
            let token = file.watched.get();
            match timeout(PROOF, whose(&zendesk, token.header.clone())).await {
                Ok(Ok(Proof::Accepted(_))) => file.accepted(&token),
                Ok(Ok(Proof::Refused(why))) if why.means == CREDENTIAL => drop(file.refused(&token)),
                _ => {}
            }
            drop(file);
            if token.is_accepted() {
                break;
            }
            // A newer one ends the wait.
            let _ = timeout(REFUSED_FOR, changes.changed()).await;
        }
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
