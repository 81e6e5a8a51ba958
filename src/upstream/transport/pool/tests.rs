//! What the pool learns, and for how long it believes it.

use super::*;

fn pool(url: &str) -> Pool {
    let origin = Origin::new(&url.parse().expect("a URL"), None).expect("nothing is read");
    Pool::new(&origin, &config::Connection::default()).expect("a client")
}

#[tokio::test(start_paused = true)]
async fn a_smaller_number_of_requests_is_tried_to_be_exceeded_soon_and_then_less_and_less_often() {
    let pool = pool("https://127.0.0.1:1");
    let lane = pool.lane().expect("a client");
    for _ in 0..3 {
        let _ = lane.take();
    }
    let streams = || pool.state().streams();
    assert_eq!(streams(), STREAMS_ASSUMED);
    pool.learn(&lane);
    for (after, allowed) in [(0, 2), (249, 2), (250, 4), (500, 8), (1_000, 32), (2_000, STREAMS_ASSUMED)] {
        let learnt = pool.state().streams.expect("learnt").learnt;
        tokio::time::sleep_until(learnt + Duration::from_millis(after)).await;
        assert_eq!(streams(), allowed, "after {after} ms");
    }
    let mut believed = Vec::new();
    for _ in 0..9 {
        pool.learn(&lane);
        let limit = pool.state().streams.expect("learnt");
        assert_eq!(limit.streams, 2);
        believed.push(limit.believed.as_millis());
        tokio::time::sleep(limit.believed).await;
    }
    assert_eq!(believed, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    let _ = lane.take();
    pool.learn(&lane);
    assert_eq!(pool.state().streams.map(|limit| (limit.streams, limit.believed)), Some((3, BELIEVED)), "a new number");
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_further_connection_counts_once_however_many_waited_for_it() {
    let pool = pool("https://127.0.0.1:1");
    let open = pool.lane().expect("a client");
    let _ = open.take();
    pool.state().lanes.push(open);
    pool.state().streams = Some(Limit { streams: 0, learnt: Instant::now(), believed: LONGEST_BELIEVED });
    for believed in [250, 500, 1_000] {
        let link = Arc::new(Link::new(&pool.counters));
        let client = pool.origin.client().build().expect("a client");
        let failed = Lane::new(client, Arc::clone(&link), Duration::ZERO, &pool.changed);
        link.fail(Chain::new("refused"));
        for _ in 0..40 {
            drop(pool.step(Some(Arc::clone(&failed))));
        }
        let known = pool.state().no_further.map(|(_, believed)| believed.as_millis());
        assert_eq!(known, Some(believed));
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn connections_are_replaced_at_most_once_a_second() {
    let pool = pool("http://127.0.0.1:1");
    let lane = async || Arc::clone(pool.seat().await.expect("without TLS there is always room").lane());
    let first = lane().await;
    pool.renew(&first);
    assert!(Arc::ptr_eq(&first, &lane().await), "too soon");
    pool.state().renewed -= LEAST;
    let second = lane().await;
    assert!(!Arc::ptr_eq(&first, &second), "what was asked for too soon is done at the next request");
    pool.state().renewed -= LEAST;
    assert!(Arc::ptr_eq(&second, &lane().await), "once");
}
