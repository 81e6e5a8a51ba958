//! Windows that are assumed.

use tokio::time::sleep;

use super::*;

/// Time goes on between a look at the clock and what follows from it, which a paused clock does not show.
#[tokio::test(start_paused = true)]
async fn an_assumed_window_that_is_over_lets_calls_through_whatever_hangs_and_however_late_it_is_looked_at() {
    for hangs in [false, true] {
        let mut budget = Budget::documented(10);
        if hangs {
            budget.spend(Instant::now());
        }
        sleep(Duration::from_secs(61)).await;
        let now = Instant::now();
        sleep(Duration::from_millis(1)).await;
        for priority in [Priority::Write, Priority::Interactive, Priority::Background] {
            assert_eq!(budget.opening(priority, now), Opening::Now, "{priority:?}, {hangs}");
            assert!(budget.estimate(priority, 0, now) <= now, "{priority:?}, {hangs}");
        }
    }
}
