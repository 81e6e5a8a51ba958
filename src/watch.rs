//! Files that are read again when they change: certificates, keys, credentials.
//!
//! The watcher reads each file twice a second and compares its content, instead of asking for notifications: that works the
//! same for a file that is renamed into place, for Kubernetes' swapped symlinks and on network volumes. A new content is taken
//! only if two reads in a row find it unchanged and it is valid; until then the last good one stays in use. So a file that is
//! read half-written changes nothing. [`Watcher::look_now`] reads all files without waiting for their turn.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::files;
use crate::telemetry::view;
use crate::tls;

/// Time between two reads, unless the watcher was made with another.
const INTERVAL: Duration = Duration::from_millis(500);
/// Time between the two reads that [`Watcher::look_now`] causes, if the watcher's own interval is not shorter.
const SHORT_INTERVAL: Duration = Duration::from_millis(100);
/// Largest content that is read: more than any certificate bundle or key set has. A path to something else must not fill the
/// memory.
const MOST_BYTES: u64 = 4 << 20;

/// Everything that is watched in one process. Cloning shares it.
#[derive(Clone)]
pub struct Watcher {
    interval: Duration,
    all: Arc<Mutex<Vec<Arc<Counts>>>>,
    /// Wakes every watch.
    wake: watch::Sender<()>,
}

impl Default for Watcher {
    fn default() -> Self {
        Self::every(INTERVAL)
    }
}

/// A value that follows its files. Cloning shares it; the files are watched as long as a clone is left.
pub struct Watched<T>(Arc<Inner<T>>);

/// Makes a value of files' contents.
type Read<T> = dyn Fn(&[Vec<u8>]) -> anyhow::Result<T> + Send + Sync;

struct Inner<T> {
    what: &'static str,
    paths: Vec<PathBuf>,
    read: Box<Read<T>>,
    value: watch::Sender<Arc<T>>,
    counts: Arc<Counts>,
    /// Whether somebody else says when a new value is taken.
    on_trial: bool,
    /// Wakes the watch; held here, so that it stays open as long as there is something to watch.
    wake: watch::Sender<()>,
}

/// How often something was read again.
#[derive(Default)]
pub struct Counts {
    what: &'static str,
    taken: AtomicU64,
    failed: AtomicU64,
    /// Whether the last content was refused.
    failing: AtomicBool,
}

impl Counts {
    /// Counts a new content that is in use.
    pub fn taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.unchanged();
    }

    /// Notes that what is in use was found again.
    pub fn unchanged(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }

    /// Counts a content that could not be read or was invalid.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }
}

impl Watcher {
    /// Returns a watcher that reads its files this often.
    pub fn every(interval: Duration) -> Self {
        Self { interval, all: Arc::default(), wake: watch::Sender::default() }
    }

    /// Reads every file again now. A new content is taken by the same rules as ever, so a moment later.
    pub fn look_now(&self) {
        self.wake.send_replace(());
    }

    /// Reads a file and keeps reading it. `what` names it for operators, such as `credential`; `read` makes the value, and
    /// its errors are logged, so they must not quote the content.
    ///
    /// # Errors
    /// The file cannot be read or is invalid: there is no last good content yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn file<T: Send + Sync + 'static>(
        &self,
        what: &'static str,
        path: &Path,
        read: impl Fn(&[u8]) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Watched<T>> {
        self.watch(what, vec![path.to_owned()], move |contents| read(&contents[0]), false).await
    }

    /// The same for a content that can only be taken once it was tried: whoever watches it says so in [`Watched::counts`].
    /// Errors and panics are those of [`Watcher::file`].
    pub async fn file_on_trial<T: Send + Sync + 'static>(
        &self,
        what: &'static str,
        path: &Path,
        read: impl Fn(&[u8]) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Watched<T>> {
        self.watch(what, vec![path.to_owned()], move |contents| read(&contents[0]), true).await
    }

    /// The same for files that belong together, such as a certificate and its key; `read` gets their contents in the order
    /// of `paths`.
    ///
    /// # Errors
    /// See [`Watcher::file`].
    ///
    /// # Panics
    /// See [`Watcher::file`].
    pub async fn files<T: Send + Sync + 'static>(
        &self,
        what: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn(&[Vec<u8>]) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Watched<T>> {
        self.watch(what, paths, read, false).await
    }

