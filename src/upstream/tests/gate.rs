//! Changes of a replica that does not lead any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::sleep;

use super::support::{Hits, SECOND, answer, ask, idempotent_write, millis, read, unsafe_write, zendesk};
use crate::config;
use crate::error::Error;
use crate::upstream::{Jitter, stack_with};

#[tokio::test(start_paused = true)]
async fn a_change_is_sent_only_if_it_may_be_at_that_moment_however_long_it_has_waited() {
    let (hits, leads) = (Hits::default(), Arc::new(AtomicBool::new(true)));
    let slow = zendesk(&hits, |_, _| async {
        sleep(SECOND).await;
        Ok(answer())
    });
    // One request at a time, so that the second waits.
    let mut settings = config::Upstream::default();
    settings.queue.permits = 1;
    let (upstream, control) = stack_with(&settings, Jitter::OFF, slow);
    let asked = Arc::clone(&leads);
    control.gate.set(move || asked.load(Ordering::SeqCst), || true);
    let asking = |call| {
        let upstream = upstream.clone();
        tokio::spawn(async move { ask(&upstream, call).await })
    };
    let (first, waiting) = (asking(unsafe_write()), asking(idempotent_write()));
    sleep(millis(10)).await;
    leads.store(false, Ordering::SeqCst);
    first.await.expect("no panic").expect("it led when this was sent");
    let error = waiting.await.expect("no panic").expect_err("it does not lead any more");
    assert!(matches!(error, Error::NotLeader), "{error:?}");
    for write in [idempotent_write(), unsafe_write()] {
        let error = ask(&upstream, write).await.expect_err("it does not lead");
        assert!(matches!(error, Error::NotLeader), "{error:?}");
    }
    assert_eq!(hits.get(), 1, "nothing was sent");
    ask(&upstream, read()).await.expect("what is true now may be read by anybody");
    leads.store(true, Ordering::SeqCst);
    ask(&upstream, unsafe_write()).await.expect("it leads again");
}
