//! A request under way, and what becomes of it when nobody wants its answer any more.
//!
//! Whoever drops a request that is under way over HTTP/2 resets its stream, and what the peer has sent until it learns of that
//! still comes. The client remembers the last 50 streams that it reset for a second each, and passes over what comes on them. On
//! a stream that it does not remember, each frame counts as an error, of which a long answer has a hundred; at the 1,024th the
//! client ends the connection with all that others have under way on it. So no more streams are reset than it remembers. Those
//! beyond wait for their turn, and are read meanwhile: once an answer has come whole there is nothing to reset.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Response;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::handover::Handover;
use super::loss::Loss;

/// For how long a reset stream counts: longer than the second for which the client remembers it.
const REMEMBERED_FOR: Duration = Duration::from_millis(1_100);

/// A request that was given to the client. Dropping it withdraws the request or, if a connection has taken it, resets its stream.
pub struct UnderWay {
    handover: Arc<Handover>,
    /// Whether the client has the request, so that there may be a stream for it.
    is_given: bool,
    stage: Stage,
}

/// What is there of the answer.
enum Stage {
    Nothing(BoxFuture<'static, reqwest::Result<Response>>),
    Head(Response),
    /// There will be none.
    Lost,
    Whole,
}

impl UnderWay {
    /// Begins with what a client makes of the request.
    pub fn new(
        handover: &Arc<Handover>,
        sent: impl Future<Output = reqwest::Result<Response>> + Send + 'static,
    ) -> Self {
        Self { handover: Arc::clone(handover), is_given: false, stage: Stage::Nothing(Box::pin(sent)) }
    }

    /// Waits for the head of the answer.
    pub async fn head(&mut self) -> reqwest::Result<()> {
        self.is_given = true;
        self.stage.head().await
    }

    /// Returns the answer once its head has come.
    pub fn response(&mut self) -> Option<&mut Response> {
        if let Stage::Head(response) = &mut self.stage { Some(response) } else { None }
    }

    /// Notes that the whole answer was received.
    pub fn answered(&mut self) {
        self.stage = Stage::Whole;
    }
}

impl Stage {
    async fn head(&mut self) -> reqwest::Result<()> {
        if let Self::Nothing(sent) = self {
            let head = sent.await;
            *self = Self::Lost;
            *self = Self::Head(head?);
        }
        Ok(())
    }

    /// Reads to the end of the answer, whatever it is. Never ends if the encoding is wrong, because the stream goes on then.
    async fn read_on(&mut self, handover: &Handover) {
        if self.head().await.is_err() {
            return;
        }
        if let Self::Head(response) = self {
            loop {
                match response.chunk().await {
                    Ok(Some(_)) => handover.lane().heard(false),
                    Ok(None) => break handover.lane().heard(true),
                    Err(error) if Loss::is_of_stream(&error) => break,
                    Err(_) => std::future::pending().await,
                }
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.handover.withdraw();
        let (stage, lane) = (std::mem::replace(&mut self.stage, Stage::Lost), self.handover.lane());
        if matches!(stage, Stage::Whole) || lane.is_http1() {
            return;
        }
        let is_taken = self.handover.is_taken();
        if is_taken {
            lane.give_up();
        }
        if matches!(stage, Stage::Lost) || !self.is_given || !lane.is_open() {
            return;
        }
        // Without a runtime the process ends, and all connections with it.
        let Ok(runtime) = Handle::try_current() else { return };
        match lane.may_reset() {
            Ok(turn) => {
                drop(stage);
                runtime.spawn(remember(turn));
            }
            Err(turns) if is_taken => {
                let handover = Arc::clone(&self.handover);
                runtime.spawn(async move { see_out(stage, handover, turns.acquire_owned()).await });
            }
            // It was withdrawn, and has no answer.
            Err(_) => {}
        }
    }
}

/// Reads what is wanted no more, until it is its turn to be reset.
async fn see_out<E>(
    mut stage: Stage,
    handover: Arc<Handover>,
    turn: impl Future<Output = Result<OwnedSemaphorePermit, E>>,
) {
    let turn = {
        let reading = pin!(stage.read_on(&handover));
        tokio::select! {
            () = reading => None,
            turn = turn => turn.ok(),
        }
    };
    drop((stage, handover));
    if let Some(turn) = turn {
        remember(turn).await;
    }
}

/// Keeps the place of a stream that was reset for as long as the client remembers it.
async fn remember(turn: OwnedSemaphorePermit) {
    sleep(REMEMBERED_FOR).await;
    drop(turn);
}