    async fn watch<T: Send + Sync + 'static>(
        &self,
        what: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn(&[Vec<u8>]) -> anyhow::Result<T> + Send + Sync + 'static,
        on_trial: bool,
    ) -> anyhow::Result<Watched<T>> {
        let hashes = RandomState::new();
        let contents = contents(&paths).await?;
        let (seen, first) = (hashes.hash_one(&contents), read(&contents).with_context(|| names(&paths))?);
        drop(contents);
        let counts = self.counts(what);
        let (value, _) = watch::channel(Arc::new(first));
        let (read, wake) = (Box::new(read), self.wake.clone());
        let inner = Arc::new(Inner { what, paths, read, value, counts, on_trial, wake });
        let (weak, interval, mut woken) = (Arc::downgrade(&inner), self.interval, inner.wake.subscribe());
        tokio::spawn(async move {
            let mut look = Look { hashes, judged: seen, last: seen };
            let mut pause = interval;
            loop {
                let now = tokio::time::timeout(pause, woken.changed()).await.is_ok();
                let Some(inner) = weak.upgrade() else { return };
                look.at(&inner).await;
                pause = if now { interval.min(SHORT_INTERVAL) } else { interval };
            }
        });
        Ok(Watched(inner))
    }

    /// Returns counters for something that is read again and is not a file.
    pub fn counts(&self, what: &'static str) -> Arc<Counts> {
        let counts = Arc::new(Counts { what, ..Counts::default() });
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counts));
        counts
    }

    /// Returns how often each kind of file was read again.
    pub fn reloads(&self) -> Vec<view::Reload> {
        let counts = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |counts: &Arc<Counts>| view::Reload {
            what: counts.what,
            taken: counts.taken.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            failing: counts.failing.load(Ordering::Relaxed),
        };
        counts.iter().map(read).collect()
    }
}

impl<T> Watched<T> {
    /// Returns the value of the last good content.
    pub fn get(&self) -> Arc<T> {
        self.0.value.borrow().clone()
    }

    /// Tells of each new value.
    pub fn changes(&self) -> watch::Receiver<Arc<T>> {
        self.0.value.subscribe()
    }

    /// Counts what becomes of new contents.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What one watch has seen, as hashes: contents can be secrets, and are not kept.
struct Look {
    hashes: RandomState,
    /// What was last taken or refused.
    judged: u64,
    /// What the last read found.
    last: u64,
}

impl Look {
    async fn at<T>(&mut self, inner: &Inner<T>) {
        let outcome = contents(&inner.paths).await;
        let seen = match &outcome {
            Ok(contents) => self.hashes.hash_one(contents),
            // An error counts as a content, so that a file that stays missing is reported once.
            Err(error) => self.hashes.hash_one(format!("{error:#}")),
        };
        let settled = std::mem::replace(&mut self.last, seen) == seen;
        if !settled || self.judged == seen {
            return;
        }
        self.judged = seen;
        match outcome.and_then(|contents| (inner.read)(&contents).with_context(|| names(&inner.paths))) {
            Ok(value) => {
                inner.value.send_replace(Arc::new(value));
                if inner.on_trial {
                    info!(file.what = inner.what, "a changed file was read, and is tried");
                } else {
                    inner.counts.taken();
                    info!(file.what = inner.what, "a changed file is in use");
                }
            }
            Err(error) => {
                inner.counts.failed();
                let error = tls::in_words(&error);
                warn!(
                    file.what = inner.what,
                    error, "a changed file cannot be taken; what was read before stays in use"
                );
            }
        }
    }
}

async fn contents(paths: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut contents = Vec::with_capacity(paths.len());
    for path in paths {
        contents.push(read(path).await?);
    }
    Ok(contents)
}

/// Reads a file as the watcher does, but once.
///
/// # Errors
/// The file cannot be read, is not a regular one or is too large; the error names it.
pub async fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let its = path.to_owned();
    let content = tokio::task::spawn_blocking(move || files::read(&its, MOST_BYTES)).await?;
    content.with_context(|| path.display().to_string())
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn number(content: &[u8]) -> anyhow::Result<u32> {
        Ok(std::str::from_utf8(content)?.trim().parse()?)
    }

