//! Reads answers without delaying other calls, however long and odd they are.
//!
//! What fits its fields is read at once. A long answer that does not is read again, value by value, and with millions of odd values
//! that takes long. So it is done beside the threads that serve calls, and all such readings share room: together they take no
//! more memory than one of the largest answer.

use std::panic::resume_unwind;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::error::Error;
use crate::json::{Malformed, unless_it_takes_long};
use crate::turns;
use crate::upstream::call::{Answer, Call};
use crate::upstream::judge::{Reading, judge, read, success};

/// To read an answer of more bytes keeps the thread busy for long: a page of 100 users has a hundred kilobytes and takes
/// milliseconds, and sixty of them may come at once.
const LONG_BODY: usize = 8 << 10;

/// The room for long readings, in parts. The reading of one of the largest answers takes all of them.
const ROOM: usize = 64;
/// How many of them there are at most, each on a thread of its own.
const MOST_AT_ONCE: usize = 4;

/// Reads answers.
pub struct Readers {
    room: Arc<Semaphore>,
    largest: usize,
}

impl Readers {
    /// Reads answers of up to so many bytes.
    pub fn new(largest: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(ROOM)), largest: largest.max(1) }
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
        let reading = match unless_it_takes_long(|| read(call, &body)) {
            Some(reading) => reading,
            None => self.read_aside(call.clone(), body).await,
        };
        success(call, status, headers, reading)
    }

    /// Reads a body on a thread of its own, when there is room.
    async fn read_aside(&self, call: Call, body: Vec<u8>) -> Reading {
        let share = body.len().saturating_mul(ROOM) / self.largest;
        let share = u32::try_from(share.clamp(ROOM / MOST_AT_ONCE, ROOM)).expect("there are few shares");
        let room = Arc::clone(&self.room).acquire_many_owned(share).await.expect("it is never closed");
        let reading = spawn_blocking(move || {
            // The call may be gone before this ends, so the room is given back here.
            let _room = room;
            read(&call, &body)
        });
        reading.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The process ends.
            Err(_) => (Err(Malformed::without("the answer")), Vec::new()),
        })
    }
}
