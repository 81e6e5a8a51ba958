//! Writes log lines from a thread of its own, so that no call waits for the reader of standard error.
//!
//! Lines gather for a moment and leave in one system call. If nobody reads, lines that exceed the bound are dropped and
//! counted. Lines about changes have a room of their own and leave first, so that no amount of other lines displaces the
//! record of who changed what.

use std::cell::RefCell;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes that wait to be written, in each room.
const ROOM_BYTES: usize = 4 << 20;
/// Most bytes of other lines that are written before lines about changes have their turn again.
const PIECE: usize = 64 << 10;
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

/// Where a line waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Lines about changes.
    Changes,
    /// All other lines.
    Others,
}

/// How many lines were lost, by the room that was full or could not be written.
#[derive(Debug, Default)]
pub struct Lost {
    changes: AtomicU64,
    others: AtomicU64,
    /// What the last write failed with.
    failure: Mutex<Option<String>>,
}

impl Lost {
    /// Returns why lines are lost: the last write failed, or lines come faster than they are read.
    pub fn why(&self) -> String {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.map_or("standard error was not read in time".to_owned(), |why| {
            format!("standard error could not be written: {why}")
        })
    }

    /// Returns how many lines of a room were lost.
    pub fn read(&self, room: Room) -> u64 {
        self.of(room).load(Ordering::Relaxed)
    }

    fn add(&self, room: Room, lines: u64) {
        self.of(room).fetch_add(lines, Ordering::Relaxed);
    }

    fn of(&self, room: Room) -> &AtomicU64 {
        match room {
            Room::Changes => &self.changes,
            Room::Others => &self.others,
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    lost: Arc<Lost>,
}

#[derive(Default)]
struct State {
    changes: Vec<u8>,
    others: Vec<u8>,
    /// How many lines were taken out of each room and have not left yet.
    under_way: [u64; 2],
    urgent: bool,
    closed: bool,
    /// True once what was left was counted as lost. Nothing is written any more.
    given_up: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.others.is_empty()
    }

    fn is_written(&self) -> bool {
        self.is_empty() && self.under_way == [0, 0]
    }

    fn room(&mut self, room: Room) -> &mut Vec<u8> {
        match room {
            Room::Changes => &mut self.changes,
            Room::Others => &mut self.others,
        }
    }
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

    /// Returns the counts of lost lines.
    pub fn lost(&self) -> Arc<Lost> {
        Arc::clone(&self.0.0.lost)
    }

    /// Takes a line that `format` writes.
    pub fn write(&self, room: Room, format: impl FnOnce(&mut String)) {
        let shared = &self.0.0;
        LINE.with(|line| {
            // A line written while another is being formatted, by a value's own formatting, is lost rather than a panic.
            let Ok(mut line) = line.try_borrow_mut() else { return shared.lost.add(room, 1) };
            line.clear();
            format(&mut line);
            let mut state = shared.lock();
            let first = state.is_empty();
            let waits = state.room(room).len();
            if waits + line.len() > ROOM_BYTES || state.given_up {
                drop(state);
                return shared.lost.add(room, 1);
            }
            state.room(room).extend_from_slice(line.as_bytes());
            drop(state);
            if first {
                shared.changed.notify_all();
            }
        });
    }

    /// Waits until everything taken so far is written, for 2 s at most. Returns whether it is.
    pub fn flush(&self) -> bool {
        self.flush_within(LAST)
    }

    fn flush_within(&self, patience: Duration) -> bool {
        self.0.0.settle(patience, |state| state.urgent = true);
        let mut state = self.0.0.lock();
        state.urgent = false;
        state.is_written()
    }

    /// Counts what was not written as lost: the process ends.
    pub fn give_up(&self) {
        let shared = &self.0.0;
        let mut state = shared.lock();
        if state.is_written() {
            return;
        }
        let [changes, others] = std::mem::take(&mut state.under_way);
        shared.lost.add(Room::Changes, changes + lines(&std::mem::take(&mut state.changes)));
        shared.lost.add(Room::Others, others + lines(&std::mem::take(&mut state.others)));
        state.given_up = true;
    }
}

impl Shared {
    fn run(&self, to: &mut impl Write) {
        // What leaves next; and other lines that were taken out of their room, of which `done` bytes have left.
        let (mut next, mut others, mut done, mut left) = (Vec::new(), Vec::new(), 0, 0);
        let mut state = self.lock();
        loop {
            if done == others.len() {
                while state.is_empty() && !state.closed {
                    state = self.wait(state);
                }
                if state.is_empty() {
                    return;
                }
                let waits = |state: &mut State| {
                    !state.urgent && !state.closed && state.changes.len() + state.others.len() < ROOM_BYTES / 2
                };
                let gathered = self.changed.wait_timeout_while(state, GATHER, waits);
                state = gathered.unwrap_or_else(PoisonError::into_inner).0;
                others.clear();
                done = 0;
                std::mem::swap(&mut others, &mut state.others);
                left = lines(&others);
            }
            next.clear();
            std::mem::swap(&mut next, &mut state.changes);
            let changes = lines(&next);
            state.under_way = [changes, left];
            drop(state);
            let piece = piece(&others[done..]);
            done += piece.len();
            let in_piece = lines(piece);
            left -= in_piece;
            next.extend_from_slice(piece);
            let failure = to.write_all(&next).and_then(|()| to.flush()).err();
            let is_lost = failure.is_some();
            *self.lost.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure.map(|error| error.to_string());
            state = self.lock();
            if state.given_up {
                return;
            }
            if is_lost {
                self.lost.add(Room::Changes, changes);
                self.lost.add(Room::Others, in_piece);
            }
            state.under_way = [0, left];
            self.changed.notify_all();
        }
    }

