//! Counts of the callers' connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::spoken::Spoken;
use crate::telemetry::view;

/// Counts connections. Clones share the counts.
#[derive(Clone, Default)]
pub struct Counts(Arc<Numbers>);

#[derive(Default)]
struct Numbers {
    accepted: AtomicU64,
    ended: AtomicU64,
    refused: AtomicU64,
    turned_away: AtomicU64,
    distrusted: [AtomicU64; 2],
    strays: [AtomicU64; Spoken::ALL.len()],
}

/// Whose certificate the other side did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrusted {
    /// The port's.
    Port,
    /// A caller's.
    Caller,
}

impl Counts {
    /// Returns the numbers as telemetry shows them.
    pub fn view(&self) -> view::Connections {
        // The later count is read first, so that the difference is never below 0.
        let ended = self.0.ended.load(Ordering::Acquire);
        let accepted = self.0.accepted.load(Ordering::Acquire);
        view::Connections {
            active: accepted.saturating_sub(ended),
            accepted,
            refused: self.0.refused.load(Ordering::Relaxed),
            turned_away: self.0.turned_away.load(Ordering::Relaxed),
            port_distrusted: self.0.distrusted[Distrusted::Port as usize].load(Ordering::Relaxed),
            callers_distrusted: self.0.distrusted[Distrusted::Caller as usize].load(Ordering::Relaxed),
            strays: Spoken::ALL
                .iter()
                .map(|spoken| (spoken.as_str(), self.0.strays[*spoken as usize].load(Ordering::Relaxed)))
                .collect(),
        }
    }

    /// Counts a connection as active until the returned value is dropped.
    pub fn begin(&self) -> Counted {
        self.0.accepted.fetch_add(1, Ordering::Release);
        Counted(self.clone())
    }

    /// Counts a connection for which there was no room.
    pub fn turn_away(&self) {
        self.refuse();
        self.0.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection whose handshake failed because one side does not take the other's certificate.
    pub fn distrust(&self, whose: Distrusted) {
        self.0.distrusted[whose as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection whose peer speaks something else than the port.
    pub fn stray(&self, spoken: Spoken) {
        self.0.strays[spoken as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was refused or closed before its first call.
    pub fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts the end of a connection, however it comes.
pub struct Counted(Counts);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_active_from_its_beginning_to_its_end() {
        let counts = Counts::default();
        let (one, other) = (counts.begin(), counts.clone().begin());
        drop(one);
        counts.refuse();
        let now = counts.view();
        assert_eq!((now.accepted, now.active, now.refused), (2, 1, 1));
        drop(other);
        assert_eq!(counts.view().active, 0);
    }
}