    async fn until(mut holds: impl FnMut() -> bool) {
        let waited = tokio::time::timeout(Duration::from_mins(1), async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("it holds within a minute");
    }

    #[tokio::test]
    async fn a_good_content_replaces_the_last_and_a_bad_one_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        fs::write(&path, "1").expect("written");
        let watcher = Watcher::default();
        let value = watcher.file("number", &path, number).await.expect("a number");
        let counted = || {
            let counts = &watcher.reloads()[0];
            (counts.taken, counts.failed)
        };
        assert_eq!((*value.get(), counted()), (1, (0, 0)));
        fs::write(&path, "nonsense").expect("written");
        until(|| counted() == (0, 1)).await;
        assert_eq!(*value.get(), 1, "the last good one stays");
        let next = folder.path().join("next");
        fs::write(&next, "2").expect("written");
        fs::rename(&next, &path).expect("renamed");
        until(|| counted() == (1, 1)).await;
        assert_eq!(*value.get(), 2);
        fs::remove_file(&path).expect("removed");
        until(|| counted() == (1, 2)).await;
        assert_eq!(*value.get(), 2, "a missing file is a bad one, counted once");
        fs::write(&path, "3").expect("written");
        until(|| *value.get() == 3).await;
        assert_eq!(counted(), (2, 2));
    }

    #[tokio::test]
    async fn whoever_asks_for_it_has_the_files_read_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        fs::write(&path, "1").expect("written");
        let watcher = Watcher::every(Duration::from_hours(1));
        let value = watcher.file("number", &path, number).await.expect("a number");
        for next in 2..4 {
            fs::write(&path, next.to_string()).expect("written");
            watcher.look_now();
            until(|| *value.get() == next).await;
        }
    }

    #[tokio::test]
    async fn a_path_that_becomes_a_fifo_is_a_bad_content_and_holds_nothing_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        fs::write(&path, "1").expect("written");
        let watcher = Watcher::every(Duration::from_millis(10));
        let value = watcher.file("number", &path, number).await.expect("a number");
        let failed = || watcher.reloads()[0].failed;
        fs::remove_file(&path).expect("removed");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo exists").success());
        until(|| failed() > 0).await;
        assert_eq!(*value.get(), 1, "the last good one stays");
        let first = watcher.file("number", &path, number).await.err().expect("no first content");
        assert!(format!("{first:#}").ends_with("is not a regular file"), "{first:#}");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "2").expect("written");
        until(|| *value.get() == 2).await;
    }

    #[tokio::test]
    async fn the_first_content_must_be_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        let watcher = Watcher::default();
        assert!(watcher.file("number", &path, number).await.is_err(), "missing");
        fs::write(&path, "one").expect("written");
        let refused = watcher.file("number", &path, number).await.err().expect("nonsense");
        assert!(format!("{refused:#}").contains("number"), "names the file: {refused:#}");
        let large = fs::File::create(&path).expect("created");
        large.set_len(MOST_BYTES + 1).expect("a hole");
        let refused = watcher.file("number", &path, |_| Ok(())).await.err().expect("too large");
        assert!(format!("{refused:#}").contains("larger than"), "{refused:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_content_that_is_still_changing_is_not_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        fs::write(&path, "1").expect("written");
        let watcher = Watcher::default();
        let value = watcher.file("number", &path, number).await.expect("a number");
        let hashes = RandomState::new();
        let first = hashes.hash_one(vec![b"1".to_vec()]);
        let mut look = Look { hashes, judged: first, last: first };
        fs::write(&path, "12").expect("written");
        look.at(&value.0).await;
        assert_eq!(*value.get(), 1, "seen once");
        fs::write(&path, "123").expect("written");
        look.at(&value.0).await;
        assert_eq!(*value.get(), 1, "changed since");
        look.at(&value.0).await;
        assert_eq!(*value.get(), 123, "seen twice");
    }
}
