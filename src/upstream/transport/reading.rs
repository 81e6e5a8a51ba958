//! Reads answers without delaying other calls, however long and odd they are.
//!
//! What fits its fields is read at once. A long answer that does not is read again, value by value, and with millions of odd values
//! that takes long. So it is done beside the threads that serve calls, as far as there is room, and callers take turns for the
//! room. Short answers have a line of their own, so that none stands behind a long one.

use std::panic::resume_unwind;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tokio::task::spawn_blocking;

use crate::error::Error;
use crate::json::{Malformed, unless_it_takes_long, while_wanted};
use crate::turns;
use crate::upstream::call::{Answer, Call};
use crate::upstream::judge::{Reading, judge, read, success};

mod line;

use line::Line;

/// To read an answer of more bytes keeps the thread busy for long: a page of 100 users has a hundred kilobytes and takes
/// milliseconds, and sixty of them may come at once.
const LONG_BODY: usize = 8 << 10;

/// Most bytes of an answer that is read in the line of short ones, and how many of them are read at once.
const SHORT_BODY: usize = 1 << 20;
const MOST_SHORT: usize = 2;
/// The room for long readings, in parts. The reading of one of the largest answers takes all of them, so all such readings together
/// take no more memory than that one.
const ROOM: usize = 64;
/// How many of them there are at most, each on a thread of its own.
const MOST_LONG: usize = 4;

/// Reads answers.
pub struct Readers {
    short: Arc<Line>,
    long: Arc<Line>,
    largest: usize,
}

impl Readers {
    /// Reads answers of up to so many bytes.
    pub fn new(largest: usize) -> Self {
        Self { short: Line::new(MOST_SHORT), long: Line::new(ROOM), largest: largest.max(1) }
    }

    /// Judges a complete response.
    pub async fn judge(
        &self,
        call: &Call,
        status: StatusCode,
        headers: &HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, Error> {
        if body.len() > LONG_BODY {
            turns::to_read().await;
        }
        if !status.is_success() {
            return judge(call, status, headers, &body);
        }
        let reading = if let Some(reading) = unless_it_takes_long(|| read(call, &body)) {
            reading
        } else {
            call.waits_for.set(&Error::DeadlineInReading);
            self.read_aside(call, body).await
        };
        success(call, status, headers, reading)
    }

    /// Reads a body on a thread of its own, when there is room.
    async fn read_aside(&self, call: &Call, body: Vec<u8>) -> Reading {
        let part = if body.len() <= SHORT_BODY {
            self.short.wait(call, 1).await
        } else {
            let share = body.len().saturating_mul(ROOM) / self.largest;
            self.long.wait(call, share.clamp(ROOM / MOST_LONG, ROOM)).await
        };
        // Dropped with this future, which is when the callers have left.
        let wanted = Arc::new(());
        let (call, is_wanted) = (call.clone(), Arc::downgrade(&wanted));
        let reading = spawn_blocking(move || {
            // It ends a little after its callers have left, so the room is given back here.
            let _part = part;
            while_wanted(is_wanted, || read(&call, &body))
        });
        let reading = reading.await;
        drop(wanted);
        reading.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The process ends.
            Err(_) => (Err(Malformed::without("the answer")), Vec::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::cache::WaitsFor;
    use crate::json;
    use crate::proto::GetUserResponse;
    use crate::upstream::tests::support;

    #[tokio::test(start_paused = true)]
    async fn short_answers_do_not_stand_behind_long_ones() {
        let readers = Readers::new(4 << 20);
        let call = support::read();
        let all = readers.long.wait(&call, ROOM).await;
        readers.read_aside(&call, vec![0; SHORT_BODY]).await.0.expect("it is read");
        let mut long = Box::pin(readers.read_aside(&call, vec![0; SHORT_BODY + 1]));
        timeout(Duration::from_secs(1), &mut long).await.expect_err("the room is taken");
        drop(all);
        long.await.0.expect("it is read");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_wait_for_a_reading_learns_that_it_is_one() {
        let readers = Readers::new(4 << 20);
        let parse = |body: &[u8]| json::decode::<GetUserResponse>(body).map(|(user, _)| Box::new(user) as _);
        let call = Call { parse: Arc::new(parse), waits_for: WaitsFor::noted(), ..support::read() };
        let all = readers.long.wait(&call, ROOM).await;
        let body = format!(r#"{{"user":{{"id":7,"notes":"{}"}}}}"#, "n".repeat(SHORT_BODY)).into_bytes();
        let headers = HeaderMap::new();
        let mut reading = Box::pin(readers.judge(&call, StatusCode::OK, &headers, body));
        timeout(Duration::from_secs(1), &mut reading).await.expect_err("the room is taken");
        assert!(matches!(call.waits_for.get(), Error::DeadlineInReading));
        drop(all);
        reading.await.expect("it is read");
    }

    #[tokio::test]
    async fn a_reading_is_given_up_when_its_callers_have_left() {
        let (begins, began) = mpsc::channel();
        let (left, leaves) = mpsc::channel::<()>();
        let (ends, ended) = mpsc::channel();
        let leaves = Mutex::new(leaves);
        let parse = move |body: &[u8]| {
            begins.send(()).ok();
            if body.len() > 1 {
                leaves.lock().expect("no panic").recv().ok();
            }
            let read = json::decode::<GetUserResponse>(br#"{"user":{"id":7,"name":[]}}"#);
            ends.send(read.map(|_| ())).expect("the test listens");
            Ok(Box::new(()) as _)
        };
        let readers = Readers::new(4 << 20);
        let call = Call { parse: Arc::new(parse), ..support::read() };
        readers.read_aside(&call, vec![0]).await.0.expect("somebody waits for it");
        assert_eq!(ended.recv(), Ok(Ok(())));
        began.recv().expect("it has begun");
        let waits = readers.read_aside(&call, vec![0; 2]);
        timeout(Duration::from_millis(1), waits).await.expect_err("it goes on until the caller has left");
        began.recv().expect("it has begun");
        left.send(()).expect("it waits");
        assert_eq!(ended.recv(), Ok(Err(Malformed::without("the answer"))));
    }
}