    /// Waits until nothing is left to write, for `patience` at most.
    fn settle(&self, patience: Duration, hurry: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        hurry(&mut state);
        self.changed.notify_all();
        let left = |state: &mut State| !state.is_written() && !state.given_up;
        drop(self.changed.wait_timeout_while(state, patience, left).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// Returns the first whole lines, [`PIECE`] bytes of them at most unless one line is longer.
fn piece(lines: &[u8]) -> &[u8] {
    if lines.len() <= PIECE {
        return lines;
    }
    let end = memchr::memrchr(b'\n', &lines[..PIECE]).or_else(|| memchr::memchr(b'\n', lines));
    &lines[..end.map_or(lines.len(), |end| end + 1)]
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.settle(LAST, |state| state.closed = true);
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
            writer.write(Room::Others, |to| to.push_str(&line));
        }
        let lost = writer.lost().read(Room::Others);
        assert!(lost > 0, "10 MB do not fit");
        *gate.0.lock().expect("no panic") = true;
        gate.1.notify_all();
        writer.flush();
        let written = written.lock().expect("no panic").len() as u64 / 100;
        assert_eq!(written + lost, 100_000, "every line was written or counted");
    }

    /// Takes a megabyte a second, in lines of a hundred bytes.
    struct Slow(Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let bytes = &bytes[..bytes.len().min(10_000)];
            std::thread::sleep(Duration::from_millis(10));
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    #[ignore = "slow"]
    fn no_amount_of_other_lines_displaces_those_about_changes() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer::start(Slow(Arc::clone(&written)));
        let (other, change) = (format!("{}\n", "x".repeat(99)), format!("{}\n", "c".repeat(99)));
        // Ten times what the reader takes, for as long as the changes go on.
        for number in 0..100_000 {
            writer.write(Room::Others, |to| to.push_str(&other));
            if number % 1_000 == 999 {
                writer.write(Room::Changes, |to| to.push_str(&change));
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let lost = writer.lost();
        assert!(lost.read(Room::Others) > 0, "10 MB do not fit");
        // They are first in line, so they need not wait until the others have left.
        writer.flush();
        let written = String::from_utf8(written.lock().expect("no panic").clone()).expect("text");
        let changes = written.lines().filter(|line| line.starts_with('c')).count();
        assert_eq!((changes, lost.read(Room::Changes)), (100, 0));
    }

    /// Takes nothing, and says so.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_has_read_at_the_end_is_counted_as_lost_and_what_was_read_is_not() {
        let (gate, written) = (Arc::new((Mutex::new(true), Condvar::new())), Arc::new(Mutex::new(Vec::new())));
        let writer = Writer::start(Stuck(Arc::clone(&gate), Arc::clone(&written)));
        writer.write(Room::Changes, |to| to.push_str("read\n"));
        assert!(writer.flush(), "somebody reads");
        *gate.0.lock().expect("no panic") = false;
        let long = format!("{}\n", "x".repeat(PIECE - 1));
        // Some are being written, some were taken out of their room, and some wait there.
        for _ in 0..2 {
            for _ in 0..3 {
                writer.write(Room::Changes, |to| to.push_str("unread\n"));
                writer.write(Room::Others, |to| to.push_str(&long));
            }
            assert!(!writer.flush_within(Duration::from_millis(100)));
        }
        writer.give_up();
        let lost = writer.lost();
        assert_eq!((lost.read(Room::Changes), lost.read(Room::Others)), (6, 6));
        let began = std::time::Instant::now();
        writer.write(Room::Changes, |to| to.push_str("late\n"));
        writer.flush();
        assert!(began.elapsed() < LAST, "nobody waits any more");
        assert_eq!(lost.read(Room::Changes), 7);
        drop(gate);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_by_their_kind() {
        let writer = Writer::start(Closed);
        for _ in 0..3 {
            writer.write(Room::Changes, |to| to.push_str("change\n"));
        }
        writer.write(Room::Others, |to| to.push_str("other\n"));
        writer.flush();
        let lost = writer.lost();
        assert_eq!((lost.read(Room::Changes), lost.read(Room::Others)), (3, 1));
        assert_eq!(lost.why(), "standard error could not be written: broken pipe");
    }
}
