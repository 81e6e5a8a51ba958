//! Writes log lines from a thread of its own, so that no call waits for the reader of standard error.
//!
//! Lines gather for a moment and leave in one system call. If nobody reads, lines that exceed the bound are dropped and
//! counted.

use std::cell::RefCell;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes that wait to be written.
const MOST: usize = 4 << 20;
/// How long lines gather.
const GATHER: Duration = Duration::from_millis(10);
/// How long a flush waits for the reader.
const LAST: Duration = Duration::from_secs(2);

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Takes lines. Cloning shares it; when the last clone is dropped, everything is written.
#[derive(Clone)]
pub struct Writer(Arc<Thread>);

struct Thread(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    lost: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    writing: bool,
    urgent: bool,
    closed: bool,
}

impl Writer {
    /// Starts the thread.
    pub fn start(mut to: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        let run = move || thread.run(&mut to);
        std::thread::Builder::new().name("log".to_owned()).spawn(run).expect("a process may have threads");
        Self(Arc::new(Thread(shared)))
    }

    /// Returns the count of lost lines.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.0.lost)
    }

    /// Takes a line that `format` writes.
    pub fn write(&self, format: impl FnOnce(&mut String)) {
        let shared = &self.0.0;
        LINE.with(|line| {
            // A line written while another is being formatted, by a value's own formatting, is lost rather than a panic.
            let Ok(mut line) = line.try_borrow_mut() else {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                return;
            };
            line.clear();
            format(&mut line);
            let mut state = shared.lock();
            if state.lines.len() + line.len() > MOST {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let first = state.lines.is_empty();
            state.lines.extend_from_slice(line.as_bytes());
            drop(state);
            if first {
                shared.changed.notify_all();
            }
        });
    }

    /// Waits until everything taken so far is written, for 2 s at most.
    pub fn flush(&self) {
        self.0.0.settle(|state| state.urgent = true);
        self.0.0.lock().urgent = false;
    }
}

impl Shared {
    fn run(&self, to: &mut impl Write) {
        let mut lines = Vec::new();
        let mut state = self.lock();
        loop {
            while state.lines.is_empty() && !state.closed {
                state = self.wait(state);
            }
            if state.lines.is_empty() {
                return;
            }
            let waits = |state: &mut State| !state.urgent && !state.closed && state.lines.len() < MOST / 2;
            let gathered = self.changed.wait_timeout_while(state, GATHER, waits);
            state = gathered.unwrap_or_else(PoisonError::into_inner).0;
            std::mem::swap(&mut lines, &mut state.lines);
            state.writing = true;
            drop(state);
            if to.write_all(&lines).and_then(|()| to.flush()).is_err() {
                let count = lines.split(|byte| *byte == b'\n').count() - 1;
                self.lost.fetch_add(count as u64, Ordering::Relaxed);
            }
            lines.clear();
            state = self.lock();
            state.writing = false;
            self.changed.notify_all();
        }
    }

    /// Waits until nothing is left to write, for [`LAST`] at most.
    fn settle(&self, hurry: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        hurry(&mut state);
        self.changed.notify_all();
        let left = |state: &mut State| !state.lines.is_empty() || state.writing;
        drop(self.changed.wait_timeout_while(state, LAST, left).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.settle(|state| state.closed = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody reads: every write waits until the gate opens.
    struct Stuck(Arc<(Mutex<bool>, Condvar)>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let (open, changed) = &*self.0;
            drop(changed.wait_while(open.lock().expect("no panic"), |open| !*open).expect("no panic"));
            self.1.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_reads_cost_no_time_and_are_counted_once_too_many_wait() {
        let (gate, written) = (Arc::new((Mutex::new(false), Condvar::new())), Arc::new(Mutex::new(Vec::new())));
        let writer = Writer::start(Stuck(Arc::clone(&gate), Arc::clone(&written)));
        let line = format!("{}\n", "x".repeat(99));
        for _ in 0..100_000 {
            writer.write(|to| to.push_str(&line));
        }
        let lost = writer.lost().load(Ordering::Relaxed);
        assert!(lost > 0, "10 MB do not fit");
        *gate.0.lock().expect("no panic") = true;
        gate.1.notify_all();
        writer.flush();
        let written = written.lock().expect("no panic").len() as u64 / 100;
        assert_eq!(written + lost, 100_000, "every line was written or counted");
    }
}
