//! Callers who call all the time, and files that are exchanged under them as carelessly as tools do it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::Status;
use zendesk_gateway::watch::Watcher;

use super::until;

/// Callers, for as long as this is there.
#[derive(Default)]
pub struct Load {
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    /// How many rounds each caller has made.
    rounds: Vec<Arc<AtomicU64>>,
    callers: JoinSet<Result<(), Status>>,
}

impl Load {
    /// Adds a caller who makes this round again and again, until one fails.
    pub fn add<F>(&mut self, mut round: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), Status>> + Send,
    {
        let (stop, ended, made) = (Arc::clone(&self.stop), Arc::clone(&self.ended), Arc::<AtomicU64>::default());
        self.rounds.push(Arc::clone(&made));
        self.callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let outcome = round().await;
                if outcome.is_err() {
                    ended.store(true, Ordering::Relaxed);
                    return outcome;
                }
                made.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }

    fn made(&self) -> Vec<u64> {
        self.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).collect()
    }

    /// Whether a caller has ended before its time, which it does only by a failure; `end` shows it.
    pub fn has_failed(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits until every call that is under way now has ended, and each caller has made a whole round since.
    pub async fn round(&self) {
        let before = self.made();
        let done = || self.made().iter().zip(&before).all(|(now, before)| *now >= before + 2);
        until(|| self.has_failed() || done()).await;
    }

    /// Ends the load; none of its calls may have failed. Returns how many rounds were made.
    pub async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for ended in self.callers.join_all().await {
            ended.expect("no call failed");
        }
        self.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).sum()
    }
}

/// A watcher that does not keep tests waiting.
pub fn watcher() -> Watcher {
    Watcher::every(Duration::from_millis(10))
}

/// Returns how often new contents of a kind of file were taken, and how often refused.
pub fn reloads(watcher: &Watcher, what: &str) -> (u64, u64) {
    let reload = watcher.reloads().into_iter().find(|reload| reload.what == what).expect("it is watched");
    (reload.taken, reload.failed)
}

/// Writes what cannot be taken, and lets it stand until it was refused: it is not the timing that saves the calls.
pub async fn spoil(path: &Path, content: &[u8], watcher: &Watcher, what: &str) {
    let (_, before) = reloads(watcher, what);
    std::fs::write(path, content).expect("written");
    until(|| reloads(watcher, what).1 > before).await;
}

/// Replaces a file, each round in another way: renamed into place, or cut, emptied or full of nonsense before it is whole.
/// Returns once the new content is in use.
pub async fn replace(path: &Path, text: &str, watcher: &Watcher, what: &str, round: usize) {
    let (before, _) = reloads(watcher, what);
    match round % 4 {
        0 => {
            let next = path.with_extension("next");
            std::fs::write(&next, text).expect("written");
            std::fs::rename(&next, path).expect("renamed");
        }
        way => {
            let wrong = [&text.as_bytes()[..text.len() / 2 + 5], b"", b"\xff\xfe nonsense \0"][way - 1];
            spoil(path, wrong, watcher, what).await;
            std::fs::write(path, text).expect("written");
        }
    }
    until(|| reloads(watcher, what).0 > before).await;
}
