//! Work that takes tens of milliseconds, done on a thread of its own, because whoever shares a thread with it would wait for it.

use std::panic::resume_unwind;
use std::sync::{Arc, LazyLock};

use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use crate::error::{Error, Result};
use crate::share::Share;

/// Does what takes long, one piece at a time. Callers take turns: each has one piece waiting, however many calls it has.
pub async fn offload<T: Send + 'static>(share: &Share, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (tell, told) = oneshot::channel();
    apart(share.clone(), Box::new(move || drop(tell.send(work())))).await?;
    told.await.expect("it was told before the work ended")
}

/// Compiled once, not for each kind of work.
async fn apart(share: Share, work: Box<dyn FnOnce() + Send>) -> Result<()> {
    static ONE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1)));
    let own = share.begin_long_work().await;
    let permit = Arc::clone(&ONE).acquire_owned().await.expect("it is never closed");
    let working = spawn_blocking(move || {
        // Whoever leaves meanwhile leaves the work behind, and may begin no other.
        let _permits = (own, permit);
        work();
    });
    working.await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Error::Overloaded { what: "the process ends" },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::config::Callers;
    use crate::share::Shares;

    #[tokio::test]
    async fn one_caller_with_many_pieces_keeps_another_waiting_for_one_of_them() {
        let shares = Shares::new(&Callers::default(), 0);
        let done = Arc::new(Mutex::new(String::new()));
        let piece = |name: &'static str| {
            let (share, done) = (shares.of(name), Arc::clone(&done));
            tokio::spawn(async move {
                let work = move || {
                    std::thread::sleep(Duration::from_millis(20));
                    done.lock().expect("no panic").push_str(name);
                    Ok(())
                };
                offload(&share, work).await
            })
        };
        let mut all: Vec<_> = (0..8).map(|_| piece("g")).collect();
        tokio::task::yield_now().await;
        all.push(piece("m"));
        for one in all {
            one.await.expect("no panic").expect("it is done");
        }
        let done = done.lock().expect("no panic");
        assert!(done.find('m').is_some_and(|at| at <= 2), "{done}");
    }
}
