//! Bulk calls and bulk streams: rows become requests of up to 100, each request a job at Zendesk, and each row has one outcome.
//!
//! Zendesk takes 100 items per request, runs at most 30 jobs per account, and reports results in an order of its own. One `Engine`
//! sends, follows the jobs, and tells what happens. A unary call (`collected`) gathers that into one reply. A streaming one
//! (`stream`) passes it on, so that nothing is lost with the stream.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::offload::offload;
use super::{Context, Gateway};
use crate::error::Result;
use crate::rest::Changes;
use crate::rest::bulk::{Bulk, Chunk, Kind, Outcome};
use crate::share::Share;
use crate::upstream::call::Ledger;

mod collected;
mod created;
mod engine;
mod event;
mod evidence;
mod follow;
mod items;
mod outcome;
mod rows;
mod seen;
mod stream;
mod telling;
mod unread;

use collected::{Collected, Listed};
use engine::{Engine, Order};
pub(super) use follow::{FOLLOW, follow};
pub(super) use outcome::result_of;
pub use telling::Replies;

/// What a row takes beside its place in the message, be it only an id there: what identifies it in the results, and its outcome.
const BYTES_PER_ROW: usize = 256;

/// Bytes of a request whose rows, each of a few bytes, are checked in no long time.
const SHORT: usize = 1 << 10;

impl Gateway {
    /// Answers a bulk request.
    pub async fn bulk<B: Bulk>(&self, context: &Context, request: B) -> Result<B::Reply> {
        let (request, chunks) = checked(context.caller.share(), request).await?;
        self.check_user_fields(context, &request.user_fields()).await?;
        Ok(self.run_bulk(context, chunks, &request.changes(), B::KIND, request.wait()).await?.into())
    }

    /// Sends the chunks of a bulk call and follows their jobs.
    ///
    /// It does so on a task of its own, so that a caller who cancels stops only what was not sent yet. Jobs that were
    /// accepted keep their slots and the call's turn, and keep the records that they change out of the cache, until they
    /// have ended.
    pub(super) async fn run_bulk(
        &self,
        context: &Context,
        chunks: Vec<Chunk>,
        changes: &Changes,
        kind: Kind,
        wait: bool,
    ) -> Result<Outcome> {
        let (leaving, inner) = Leaving::of(context);
        let ledger = Arc::clone(&inner.ledger);
        let rows = chunks.iter().map(|chunk| chunk.keys.len()).sum::<usize>();
        let held = context.caller.share().charge_request(rows * BYTES_PER_ROW)?;
        let (changes, left) = (changes.clone(), leaving.left.clone());
        let order = Order { kind, changes, wait, is_stream: false, left, _held: held };
        let (listed, collected) = (Listed::of(chunks), Collected::of(context));
        let mut engine = Engine::new(self, inner, order, listed, collected);
        let task = tokio::spawn(async move {
            engine.run().await;
            if let Some(error) = engine.failure() {
                engine.give_up(&error);
                return Err(error);
            }
            let outcome = engine.collected();
            engine.follow();
            Ok(outcome)
        });
        // A panic says nothing of what was sent before it.
        task.await.unwrap_or_else(|_| Err(ledger.too_late().as_write_error()))
    }
}

/// Checks a request, and cuts it into those that are sent: thousands of rows take tens of milliseconds.
async fn checked<B: Bulk>(share: &Share, request: B) -> Result<(B, Vec<Chunk>)> {
    let is_short = request.encoded_len() <= SHORT;
    let work = move || request.chunks().map(|chunks| (request, chunks));
    if is_short { work() } else { offload(share, work).await }
}

/// When dropped, tells the engine that its caller has left, and refuses every further request to Zendesk.
#[derive(Debug)]
struct Leaving {
    ledger: Arc<Ledger>,
    left: CancellationToken,
}

impl Leaving {
    /// Also returns the context that the engine works in. Its ledger is the one that dropping this closes.
    fn of(context: &Context) -> (Self, Context) {
        let ledger = Ledger::within(&context.ledger);
        let inner = Context { ledger: Arc::clone(&ledger), ..context.clone() };
        (Self { ledger, left: CancellationToken::new() }, inner)
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.ledger.close();
        self.left.cancel();
    }
}
