//! The signals that end the process, or have its files read again: counted, instead of ending it on the spot.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Counts signals from the time of [`Signals::listen`] on.
pub struct Signals {
    /// SIGTERM and SIGINT.
    ends: watch::Receiver<u32>,
    /// SIGHUP.
    hangups: watch::Receiver<u32>,
}

impl Signals {
    /// Begins to count.
    ///
    /// # Errors
    /// The system does not let the process handle them.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn listen() -> anyhow::Result<Self> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hang_up = signal(SignalKind::hangup())?;
        let ((count_ends, ends), (count_hangups, hangups)) = (watch::channel(0), watch::channel(0));
        tokio::spawn(async move {
            loop {
                let count = tokio::select! {
                    _ = terminate.recv() => &count_ends,
                    _ = interrupt.recv() => &count_ends,
                    _ = hang_up.recv() => &count_hangups,
                };
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { ends, hangups })
    }

    /// Returns the outcome of work that nobody has to wait for once the process is to end; none if it is to end.
    ///
    /// # Errors
    /// That of the work.
    pub async fn unless_ended<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Option<T>> {
        tokio::select! {
            outcome = work => outcome.map(Some),
            () = self.first() => Ok(None),
        }
    }

    /// Returns the number of SIGHUPs, as it changes.
    pub fn hangups(&self) -> watch::Receiver<u32> {
        self.hangups.clone()
    }

    /// Completes at the first signal to end.
    pub async fn first(&self) {
        self.ends.clone().wait_for(|count| *count >= 1).await.ok();
    }

    /// Completes at the second signal to end.
    pub async fn second(&self) {
        self.ends.clone().wait_for(|count| *count >= 2).await.ok();
    }
}
